/**
 * Whether a run is true: what each device did and was told, against what the service says that it has. Pure: two sides in,
 * accounts and faults out. A chain's last entry covers all before it, so that one comparison speaks for every statement.
 */
import { formatHex } from "../chain/bytes.ts"
import { type Verdict, isRefusal, statementVerdicts } from "../chain/verdict.ts"
import type { FaultFinding } from "./fault.ts"
import type { PlayedDevice } from "./player.ts"
import type { ServiceMetrics, StoredDetail, StoredDevice } from "./service-view.ts"

/** One device's statements, each counted where it happened. */
export interface DeviceAccount {
  readonly id: string
  readonly group: string
  readonly key: "Ed25519" | "P-256"
  /** What the ground truth demands to be stored. */
  readonly demanded: number
  /** What it had to say. */
  readonly made: number
  /** Publishes, repetitions included. */
  readonly sent: number
  /** PUBACKs. */
  readonly acknowledged: number
  /** Receipts for statements, by verdict. */
  readonly receipts: Partial<Record<Verdict, number>>
  /** By how much its chain grew, as the service says; null: it was not asked. */
  readonly stored: number | null
  /** Of those the ones in a block. */
  readonly sealed: number | null
  /** Without a verdict when the run ended. */
  readonly unanswered: number
  readonly readings: number
  readonly reconnects: number
  /** What must not be; empty: it is true. */
  readonly faults: readonly string[]
}

/** What faults that were planned allow for a device; `honest` where there are none. */
export interface Allowance {
  /** Refusals that must or may come, by verdict. */
  readonly refusals: ReadonlySet<Verdict>
  /** Statements that may be missing: lost with the device's memory, or never allowed in. */
  readonly isOpen: boolean
  /** Whether two histories of it are kept as evidence. */
  readonly evidence: "must" | "may" | "never"
  /** Whether it is done before it has said everything. */
  readonly stops: boolean
}

export const honest: Allowance = { refusals: new Set(), isOpen: false, evidence: "never", stops: false }

/** What a device's planned faults, and what came of them, allow. */
export function allowanceOf(findings: readonly FaultFinding[]): Allowance {
  if (findings.length === 0) return honest
  const expected = findings.map((finding) => finding.expected)
  const proving = findings.filter((finding) => finding.expected.isEvidence)
  return {
    refusals: new Set(
      expected
        .flatMap(({ verdicts }) => verdicts.filter(isRefusal))
        .concat(expected.flatMap(({ asides }) => asides)),
    ),
    isOpen: expected.some(({ statement }) => statement === "open"),
    evidence:
      proving.length === 0 ? "never" : proving.some(({ result }) => result === "met") ? "must" : "may",
    stops: expected.some(({ device }) => device === "stops"),
  }
}

export interface Sides {
  readonly played: PlayedDevice
  readonly before: StoredDevice | null
  /** Null: the service does not know it; undefined: it was not asked. */
  readonly after: StoredDevice | null | undefined
  readonly detail: StoredDetail | null
  readonly detailBefore: StoredDetail | null
  readonly allowance: Allowance
}

export interface Circumstances {
  /** Cut short by its user: what has no verdict is no fault. */
  readonly isCut: boolean
  /** Whether everything stored must be in a block. */
  readonly isSealed: boolean
}

export function accountOf(sides: Sides, circumstances: Circumstances): DeviceAccount {
  const { played, before, after } = sides
  const { receipts, ...rest } = played
  const stored = after === undefined ? null : (after?.head.seq ?? 0) - (before?.head.seq ?? 0)
  const sealed =
    after === undefined ? null : (after?.sealed?.seq ?? 0) - Math.max(0, before?.sealed?.seq ?? 0)
  return {
    id: rest.id,
    group: rest.group,
    key: rest.key,
    demanded: demandedOf(sides, circumstances),
    made: rest.made,
    sent: rest.sent,
    acknowledged: rest.acknowledged,
    receipts,
    stored,
    sealed,
    unanswered: rest.unanswered,
    readings: rest.readings,
    reconnects: rest.reconnects,
    faults: [
      ...ownFaults(played, sides.allowance, circumstances),
      ...storedFaults(sides, stored),
      ...(circumstances.isSealed ? sealedFaults(sides) : []),
      ...accusations(sides),
    ],
  }
}

/** All that it knows to be stored, and where nothing excuses it all that it made. */
function demandedOf({ played, allowance }: Sides, { isCut }: Circumstances): number {
  const { made, known, stored, overflowed } = played
  if (isCut || allowance.isOpen || allowance.stops) return known
  // Statements of its own making (`lost`) stand in the chain beside those that it was given.
  return made - overflowed + (known - stored)
}

function ownFaults(played: PlayedDevice, allowance: Allowance, { isCut }: Circumstances): string[] {
  const { made, stored, overflowed, gone, unanswered, failure, alarms } = played
  const faults: string[] = []
  const refusedCount = Object.values(played.refused).reduce((sum, count) => sum + count, 0)
  if (failure !== null) faults.push(`it failed: ${failure}`)
  if (made !== stored + refusedCount + overflowed + gone + unanswered)
    faults.push(
      `made ${made}, but stored ${stored}, refused ${refusedCount}, without room ${overflowed}, lost ${gone} and unanswered ${unanswered}`,
    )
  const isExcused = isCut || allowance.isOpen || allowance.stops
  if (unanswered > 0 && !isExcused) faults.push(`${unanswered} of ${made} statements have no verdict`)
  for (const [verdict, count] of Object.entries(played.refused) as [Verdict, number][])
    if (!allowance.refusals.has(verdict) || !isExcused)
      faults.push(`${count} of its statements will never be stored: ${verdict}`)
  for (const { place, verdict } of played.surprises)
    faults.push(
      `${place === null ? "a statement of its own making" : `statement ${place} of ${made}`} was answered as ${verdict}, and nothing that was done to it calls for that`,
    )
  if (gone > 0 && !allowance.isOpen) faults.push(`${gone} statements were lost in the device`)
  for (const alarm of alarms) {
    switch (alarm.kind) {
      case "service-lost-statements":
        faults.push(
          `acknowledged statements are missing: seq ${alarm.acceptedSeq} was acknowledged, and the head is ${alarm.headSeq}`,
        )
        break
      case "fork":
        if (allowance.evidence === "never") faults.push(`it is said to have forked at seq ${alarm.seq}`)
        break
      case "another-signer":
        if (allowance.evidence === "never")
          faults.push(`another statement than its own stands at seq ${alarm.seq}`)
        break
      case "another-log":
        faults.push(`it met the head of another log at seq ${alarm.headSeq}`)
        break
      case "log-changed":
        faults.push("its log changed while it ran")
        break
      case "contradiction":
        faults.push(`it is refused again and again as ${alarm.verdict} at seq ${alarm.seq ?? "?"}`)
        break
      case "waiting":
        if (!allowance.refusals.has(alarm.verdict)) faults.push(`it is not let in: ${alarm.verdict}`)
        break
      case "rotation-refused":
        faults.push("its next key was not granted")
    }
  }
  return faults
}

function storedFaults({ played, before, after, allowance }: Sides, stored: number | null): string[] {
  if (after === undefined || stored === null) return []
  const { known, unanswered, promisedSeq, entryAt } = played
  const faults: string[] = []
  const headSeq = after?.head.seq ?? 0
  if (headSeq < promisedSeq)
    faults.push(
      `acknowledged statements are missing: seq ${promisedSeq} was acknowledged, and ${headSeq} is the last one stored`,
    )
  else if (stored < known) faults.push(`${known} statements were acknowledged, and ${stored} are stored`)
  // What was on its way when the run ended may be stored or not: its device asks for the head when it comes back.
  const most = known + unanswered + played.gone
  if (stored > most) faults.push(`${stored} statements are stored, and it said ${most}`)
  if (headSeq > (before?.head.seq ?? 0)) {
    const own = entryAt(headSeq)
    // What it lost, it may not know.
    const isForgotten = own === null && allowance.isOpen
    if (!isForgotten && (own === null || formatHex(own) !== after!.head.entry))
      faults.push(`what is stored at seq ${headSeq} is not what it signed for this place`)
  }
  return faults
}

function sealedFaults({ after }: Sides): string[] {
  if (after === undefined || after === null || after.head.seq === 0) return []
  const { head, sealed } = after
  if (sealed === null || sealed.seq < head.seq)
    return [
      `sealed up to seq ${sealed?.seq ?? 0} of ${head.seq}, though everything stored must be in the block`,
    ]
  if (sealed.seq === head.seq && sealed.entry !== head.entry)
    return [`what is sealed at seq ${head.seq} is not what is stored there`]
  return []
}

/** An honest device is never refused for what it said, and never said to have two histories. */
function accusations({ played, detail, detailBefore, allowance }: Sides): string[] {
  const faults: string[] = []
  for (const [verdict, count] of Object.entries(played.receipts) as [Verdict, number][])
    if (isRefusal(verdict) && !allowance.refusals.has(verdict))
      faults.push(
        `it was refused ${count} ${count === 1 ? "time" : "times"} as ${verdict}, and nothing that it did calls for it`,
      )
  if (detail === null) return faults
  for (const verdict of statementVerdicts) {
    const count = (detail.refusals[verdict] ?? 0) - (detailBefore?.refusals[verdict] ?? 0)
    const told = played.receipts[verdict] ?? 0
    if (count > 0 && isRefusal(verdict) && told === 0 && !allowance.refusals.has(verdict))
      faults.push(
        `the service counts ${count} of its statements as ${verdict}, and nothing that it did calls for it`,
      )
    if (isRefusal(verdict) && count < told)
      faults.push(
        `it was told ${told} times that it is refused as ${verdict}, and the service counts ${count}`,
      )
  }
  const forks = detail.forks.length - (detailBefore?.forks.length ?? 0)
  if (forks > 0 && allowance.evidence === "never") faults.push(`the service holds ${forks} forks of it`)
  if (forks <= 0 && allowance.evidence === "must")
    faults.push("it signed two histories, and the service holds no evidence")
  return faults
}

/** Verdicts of devices in all. */
export interface ToldVerdicts {
  readonly receipts: Partial<Record<Verdict, number>>
  /** By how much all chains grew; null: not known. */
  readonly stored: number | null
}

/**
 * Whether the service's counters add up, and count at least what devices were told.
 *
 * @param before null: the service was started anew, so that its counters began at 0 in between
 */
export function counterFaults(
  before: ServiceMetrics | null,
  after: ServiceMetrics,
  told: ToldVerdicts,
): string[] {
  const faults: string[] = []
  const received = after.get("tidemark_statements_received_total") ?? 0
  const sum = statementVerdicts.reduce((total, verdict) => total + verdictCount(after, verdict), 0)
  if (received !== sum)
    faults.push(`/metrics: ${received} statements were received, and the verdicts are ${sum}`)
  if (before === null) return faults
  for (const verdict of statementVerdicts) {
    const counted = verdictCount(after, verdict) - verdictCount(before, verdict)
    const heard = told.receipts[verdict] ?? 0
    if (counted < heard)
      faults.push(`/metrics: ${counted} statements were judged as ${verdict}, and devices heard ${heard}`)
  }
  if (told.stored !== null) {
    const counted = storedVerdicts.reduce(
      (total, verdict) => total + verdictCount(after, verdict) - verdictCount(before, verdict),
      0,
    )
    if (counted < told.stored)
      faults.push(`/metrics: ${counted} statements were accepted, and chains grew by ${told.stored}`)
  }
  return faults
}

const storedVerdicts = ["accepted", "accepted-unread", "accepted-ahead"] as const

function verdictCount(metrics: ServiceMetrics, verdict: Verdict): number {
  return metrics.get(`tidemark_verdicts_total{verdict="${verdict}"}`) ?? 0
}

/** What a run of a fleet came to, and whether it adds up. Plain values, so that it is JSON as it is. */
import type { Verdict } from "../chain/verdict.ts"

export interface FleetCounts {
  /** Statements that the devices had to say. */
  made: number
  /** Publishes, repetitions included. */
  sent: number
  /** PUBACKs. */
  acknowledged: number
  /** Of those made, the ones that the service has (verdicts 1 to 4). */
  stored: number
  /** Of those made, the ones without a verdict when the run ended. */
  unanswered: number
  /** Of those made, the ones that will never be stored, by verdict. */
  refused: Partial<Record<Verdict, number>>
  /** Receipts as they came in, by verdict; `head` answers questions. */
  receipts: Partial<Record<Verdict, number>>
  /** In the stored statements. */
  readings: number
  reconnects: number
}

/** Of the times from publish to PUBACK, in ms. */
export interface AckTimes {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface MemberReport extends FleetCounts {
  readonly id: string
  readonly key: "Ed25519" | "P-256"
  /** Seq of the head before the first and after the last statement; null where no answer came. */
  readonly headBefore: number | null
  readonly headAfter: number | null
  readonly wallMs: number
  readonly ackMs: AckTimes | null
  /** What does not add up, and what the device raised as an alarm. */
  readonly faults: readonly string[]
}

export interface FleetReport {
  readonly seed: string | number
  readonly all: FleetCounts
  readonly wallMs: number
  readonly ackMs: AckTimes | null
  /** Every device: made = stored + refused, its chain grew by what is stored, and no alarm. */
  readonly reconciles: boolean
  /** Of the first ten devices that do not add up. */
  readonly faults: readonly string[]
  readonly devices: readonly MemberReport[]
}

const faultyDevicesMax = 10

export function zeroCounts(): FleetCounts {
  return {
    made: 0,
    sent: 0,
    acknowledged: 0,
    stored: 0,
    unanswered: 0,
    refused: {},
    receipts: {},
    readings: 0,
    reconnects: 0,
  }
}

export function countRefused({ refused }: FleetCounts): number {
  return Object.values(refused).reduce((sum, count) => sum + count, 0)
}

/** By the nearest rank; null where nothing was measured. */
export function rankAckTimes(ackMs: readonly number[]): AckTimes | null {
  const sorted = Float64Array.from(ackMs).toSorted()
  const rank = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return sorted.length === 0 ? null : { p50: rank(0.5), p95: rank(0.95), p99: rank(0.99), max: rank(1) }
}

export function sumUp(
  seed: string | number,
  devices: readonly MemberReport[],
  ackMs: readonly number[],
  wallMs: number,
): FleetReport {
  const total = zeroCounts()
  for (const device of devices) {
    for (const field of [
      "made",
      "sent",
      "acknowledged",
      "stored",
      "unanswered",
      "readings",
      "reconnects",
    ] as const) {
      total[field] += device[field]
    }
    for (const field of ["refused", "receipts"] as const) {
      for (const [verdict, count] of Object.entries(device[field]) as [Verdict, number][]) {
        total[field][verdict] = (total[field][verdict] ?? 0) + count
      }
    }
  }
  const faulty = devices.filter(({ faults }) => faults.length > 0)
  return {
    seed,
    all: total,
    wallMs,
    ackMs: rankAckTimes(ackMs),
    reconciles: faulty.length === 0,
    faults: faulty
      .slice(0, faultyDevicesMax)
      .flatMap(({ id, faults }) => faults.map((fault) => `${id}: ${fault}`)),
    devices,
  }
}

/** Faults, toxics and what happens to the service, as a scenario's file writes them. */
import { parseDuration } from "./duration.ts"
import { type DisconnectStep, type Fault, type FaultKind, type FaultRule } from "./fault.ts"
import type { Toxic, ToxicKind, ToxicRule, ToxicStream } from "./toxic.ts"

type Written = string | number

export interface FaultDocument {
  readonly fault: FaultKind
  readonly devices?: number
  readonly times?: number
  readonly delay?: Written
  readonly skip?: number
  readonly as?: "stranger" | "impostor" | "statement" | "packet"
  readonly offset?: string
  readonly statements?: number
  readonly size?: number
  readonly step?: DisconnectStep
  readonly for?: Written
}

export interface ToxicDocument {
  readonly toxic: ToxicKind
  readonly stream?: ToxicStream
  readonly toxicity?: number
  readonly from?: Written
  readonly to?: Written
  readonly latency?: Written
  readonly jitter?: Written
  readonly rate?: number
  readonly delay?: Written
  readonly timeout?: Written
  readonly average_size?: number
  readonly size_variation?: number
  readonly bytes?: number
}

/** Says that a key of the document is missing or does not belong there; `key` null: the whole line. */
export type Complain = (key: string | null, rule: string) => void

/** What each fault has beside its kind, and whether it must be said. */
const faultKeys: Readonly<Partial<Record<FaultKind, Readonly<Record<string, "needed" | "optional">>>>> = {
  delay: { delay: "optional" },
  gap: { skip: "optional" },
  "wrong-key": { as: "optional" },
  garbage: { as: "optional" },
  clock: { offset: "needed", statements: "optional" },
  oversized: { size: "optional" },
  disconnect: { step: "needed" },
  suspend: { for: "optional" },
}

const toxicKeys: Readonly<Record<ToxicKind, Readonly<Record<string, "needed" | "optional">>>> = {
  latency: { latency: "needed", jitter: "optional" },
  bandwidth: { rate: "needed" },
  slow_close: { delay: "needed" },
  timeout: { timeout: "optional" },
  reset_peer: { timeout: "optional" },
  slicer: { average_size: "needed", size_variation: "optional", delay: "optional" },
  limit_data: { bytes: "needed" },
  silence: { bytes: "optional" },
}

export function readFaultRule(document: FaultDocument, complain: Complain): FaultRule {
  const { fault: kind, devices, times, ...rest } = document
  checkKeys(kind, rest, faultKeys[kind] ?? {}, complain)
  return {
    fault: readFault(document, complain),
    ...(devices === undefined ? {} : { devices }),
    ...(times === undefined ? {} : { times }),
  }
}

function readFault(document: FaultDocument, complain: Complain): Fault {
  const { fault: kind } = document
  switch (kind) {
    case "delay":
      return { kind, delayMs: msOf(document.delay) ?? 1_000 }
    case "gap":
      return { kind, skip: document.skip ?? 1 }
    case "wrong-key":
      if (document.as === "statement" || document.as === "packet")
        complain("as", "must be stranger or impostor")
      return { kind, as: document.as === "impostor" ? "impostor" : "stranger" }
    case "garbage":
      if (document.as === "stranger" || document.as === "impostor")
        complain("as", "must be statement or packet")
      return { kind, as: document.as === "packet" ? "packet" : "statement" }
    case "clock":
      return {
        kind,
        offsetSeconds: Math.round(offsetMsOf(document.offset ?? "0") / 1000),
        statements: document.statements ?? 1,
      }
    case "oversized":
      return { kind, sizeBytes: document.size ?? 70_000 }
    case "disconnect":
      return { kind, step: document.step ?? "puback" }
    case "suspend":
      return { kind, forMs: msOf(document.for) ?? 2_000 }
    default:
      return { kind }
  }
}

/** When it is on is of scenario time; see `networkOf`. */
export function readToxicRule(document: ToxicDocument, complain: Complain): ToxicRule {
  const { toxic: kind, stream, toxicity, from, to, ...rest } = document
  checkKeys(kind, rest, toxicKeys[kind], complain)
  const fromMs = msOf(from)
  const toMs = msOf(to)
  if (fromMs !== null && toMs !== null && toMs <= fromMs) complain("to", "must be later than `from`")
  return {
    toxic: readToxic(document),
    ...(stream === undefined ? {} : { stream }),
    ...(toxicity === undefined ? {} : { toxicity }),
    ...(fromMs === null ? {} : { fromMs }),
    ...(toMs === null ? {} : { toMs }),
  }
}

function readToxic(document: ToxicDocument): Toxic {
  const { toxic: kind } = document
  switch (kind) {
    case "latency":
      return { kind, latencyMs: msOf(document.latency) ?? 0, jitterMs: msOf(document.jitter) ?? 0 }
    case "bandwidth":
      return { kind, rateKBps: document.rate ?? 0 }
    case "slow_close":
      return { kind, delayMs: msOf(document.delay) ?? 0 }
    case "timeout":
    case "reset_peer":
      return { kind, timeoutMs: msOf(document.timeout) ?? 0 }
    case "slicer":
      return {
        kind,
        averageSizeBytes: document.average_size ?? 1,
        sizeVariationBytes: document.size_variation ?? 0,
        delayUs: (msOf(document.delay) ?? 0) * 1000,
      }
    case "limit_data":
      return { kind, bytes: document.bytes ?? 0 }
    default:
      return { kind, afterBytes: document.bytes ?? 0 }
  }
}

function checkKeys(
  kind: string,
  said: object,
  known: Readonly<Record<string, "needed" | "optional">>,
  complain: Complain,
): void {
  for (const key of Object.keys(said))
    if (!Object.hasOwn(known, key)) {
      const names = Object.keys(known)
      complain(key, `is not of ${kind}, which has ${names.length === 0 ? "nothing more" : names.join(", ")}`)
    }
  for (const [key, need] of Object.entries(known))
    if (need === "needed" && !Object.hasOwn(said, key)) complain(null, `${kind} needs \`${key}\``)
}

/** The schema has found whatever is no duration. */
function msOf(written: Written | undefined): number | null {
  return written === undefined ? null : parseDuration(String(written))
}

function offsetMsOf(written: string): number {
  const isLate = written.startsWith("-")
  const ms = parseDuration(isLate ? written.slice(1) : written) ?? 0
  return isLate ? -ms : ms
}

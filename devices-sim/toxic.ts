/**
 * What a network does to a connection, in the words of Shopify's toxiproxy, so that whoever knows those knows these. Its
 * attributes have their units at the end. Added is `silence`: a connection that is half open.
 */
import type { Random } from "./random.ts"

/** `upstream` is from the device to the service. */
export type ToxicStream = "upstream" | "downstream"

export type Toxic =
  /** Everything comes later by `latencyMs` plus or minus up to `jitterMs`, in its order. */
  | { readonly kind: "latency"; readonly latencyMs: number; readonly jitterMs: number }
  /** At most so many thousand bytes a second. */
  | { readonly kind: "bandwidth"; readonly rateKBps: number }
  /** The end of the stream comes later. */
  | { readonly kind: "slow_close"; readonly delayMs: number }
  /** Nothing gets through, and the connection closes after so long; 0: not until the toxic is taken away. */
  | { readonly kind: "timeout"; readonly timeoutMs: number }
  /** The connection is reset (RST) after so long; 0: at once. */
  | { readonly kind: "reset_peer"; readonly timeoutMs: number }
  /** In pieces of `averageSizeBytes` plus or minus `sizeVariationBytes`, `delayUs` apart. */
  | {
      readonly kind: "slicer"
      readonly averageSizeBytes: number
      readonly sizeVariationBytes: number
      readonly delayUs: number
    }
  /** The connection closes once so many bytes have gone through. */
  | { readonly kind: "limit_data"; readonly bytes: number }
  /** After so many bytes nothing gets through any more, in neither direction, and nobody is told: half open. */
  | { readonly kind: "silence"; readonly afterBytes: number }

export type ToxicKind = Toxic["kind"]

export const toxicKinds = [
  "latency",
  "bandwidth",
  "slow_close",
  "timeout",
  "reset_peer",
  "slicer",
  "limit_data",
  "silence",
] as const satisfies readonly ToxicKind[]

/** A line of a scenario: a toxic, on which connections, and when. */
export interface ToxicRule {
  readonly toxic: Toxic
  /** `downstream` by default, as in toxiproxy; `silence`, `timeout` and `reset_peer` end both whatever it says. */
  readonly stream?: ToxicStream
  /** The share of connections that it befalls, drawn by the seed for each; 1 by default. */
  readonly toxicity?: number
  /** When it is on, in ms of the run; from the start and to the end by default. */
  readonly fromMs?: number
  readonly toMs?: number
}

/** Whether a rule is on at a moment of the run. */
export function isToxicOn({ fromMs = 0, toMs = Infinity }: ToxicRule, runMs: number): boolean {
  return runMs >= fromMs && runMs < toMs
}

/**
 * Which rules befall a connection: drawn once for each, so that they follow from the seed, the device and how many
 * connections it had, and not from the order in which devices connect.
 *
 * @param random the network's stream
 * @param connection the device's id and the number of its connection
 */
export function drawToxics(
  random: Random,
  rules: readonly ToxicRule[],
  connection: { readonly device: string; readonly number: number },
): ToxicRule[] {
  const own = random.fork(`${connection.device} ${connection.number}`)
  return rules.filter((rule, index) => own.at(index) < (rule.toxicity ?? 1))
}

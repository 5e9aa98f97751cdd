/** What makes a device's faults happen on its connections, one connection after the other. */
import type { Statement } from "../chain/statement.ts"
import type { Verdict } from "../chain/verdict.ts"
import type { OpenLink } from "./connection-mqtt.ts"
import type { Act, Acts } from "./fault-act.ts"
import type { DisconnectStep } from "./fault.ts"
import type { Forger } from "./fault-forgery.ts"
import type { Random } from "./random.ts"

export interface SabotageOptions {
  readonly deviceId: string
  readonly acts: Acts
  readonly openLink: OpenLink
  /** A stream of the device's own. */
  readonly random: Random
  /** The place of an outbox entry among the statements that the device has to say; null: one of its own making. */
  readonly placeOf: (number: number) => number | null
  /** Who can sign as this statement's device did. */
  readonly forgerOf: (own: Statement) => Forger
  /** Every key that the device has or has had. */
  readonly kids: () => readonly Uint8Array[]
  /** After so long without an answer to what was never sent, the device takes its connection for dead. */
  readonly giveUpMs: number
  readonly nowSeconds: () => number
  readonly timer: (delayMs: number, run: () => void) => () => void
  /** Something happens to the device's power, key or standing, while this statement is in flight. */
  readonly upheaval: (act: Act) => void
  /** A statement of the device's own, which nothing was done to on its way, was answered. */
  readonly answered: (number: number, verdict: Verdict) => void
}

export class Saboteur {
  readonly options: SabotageOptions
  /** A disconnect that waits until a connection has come as far as its step. */
  early: { readonly act: Act; readonly step: DisconnectStep } | null = null
  /** What an operator did to the device: it hears of it on whichever connection. */
  private readonly standing: Act[] = []
  /** The last two statements that were stored, for a replay. */
  private readonly stored: Uint8Array[] = []
  /** Statements that left on a connection, repetitions and what was never the device's own among them. */
  sent = 0
  /** The connection that there is, or was last. */
  current: { losePower(): void; cut(): void } | null = null

  constructor(options: SabotageOptions) {
    this.options = options
  }

  keepStored(bytes: Uint8Array): void {
    this.stored.push(bytes)
    if (this.stored.length > 2) this.stored.shift()
  }

  /** A statement from before, where there is one. */
  get past(): Uint8Array | null {
    return this.stored[0] ?? null
  }

  await(act: Act): void {
    this.standing.push(act)
  }

  /** Whether this verdict is what an operator's act had to bring. */
  finishStanding(verdict: Verdict): boolean {
    const at = this.standing.findIndex(
      ({ state, expected }) => state === "under-way" && expected.verdicts.includes(verdict),
    )
    if (at < 0) return false
    const [act] = this.standing.splice(at, 1)
    this.options.acts.finish(act!, verdict)
    return true
  }

  randomOf(act: Act): Random {
    return this.options.random.fork(`act ${act.index}`)
  }
}

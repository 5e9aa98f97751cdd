/** What the service has, the outbox lets go of. */
import type { Verdict } from "../chain/verdict.ts"
import { settleRotation } from "./device-rotation.ts"
import { type DeviceTurn, settle } from "./device-turn.ts"

/** The service has everything up to this entry; `verdict` is that of the last. */
export function forgetUpTo(
  turn: DeviceTurn,
  number: number,
  verdict: Verdict,
  via: "receipt" | "puback" | "head",
): void {
  const { state, effects } = turn
  const count = state.entries.findIndex((entry) => entry.number > number)
  const gone = count < 0 ? state.entries : state.entries.slice(0, count)
  for (const entry of gone) {
    const { number: one, signed } = entry
    if (signed === null) continue
    state.lastAccepted = entry
    const isLast = one === number
    settle(turn, one, {
      kind: "stored",
      verdict: isLast ? verdict : "accepted",
      via: isLast ? via : "head",
      seq: signed.seq,
    })
    state.head = signed
    if (signed.seq > state.acceptedSeq) {
      state.acceptedSeq = signed.seq
      state.acceptedEntry = signed.entry
    }
  }
  state.entries = count < 0 ? [] : state.entries.slice(count)
  state.inFlight = Math.max(0, state.inFlight - gone.length)
  state.fruitless = 0
  state.refused = null
  // Before the entries are forgotten: with the request still there, a restart knows that it waits for its answer.
  settleRotation(turn, gone, verdict, via)
  const { acceptedSeq, acceptedEntry } = state
  effects.push({ kind: "forget", upTo: number, acceptedSeq, acceptedEntry })
}

/** One turn of a device: a copy of its state that may be changed, and the effects so far. */
import type { Verdict } from "../chain/verdict.ts"
import type { Alarm, DeviceContext, DeviceState, Effect, Outcome } from "./device-state.ts"

export interface DeviceTurn {
  readonly state: { -readonly [Field in keyof DeviceState]: DeviceState[Field] }
  readonly effects: Effect[]
  readonly context: DeviceContext
}

export function settle({ effects }: DeviceTurn, number: number, outcome: Outcome): void {
  effects.push({ kind: "settle", number, outcome })
}

export function alarm({ effects }: DeviceTurn, raised: Alarm): void {
  effects.push({ kind: "alarm", alarm: raised })
}

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
  for (const { number: one, signed } of gone) {
    if (signed === null) continue
    const isLast = one === number
    settle(turn, one, {
      kind: "stored",
      verdict: isLast ? verdict : "accepted",
      via: isLast ? via : "head",
      seq: signed.seq,
    })
    state.head = signed
    state.acceptedSeq = Math.max(state.acceptedSeq, signed.seq)
  }
  state.entries = count < 0 ? [] : state.entries.slice(count)
  state.inFlight = Math.max(0, state.inFlight - gone.length)
  state.fruitless = 0
  state.refused = null
  effects.push({ kind: "forget", upTo: number, acceptedSeq: state.acceptedSeq })
}

/** Begins again with the question for the head; `isWaitLong` in minutes, otherwise by the usual delay. */
export function closeConnection({ state, effects }: DeviceTurn, isWaitLong: boolean): void {
  state.phase = "closing"
  state.isWaitLong = isWaitLong
  state.inFlight = 0
  effects.push({ kind: "disconnect" })
}

/** Keeps everything and does nothing more. */
export function halt({ state, effects }: DeviceTurn): void {
  state.phase = "halted"
  state.inFlight = 0
  effects.push({ kind: "disconnect" })
}

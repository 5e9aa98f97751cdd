/** One turn of a device: a copy of its state that may be changed, and the effects so far. */
import type { Alarm, DeviceContext, DeviceState, Effect, Outcome } from "./device-state.ts"

export interface DeviceTurn {
  readonly state: { -readonly [Field in keyof DeviceState]: DeviceState[Field] }
  readonly effects: Effect[]
  context: DeviceContext
}

export function settle({ effects }: DeviceTurn, number: number, outcome: Outcome): void {
  effects.push({ kind: "settle", number, outcome })
}

export function alarm({ effects }: DeviceTurn, raised: Alarm): void {
  effects.push({ kind: "alarm", alarm: raised })
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

/**
 * An honest device (FORMAT §4), without I/O: what happens and what it then does. Time and chance come with the events.
 * Whoever carries out the effects does so in order, and has a `store` on disk before a `publish` behind it.
 */
import { equalBytes } from "../chain/bytes.ts"
import type { Head, Receipt } from "../chain/receipt.ts"
import { type Verdict, isStored, parseVerdictCode } from "../chain/verdict.ts"
import { forgetUpTo } from "./device-forget.ts"
import { askWhetherKnown, bindChain, isOfAnotherLog, takeProof } from "./device-log.ts"
import { type DeviceTurn, alarm, closeConnection, settle } from "./device-turn.ts"
import { mendRefused, takeRefusal } from "./device-refusal.ts"
import { beginRotation, isAwaitingAnswer, signEntry, tryOtherKey, tryOtherLogin } from "./device-rotation.ts"
import { findDraftFault } from "./device-sign.ts"
import type { DeviceContext, DeviceEvent, DeviceState, Effect } from "./device-state.ts"
import { draftOverflow, overflowWith } from "./device-lost.ts"
import { type Draft, type OutboxEntry, isRequest } from "./outbox.ts"

export {
  type DeviceContext,
  type DeviceEvent,
  type DeviceState,
  type Effect,
  wakeDevice,
} from "./device-state.ts"

export interface DeviceStep {
  readonly state: DeviceState
  /** For the next step: a rotation changes it. */
  readonly context: DeviceContext
  readonly effects: readonly Effect[]
}

/** The next state and what is to be done. Does nothing else, but for calling the signer. */
export function stepDevice(state: DeviceState, event: DeviceEvent, context: DeviceContext): DeviceStep {
  const turn: DeviceTurn = { state: { ...state }, effects: [], context }
  takeEvent(turn, event)
  return { state: turn.state, context: turn.context, effects: turn.effects }
}

function takeEvent(turn: DeviceTurn, event: DeviceEvent): void {
  const { state, effects } = turn
  switch (event.kind) {
    case "start":
      if (state.phase !== "idle") return
      state.phase = "offline"
      if (state.isRebound && state.firstPrev !== null) {
        state.isRebound = false
        effects.push({ kind: "bind", firstPrev: state.firstPrev })
        alarm(turn, { kind: "log-changed", waiting: state.entries.length })
      }
      effects.push({ kind: "wait", delayMs: 0 })
      return
    case "stop":
      if (state.phase !== "halted") state.phase = "idle"
      state.probe = null
      state.inFlight = 0
      effects.push({ kind: "disconnect" })
      return
    case "timer":
      if (state.phase !== "offline") return
      state.phase = "connecting"
      state.connectedAtMs = event.nowMs
      effects.push({ kind: "connect" })
      return
    case "connected":
      if (state.phase !== "connecting") return
      state.phase = "asking"
      effects.push({ kind: "subscribe" })
      return
    case "closed":
      takeClosed(turn, event.nowMs, event.chance)
      return
    case "receipt":
      takeReceipt(turn, event.receipt)
      return
    case "puback":
      takePuback(turn, event.number)
      return
    case "content":
      takeContent(turn, event.draft, event.readings)
      return
    case "rotate": {
      const number = state.numberNext
      state.numberNext += 1
      append(turn, beginRotation(turn, event.next, event.origin, event.iat), number)
      publishMore(turn)
      return
    }
  }
}

function takeClosed(turn: DeviceTurn, nowMs: number, chance: number): void {
  const { state, effects, context } = turn
  if (state.phase === "idle" || state.phase === "halted" || state.phase === "offline") return
  // Perhaps a login by a key that does not stand.
  if (state.phase === "connecting" && !tryOtherKey(turn)) tryOtherLogin(turn)
  const { rules } = context
  state.phase = "offline"
  state.inFlight = 0
  if (state.probe !== null) state.probe = { ...state.probe, isPending: false }
  const backoffMs = Math.min(rules.backoffMsMax, rules.backoffMsBase * 2 ** Math.min(state.fruitless, 30))
  const delayMs = state.isWaitLong
    ? rules.waitLongMsMin + chance * (rules.waitLongMsMax - rules.waitLongMsMin)
    : chance * backoffMs
  state.isWaitLong = false
  state.fruitless += 1
  // FORMAT §5: at most once a second.
  effects.push({
    kind: "wait",
    delayMs: Math.max(delayMs, state.connectedAtMs + rules.reconnectMsMin - nowMs, 0),
  })
}

function takeReceipt(turn: DeviceTurn, receipt: Receipt): void {
  const { state } = turn
  if (state.phase !== "asking" && state.phase !== "ready") return
  const verdict = parseVerdictCode(receipt.code)
  if (verdict === null) return
  if (verdict === "head") {
    // A second answer tells nothing new: what is in flight comes after it.
    if (state.phase === "asking") takeHead(turn, receipt.head)
  } else if (isStored(verdict)) takeStored(turn, verdict, receipt)
  else takeRefusal(turn, verdict, receipt.seq)
}

/** The head at start and after every refusal: nothing older of this device can still be committed (FORMAT §5, fence). */
function takeHead(turn: DeviceTurn, head: Head): void {
  const { state } = turn
  // A second answer tells nothing new.
  if (state.probe?.isPending === true) return
  if (isOfAnotherLog(turn, head)) {
    alarm(turn, { kind: "another-log", headSeq: head.seq })
    closeConnection(turn, true)
    return
  }
  bindChain(turn, head)
  if (head.seq < state.acceptedSeq) {
    alarm(turn, { kind: "service-lost-statements", acceptedSeq: state.acceptedSeq, headSeq: head.seq })
    closeConnection(turn, true)
    return
  }
  if (!askWhetherKnown(turn, head)) goOn(turn, head)
}

/** From a head of this chain, as far as anybody can tell. */
function goOn(turn: DeviceTurn, head: Head): void {
  const { state, effects } = turn
  const isNews = head.seq !== state.acceptedSeq || state.acceptedEntry === null
  state.acceptedSeq = head.seq
  state.acceptedEntry = head.entry
  if (!dropCovered(turn, head) && isNews && head.seq > 0 && state.firstPrev !== null)
    effects.push({ kind: "forget", upTo: 0, acceptedSeq: head.seq, acceptedEntry: head.entry })
  if (!mendRefused(turn)) return
  state.phase = "ready"
  state.head = head
  if (state.entries.length === 0) state.fruitless = 0
  relink(turn)
  sayOverflow(turn)
  publishMore(turn)
}

/** @returns whether anything was covered */
function dropCovered(turn: DeviceTurn, head: Head): boolean {
  let last: OutboxEntry | null = null
  for (const entry of turn.state.entries) {
    if (entry.signed === null || entry.signed.seq > head.seq) break
    last = entry
  }
  if (last === null) return false
  const { signed } = last
  // We sign once and keep the bytes, so no other entry of ours can stand there. Ours is made again behind the head.
  if (signed?.seq === head.seq && !equalBytes(signed.entry, head.entry)) {
    alarm(turn, { kind: "another-signer", seq: head.seq })
    return false
  }
  forgetUpTo(turn, last.number, "accepted", "head")
  rememberHead(turn, last.number, head)
  return true
}

/** The entry at the accepted seq is the service's, also where it stored another signature of the same bytes. */
function rememberHead({ state, effects }: DeviceTurn, upTo: number, { seq, entry }: Head): void {
  if (seq !== state.acceptedSeq || (state.acceptedEntry !== null && equalBytes(entry, state.acceptedEntry)))
    return
  state.acceptedEntry = entry
  effects.push({ kind: "forget", upTo, acceptedSeq: seq, acceptedEntry: entry })
}

/** Makes anew what does not follow the head: at another place, so that nothing is ever signed twice for one. */
function relink(turn: DeviceTurn): void {
  const { state, effects, context } = turn
  let { seq, entry: prev } = state.head
  const made: OutboxEntry[] = []
  const isAwaiting = isAwaitingAnswer(turn)
  let isBehindRequest = false
  const entries = state.entries.map((entry) => {
    if (isBehindRequest) return entry
    isBehindRequest = isAwaiting && isRequest(entry)
    seq += 1
    const isLinked = entry.signed !== null && entry.signed.seq === seq && equalBytes(entry.signed.prev, prev)
    const linked = isLinked ? entry : signEntry(context, entry, seq, prev)
    if (!isLinked) made.push(linked)
    prev = linked.signed?.entry ?? prev
    return linked
  })
  if (made.length === 0) return
  state.entries = entries
  effects.push({ kind: "store", entries: made })
}

function takeStored(turn: DeviceTurn, verdict: Verdict, receipt: Receipt): void {
  const { state } = turn
  if (state.probe?.isPending === true) {
    if (receipt.seq === state.probe.seq) goOn(turn, takeProof(turn, state.probe))
    return
  }
  const at = state.entries.findIndex(({ signed }) => signed !== null && signed.seq === receipt.seq)
  const entry = state.entries[at]
  if (at < 0 || at >= state.inFlight || entry === undefined) return
  forgetUpTo(turn, entry.number, verdict, "receipt")
  // A duplicate under another signature: the chain goes on from the one that is stored (verdict 2).
  const isElse =
    state.phase === "ready" &&
    receipt.head.seq === state.head.seq &&
    !equalBytes(receipt.head.entry, state.head.entry)
  if (isElse) {
    state.head = receipt.head
    rememberHead(turn, entry.number, receipt.head)
    // What is in flight behind it will be refused as broken: better to begin again before it is.
    if (state.inFlight > 0) {
      closeConnection(turn, false)
      return
    }
    relink(turn)
  } else if (state.phase === "ready" && !isAwaitingAnswer(turn)) signWaiting(turn)
  sayOverflow(turn)
  publishMore(turn)
}

/** What waited behind a request that was not granted. */
function signWaiting(turn: DeviceTurn): void {
  if (turn.state.inFlight === 0 && turn.state.entries.some(({ signed }) => signed === null)) relink(turn)
}

/** Committed, and with it everything before it in the chain. */
function takePuback(turn: DeviceTurn, number: number): void {
  const { probe } = turn.state
  if (probe?.isPending === true) {
    if (number === probe.number) goOn(turn, takeProof(turn, probe))
    return
  }
  const at = turn.state.entries.findIndex((entry) => entry.number === number)
  if (at < 0 || at >= turn.state.inFlight) return
  forgetUpTo(turn, number, "accepted", "puback")
  sayOverflow(turn)
  publishMore(turn)
}

function takeContent(turn: DeviceTurn, draft: Draft, readings: number | null): void {
  const { state, context } = turn
  const number = state.numberNext
  state.numberNext += 1
  const fault = findDraftFault(context.speaker, draft)
  if (fault !== null) {
    const rule = fault.kind === "malformed" ? fault.rule : `it would have ${fault.sizeBytes} bytes`
    settle(turn, number, { kind: "refused", verdict: fault.kind, rule })
    return
  }
  if (state.entries.length >= context.rules.entriesMax) {
    state.overflow = overflowWith(state.overflow, draft, readings)
    settle(turn, number, { kind: "overflowed" })
    return
  }
  append(turn, draft, number)
  publishMore(turn)
}

/** Readings that found no room are said to be lost as soon as there is some (FORMAT §4). */
function sayOverflow(turn: DeviceTurn): void {
  const { state, context } = turn
  if (state.phase !== "ready" || state.overflow === null) return
  if (state.entries.length >= context.rules.entriesMax) return
  const draft = draftOverflow(state.overflow, context.speaker.id)
  state.overflow = null
  append(turn, draft, state.numberNext)
  state.numberNext += 1
}

/** Signed if the head is known, and kept as a draft if not. */
function append(turn: DeviceTurn, draft: Draft, number: number): void {
  const { state, effects, context } = turn
  const last = state.entries.at(-1)?.signed ?? state.head
  const fresh: OutboxEntry = { ...draft, number, signed: null }
  const isSigned = state.phase === "ready" && !isAwaitingAnswer(turn)
  const entry = isSigned ? signEntry(context, fresh, last.seq + 1, last.entry) : fresh
  state.entries = [...state.entries, entry]
  effects.push({ kind: "store", entries: [entry] })
}

function publishMore({ state, effects, context }: DeviceTurn): void {
  if (state.phase !== "ready") return
  for (; state.inFlight < context.rules.inFlightMax; state.inFlight += 1) {
    const entry = state.entries[state.inFlight]
    if (entry === undefined || entry.signed === null) return
    effects.push({ kind: "publish", number: entry.number, bytes: entry.signed.bytes })
  }
}

/**
 * Whether a head is of the chain that the device knows (FORMAT §4, genesis). A head names its log only where it is empty.
 * Behind that, what the device remembers has to tell: the last entry that was acknowledged, what it has signed, and what
 * it has said in other logs.
 */
import { equalBytes } from "../chain/bytes.ts"
import { zeroHash } from "../chain/hash.ts"
import type { Head } from "../chain/receipt.ts"
import { forgetUpTo } from "./device-forget.ts"
import type { DeviceState, Probe } from "./device-state.ts"
import { type DeviceTurn, alarm, closeConnection } from "./device-turn.ts"
import type { OutboxEntry } from "./outbox.ts"

/**
 * Whether this head contradicts what the device knows: where its chain begins, the entry of the last statement that the
 * service acknowledged, or that this is the head of its chain in another log. To link to such a head would be to sign
 * for that log.
 */
export function isOfAnotherLog({ state, context }: DeviceTurn, head: Head): boolean {
  const firstPrev = context.firstPrev ?? state.firstPrev
  if (head.seq === 0) return firstPrev !== null && !equalBytes(head.entry, firstPrev)
  const { acceptedSeq, acceptedEntry, left } = state
  if (head.seq === acceptedSeq && acceptedEntry !== null) return !equalBytes(head.entry, acceptedEntry)
  return left.some((chain) => hasStatement(chain, head))
}

/** Whether the chain is known to have this entry at this seq. */
function hasStatement(
  { acceptedSeq, acceptedEntry, entries }: Pick<DeviceState, "acceptedSeq" | "acceptedEntry" | "entries">,
  { seq, entry }: Head,
): boolean {
  if (seq === acceptedSeq && acceptedEntry !== null && equalBytes(entry, acceptedEntry)) return true
  return entries.some(({ signed }) => signed?.seq === seq && equalBytes(signed.entry, entry))
}

/** Remembers where the chain begins: as it was configured, or as an empty head tells. */
export function bindChain({ state, effects, context }: DeviceTurn, head: Head): void {
  if (state.firstPrev !== null) return
  const configured = context.firstPrev ?? null
  const isEmpty = head.seq === 0
  // With nothing where something was acknowledged, a head shows a loss or another log, and none to bind to.
  const told = isEmpty && state.acceptedSeq === 0 ? head.entry : null
  const firstPrev = configured ?? told
  if (firstPrev === null) return
  // An outbox from before chains were bound, of a log of version 1, and now a log that does not have this chain.
  const isKnowing = state.acceptedSeq > 0 || state.entries.some(({ signed }) => signed !== null)
  const isLost = !isEmpty && head.seq < state.acceptedSeq && state.acceptedEntry !== null
  if (configured !== null && isKnowing && !isLost && !isConfirmed(state, head)) {
    effects.push({ kind: "bind", firstPrev: zeroHash })
    state.entries = state.entries.map((entry) => ({ ...entry, signed: null }))
    state.acceptedSeq = 0
    state.acceptedEntry = null
    state.lastAccepted = null
  }
  effects.push({ kind: "bind", firstPrev })
  state.firstPrev = firstPrev
}

function isConfirmed(state: DeviceState, head: Head): boolean {
  if (hasStatement(state, head)) return true
  const first = state.entries[0]?.signed ?? null
  return first?.seq === head.seq + 1 && equalBytes(first.prev, head.entry)
}

/**
 * A head further on than all that the device has signed, or with another entry in its place, is either of another log or
 * of a chain that went on without this outbox. A statement that this chain has is sent again: only a service that has the
 * chain calls it a duplicate, and in another log of version 2 it is broken.
 *
 * @returns whether the answer has to be waited for, or is no
 */
export function askWhetherKnown(turn: DeviceTurn, head: Head): boolean {
  const { state, effects } = turn
  const { probe } = state
  state.probe = null
  const evidence = isUnexplained(state, head) ? evidenceOf(state) : null
  if (evidence?.signed == null) return false
  if (probe !== null && state.refusedAs === "broken") {
    state.refusedAs = null
    alarm(turn, { kind: "another-log", headSeq: head.seq })
    closeConnection(turn, true)
    return true
  }
  state.refusedAs = null
  state.probe = { number: evidence.number, seq: evidence.signed.seq, head, isPending: true }
  effects.push({ kind: "publish", number: evidence.number, bytes: evidence.signed.bytes })
  return true
}

function isUnexplained(state: DeviceState, head: Head): boolean {
  const { acceptedSeq, entries } = state
  const first = entries[0]?.signed ?? null
  if (head.seq === 0 || head.seq <= acceptedSeq || (acceptedSeq === 0 && first === null)) return false
  if (acceptedSeq === 0 && first !== null && head.seq < first.seq) return false
  return !hasStatement(state, head)
}

/** Not in a log of version 1: there a first statement links everywhere, and would be called a fork. */
function evidenceOf({ firstPrev, lastAccepted, entries }: DeviceState): OutboxEntry | null {
  if (firstPrev === null || equalBytes(firstPrev, zeroHash)) return null
  return lastAccepted ?? entries[0] ?? null
}

/** The service has the statement, and so the chain: the head from which the device goes on. */
export function takeProof(turn: DeviceTurn, { number, head }: Probe): Head {
  const { state } = turn
  state.probe = null
  if (state.entries.some((entry) => entry.number === number)) forgetUpTo(turn, number, "duplicate", "receipt")
  return head
}

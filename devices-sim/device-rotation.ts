/**
 * A device's next key (FORMAT §7), without I/O. The request is an entry of the outbox like any other, but for three
 * things: it is written for the place at which it is signed, nothing behind it is signed before it is answered, and the
 * receipt tells which key goes on. Where the receipt is lost, the device tries the next key, and the one before if the
 * service does not know that one (verdict 13 changes nothing, and two keys at one place are no fork).
 */
import { contentRegistry } from "../chain/statement.ts"
import { encodeKeyProof, encodeRegistry } from "../chain/registry.ts"
import type { Hash } from "../chain/hash.ts"
import type { Verdict } from "../chain/verdict.ts"
import { type Speaker, signDraft, signLow } from "./device-sign.ts"
import { type DeviceTurn, alarm, closeConnection } from "./device-turn.ts"
import type { DeviceContext, Rotation } from "./device-state.ts"
import { type Draft, type OutboxEntry, isRequest } from "./outbox.ts"

/** The entry with its statement for this place. A request says the seq behind it, so its payload is made anew as well. */
export function signEntry(context: DeviceContext, entry: OutboxEntry, seq: number, prev: Hash): OutboxEntry {
  const { speaker, rotation = null } = context
  if (!isRequest(entry) || rotation?.stage !== "asked")
    return { ...entry, signed: signDraft(speaker, entry, seq, prev) }
  const { signer } = rotation.other
  const key = signer.publicKey
  const firstSeq = seq + 1
  const proofOfNew = signLow(signer, encodeKeyProof(key, rotation.origin, speaker.id, firstSeq, key))
  const payload = encodeRegistry({ action: "rotate", device: speaker.id, key, firstSeq, proofOfNew })
  const draft = { ...entry, payload }
  return { ...draft, signed: signDraft(speaker, draft, seq, prev) }
}

/** Whether a request stands among the entries: what comes behind it waits. */
export function isAwaitingAnswer({ state, context }: Pick<DeviceTurn, "state" | "context">): boolean {
  return context.rotation?.stage === "asked" && state.entries.some(isRequest)
}

/** @returns the draft of the request; its payload is written when it is signed */
export function beginRotation(turn: DeviceTurn, next: Speaker, origin: string, iat: number): Draft {
  const { speaker } = turn.context
  useKeys(turn, speaker, { stage: "asked", other: next, isNextCurrent: false, origin })
  return { content: contentRegistry, payload: new Uint8Array(0), iat, sub: speaker.id }
}

/** What is stored tells which key stands: the request's own verdict, or that a statement under a key was taken. */
export function settleRotation(
  turn: DeviceTurn,
  gone: readonly OutboxEntry[],
  verdict: Verdict,
  via: "receipt" | "puback" | "head",
): void {
  const { speaker, rotation = null } = turn.context
  if (rotation === null || gone.length === 0) return
  if (rotation.stage === "undecided") {
    useKeys(turn, speaker, null)
    if (!rotation.isNextCurrent) alarm(turn, { kind: "rotation-refused" })
    return
  }
  if (!gone.some(isRequest)) return
  const isTold = via === "receipt" && isRequest(gone.at(-1)!)
  if (isTold && verdict === "accepted-unread") {
    useKeys(turn, speaker, null)
    alarm(turn, { kind: "rotation-refused" })
    return
  }
  // A duplicate does not say what the first one was.
  const isGranted = isTold && verdict !== "duplicate"
  const other = { ...rotation, stage: "undecided", other: speaker, isNextCurrent: true } as const
  useKeys(turn, rotation.other, isGranted ? null : other)
  // The service closes as well: this connection was opened by the old key.
  if (turn.state.phase === "ready") closeConnection(turn, false)
}

/** Tries the other key, where it is not known which one stands. False where it is. */
export function tryOtherKey(turn: DeviceTurn): boolean {
  const { speaker, rotation = null } = turn.context
  if (rotation?.stage !== "undecided") return false
  const { other, isNextCurrent } = rotation
  useKeys(turn, other, { ...rotation, other: speaker, isNextCurrent: !isNextCurrent })
  const unsigned = turn.state.entries.map((entry) => ({ ...entry, signed: null }))
  turn.state.entries = unsigned
  if (unsigned.length > 0) turn.effects.push({ kind: "store", entries: unsigned })
  return true
}

/**
 * Logs in by the other key next time, where a request waits for its answer: it may have been granted, and then the old key
 * is refused before anything can be asked. What is signed stays: a login by the next key is let in only where it stands,
 * and there the head covers the request.
 */
export function tryOtherLogin({ state, context }: DeviceTurn): void {
  if (context.rotation?.stage === "asked") state.isLoginByNext = !state.isLoginByNext
}

function useKeys(turn: DeviceTurn, speaker: Speaker, rotation: Rotation | null): void {
  turn.context = { ...turn.context, speaker, rotation }
  turn.state.isLoginByNext = false
  turn.effects.push({ kind: "keys", speaker, rotation })
}

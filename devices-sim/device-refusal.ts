/** What an honest device does when it is refused (FORMAT §4, last column). It always begins again with its head. */
import { checkSignatureForm, signatureSize } from "../chain/signature.ts"
import type { Verdict } from "../chain/verdict.ts"
import { draftRefused } from "./device-lost.ts"
import { tryOtherKey } from "./device-rotation.ts"
import { replaceS } from "./device-sign.ts"
import { type DeviceTurn, alarm, closeConnection, halt, settle } from "./device-turn.ts"
import type { OutboxEntry, Signed } from "./outbox.ts"

/** @param seq of the statement that was refused; null where the service could not read it, or refuses a question */
export function takeRefusal(turn: DeviceTurn, verdict: Verdict, seq: number | null): void {
  const { state } = turn
  switch (verdict) {
    case "fork": {
      // Two histories by one key: which one is true is not for a device to say. What it has, it keeps as evidence.
      alarm(turn, { kind: "fork", seq: seq ?? 0 })
      const forked = state.entries.find(({ signed }) => signed !== null && signed.seq === seq)
      if (forked !== undefined) {
        settle(turn, forked.number, {
          kind: "refused",
          verdict,
          rule: "another statement stands in this place",
        })
      }
      halt(turn)
      return
    }
    case "unknown-key":
      // Of a question it says that the device is unknown, whatever its key.
      if (seq !== null && tryOtherKey(turn)) {
        closeConnection(turn, false)
        return
      }
      alarm(turn, { kind: "waiting", verdict })
      closeConnection(turn, true)
      return
    case "wrong-device":
    case "revoked":
    case "suspended":
      alarm(turn, { kind: "waiting", verdict })
      closeConnection(turn, true)
      return
    default:
      state.refusedAs = verdict
      closeConnection(turn, false)
  }
}

/**
 * Mends what the last refusal was about, once the head is known: it was the first statement behind it, since the service
 * judges in order. The seq in the receipt may be a changed byte of a damaged statement, and does not decide.
 *
 * @returns whether the device goes on with this head
 */
export function mendRefused(turn: DeviceTurn): boolean {
  const { state, context } = turn
  const verdict = state.refusedAs
  const entry = state.entries[0]
  state.refusedAs = null
  if (verdict === null || entry === undefined || entry.signed === null) return true
  // Counted apart: only a statement that is refused for what it is may ever be given up.
  const isMisplaced = verdict === "gap" || verdict === "broken"
  const before = state.refused?.number === entry.number ? state.refused : { unfit: 0, misplaced: 0 }
  const unfit = before.unfit + (isMisplaced ? 0 : 1)
  const misplaced = before.misplaced + (isMisplaced ? 1 : 0)
  state.refused = { number: entry.number, unfit, misplaced }
  const { refusalsMax } = context.rules
  switch (verdict) {
    case "too-large":
      return giveUp(turn, entry, verdict)
    case "high-s":
    case "malformed":
    case "bad-signature":
      // Made anew of the same claims, so of the same signed bytes: some byte may have changed on the way, or on disk.
      if (unfit >= refusalsMax) return giveUp(turn, entry, verdict)
      change(turn, { ...entry, signed: isHigh(turn, entry.signed) ? replaceS(entry.signed) : null })
      return true
    default:
      // Gap and broken: the head tells from where to send, or that another chain is there and all has to be made anew.
      if (misplaced <= refusalsMax) return true
      alarm(turn, { kind: "contradiction", verdict, seq: entry.signed.seq })
      closeConnection(turn, true)
      return false
  }
}

function isHigh({ context }: DeviceTurn, { bytes }: Signed): boolean {
  const { publicKey } = context.speaker.signer
  return checkSignatureForm(publicKey, publicKey.algorithm, bytes.subarray(-signatureSize)) === "high-s"
}

/** The readings will not be taken: that they are lost is said in their place. */
function giveUp(turn: DeviceTurn, entry: OutboxEntry, verdict: Verdict): boolean {
  const instead = draftRefused(entry)
  if (instead === null) {
    alarm(turn, { kind: "contradiction", verdict, seq: entry.signed?.seq ?? null })
    closeConnection(turn, true)
    return false
  }
  settle(turn, entry.number, { kind: "refused", verdict, rule: "refused again and again" })
  change(turn, { ...instead, number: entry.number, signed: null })
  turn.state.refused = null
  return true
}

function change({ state, effects }: DeviceTurn, changed: OutboxEntry): void {
  state.entries = state.entries.map((entry) => (entry.number === changed.number ? changed : entry))
  effects.push({ kind: "store", entries: [changed] })
}

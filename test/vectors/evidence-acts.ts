/** What happens in a block of a scene, as it should and as it should not. */
import type { Hash } from "../../chain/hash.ts"
import { encodeLost } from "../../chain/lost.ts"
import { encodeRegistry, proveKey, type Registry } from "../../chain/registry.ts"
import { contentLost, contentRegistry } from "../../chain/statement.ts"
import { SimulatedLog } from "../verify/simulated-log.ts"
import { newLog, playScene, type Scene } from "./evidence-scene.ts"
import { edKey, edKeyNext, vectorOrigin } from "./keys.ts"

export function rotateInTheMiddle({ log, k7, n1 }: Scene): void {
  log.say(k7)
  log.say(k7)
  log.register({
    action: "rotate",
    device: "k7",
    key: edKeyNext.publicKey,
    firstSeq: 5,
    proofOfNew: proveKey(edKeyNext, vectorOrigin, "k7", 5, edKeyNext.publicKey),
    proofOfOld: proveKey(edKey, vectorOrigin, "k7", 5, edKeyNext.publicKey),
  })
  log.say(n1)
  k7.key = edKeyNext
  log.say(k7)
}

export function requestKey({ log, k7 }: Scene): void {
  log.say(k7)
  const request = requestAt(k7.seq + 2)
  log.requests.add(log.leaves.length)
  const entry = log.say(k7, { content: contentRegistry, payload: encodeRegistry(request) })
  log.register({ ...request, request: entry })
  k7.key = edKeyNext
  log.say(k7)
}

export function revokeTo(lastGoodSeq: number): (scene: Scene) => void {
  return ({ log }) => {
    log.register({ action: "revoke", device: "k7", lastGoodSeq, reason: "lost" })
  }
}

export function suspendAndResume({ log, k7 }: Scene): void {
  log.say(k7)
  log.register({ action: "suspend", device: "k7" })
  log.register({ action: "resume", device: "k7" })
  log.say(k7)
}

export function sayOddly({ log, k7 }: Scene): void {
  log.say(k7, { payload: Uint8Array.of(0xff) })
  log.say(k7, { iat: 4_102_444_800 })
  const lost = encodeLost({ reason: "not-worn", count: null, from: 1_748_764_800, to: 1_748_764_810 })
  log.say(k7, { content: contentLost, payload: lost })
  log.say(k7, { content: "image/png", payload: Uint8Array.of(1, 2, 3) })
}

// Invalid: first what somebody without any key can do to a file, then what an operator can who lies.

/** Says something in block 2 that ingest would not have let in, after 3 and 4; `names` it is statement 5. */
export function saying(act: (scene: Scene) => void): Promise<Uint8Array> {
  const play = (scene: Scene): void => {
    scene.log.say(scene.k7)
    scene.log.say(scene.k7)
    act(scene)
  }
  return playScene({ 2: play }).log.evidence("k7", 2, 3)
}

/** The device's next statement, its bytes changed before they are logged. */
export function sayChanged({ log, k7 }: Scene, edit: (bytes: Uint8Array) => Uint8Array): void {
  const spare = newLog()
  const shadow = { ...k7 }
  spare.nowMs = log.nowMs
  spare.say(shadow)
  const bytes = edit(spare.leaves.at(-1)!.bytes)
  k7.entry = log.append({ signer: "device", bytes, receivedAtMs: (log.nowMs += 1_000), device: "k7" })
  k7.seq += 1
  log.heads.set("k7", { ...log.heads.get("k7")!, seq: k7.seq, entry: k7.entry })
}

export function rotateAt(log: SimulatedLog, firstSeq: number): Hash {
  return log.register({ action: "rotate", device: "k7", key: edKeyNext.publicKey, firstSeq })
}

export function requestAt(firstSeq: number): Registry {
  const proofOfNew = proveKey(edKeyNext, vectorOrigin, "k7", firstSeq, edKeyNext.publicKey)
  return { action: "rotate", device: "k7", key: edKeyNext.publicKey, firstSeq, proofOfNew }
}

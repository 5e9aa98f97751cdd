/** Evidence of a log whose operator lies: it signs what ingest would have refused, or seals what was not said. */
import { decodeManifest, encodeArrival, type Manifest } from "../../chain/block.ts"
import { joinBytes } from "../../chain/bytes.ts"
import { zeroHash } from "../../chain/hash.ts"
import { headsRootOf, type SealedHead } from "../../chain/heads.ts"
import { rootOf } from "../../chain/merkle.ts"
import { formatVkey } from "../../chain/note.ts"
import { encodeRegistry, proveKey } from "../../chain/registry.ts"
import { negateS } from "../../chain/signature.ts"
import { contentPolicy, contentRegistry, decodeStatement, signStatement } from "../../chain/statement.ts"
import type { EvidenceSource } from "../../research/evidence.ts"
import type { EvidenceCode } from "../../verify/evidence.ts"
import { type SealLies, SimulatedLog, writeEvidence } from "../verify/simulated-log.ts"
import { requestAt, revokeTo, rotateAt, rotateInTheMiddle, sayChanged, saying } from "./evidence-acts.ts"
import { edited, findItem, flip, flipHash, nodeOf, readItems, registryLeafOf, resigned, without } from "./evidence-edit.ts"
import { refused } from "./evidence-edited.ts"
import { type InvalidCase, newLog, openScene, playScene, sayBlock, type Scene } from "./evidence-scene.ts"
import { ecKey, edKey, edKeyNext, strangerKey, vectorOrigin } from "./keys.ts"

const s5 = "statement 5 of device k7"

export function lyingCases(): Record<string, InvalidCase> {
  const revoked = playScene({ 2: (scene) => (sayBlock(scene, 2), revokeTo(4)(scene)) })
  const revokedAfter = playScene({ 4: revokeTo(4) })
  const rotated = playScene({ 2: rotateInTheMiddle })
  return {
    "forged-middle-of-the-chain": refused("Statement 4 is another one, signed by the device's own key.", "chain", s5, forge(4, 4, false)),
    "forged-end-of-the-chain": refused("From statement 4 on all are others, signed by the device's own key and chained.", "root", "block 2", forge(4, 7, false)),
    "forged-chain-between-true-heads": refused("The operator has put the forged head into its heads maps: the statements are no leaves.", "root", "block 2", forge(4, 7, true)),
    "key-never-enrolled": said("Statement 5 is signed by a stranger's key, and the operator logged it.", "key", s5, ({ log, k7 }) => log.say({ ...k7, key: strangerKey })),
    "key-after-its-revocation": said("Good up to 4.", "key", s5, (scene) => (revokeTo(4)(scene), scene.log.say(scene.k7))),
    "key-of-a-revoked-device": said("", "key", s5, ({ log, k7 }) => (log.register({ action: "revoke", device: "k7" }), log.say(k7))),
    "key-of-a-suspended-device": said("", "key", s5, ({ log, k7 }) => (log.register({ action: "suspend", device: "k7" }), log.say(k7))),
    "key-before-its-first-seq": said("The next key begins at 6.", "key", s5, ({ log, k7 }) => (rotateAt(log, 6), log.say({ ...k7, key: edKeyNext }))),
    "key-after-its-rotation": said("The next key began at 5.", "key", s5, ({ log, k7 }) => (rotateAt(log, 5), log.say(k7))),
    "statement-before-the-enrolment": refused("By a device that is enrolled behind it.", "key", "statement 1 of device k8", spokenBeforeEnrolment()),
    "signature-changed": said("The operator logged it all the same.", "signature", s5, (scene) => sayChanged(scene, (bytes) => resigned(bytes, (old) => flip(old, 63)))),
    "signature-high-s": refused("By a key of P-256.", "signature", "statement 1 of device k7", highS()),
    "statement-malformed": said("A byte behind its end.", "malformed", "leaf 11", (scene) => sayChanged(scene, (bytes) => joinBytes(bytes, Uint8Array.of(0)))),
    "seq-skipped": said("6 follows 4.", "missing", s5, ({ log, k7 }) => log.say(k7, { seq: 6 })),
    "seq-again": said("A second 4.", "chain", "statement 4 of device k7", ({ log, k7 }) => log.say(k7, { seq: 4 })),
    "prev-of-another": said("", "chain", s5, ({ log, k7, n1 }) => log.say(k7, { prev: n1.entry })),
    "request-unanswered": said("Statement 5 asks for a key; 6 follows without the operator's answer.", "registry", "statement 6 of device k7", (scene) => {
      scene.log.say(scene.k7, { content: contentRegistry, payload: encodeRegistry(requestAt(6)) })
      scene.log.say(scene.k7)
    }),
    "request-answered-with-another-key": said("", "registry", "statement 6 of the operator", ({ log, k7 }) => {
      const entry = log.say(k7, { content: contentRegistry, payload: encodeRegistry(requestAt(6)) })
      const proofOfNew = proveKey(strangerKey, vectorOrigin, "k7", 6, strangerKey.publicKey)
      log.register({ ...requestAt(6), key: strangerKey.publicKey, proofOfNew, request: entry })
    }),
    "revocation-left-out": refused("It stands in block 2.", "registry", "block 3", without(revoked, (leaf) => leaf === registryLeafOf(revoked, "k7", 1))),
    "revocation-after-the-range-left-out": refused("It stands in block 4.", "registry", "block 4", without(revokedAfter, (leaf) => leaf === registryLeafOf(revokedAfter, "k7", 1))),
    "rotation-left-out": refused("", "key", s5, without(rotated, (leaf) => leaf === registryLeafOf(rotated, "k7", 1))),
    "rotation-before-the-range-left-out": refused("In block 1 the key was rotated.", "registry", "block 1", rotatedBefore()),
    "enrolled-twice": said("", "registry", "statement 6 of the operator", ({ log }) => log.register({ action: "enrol", device: "k7", key: edKeyNext.publicKey, firstSeq: 1 })),
    "rotation-below-the-head": said("A key from 3 on, and the head is 4.", "registry", "statement 6 of the operator", ({ log }) => rotateAt(log, 3)),
    "registry-of-another-device": said("", "foreign", "statement 6 of the operator", ({ log }) => log.sayAsOperator("n1", contentRegistry, encodeRegistry({ action: "suspend", device: "n1", previous: log.heads.get("n1")!.registry }), { device: "k7" })),
    "registry-of-a-ca": said("A CA that has the device's name.", "foreign", "statement 6 of the operator", ({ log }) => log.sayAsOperator("k7", contentRegistry, encodeRegistry({ action: "trust-ca", device: "k7", caDigest: nodeOf("ca"), previous: nodeOf("none") }), { device: "k7" })),
    "registry-with-another-sub": said("", "registry", "statement 6 of the operator", ({ log }) => log.sayAsOperator("n1", contentRegistry, encodeRegistry({ action: "suspend", device: "k7", previous: log.heads.get("k7")!.registry }), { device: "k7" })),
    "registry-unread": said("", "registry", "statement 6 of the operator", ({ log }) => log.sayAsOperator("k7", contentRegistry, Uint8Array.of(0xa0), { device: "k7" })),
    "operator-with-another-key": said("A registry statement signed by a stranger.", "key", "statement 6 of the operator", ({ log }) => strangerAsOperator(log)),
    "operator-with-another-signature": said("", "signature", "statement 6 of the operator", ({ log }) => strangerAsOperator(log, (bytes) => resigned(bytes, (old) => flip(old, 63)), log.operator)),
    "operator-goes-back": said("Its seq is that of a statement before.", "chain", "statement 5 of the operator", ({ log }) => log.sayAsOperator("k7", contentRegistry, encodeRegistry({ action: "suspend", device: "k7", previous: log.heads.get("k7")!.registry }), { device: "k7", seq: 5 })),
    "operator-says-something-else": said("A second policy.", "order", "statement 6 of the operator", ({ log }) => log.sayAsOperator("policy", contentPolicy, Uint8Array.of(0xa0), { device: "k7" })),
    "policy-of-another-log-key": refused("The policy names another key than signed the checkpoint.", "policy", "statement 1 of the operator", otherPolicy()),
    "root-changed": sealed("The manifest of block 2 signs another root.", "root", "block 2", { manifest: (m) => ({ ...m, root: flipHash(m.root) }) }),
    "arrivals-root-changed": sealed("", "arrival", "block 2", { manifest: (m) => ({ ...m, arrivalsRoot: flipHash(m.arrivalsRoot) }) }),
    "arrival-behind-its-block": sealed("The block ended before its last statement arrived.", "arrival", "statement 5 of device k7", { toMs: 1_748_764_814_000 }),
    "manifest-of-another-height": sealed("Block 2 says that it is 7.", "manifest", "the manifest of block 2", { manifest: (m) => ({ ...m, height: 7 }) }),
    "manifest-of-another-leaf": sealed("Its size is one less.", "manifest", "the manifest of block 2", { manifest: (m) => ({ ...m, size: m.size - 1 }) }),
    "manifest-with-another-first-leaf": sealed("Between blocks 1 and 2 a leaf is in none.", "manifest", "the manifest of block 2", { manifest: (m) => ({ ...m, firstLeaf: m.firstLeaf + 1 }) }),
    "manifest-with-a-gap-in-time": sealed("", "manifest", "the manifest of block 2", { manifest: (m) => ({ ...m, fromMs: m.fromMs + 1 }) }),
    "manifest-signed-at-another-time": sealed("Its iat is not its end.", "manifest", "the manifest of block 2", { iat: 1_748_764_800 }),
    "manifest-unread": sealed("", "manifest", "statement 6 of the operator", { payload: () => Uint8Array.of(0xa0) }),
    "manifest-not-of-the-log": refused("Block 2 was sealed twice, and the log knows the other manifest.", "blocks", "the manifest of block 5", sealedTwice()),
    "heads-of-others": refused("Block 3 leaves the device at an older statement.", "heads", "block 3", headBehind()),
  }
}

/** The device's statements from one seq to another are others, under its own key; `isSealed`: the heads maps say so too. */
async function forge(from: number, to: number, isSealed: boolean): Promise<Uint8Array> {
  // The same history, but for the readings from `from` on.
  const other = openScene()
  const say = other.log.say.bind(other.log)
  other.log.say = (device, claims) =>
    say(device, device.id === "k7" && device.seq + 1 >= from ? { ...claims, readings: 4 } : claims)
  for (let height = 0; height < 5; height++) {
    sayBlock(other, height)
    other.log.seal()
  }
  const forged = readItems(await other.log.evidence("k7", 2, 3)).filter((item) => item.kind === "device")
  const heads = (): SealedHead[] => [...other.log.headsAt(3)]
  const scene = isSealed
    ? playScene({
        3: (s) => (sayBlock(s, 3), s.log.seal({ heads })),
        4: (s) => (sayBlock(s, 4), s.log.seal({ heads: () => [...other.log.headsAt(4)] })),
      })
    : playScene()
  return edited(scene.log.evidence("k7", 2, 3), (items) => {
    for (let seq = from; seq <= to; seq++) items[findItem(items, "device", seq - 3)] = forged[seq - 3]!
  })
}

function speakThenEnrol({ log }: Scene): void {
  const k8 = { id: "k8", key: edKey, seq: 0, entry: zeroHash }
  log.say(k8)
  log.heads.delete("k8")
  log.enrol("k8", edKey)
  log.heads.set("k8", { ...log.heads.get("k8")!, seq: 1, entry: k8.entry })
}

async function spokenBeforeEnrolment(): Promise<Uint8Array> {
  return playScene({ 2: speakThenEnrol }).log.evidence("k8", 2, 3)
}

async function highS(): Promise<Uint8Array> {
  const log = newLog()
  const k7 = log.enrol("k7", ecKey)
  const n1 = log.enrol("n1")
  sayChanged({ log, k7, n1 }, (bytes) => resigned(bytes, negateS))
  log.seal()
  return log.evidence("k7", 0, 0)
}

async function rotatedBefore(): Promise<Uint8Array> {
  const scene = playScene({
    1: ({ log, k7 }) => {
      log.say(k7)
      rotateAt(log, 3)
      k7.key = edKeyNext
    },
  })
  return without(scene, (leaf) => leaf === registryLeafOf(scene, "k7", 1))
}

function strangerAsOperator(
  log: SimulatedLog,
  edit: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
  key = strangerKey,
): void {
  const payload = encodeRegistry({ action: "suspend", device: "k7", previous: log.heads.get("k7")!.registry })
  const { bytes } = signStatement(
    { content: contentRegistry, iss: vectorOrigin, sub: "k7", iat: 1_748_764_900, seq: 6, prev: nodeOf("none"), payload },
    key,
    vectorOrigin,
  )
  log.append({ signer: "operator", bytes: edit(bytes), receivedAtMs: (log.nowMs += 1_000), device: "k7" })
}

async function otherPolicy(): Promise<Uint8Array> {
  const logVkey = formatVkey({ name: vectorOrigin, publicKey: strangerKey.publicKey })
  const log = new SimulatedLog({ origin: vectorOrigin, policy: (policy) => ({ ...policy, logVkey }) })
  log.enrol("k7", edKey)
  log.seal()
  return log.evidence("k7", 0, 0)
}

/** In place of block 3 the operator signs a second block 2, without statement 5, and shows that. */
async function sealedTwice(): Promise<Uint8Array> {
  const scene = playScene({ 3: ({ log }) => void log.seal({ manifest: (m) => secondManifest(log, m) }) })
  const { log } = scene
  log.seal()
  const honest = log.source()
  const second = { ...log.manifests[3]!, height: 2, firstLeaf: log.manifests[2]!.firstLeaf }
  const source: EvidenceSource = {
    ...honest,
    readManifest: async (height) => (height === 2 ? second : honest.readManifest(height)),
  }
  return writeEvidence(log, source, "k7", 2, 2)
}

function secondManifest(log: SimulatedLog, manifest: Manifest): Manifest {
  const [first, before] = [2, 1].map((height) => decodeManifestOf(log.manifests[height]!.statement))
  const leaves = log.leaves.slice(first!.firstLeaf)
  return {
    ...manifest,
    height: 2,
    fromMs: before!.toMs,
    firstLeaf: first!.firstLeaf,
    headsRoot: headsRootOf(log.heads.values(), log.headsSecret, 2),
    arrivalsRoot: rootOf(leaves.map(({ entry, receivedAtMs }) => encodeArrival(entry, receivedAtMs))),
  }
}

function decodeManifestOf(bytes: Uint8Array): Manifest {
  const decoded = decodeStatement(bytes, vectorOrigin)
  if (decoded.kind !== "statement") throw new Error("no statement")
  return decodeManifest(decoded.statement.payload)
}

function putBack(heads: SealedHead[]): SealedHead[] {
  return heads.map((head) => (head.device === "k7" ? { ...head, seq: 5, entry: nodeOf("old") } : head))
}

/** The heads map of block 3 has the device's head of block 2. */
async function headBehind(): Promise<Uint8Array> {
  return playScene({ 3: (s) => (sayBlock(s, 3), s.log.seal({ heads: putBack })) }).log.evidence("k7", 2, 3)
}

/** In block 2, where statement 5 of k7 would come next. */
function said(description: string, code: EvidenceCode, names: string, act: (scene: Scene) => void): InvalidCase {
  return refused(description, code, names, saying(act))
}

/** The manifest of block 2. */
function sealed(description: string, code: EvidenceCode, names: string, lies: SealLies): InvalidCase {
  const play = (scene: Scene): void => {
    sayBlock(scene, 2)
    scene.log.seal(lies)
  }
  return refused(description, code, names, playScene({ 2: play }).log.evidence("k7", 2, 3))
}

/** Registry statements of the operator, each behind others: what a replay must say to it. One fault each. */
import { formatHex } from "../../chain/bytes.ts"
import { type Hash, sha256, zeroHash } from "../../chain/hash.ts"
import { type PrivateKey, encodeCoseKey } from "../../chain/key.ts"
import { type Registry, encodeRegistry, proveKey } from "../../chain/registry.ts"
import { contentRegistry, entryOf, signStatement } from "../../chain/statement.ts"
import { spokenAt } from "./draft.ts"
import { ecKey, edKey, edKeyNext, operatorKey, strangerKey, vectorOrigin } from "./keys.ts"

export interface RegistryVector {
  readonly description: string
  readonly rule: string
  readonly origin: string
  /** COSE_Key that signs. */
  readonly operator: string
  /** The operator's chain, in order; each with the head of its device at that moment. */
  readonly before: readonly OperatorStatementInFile[]
  readonly statement: OperatorStatementInFile
  readonly verdict: "applied" | "refused"
}

export interface OperatorStatementInFile {
  readonly statement: string
  readonly headSeq: number
  /** Where the device's head is a request for its next key: its entry and its payload. */
  readonly request?: { readonly entry: string; readonly payload: string }
}

type Said = Omit<Registry, "device" | "previous"> & Partial<Pick<Registry, "device" | "previous">>

/** One thing that the operator says, and where the device's head is then. */
type Step = readonly [said: Said, headSeq?: number, request?: Registry]

const device = "k7"
const maker = sha256(new Uint8Array([1]))
const other = sha256(new Uint8Array([2]))
const enrol: Said = { action: "enrol", key: edKey.publicKey, firstSeq: 1 }
const trust: Said = { action: "trust-ca", device: "maker", caDigest: maker }
const distrust: Said = { action: "distrust-ca", device: "maker", caDigest: maker }
const proof = (signer: PrivateKey, key: PrivateKey, firstSeq: number, origin = vectorOrigin): Uint8Array =>
  proveKey(signer, origin, device, firstSeq, key.publicKey)
const rotate = (key: PrivateKey, firstSeq: number, more: Partial<Said> = {}): Said => ({
  action: "rotate",
  key: key.publicKey,
  firstSeq,
  ...more,
})
const asked: Registry = {
  action: "rotate",
  device,
  key: ecKey.publicKey,
  firstSeq: 6,
  proofOfNew: proof(ecKey, ecKey, 6),
}
const requestEntry = sha256(encodeRegistry(asked))
const granted = rotate(ecKey, 6, { proofOfNew: asked.proofOfNew!, request: requestEntry })
const revokeTo = (lastGoodSeq: number): Said => ({ action: "revoke", lastGoodSeq })

type Case = readonly [name: string, description: string, before: readonly Step[], step: Step]

const valid: readonly Case[] = [
  ["enrol", "A first enrolment, without proof of possession.", [], [enrol]],
  ["enrol-proven", "With proof of possession.", [], [{ ...enrol, proofOfNew: proof(edKey, edKey, 1) }]],
  ["enrol-with-attributes", "With make and model.", [], [{ ...enrol, attributes: new Map([["make", "Example"], ["model", "W1"]]) }]],
  ["enrol-by-a-ca", "By a CA that is trusted.", [[trust]], [{ ...enrol, caDigest: maker }]],
  ["rotate-by-the-operator", "Without proofs: a re-enrolment.", [[enrol]], [rotate(ecKey, 6), 5]],
  ["rotate-proven", "Proven by both keys.", [[enrol]], [rotate(ecKey, 6, { proofOfNew: proof(ecKey, ecKey, 6), proofOfOld: proof(edKey, ecKey, 6) }), 5]],
  ["rotate-on-request", "The device asked for it at its head.", [[enrol]], [granted, 5, asked]],
  ["rotate-ahead", "The next key begins far above the head; the old one stands until then.", [[enrol]], [rotate(ecKey, 20), 5]],
  ["rotate-after-a-revocation-of-keys", "No key stands behind the head: the next begins there.", [[enrol], [revokeTo(3), 5]], [rotate(ecKey, 6), 5]],
  ["rotate-below-a-key-that-was-cut-off", "A key announced for seq 20 was cut off before it began: it is in no key's way.", [[enrol], [rotate(ecKey, 20), 10], [revokeTo(10), 10]], [rotate(edKeyNext, 11), 10]],
  ["revoke", "The whole device.", [[enrol]], [{ action: "revoke", reason: "lost" }, 5]],
  ["revoke-to-the-head", "Good up to the head.", [[enrol]], [revokeTo(5), 5]],
  ["revoke-from-the-beginning", "Good up to 0.", [[enrol]], [revokeTo(0), 5]],
  ["suspend", "", [[enrol]], [{ action: "suspend" }, 5]],
  ["resume", "", [[enrol], [{ action: "suspend" }]], [{ action: "resume" }, 5]],
  ["trust-ca", "", [], [trust]],
  ["distrust-ca", "", [[trust]], [distrust]],
  ["trust-ca-again", "After it was distrusted, and with another certificate.", [[trust], [distrust]], [{ ...trust, caDigest: other }]],
  ["trust-ca-named-as-a-device", "A CA and a device may have one name: each has its own chain of member 3.", [[enrol]], [{ ...trust, device }]],
]

const invalid: readonly Case[] = [
  ["enrol-twice", "The device is enrolled.", [[enrol]], [enrol]],
  ["enrol-at-seq-2", "", [], [{ ...enrol, firstSeq: 2 }]],
  ["enrol-without-a-key", "", [], [{ action: "enrol", firstSeq: 1 }]],
  ["enrol-with-a-last-good-seq", "Member 6 does not belong here.", [], [{ ...enrol, lastGoodSeq: 0 }]],
  ["enrol-with-a-reason", "Member 9 does not belong here.", [], [{ ...enrol, reason: "new" }]],
  ["enrol-with-another-previous", "Member 3 is not zeros.", [], [{ ...enrol, previous: other }]],
  ["enrol-with-another-keys-proof", "", [], [{ ...enrol, proofOfNew: proof(strangerKey, edKey, 1) }]],
  ["enrol-with-a-proof-for-another-log", "", [], [{ ...enrol, proofOfNew: proof(edKey, edKey, 1, "other.example/log") }]],
  ["enrol-by-an-unknown-ca", "", [[trust]], [{ ...enrol, caDigest: other }]],
  ["enrol-by-a-distrusted-ca", "", [[trust], [distrust]], [{ ...enrol, caDigest: maker }]],
  ["rotate-nobody", "The device is not enrolled.", [], [rotate(ecKey, 6), 0]],
  ["rotate-at-the-head", "", [[enrol]], [rotate(ecKey, 5), 5]],
  ["rotate-at-an-earlier-first-seq", "", [[enrol], [rotate(ecKey, 8), 5]], [rotate(edKeyNext, 8), 5]],
  ["rotate-to-the-same-key", "", [[enrol]], [rotate(edKey, 6), 5]],
  ["rotate-leaving-seqs-without-a-key", "After a revocation no key stands at seq 6.", [[enrol], [revokeTo(3), 5]], [rotate(ecKey, 7), 5]],
  ["rotate-with-another-keys-proof", "", [[enrol]], [rotate(ecKey, 6, { proofOfNew: proof(edKey, ecKey, 6) }), 5]],
  ["rotate-with-a-strangers-old-proof", "", [[enrol]], [rotate(ecKey, 6, { proofOfOld: proof(strangerKey, ecKey, 6) }), 5]],
  ["rotate-by-a-revoked-key", "The old key's proof is worth nothing once it was cut off.", [[enrol], [revokeTo(3), 5]], [rotate(ecKey, 6, { proofOfOld: proof(edKey, ecKey, 6) }), 5]],
  ["rotate-with-attributes", "Member 12 does not belong here.", [[enrol]], [rotate(ecKey, 6, { attributes: new Map() }), 5]],
  ["rotate-by-a-ca", "Member 11 does not belong here.", [[trust], [enrol]], [rotate(ecKey, 6, { caDigest: maker }), 5]],
  ["rotate-on-a-request-nobody-made", "The device's head is no request.", [[enrol]], [granted, 5]],
  ["rotate-on-another-request", "Member 10 is not the head.", [[enrol]], [{ ...granted, request: other }, 5, asked]],
  ["rotate-to-another-key-than-requested", "", [[enrol]], [{ ...granted, key: edKeyNext.publicKey, proofOfNew: proof(edKeyNext, edKeyNext, 6) }, 5, asked]],
  ["rotate-on-request-beside-an-old-proof", "10 stands in place of 8.", [[enrol]], [{ ...granted, proofOfOld: proof(edKey, ecKey, 6) }, 5, asked]],
  ["rotate-a-revoked-device", "", [[enrol], [{ action: "revoke" }]], [rotate(ecKey, 6), 5]],
  ["revoke-twice", "", [[enrol], [{ action: "revoke" }]], [{ action: "revoke" }, 5]],
  ["revoke-above-the-head", "", [[enrol]], [revokeTo(6), 5]],
  ["revoke-with-a-key", "Member 4 does not belong here.", [[enrol]], [{ action: "revoke", key: ecKey.publicKey }, 5]],
  ["suspend-twice", "", [[enrol], [{ action: "suspend" }]], [{ action: "suspend" }, 5]],
  ["suspend-with-a-first-seq", "Member 5 does not belong here.", [[enrol]], [{ action: "suspend", firstSeq: 6 }, 5]],
  ["resume-an-active-device", "", [[enrol]], [{ action: "resume" }, 5]],
  ["trust-ca-twice", "", [[trust]], [{ ...trust, caDigest: other }]],
  ["trust-ca-under-two-names", "One certificate, two names.", [[trust]], [{ ...trust, device: "maker2" }]],
  ["trust-ca-without-a-certificate", "Member 11 is missing.", [], [{ action: "trust-ca", device: "maker" }]],
  ["trust-ca-with-a-key", "Member 4 does not belong here.", [], [{ ...trust, key: edKey.publicKey }]],
  ["trust-ca-with-another-previous", "Member 3 is not the CA's last registry statement.", [[trust], [distrust]], [{ ...trust, previous: zeroHash }]],
  ["distrust-ca-unknown", "", [], [distrust]],
  ["distrust-ca-by-another-certificate", "", [[trust]], [{ ...distrust, caDigest: other }]],
]

export function registryVectors(): Map<string, RegistryVector> {
  const files = new Map<string, RegistryVector>()
  for (const [folder, verdict, cases] of [
    ["valid", "applied", valid],
    ["invalid", "refused", invalid],
  ] as const) {
    for (const [name, description, before, step] of cases)
      files.set(`registry/${folder}/${name}.json`, makeVector(description, before, step, verdict))
  }
  return files
}

function makeVector(
  description: string,
  before: readonly Step[],
  step: Step,
  verdict: RegistryVector["verdict"],
): RegistryVector {
  let seq = 1
  let prev: Hash = sha256(new Uint8Array(0))
  const last = new Map<string, Hash>()
  const write = ([said, headSeq = 0, request]: Step): OperatorStatementInFile => {
    const about = said.device ?? device
    const chain = `${said.action.endsWith("-ca")} ${about}`
    const registry: Registry = { device: about, previous: last.get(chain) ?? zeroHash, ...said }
    seq += 1
    const payload = encodeRegistry(registry)
    const claims = { content: contentRegistry, iss: vectorOrigin, sub: about, iat: spokenAt, seq, prev, payload }
    const { bytes } = signStatement(claims, operatorKey, vectorOrigin)
    prev = entryOf(bytes)
    last.set(chain, prev)
    const asks =
      request === undefined
        ? {}
        : { request: { entry: formatHex(requestEntry), payload: formatHex(encodeRegistry(request)) } }
    return { statement: formatHex(bytes), headSeq, ...asks }
  }
  return {
    description: description === "" ? "As its name says." : description,
    rule: "§7",
    origin: vectorOrigin,
    operator: formatHex(encodeCoseKey(operatorKey.publicKey)),
    before: before.map(write),
    statement: write(step),
    verdict,
  }
}

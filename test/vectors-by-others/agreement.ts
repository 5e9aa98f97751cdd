/** The law of FORMAT §2 by all verifiers, which must never differ. */
import { expect } from "vitest"
import { type PublicKey, algorithmEd25519 } from "../../chain/key.ts"
import {
  type SignatureVerdict,
  type VerifyEquation,
  checkSignature,
  checkSignatureForm,
} from "../../chain/signature.ts"
import { verifyEd25519BySodium, verifyEd25519ByNode, verifyP256 } from "../../ingest/equation.js"
import { verifyNative, verifyNativeAsync } from "../../ingest/native.ts"
import { openVerifier } from "../../ingest/verifier.ts"

const verifier = openVerifier({ threads: 1 })

const byNode: VerifyEquation = ({ algorithm, bytes }, message, signature) =>
  (algorithm === algorithmEd25519 ? verifyEd25519ByNode : verifyP256)(bytes, message, signature)

/** Ed25519 only, and what is native stands in where there is no build of it; `verifier.test.ts` says where there is. */
const bySodium: VerifyEquation = (key, message, signature) =>
  key.algorithm === algorithmEd25519 && verifyEd25519BySodium !== null
    ? verifyEd25519BySodium(key.bytes, message, signature)
    : verifyNative(key, message, signature)

/**
 * The one verdict of noble, of libsodium and of node:crypto: on this thread, on libuv's pool and on a verifier's own
 * thread.
 */
export async function judgeByAll(
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
  name: string,
): Promise<SignatureVerdict> {
  const byNoble = checkSignature(key, key.algorithm, message, signature)
  const form = checkSignatureForm(key, key.algorithm, signature)
  const isAsked = form !== "bad"
  const isValidByPool = isAsked && (await verifyNativeAsync(key, message, signature))
  // Three of them: fewer would be checked on this thread.
  const [isValidByThread] = isAsked
    ? await verifier.verify(Array.from({ length: 3 }, () => ({ key, message, signature })))
    : [false]
  expect({
    name,
    sodium: checkSignature(key, key.algorithm, message, signature, bySodium),
    node: checkSignature(key, key.algorithm, message, signature, byNode),
    pool: isValidByPool ? form : "bad",
    thread: isValidByThread === true ? form : "bad",
  }).toEqual({ name, sodium: byNoble, node: byNoble, pool: byNoble, thread: byNoble })
  return byNoble
}

/** The law of PROTOCOL §2 by both verifiers, which must never differ. */
import { expect } from "vitest"
import type { PublicKey } from "../../chain/key.ts"
import { type SignatureVerdict, checkSignature, checkSignatureForm } from "../../chain/signature.ts"
import { verifyNative, verifyNativeAsync } from "../../ingest/native.ts"

/** The one verdict of noble, of node:crypto, and of node:crypto on libuv's pool. */
export async function judgeByAll(
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
  name: string,
): Promise<SignatureVerdict> {
  const byNoble = checkSignature(key, key.algorithm, message, signature)
  const byNative = checkSignature(key, key.algorithm, message, signature, verifyNative)
  const form = checkSignatureForm(key, key.algorithm, signature)
  const isValid = form !== "bad" && (await verifyNativeAsync(key, message, signature))
  expect({ name, byNative, byPool: isValid ? form : "bad" }).toEqual({
    name,
    byNative: byNoble,
    byPool: byNoble,
  })
  return byNoble
}

/** A JWT by the device's own key (PROTOCOL §5; RFC 7519, RFC 8037, RFC 9864). */
import { type KeyObject, createPublicKey } from "node:crypto"
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from "jose"
import { type PublicKey, algorithmEd25519 } from "../chain/key.ts"
import { encodeSpki } from "../chain/keyfile.ts"

export type JwtRefusal =
  | "jwt-malformed"
  | "jwt-algorithm"
  | "jwt-subject"
  | "jwt-audience"
  | "jwt-lifetime"
  | "jwt-expired"
  | "jwt-future"
  | "jwt-key"

export interface JwtRules {
  readonly device: string
  readonly audience: string
  /** Any of which may have signed. */
  readonly keys: readonly PublicKey[]
  readonly nowSeconds: number
  readonly clockSkewSeconds: number
}

/** `exp - iat`, at most. */
export const jwtLifetimeSecondsMax = 3_600
const jwtSizeMax = 4_096

/** What a key of this kind signs with; nothing else is ever tried with it, so that no algorithm can be confused. */
function algorithmsOf(key: PublicKey): string[] {
  return key.algorithm === algorithmEd25519 ? ["EdDSA", "Ed25519"] : ["ES256"]
}

/** Null where the JWT is good; else why not. */
export async function judgeJwt(text: string, rules: JwtRules): Promise<JwtRefusal | null> {
  if (text.length > jwtSizeMax) return "jwt-malformed"
  let algorithm: string | undefined
  let claims: ReturnType<typeof decodeJwt>
  try {
    algorithm = decodeProtectedHeader(text).alg
    claims = decodeJwt(text)
  } catch {
    return "jwt-malformed"
  }
  if (algorithm !== "EdDSA" && algorithm !== "Ed25519" && algorithm !== "ES256") return "jwt-algorithm"
  const refusal = judgeClaims(claims, rules)
  if (refusal !== null) return refusal
  const keys = rules.keys.filter((key) => algorithmsOf(key).includes(algorithm))
  for (const key of keys) {
    try {
      await jwtVerify(text, keyObjectOf(key), {
        algorithms: algorithmsOf(key),
        issuer: rules.device,
        subject: rules.device,
        audience: rules.audience,
        clockTolerance: rules.clockSkewSeconds,
        currentDate: new Date(rules.nowSeconds * 1000),
      })
      return null
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) continue
      // An unknown critical header, or a claim that two readers understand differently.
      if (error instanceof errors.JOSEError) return "jwt-malformed"
      throw error
    }
  }
  return "jwt-key"
}

/** Before the signature: it costs less, and the reason is one that a device's maker can mend. */
function judgeClaims(
  { iss, sub, aud, iat, exp, nbf }: ReturnType<typeof decodeJwt>,
  { device, audience, nowSeconds, clockSkewSeconds }: JwtRules,
): JwtRefusal | null {
  if (iss !== device || sub !== device) return "jwt-subject"
  // A list of audiences would be good at other services too.
  if (aud !== audience) return "jwt-audience"
  if (!isTime(iat) || !isTime(exp) || (nbf !== undefined && !isTime(nbf))) return "jwt-malformed"
  if (exp <= iat || exp - iat > jwtLifetimeSecondsMax) return "jwt-lifetime"
  if (exp <= nowSeconds - clockSkewSeconds) return "jwt-expired"
  if (Math.max(iat, nbf ?? 0) > nowSeconds + clockSkewSeconds) return "jwt-future"
  return null
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0
}

function keyObjectOf(key: PublicKey): KeyObject {
  return createPublicKey({ key: Buffer.from(encodeSpki(key)), format: "der", type: "spki" })
}

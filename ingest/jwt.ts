/** A JWT by the device's own key (FORMAT §5; RFC 7519, RFC 8037, RFC 9864). */
import { type KeyObject, createPublicKey } from "node:crypto"
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from "jose"
import { type PublicKey, algorithmEd25519 } from "../chain/key.ts"
import { encodeSpki } from "../chain/keyfile.ts"
import { showText } from "../chain/shown-text.ts"
import type { KeyStanding } from "./login-record.ts"

export type JwtRefusal =
  | "jwt-malformed"
  | "jwt-algorithm"
  | "jwt-subject"
  | "jwt-audience"
  | "jwt-lifetime"
  | "jwt-expired"
  | "jwt-future"
  | "jwt-key"
  | "jwt-key-revoked"
  | "jwt-key-rotated"

export interface JudgedKey {
  readonly key: PublicKey
  readonly standing: KeyStanding
}

/** A refusal, and for the device's maker which claim or field broke which rule. */
export interface JwtFinding {
  readonly reason: JwtRefusal
  readonly detail: string
}

export interface JwtRules {
  readonly device: string
  readonly audience: string
  /** Those of the device, and what became of each: the ones that stand, and the last few of the others. */
  readonly keys: readonly JudgedKey[]
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

const keyFindings = {
  revoked: {
    reason: "jwt-key-revoked",
    detail: "a revocation ended the key that signed it: log in with the device's new key",
  },
  rotated: {
    reason: "jwt-key-rotated",
    detail: "a rotation ended the key that signed it: log in with the key that follows",
  },
} as const

/** Null where the JWT is good; else why not. */
export async function judgeJwt(text: string, rules: JwtRules): Promise<JwtFinding | null> {
  if (text.length > jwtSizeMax)
    return refuse("jwt-malformed", `it has ${text.length} characters, and may have ${jwtSizeMax}`)
  let algorithm: string | undefined
  let claims: ReturnType<typeof decodeJwt>
  try {
    algorithm = decodeProtectedHeader(text).alg
    claims = decodeJwt(text)
  } catch {
    return refuse("jwt-malformed", "it is not three parts in base64url with JSON in the first two (RFC 7519)")
  }
  if (algorithm !== "EdDSA" && algorithm !== "Ed25519" && algorithm !== "ES256")
    return refuse(
      "jwt-algorithm",
      `alg is ${show(algorithm)}, and must be EdDSA or Ed25519 for an Ed25519 key, or ES256 for one on P-256`,
    )
  const finding = judgeClaims(claims, rules)
  if (finding !== null) return finding
  const keys = rules.keys.filter(({ key }) => algorithmsOf(key).includes(algorithm))
  for (const { key, standing } of keys) {
    try {
      await jwtVerify(text, keyObjectOf(key), {
        algorithms: algorithmsOf(key),
        issuer: rules.device,
        subject: rules.device,
        audience: rules.audience,
        clockTolerance: rules.clockSkewSeconds,
        currentDate: new Date(rules.nowSeconds * 1000),
      })
      return standing === "stands" ? null : keyFindings[standing]
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) continue
      // An unknown critical header, or a claim that two readers understand differently.
      if (error instanceof errors.JOSEError)
        return refuse("jwt-malformed", `the header or a claim is not one that is understood (${error.code})`)
      throw error
    }
  }
  return refuse(
    "jwt-key",
    keys.length === 0
      ? `alg is ${algorithm}, and no key of the device is of that kind`
      : "the signature is by no key of the device: sign with the key that was enrolled",
  )
}

/** Before the signature: it costs less, and the reason is one that a device's maker can mend. */
function judgeClaims(
  { iss, sub, aud, iat, exp, nbf }: ReturnType<typeof decodeJwt>,
  { device, audience, nowSeconds, clockSkewSeconds }: JwtRules,
): JwtFinding | null {
  for (const [name, value] of [
    ["iss", iss],
    ["sub", sub],
  ] as const) {
    if (value !== device)
      return refuse("jwt-subject", `${name} is ${show(value)}, and must be the device id ${device}`)
  }
  // A list of audiences would be good at other services too.
  if (aud !== audience)
    return refuse(
      "jwt-audience",
      `aud is ${show(aud)}, and must be the log's origin ${showText(audience)}, as one text`,
    )
  if (!isTime(iat)) return refuse("jwt-malformed", noTime("iat"))
  if (!isTime(exp)) return refuse("jwt-malformed", noTime("exp"))
  if (nbf !== undefined && !isTime(nbf)) return refuse("jwt-malformed", noTime("nbf"))
  if (exp <= iat || exp - iat > jwtLifetimeSecondsMax)
    return refuse(
      "jwt-lifetime",
      `exp is ${exp - iat} s after iat, and must be 1 to ${jwtLifetimeSecondsMax} s after it`,
    )
  if (exp <= nowSeconds - clockSkewSeconds)
    return refuse("jwt-expired", `exp was ${nowSeconds - exp} s ago: sign a new one for each connection`)
  const [name, from] = nbf !== undefined && nbf > iat ? ["nbf", nbf] : ["iat", iat]
  if (from > nowSeconds + clockSkewSeconds)
    return refuse(
      "jwt-future",
      `${name} is ${from - nowSeconds} s ahead of the service's clock, and at most ${clockSkewSeconds} s are allowed: mend the device's clock`,
    )
  return null
}

const noTime = (name: string): string => `${name} is missing, or no time in Unix seconds`

function refuse(reason: JwtRefusal, detail: string): JwtFinding {
  return { reason, detail }
}

/** A claim that is no secret, as it was sent. */
function show(value: unknown): string {
  if (value === undefined) return "missing"
  return typeof value === "string" ? showText(value) : "not a text"
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0
}

function keyObjectOf(key: PublicKey): KeyObject {
  return createPublicKey({ key: Buffer.from(encodeSpki(key)), format: "der", type: "spki" })
}

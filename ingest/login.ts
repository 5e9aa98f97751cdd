/**
 * Logins of devices (PROTOCOL §5): a JWT by the device's key, a static token, or a client certificate. Nothing of what a
 * device shows comes back out of here but a reason: no token, key or JWT in a line, an error or a counter.
 */
import { equalKeys } from "../chain/key.ts"
import type { PublicKey } from "../chain/key.ts"
import type { TrustedAuthority } from "./registry.ts"
import { type CertificateJudgement, judgeChain, readCertificateKey } from "./certificate.ts"
import { type JwtRefusal, judgeJwt } from "./jwt.ts"
import { type LoginRecord, type LoginRecords, mayStandFor } from "./login-record.ts"
import { findToken, tokenPattern } from "./token.ts"

/** The same names as the broker's `LoginRefusal`: `cli/` hands one to the other. */
export type LoginRefusal =
  | "login-missing"
  | "login-username"
  | "login-unknown-device"
  | "login-password"
  | JwtRefusal
  | "token-unknown"
  | "token-expired"
  | "certificate-malformed"
  | "certificate-untrusted"
  | "certificate-expired"
  | "certificate-name"
  | "certificate-key"

/** What a device shows: the broker's `Credentials`. */
export interface LoginCredentials {
  readonly device: string
  readonly username: string | null
  readonly password: Uint8Array | null
  readonly certificates: readonly Uint8Array[]
  readonly gone: AbortSignal
}

export type LoginAnswer =
  { readonly kind: "accepted" } | { readonly kind: "refused"; readonly reason: LoginRefusal }

export interface LoginOptions {
  readonly records: LoginRecords
  /** `aud` of a JWT: the log's origin. */
  readonly origin: string
  /** Unix ms. */
  readonly clock: () => number
  /** How far a device's clock may be off. */
  readonly clockSkewSeconds: number
  /** CAs whose devices are enrolled at their first connect; asked when a certificate needs one. */
  readonly readAuthorities: () => Promise<readonly TrustedAuthority[]>
  /** Enrols a device by such a CA; false where the registry's rules forbid it. */
  readonly enrolByCertificate: (
    device: string,
    key: PublicKey,
    authority: TrustedAuthority,
  ) => Promise<boolean>
}

const accepted = { kind: "accepted" } as const
const refused = (reason: LoginRefusal): LoginAnswer => ({ kind: "refused", reason })

/**
 * Makes the function that judges logins. It waits while the database is away, and rejects once nobody waits for the
 * answer any more.
 *
 * Suspended and revoked devices may log in: their statements and questions are answered by 40 and 14.
 */
export function makeLogin(options: LoginOptions): (credentials: LoginCredentials) => Promise<LoginAnswer> {
  const { records, origin, clockSkewSeconds } = options
  const nowSeconds = (): number => Math.floor(options.clock() / 1000)

  return async ({ device, username, password, certificates, gone }) => {
    if (username !== null && username !== device) return refused("login-username")
    if (password === null) {
      return certificates.length === 0
        ? refused("login-missing")
        : judgeCertificates(device, certificates, gone)
    }
    if (username === null) return refused("login-missing")
    const text = Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString("latin1")
    // By its form before anything is asked: what is neither costs no query.
    const isToken = tokenPattern.test(text)
    if (!isToken && !text.startsWith("eyJ")) return refused("login-password")
    const record = await records.read(device, gone)
    if (record === null) return refused("login-unknown-device")
    return isToken ? judgeToken(record, text) : judgeJwtOf(record, text)
  }

  async function judgeJwtOf(record: LoginRecord, text: string): Promise<LoginAnswer> {
    const refusal = await judgeJwt(text, {
      device: record.device,
      audience: origin,
      keys: record.keys.filter((key) => mayStandFor(key, record.headSeq)).map(({ key }) => key),
      nowSeconds: nowSeconds(),
      clockSkewSeconds,
    })
    return refusal === null ? accepted : refused(refusal)
  }

  function judgeToken(record: LoginRecord, text: string): LoginAnswer {
    const token = findToken(record.tokens, text)
    if (token === null) return refused("token-unknown")
    return token.expiresAt !== null && token.expiresAt <= nowSeconds() ? refused("token-expired") : accepted
  }

  async function judgeCertificates(
    device: string,
    certificates: readonly Uint8Array[],
    gone: AbortSignal,
  ): Promise<LoginAnswer> {
    const own = readCertificateKey(certificates[0]!, nowSeconds())
    if (own.kind === "refused") return refused(own.reason)
    const record = await records.read(device, gone)
    if (record !== null) return isEnrolled(record, own.key) ? accepted : refused("certificate-key")
    // Not enrolled: a CA that is trusted may have made it ours.
    const authorities = await options.readAuthorities()
    const judged: CertificateJudgement = judgeChain(certificates, device, authorities, nowSeconds())
    if (judged.kind === "refused") return refused(judged.reason)
    if (await options.enrolByCertificate(device, judged.key, judged.authority)) return accepted
    // Another connection of the device may have been first.
    const now = await records.read(device, gone)
    return now !== null && isEnrolled(now, judged.key) ? accepted : refused("certificate-key")
  }
}

function isEnrolled(record: LoginRecord, key: PublicKey): boolean {
  return record.keys.some((other) => mayStandFor(other, record.headSeq) && equalKeys(other.key, key))
}

/**
 * Logins of devices (FORMAT §5): a JWT by the device's key, a static token, or a client certificate. Nothing of what a
 * device shows comes back out of here but a reason: no token, key or JWT in a line, an error or a counter.
 */
import { equalKeys } from "../chain/key.ts"
import type { PublicKey } from "../chain/key.ts"
import type { TrustedAuthority } from "./registry.ts"
import { type CertificateJudgement, judgeChain, readCertificateKey } from "./certificate.ts"
import { type JudgedKey, type JwtRefusal, judgeJwt } from "./jwt.ts"
import { type LoginRecord, type LoginRecords, standingOf } from "./login-record.ts"
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
  | "token-forged"
  | "certificate-malformed"
  | "certificate-untrusted"
  | "certificate-expired"
  | "certificate-name"
  | "certificate-key"
  | "certificate-key-revoked"
  | "certificate-key-rotated"
  | "device-revoked"

/** What a device shows: the broker's `Credentials`. */
export interface LoginCredentials {
  readonly device: string
  readonly username: string | null
  readonly password: Uint8Array | null
  readonly certificates: readonly Uint8Array[]
  readonly gone: AbortSignal
}

export interface LoginEnd {
  readonly afterMs: number
  readonly reason: LoginRefusal
}

export type LoginAnswer =
  | {
      readonly kind: "accepted"
      /** In how many ms the token or certificate expires, and the connection with it. */
      readonly ends?: LoginEnd
    }
  /** `detail` names what was shown, the rule that it breaks and what mends it; never a secret. */
  | { readonly kind: "refused"; readonly reason: LoginRefusal; readonly detail: string }

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
const refused = (reason: LoginRefusal, detail: string) => ({ kind: "refused", reason, detail }) as const

/** Ended keys that a login is compared with, the last ones: only to say what became of the key. */
const endedKeysMax = 4

const sayMissing = "give the device id as user name, and a JWT or a token as password, or show a certificate"

/**
 * Makes the function that judges logins. It waits while the database is away, and rejects once nobody waits for the
 * answer any more.
 *
 * A suspended device may log in: its statements and questions are answered by 40. A key that a revocation or a rotation
 * ended logs nobody in, and neither does anything of a device that was revoked: who has it may be a thief, and must not
 * be told a head or take a connection over.
 */
export function makeLogin(options: LoginOptions): (credentials: LoginCredentials) => Promise<LoginAnswer> {
  const { records, origin, clockSkewSeconds } = options
  const nowSeconds = (): number => Math.floor(options.clock() / 1000)

  return async ({ device, username, password, certificates, gone }) => {
    if (username !== null && username !== device)
      return refused("login-username", `the user name is not the client id ${device}, and must be`)
    if (password === null) {
      return certificates.length === 0
        ? refused("login-missing", `no password and no certificate were shown: ${sayMissing}`)
        : judgeCertificates(device, certificates, gone)
    }
    if (username === null)
      return refused("login-missing", `a password came without a user name: ${sayMissing}`)
    const text = Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString("latin1")
    // By its form before anything is asked: what is neither costs no query.
    const isToken = tokenPattern.test(text)
    if (!isToken && !text.startsWith("eyJ"))
      return refused(
        "login-password",
        "the password is neither a JWT (eyJ…) nor a token (tmt_ and 43 characters, of tidemark device token create)",
      )
    const record = await records.read(device, gone)
    if (record === null) return unknownDevice(device)
    const answer = isToken ? judgeToken(record, text) : await judgeJwtOf(record, text)
    return standingAnswer(record, answer)
  }

  async function judgeJwtOf(record: LoginRecord, text: string): Promise<LoginAnswer> {
    const finding = await judgeJwt(text, {
      device: record.device,
      audience: origin,
      keys: keysToTry(record),
      nowSeconds: nowSeconds(),
      clockSkewSeconds,
    })
    return finding === null ? accepted : refused(finding.reason, finding.detail)
  }

  function judgeToken(record: LoginRecord, text: string): LoginAnswer {
    const token = findToken(record.tokens, text)
    if (token === null)
      return refused(
        "token-unknown",
        `it is no token of device ${record.device}, or was revoked: tidemark device token list ${record.device}`,
      )
    if (!token.isGenuine)
      return refused(
        "token-forged",
        `the row of token ${token.id} was written or changed past tidemark device token create: run tidemark verify, and make a new one`,
      )
    const { expiresAt } = token
    if (expiresAt === null) return accepted
    if (expiresAt <= nowSeconds())
      return refused("token-expired", `token ${token.id} expired at ${formatTime(expiresAt)}: make a new one`)
    return {
      kind: "accepted",
      ends: { afterMs: expiresAt * 1000 - options.clock(), reason: "token-expired" },
    }
  }

  async function judgeCertificates(
    device: string,
    certificates: readonly Uint8Array[],
    gone: AbortSignal,
  ): Promise<LoginAnswer> {
    const own = readCertificateKey(certificates[0]!, nowSeconds())
    if (own.kind === "refused") return own
    // Valid to the end of its last second.
    const afterMs = (own.notAfterSeconds + 1) * 1000 - options.clock()
    const ends: LoginEnd = { afterMs, reason: "certificate-expired" }
    const record = await records.read(device, gone)
    if (record !== null) return standingAnswer(record, judgeKey(record, own.key, ends))
    // Not enrolled: a CA that is trusted may have made it ours.
    const authorities = await options.readAuthorities()
    const judged: CertificateJudgement = judgeChain(certificates, device, authorities, nowSeconds())
    if (judged.kind === "refused") return judged
    if (await options.enrolByCertificate(device, judged.key, judged.authority))
      return { kind: "accepted", ends }
    // Another connection of the device may have been first.
    const now = await records.read(device, gone)
    return now === null ? unknownDevice(device) : standingAnswer(now, judgeKey(now, judged.key, ends))
  }
}

function unknownDevice(device: string): LoginAnswer {
  return refused(
    "login-unknown-device",
    `device ${device} is not enrolled on this log: tidemark device enroll ${device} --key FILE`,
  )
}

/** A login that is good in itself, of a device as it stands. */
function standingAnswer({ device, status }: LoginRecord, answer: LoginAnswer): LoginAnswer {
  if (answer.kind === "refused" || status !== "revoked") return answer
  return refused(
    "device-revoked",
    `device ${device} was revoked for good: enrol what replaces it under another id`,
  )
}

/** The keys that stand, and behind them the last ones that do not. */
function keysToTry({ keys, headSeq }: LoginRecord): JudgedKey[] {
  const judged = keys.map((key) => ({ key: key.key, standing: standingOf(key, headSeq) }))
  const ended = judged.filter(({ standing }) => standing !== "stands")
  return [...judged.filter(({ standing }) => standing === "stands"), ...ended.slice(-endedKeysMax)]
}

function judgeKey(record: LoginRecord, key: PublicKey, ends: LoginEnd): LoginAnswer {
  const enrolled = record.keys.find((other) => equalKeys(other.key, key))
  if (enrolled === undefined)
    return refused(
      "certificate-key",
      `device ${record.device} is enrolled with other keys than the certificate's`,
    )
  const standing = standingOf(enrolled, record.headSeq)
  if (standing === "stands") return { kind: "accepted", ends }
  return standing === "revoked"
    ? refused(
        "certificate-key-revoked",
        "a revocation ended the certificate's key: show one of the device's new key",
      )
    : refused(
        "certificate-key-rotated",
        "a rotation ended the certificate's key: show one of the key that follows",
      )
}

function formatTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

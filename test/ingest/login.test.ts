import { SignJWT, generateSecret } from "jose"
import { type KeyObject, createPrivateKey, createPublicKey } from "node:crypto"
import { readFile } from "node:fs/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { sha256 } from "../../chain/hash.ts"
import {
  type Algorithm,
  type PrivateKey,
  algorithmEd25519,
  algorithmEsp256,
  makePrivateKey,
} from "../../chain/key.ts"
import { encodeUtf8, formatBase64url } from "../../chain/bytes.ts"
import { encodeSpki, formatJwk, parsePrivateKey } from "../../chain/keyfile.ts"
import { makeSigner } from "../../devices-sim/device-sign.ts"
import { makeJwt } from "../../devices-sim/jwt.ts"
import { makeLogin } from "../../ingest/login.ts"
import { makeLoginRecords } from "../../ingest/login-record.ts"
import {
  type RegistryChange,
  type TrustedAuthority,
  changeRegistry,
  enrolByCertificate,
} from "../../ingest/registry.ts"
import { createToken, listForgedTokens, listTokens, macOfToken, revokeToken } from "../../ingest/token.ts"
import {
  type CertificateOptions,
  type TestCertificate,
  makeCertificate,
  makeKey,
} from "../broker/certificate.ts"
import { type Stand, TestDevice, openStand, send, testOrigin } from "./stand.ts"

const now = 1_795_000_000
let stand: Stand
let devices: Readonly<Record<"ed" | "es" | "other", TestDevice>>
/** What the login is told of CAs. */
let authorities: TrustedAuthority[] = []

beforeAll(async () => {
  stand = await openStand()
  devices = {
    ed: await stand.enrol("ed", algorithmEd25519),
    es: await stand.enrol("es", algorithmEsp256),
    other: await stand.enrol("other", algorithmEd25519),
  }
})
afterAll(() => stand.close())

function judge(
  device: string,
  shown: {
    username?: string | null
    password?: string | null
    certificates?: readonly Uint8Array[]
    at?: number
  },
) {
  const login = makeLogin({
    records: makeLoginRecords(stand.pool, accessKeyOf(stand.keys)),
    origin: testOrigin,
    clock: () => (shown.at ?? now) * 1000,
    clockSkewSeconds: 60,
    readAuthorities: () => Promise.resolve(authorities),
    enrolByCertificate: async (id, key, { digest: caDigest }) =>
      (await enrolByCertificate(stand.pool, stand.keys, { device: id, key, caDigest })).kind === "enrolled",
  })
  const { username = device, password = null, certificates = [] } = shown
  return login({
    device,
    username,
    password: password === null ? null : Buffer.from(password),
    certificates,
    gone: new AbortController().signal,
  })
}

const accepted = expect.objectContaining({ kind: "accepted" }) as unknown
/** Each refusal says to the device's maker what is wrong. */
const refused = (reason: string) => ({
  kind: "refused",
  reason,
  detail: expect.stringMatching(/.{20}/) as unknown,
})

function keyObjectOf({ secret, publicKey }: PrivateKey): KeyObject {
  const jwk = { ...(JSON.parse(formatJwk(publicKey)) as object), d: formatBase64url(secret) }
  return createPrivateKey({ key: jwk, format: "jwk" })
}

interface Claims {
  readonly alg?: string
  readonly iss?: string
  readonly sub?: string
  readonly aud?: string | string[]
  readonly iat?: number
  readonly exp?: number
  readonly nbf?: number
  readonly crit?: string[]
}

/** By the device's own key and right in all but what `claims` say. */
function jwtOf({ id, key }: TestDevice, claims: Claims = {}): Promise<string> {
  const { alg = key.publicKey.algorithm === algorithmEd25519 ? "EdDSA" : "ES256", crit, ...rest } = claims
  return new SignJWT({ iss: id, sub: id, aud: testOrigin, iat: now, exp: now + 3_600, ...rest })
    .setProtectedHeader({ alg, ...(crit === undefined ? {} : { crit, [crit[0]!]: true }) })
    .sign(keyObjectOf(key), crit === undefined ? {} : { crit: { [crit[0]!]: true } })
}

const part = (value: object): string => formatBase64url(encodeUtf8(JSON.stringify(value)))

function unsigned(header: object, payload: object, signature = ""): string {
  return `${part(header)}.${part(payload)}.${signature}`
}
const goodClaims = (id: string) => ({ iss: id, sub: id, aud: testOrigin, iat: now, exp: now + 3_600 })

test("a JWT by the device's own key logs it in: EdDSA, Ed25519 and ES256, by jose and by the device kit", async () => {
  const { ed, es } = devices
  expect(await judge("ed", { password: await jwtOf(ed) })).toEqual(accepted)
  expect(await judge("ed", { password: await jwtOf(ed, { alg: "Ed25519" }) })).toEqual(accepted)
  expect(await judge("es", { password: await jwtOf(es) })).toEqual(accepted)
  for (const device of [ed, es]) {
    const password = makeJwt(device.id, testOrigin, makeSigner(device.key), now)
    expect(await judge(device.id, { password })).toEqual(accepted)
  }
})

test.each<[string, Claims, string]>([
  ["another audience", { aud: "example.org/other" }, "jwt-audience"],
  ["a list of audiences", { aud: [testOrigin, "example.org/other"] }, "jwt-audience"],
  ["another issuer", { iss: "other" }, "jwt-subject"],
  ["another subject", { sub: "other" }, "jwt-subject"],
  ["expired", { iat: now - 3_700, exp: now - 100 }, "jwt-expired"],
  ["expired to the second beyond the skew", { iat: now - 3_660, exp: now - 60 }, "jwt-expired"],
  ["of the future", { iat: now + 61, exp: now + 600 }, "jwt-future"],
  ["not valid yet", { nbf: now + 61 }, "jwt-future"],
  ["a life of more than an hour", { exp: now + 3_601 }, "jwt-lifetime"],
  ["exp before iat", { exp: now - 1 }, "jwt-lifetime"],
  ["a critical header that nobody knows", { crit: ["b65"] }, "jwt-malformed"],
])("a JWT with %s is refused for that", async (_what, claims, reason) => {
  expect(await judge("ed", { password: await jwtOf(devices.ed, claims) })).toEqual(refused(reason))
})

test("a clock that is off by no more than the skew is good", async () => {
  const { ed } = devices
  expect(await judge("ed", { password: await jwtOf(ed, { iat: now + 60, exp: now + 600 }) })).toEqual(
    accepted,
  )
  expect(await judge("ed", { password: await jwtOf(ed, { iat: now - 3_659, exp: now - 59 }) })).toEqual(
    accepted,
  )
})

test("a JWT by another device's key does not log in as this one, nor does that device's own", async () => {
  const { other } = devices
  const forged = await new SignJWT(goodClaims("ed"))
    .setProtectedHeader({ alg: "EdDSA" })
    .sign(keyObjectOf(other.key))
  expect(await judge("ed", { password: forged })).toEqual(refused("jwt-key"))
  expect(await judge("ed", { password: await jwtOf(other) })).toEqual(refused("jwt-subject"))
  expect(await judge("ed", { username: "other", password: await jwtOf(other) })).toEqual(
    refused("login-username"),
  )
})

test("a JWT without a signature, or by an algorithm that is not the key's, is refused", async () => {
  const { ed, es } = devices
  const claims = goodClaims("ed")
  const signature = formatBase64url(new Uint8Array(64))
  for (const alg of ["none", "None", "HS256", "RS256", "PS256", "ES384", "ES256K", "Ed448", ""]) {
    expect(await judge("ed", { password: unsigned({ alg }, claims, signature) })).toEqual(
      refused("jwt-algorithm"),
    )
    expect(await judge("ed", { password: unsigned({ alg }, claims) })).toEqual(refused("jwt-algorithm"))
  }
  // The public key as an HMAC secret.
  const secret = createPublicKey(keyObjectOf(ed.key)).export({ type: "spki", format: "pem" }) as string
  const confused = await new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(secret))
  expect(await judge("ed", { password: confused })).toEqual(refused("jwt-algorithm"))
  const symmetric = await new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256" })
    .sign(await generateSecret("HS256"))
  expect(await judge("ed", { password: symmetric })).toEqual(refused("jwt-algorithm"))
  // An algorithm that is allowed, with a key of the other kind.
  const crossed = await new SignJWT(claims).setProtectedHeader({ alg: "ES256" }).sign(keyObjectOf(es.key))
  expect(await judge("ed", { password: crossed })).toEqual(refused("jwt-key"))
  // The key that the token brings along is not asked.
  const jwk = JSON.parse(formatJwk(devices.other.key.publicKey)) as Record<string, string>
  const brought = await new SignJWT(claims)
    .setProtectedHeader({ alg: "EdDSA", jwk })
    .sign(keyObjectOf(devices.other.key))
  expect(await judge("ed", { password: brought })).toEqual(refused("jwt-key"))
})

test("any changed character of a good JWT is refused", async () => {
  const good = await jwtOf(devices.ed)
  for (let place = 3; place < good.length; place += 5) {
    if (good[place] === ".") continue
    const changed = `${good.slice(0, place)}${good[place] === "A" ? "B" : "A"}${good.slice(place + 1)}`
    expect((await judge("ed", { password: changed })).kind).toBe("refused")
  }
  for (const text of ["eyJ", "eyJ.eyJ.eyJ", `${good}.`, `${good}.AAAA`, `eyJ${"A".repeat(60_000)}`])
    expect(await judge("ed", { password: text })).toEqual(refused("jwt-malformed"))
})

test("without credentials, with a password of no form, or as a device that is not enrolled, nobody logs in", async () => {
  expect(await judge("ed", { username: null })).toEqual(refused("login-missing"))
  expect(await judge("ed", {})).toEqual(refused("login-missing"))
  expect(await judge("ed", { username: null, password: await jwtOf(devices.ed) })).toEqual(
    refused("login-missing"),
  )
  for (const password of ["", "secret", "tmt_", `tmt_${"A".repeat(42)}`, `tmt_${"A".repeat(44)}`])
    expect(await judge("ed", { password })).toEqual(refused("login-password"))
  const stranger = new TestDevice("stranger", algorithmEd25519)
  expect(await judge("stranger", { password: await jwtOf(stranger) })).toEqual(
    refused("login-unknown-device"),
  )
})

async function tokenOf(
  device: string,
  expiresMs: number | null = null,
): Promise<{ id: string; token: string }> {
  const made = await createToken(stand.pool, accessKeyOf(stand.keys), device, expiresMs)
  if (made.kind !== "created") throw new Error(made.kind)
  return made
}

test("a static token logs in its own device, until it expires or is revoked", async () => {
  const { id, token } = await tokenOf("ed", (now + 10) * 1000)
  expect(token).toMatch(/^tmt_[A-Za-z0-9_-]{43}$/)
  expect(await judge("ed", { password: token })).toEqual(accepted)
  expect(await judge("other", { password: token })).toEqual(refused("token-unknown"))
  expect(await judge("ed", { password: token, at: now + 9 })).toEqual(accepted)
  expect(await judge("ed", { password: token, at: now + 10 })).toEqual(refused("token-expired"))
  const second = await tokenOf("ed")
  expect((await listTokens(stand.pool, "ed")).map((each) => each.id).toSorted()).toEqual(
    [id, second.id].toSorted(),
  )
  expect(await revokeToken(stand.pool, "other", id)).toBe(false)
  expect(await revokeToken(stand.pool, "ed", id)).toBe(true)
  expect(await judge("ed", { password: token })).toEqual(refused("token-unknown"))
  expect(await judge("ed", { password: second.token })).toEqual(accepted)
  const last = second.token.endsWith("A") ? "B" : "A"
  expect(await judge("ed", { password: `${second.token.slice(0, -1)}${last}` })).toEqual(
    refused("token-unknown"),
  )
})

test("field S10: a token whose row was written or changed in the database logs nobody in, and is named", async () => {
  const macKey = accessKeyOf(stand.keys)
  const forged = `tmt_${"A".repeat(43)}`
  await stand.pool.query(
    "insert into login_tokens (device_id, token_id, digest) values ('ed', 'deadbeef', $1)",
    [sha256(encodeUtf8(forged))],
  )
  expect(await judge("ed", { password: forged })).toEqual(refused("token-forged"))
  const { id, token } = await tokenOf("ed", (now + 10) * 1000)
  await stand.pool.query("update login_tokens set expires_at = null where token_id = $1", [id])
  expect(await judge("ed", { password: token, at: now + 11 })).toEqual(refused("token-forged"))
  // The row of one device's token with the name of another one.
  const other = await tokenOf("other")
  await stand.pool.query("update login_tokens set device_id = 'ed' where token_id = $1", [other.id])
  expect(await judge("ed", { password: other.token })).toEqual(refused("token-forged"))
  expect(await listForgedTokens(stand.pool, macKey)).toEqual(
    [`ed/${id}`, `ed/${other.id}`, "ed/deadbeef"].toSorted(),
  )
  for (const each of ["deadbeef", id, other.id]) await revokeToken(stand.pool, "ed", each)
  expect(await listForgedTokens(stand.pool, macKey)).toEqual([])
})

test("of a token the database has a hash only, and a device has so many at most", async () => {
  const { token } = await tokenOf("other")
  const { rows } = await stand.pool.query<{ digest: Uint8Array; row: string }>(
    "select digest, login_tokens::text as row from login_tokens where device_id = 'other'",
  )
  expect(new Uint8Array(rows[0]!.digest)).toEqual(new Uint8Array(sha256(encodeUtf8(token))))
  expect(rows[0]!.row).not.toContain(token.slice(4))
  for (let i = 1; i < 16; i++) await tokenOf("other")
  expect(await createToken(stand.pool, accessKeyOf(stand.keys), "other", null)).toEqual({ kind: "too-many" })
  expect(await createToken(stand.pool, accessKeyOf(stand.keys), "stranger", null)).toEqual({
    kind: "unknown-device",
  })
})

// Around `now`, which is not the clock of this machine.
const notBefore = new Date((now - 1_000) * 1000)
const notAfter = new Date((now + 1_000) * 1000)
const certify = (options: CertificateOptions): TestCertificate =>
  makeCertificate({ notBefore, notAfter, ...options })

test("a certificate of the enrolled key logs its device in, whoever signed it, and no other device", async () => {
  for (const name of ["ed", "es"] as const) {
    const { der } = certify({ commonName: "whatever", privateKey: keyObjectOf(devices[name].key) })
    expect(await judge(name, { username: null, certificates: [der] })).toEqual(accepted)
    expect(await judge(name, { certificates: [der] })).toEqual(accepted)
    expect(await judge("other", { certificates: [der] })).toEqual(refused("certificate-key"))
    expect(await judge(name, { certificates: [der], at: now + 1_001 })).toEqual(
      refused("certificate-expired"),
    )
    expect(await judge(name, { certificates: [der], at: now - 1_001 })).toEqual(
      refused("certificate-expired"),
    )
    // A password that is shown is judged, and no certificate makes up for it.
    expect(await judge(name, { certificates: [der], password: "wrong" })).toEqual(refused("login-password"))
  }
})

const ca = certify({ commonName: "Fleet CA", isCa: true, keyUsage: 0x04 })
const trusted = ({ der }: TestCertificate): TrustedAuthority => ({
  name: "fleet",
  certificate: der,
  digest: sha256(der),
})
const leaf = (options: Partial<CertificateOptions>): TestCertificate =>
  certify({ commonName: "new", issuer: ca, isCa: false, keyUsage: 0x80, purposes: [2], ...options })

test.each<[string, () => Uint8Array[], string]>([
  [
    "of a CA that is not trusted",
    () => [leaf({ issuer: certify({ commonName: "Other CA", isCa: true }) }).der],
    "certificate-untrusted",
  ],
  [
    "of a CA that has the name of a trusted one",
    () => [leaf({ issuer: certify({ commonName: "Fleet CA", isCa: true }) }).der],
    "certificate-untrusted",
  ],
  ["signed by itself", () => [certify({ commonName: "new" }).der], "certificate-untrusted"],
  ["that has expired", () => [leaf({ notAfter: new Date((now - 1) * 1000) }).der], "certificate-expired"],
  [
    "that is not valid yet",
    () => [leaf({ notBefore: new Date((now + 1) * 1000) }).der],
    "certificate-expired",
  ],
  ["of another name", () => [leaf({ commonName: "older" }).der], "certificate-name"],
  ["for servers only", () => [leaf({ purposes: [1] }).der], "certificate-untrusted"],
  ["that may not sign handshakes", () => [leaf({ keyUsage: 0x04 }).der], "certificate-untrusted"],
  ["that is a CA's", () => [leaf({ isCa: true }).der], "certificate-untrusted"],
  [
    "with a critical extension that nobody knows",
    () => [leaf({ hasUnknownCritical: true }).der],
    "certificate-untrusted",
  ],
  [
    "by a device's certificate",
    () => {
      const between = leaf({ commonName: "device" })
      return [leaf({ issuer: between }).der, between.der]
    },
    "certificate-untrusted",
  ],
  [
    "by an intermediate that has expired",
    () => {
      const between = certify({
        commonName: "B",
        issuer: ca,
        isCa: true,
        notAfter: new Date((now - 1) * 1000),
      })
      return [leaf({ issuer: between }).der, between.der]
    },
    "certificate-expired",
  ],
  [
    "by an intermediate that may not sign",
    () => {
      const between = certify({ commonName: "B", issuer: ca, isCa: true, keyUsage: 0x80 })
      return [leaf({ issuer: between }).der, between.der]
    },
    "certificate-untrusted",
  ],
  [
    "by one intermediate more than its path length allows",
    () => {
      const first = certify({ commonName: "B", issuer: ca, isCa: true, pathLength: 0 })
      const second = certify({ commonName: "C", issuer: first, isCa: true })
      return [leaf({ issuer: second }).der, second.der, first.der]
    },
    "certificate-untrusted",
  ],
  ["that is cut", () => [leaf({}).der.subarray(0, 200)], "certificate-malformed"],
  ["of an empty handshake", () => [new Uint8Array(0)], "certificate-malformed"],
])("a certificate %s enrols nobody", async (_what, make, reason) => {
  authorities = [trusted(ca)]
  expect(await judge("new", { certificates: make() })).toEqual(refused(reason))
  const { rows } = await stand.pool.query("select from devices where device_id = 'new'")
  expect(rows).toEqual([])
})

test("a CA whose own certificate has expired enrols nobody", async () => {
  const old = certify({ commonName: "Old CA", isCa: true, notAfter: new Date((now - 1) * 1000) })
  authorities = [trusted(old)]
  expect(await judge("new", { certificates: [leaf({ issuer: old }).der] })).toEqual(
    refused("certificate-expired"),
  )
})

test.each<[string, Algorithm]>([
  ["Ed25519", algorithmEd25519],
  ["P-256", algorithmEsp256],
])("a device with a good certificate and a key of %s may be enrolled by it", async (kind) => {
  authorities = [trusted(ca)]
  const privateKey = makeKey(kind === "Ed25519" ? "Ed25519" : "P-256")
  const between = certify({ commonName: "B", issuer: ca, isCa: true, pathLength: 0 })
  const { der } = leaf({ commonName: "Line 4", dnsNames: ["new"], issuer: between, privateKey })
  const seen: Uint8Array[] = []
  const login = makeLogin({
    records: { read: () => Promise.resolve(null) },
    origin: testOrigin,
    clock: () => now * 1000,
    clockSkewSeconds: 60,
    readAuthorities: () => Promise.resolve(authorities),
    enrolByCertificate: (device, key, authority) => {
      expect([device, authority.name]).toEqual(["new", "fleet"])
      seen.push(encodeSpki(key))
      return Promise.resolve(true)
    },
  })
  const { signal: gone } = new AbortController()
  const result = await login({
    device: "new",
    username: null,
    password: null,
    certificates: [der, between.der],
    gone,
  })
  expect(result).toEqual(accepted)
  const own = parsePrivateKey(encodeUtf8(privateKey.export({ type: "pkcs8", format: "pem" }) as string))
  expect(seen).toEqual([encodeSpki(own.publicKey)])
})

/** What each field or rule that is broken is called, for the device's maker. */
test.each<[string, () => Promise<Parameters<typeof judge>[1]>, string, RegExp]>([
  ["no credentials", async () => ({ username: null }), "login-missing", /no password and no certificate/],
  [
    "another user name",
    async () => ({ username: "k7" }),
    "login-username",
    /user name is not the client id ed/,
  ],
  [
    "a password of no form",
    async () => ({ password: "x" }),
    "login-password",
    /neither a JWT .* nor a token/,
  ],
  [
    "another issuer",
    async () => ({ password: await jwtOf(devices.ed, { iss: "a\u202eb" }) }),
    "jwt-subject",
    /^iss is "a\\u\{202e\}b", and must be the device id ed$/,
  ],
  [
    "another audience",
    async () => ({ password: await jwtOf(devices.ed, { aud: "example.org/log" }) }),
    "jwt-audience",
    /aud is "example.org\/log", and must be the log's origin "tidemark.invalid\/test"/,
  ],
  [
    "a JWT that has expired",
    async () => ({ password: await jwtOf(devices.ed, { iat: now - 3_700, exp: now - 100 }) }),
    "jwt-expired",
    /exp was 100 s ago/,
  ],
  [
    "a clock that is ahead",
    async () => ({ password: await jwtOf(devices.ed, { iat: now + 90, exp: now + 600 }) }),
    "jwt-future",
    /iat is 90 s ahead .* mend the device's clock/,
  ],
  [
    "another algorithm",
    async () => ({ password: unsigned({ alg: "HS256" }, goodClaims("ed")) }),
    "jwt-algorithm",
    /alg is "HS256"/,
  ],
  [
    "a certificate of version 1",
    async () => ({ certificates: [(await versionOne()).der] }),
    "certificate-malformed",
    /X\.509 version 1, which has no extensions: make a version 3 certificate/,
  ],
  [
    "a certificate that has expired",
    async () => ({ certificates: [certify({ commonName: "ed" }).der], at: now + 1_001 }),
    "certificate-expired",
    /was valid until 20\d\d-.*Z$/,
  ],
  [
    "a certificate that is not valid yet",
    async () => ({ certificates: [certify({ commonName: "ed" }).der], at: now - 1_001 }),
    "certificate-expired",
    /is valid from 20\d\d-.*Z on/,
  ],
])("field D5: a login with %s is told which field and which rule", async (_what, make, reason, detail) => {
  const answer = await judge("ed", await make())
  expect(answer).toMatchObject({ kind: "refused", reason, detail: expect.stringMatching(detail) as unknown })
})

async function saying(options: Partial<CertificateOptions>): Promise<string> {
  const answer = await judge("new", { certificates: [leaf(options).der] })
  return answer.kind === "refused" ? answer.detail : ""
}

test("field D5: a CA's certificate without the device's name, or not for clients, is told so", async () => {
  authorities = [trusted(ca)]
  expect(await saying({ commonName: "older", dnsNames: ["a.example"] })).toBe(
    'the certificate has common name "older" and DNS names "a.example", and one of them must be the client id new',
  )
  expect(await saying({ purposes: [1] })).toContain("extended key usage does not name clientAuth")
  expect(await saying({ keyUsage: 0x04 })).toContain("key usage does not name digitalSignature")
  authorities = []
  expect(await saying({})).toContain("device new is not enrolled, and no CA is trusted")
})

/** As `openssl x509 -req` makes it without -extfile: no version, no extensions. */
async function versionOne(): Promise<{ readonly der: Uint8Array }> {
  return { der: await readFile(new URL("field/openssl-x509-req-v1.der", import.meta.url)) }
}

test("field S4: a login by token or certificate says when it ends, and why", async () => {
  const { token } = await tokenOf("es", (now + 90) * 1000)
  expect(await judge("es", { password: token })).toEqual({
    kind: "accepted",
    ends: { afterMs: 90_000, reason: "token-expired" },
  })
  const endless = await tokenOf("es")
  expect(await judge("es", { password: endless.token })).toEqual({ kind: "accepted" })
  const { der } = certify({ commonName: "es", privateKey: keyObjectOf(devices.es.key) })
  // Its last second is good to its end.
  expect(await judge("es", { certificates: [der] })).toEqual({
    kind: "accepted",
    ends: { afterMs: 1_001_000, reason: "certificate-expired" },
  })
})

test("field S4: a key that a revocation ended logs nobody in, by JWT or certificate, and its tokens ended with it", async () => {
  const lost = await stand.enrol("lost", algorithmEd25519)
  const { token } = await tokenOf("lost")
  const { der } = certify({ commonName: "lost", privateKey: keyObjectOf(lost.key) })
  await change({ action: "revoke", device: "lost", lastGoodSeq: 0 })
  expect(await judge("lost", { password: await jwtOf(lost) })).toEqual(refused("jwt-key-revoked"))
  expect(await judge("lost", { certificates: [der] })).toEqual(refused("certificate-key-revoked"))
  expect(await judge("lost", { password: token })).toEqual(refused("token-unknown"))
  const next = makePrivateKey(algorithmEd25519, sha256(encodeUtf8("the next key of lost")))
  await change({ action: "rotate", device: "lost", key: next.publicKey, firstSeq: 1 })
  expect(
    await judge("lost", { password: await jwtOf(new TestDevice("lost", algorithmEd25519, null, next)) }),
  ).toEqual(accepted)
  expect(await judge("lost", { password: await jwtOf(lost) })).toEqual(refused("jwt-key-revoked"))
  const made = await tokenOf("lost")
  expect(await judge("lost", { password: made.token })).toEqual(accepted)
})

test("field S4: nothing logs in a device that was revoked as a whole, and it gets no token", async () => {
  const gone = await stand.enrol("gone", algorithmEd25519)
  const { der } = certify({ commonName: "gone", privateKey: keyObjectOf(gone.key) })
  await change({ action: "revoke", device: "gone" })
  expect(await judge("gone", { password: await jwtOf(gone) })).toEqual(refused("device-revoked"))
  expect(await judge("gone", { certificates: [der] })).toEqual(refused("device-revoked"))
  // A stranger learns nothing of it, and is counted as one.
  const forged = await jwtOf(new TestDevice("gone", algorithmEd25519, null, devices.other.key))
  expect(await judge("gone", { password: forged })).toEqual(refused("jwt-key"))
  expect(await createToken(stand.pool, accessKeyOf(stand.keys), "gone", null)).toEqual({
    kind: "revoked-device",
  })
  // A token that a version before this one left to a revoked device.
  const { id, token } = await tokenOf("ed")
  await stand.pool.query(
    `insert into login_tokens (device_id, token_id, digest, mac) values ('gone', $1, $2, $3)`,
    [
      id,
      sha256(encodeUtf8(token)),
      macOfToken(accessKeyOf(stand.keys), {
        device_id: "gone",
        token_id: id,
        digest: sha256(encodeUtf8(token)),
        expiresMs: null,
      }),
    ],
  )
  expect(await judge("gone", { password: token })).toEqual(refused("device-revoked"))
})

test("field S4: a key logs in until a rotation has ended it, and its successor from the rotation on", async () => {
  const turning = await stand.enrol("turning", algorithmEd25519)
  const next = new TestDevice(
    "turning",
    algorithmEd25519,
    stand.keys.binding,
    makePrivateKey(algorithmEd25519, sha256(encodeUtf8("turned"))),
  )
  // From seq 3 on: statements 1 and 2 are still the old key's, and a device that missed it all tries both keys.
  await change({ action: "rotate", device: "turning", key: next.key.publicKey, firstSeq: 3 })
  const place = stand.intake.open("turning")
  for (const seq of [1, 2]) {
    expect(await judge("turning", { password: await jwtOf(turning) })).toEqual(accepted)
    expect(await judge("turning", { password: await jwtOf(next) })).toEqual(accepted)
    expect((await send(place, turning.next())).head.seq).toBe(seq)
  }
  expect(await judge("turning", { password: await jwtOf(turning) })).toEqual(refused("jwt-key-rotated"))
  expect(await judge("turning", { password: await jwtOf(next) })).toEqual(accepted)
  const { der } = certify({ commonName: "turning", privateKey: keyObjectOf(turning.key) })
  expect(await judge("turning", { certificates: [der] })).toEqual(refused("certificate-key-rotated"))
})

async function change(said: RegistryChange): Promise<void> {
  const [result] = await changeRegistry(stand.pool, stand.keys, [said])
  expect(result?.kind).toBe("changed")
}

test("a login waits while the database is away, and goes on by itself; who has left is not waited for", async () => {
  let failures = 3
  const waits: number[] = []
  const pool = new Proxy(stand.pool, {
    get: (target, name, receiver) =>
      name === "query" && failures-- > 0
        ? () => Promise.reject(new Error("connect ECONNREFUSED"))
        : (Reflect.get(target, name, receiver) as unknown),
  })
  const left = new AbortController()
  const records = makeLoginRecords(pool, accessKeyOf(stand.keys), (ms) => {
    waits.push(ms)
    left.abort()
    return Promise.resolve()
  })
  const stays = records.read("ed", new AbortController().signal)
  await expect(records.read("es", left.signal)).rejects.toThrow("gone")
  expect((await stays)?.device).toBe("ed")
  expect(waits.length).toBeGreaterThanOrEqual(2)
})

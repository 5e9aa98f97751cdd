/** X.509 certificates of a test's own, right and wrong ones: enough of RFC 5280 by hand, signed by node:crypto. */
import { type KeyObject, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto"

export interface CertificateOptions {
  readonly commonName: string
  readonly dnsNames?: readonly string[]
  /** Signs itself by default. */
  readonly issuer?: TestCertificate
  /** A fresh P-256 key by default. */
  readonly privateKey?: KeyObject
  readonly isCa?: boolean
  readonly pathLength?: number
  /** The first byte of the bit string: 0x80 digitalSignature, 0x04 keyCertSign. */
  readonly keyUsage?: number
  /** Last byte of 1.3.6.1.5.5.7.3.x: 1 server, 2 client. */
  readonly purposes?: readonly number[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** Adds a critical extension that nobody knows. */
  readonly hasUnknownCritical?: boolean
}

export interface TestCertificate {
  readonly commonName: string
  readonly privateKey: KeyObject
  readonly der: Uint8Array
  readonly pem: string
  readonly keyPem: string
}

const hourMs = 3_600_000

export function makeKey(kind: "Ed25519" | "P-256"): KeyObject {
  return kind === "Ed25519"
    ? generateKeyPairSync("ed25519").privateKey
    : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
}

export function makeCertificate(options: CertificateOptions): TestCertificate {
  const { commonName, issuer, notBefore, notAfter } = options
  const privateKey = options.privateKey ?? makeKey("P-256")
  const signer = issuer?.privateKey ?? privateKey
  const isEd25519 = signer.asymmetricKeyType === "ed25519"
  const algorithm = item(0x30, oid(isEd25519 ? "2b6570" : "2a8648ce3d040302"))
  const body = item(
    0x30,
    item(0xa0, item(0x02, Buffer.of(2))),
    item(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])),
    algorithm,
    nameOf(issuer?.commonName ?? commonName),
    item(
      0x30,
      time(notBefore ?? new Date(Date.now() - hourMs)),
      time(notAfter ?? new Date(Date.now() + hourMs)),
    ),
    nameOf(commonName),
    createPublicKey(privateKey).export({ type: "spki", format: "der" }),
    item(0xa3, item(0x30, ...extensionsOf(options))),
  )
  const signature = sign(isEd25519 ? null : "sha256", body, signer)
  const der = item(0x30, body, algorithm, item(0x03, Buffer.of(0), signature))
  return {
    commonName,
    privateKey,
    der: new Uint8Array(der),
    pem: `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n")}\n-----END CERTIFICATE-----\n`,
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  }
}

/** For a server on 127.0.0.1 and localhost. */
export function makeServerCertificate(options: Partial<CertificateOptions> = {}): TestCertificate {
  return makeCertificate({ commonName: "localhost", dnsNames: ["localhost"], purposes: [1], ...options })
}

function extensionsOf(options: CertificateOptions): Buffer[] {
  const { dnsNames, isCa, pathLength, keyUsage, purposes, hasUnknownCritical } = options
  const extensions: Buffer[] = []
  if (isCa !== undefined) {
    const length = pathLength === undefined ? [] : [item(0x02, Buffer.of(pathLength))]
    const constraints = isCa ? [item(0x01, Buffer.of(0xff)), ...length] : []
    extensions.push(extension("551d13", true, item(0x30, ...constraints)))
  }
  if (keyUsage !== undefined) extensions.push(extension("551d0f", true, item(0x03, Buffer.of(0, keyUsage))))
  if (purposes !== undefined) {
    const each = purposes.map((purpose) => oid(`2b0601050507030${purpose}`))
    extensions.push(extension("551d25", false, item(0x30, ...each)))
  }
  if (dnsNames !== undefined) {
    const names = dnsNames.map((name) => item(0x82, Buffer.from(name)))
    extensions.push(extension("551d11", false, item(0x30, ...names, item(0x87, Buffer.of(127, 0, 0, 1)))))
  }
  if (hasUnknownCritical === true) extensions.push(extension("2a03040506", true, item(0x05)))
  return extensions
}

function extension(name: string, isCritical: boolean, value: Buffer): Buffer {
  return item(0x30, oid(name), ...(isCritical ? [item(0x01, Buffer.of(0xff))] : []), item(0x04, value))
}

function nameOf(commonName: string): Buffer {
  return item(0x30, item(0x31, item(0x30, oid("550403"), item(0x0c, Buffer.from(commonName)))))
}

/** GeneralizedTime, which may stand for any year. */
function time(at: Date): Buffer {
  return item(0x18, Buffer.from(`${at.toISOString().replaceAll(/[-:T]/g, "").slice(0, 14)}Z`))
}

function oid(hex: string): Buffer {
  return item(0x06, Buffer.from(hex, "hex"))
}

function item(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}

/** What of an X.509 certificate (RFC 5280 §4.1) node:crypto does not say: constraints, usages, names and times. */
import { X509Certificate } from "node:crypto"
import { formatHex } from "../chain/bytes.ts"
import { type DerItem, readDer } from "../chain/der.ts"

export interface Certificate {
  readonly x509: X509Certificate
  /** Unix seconds, both inclusive. */
  readonly notBefore: number
  readonly notAfter: number
  readonly isCa: boolean
  /** CAs that may follow; null: any number. */
  readonly pathLengthMax: number | null
  /** Bits as in `keyUsages`; null: anything. */
  readonly keyUsage: number | null
  /** Hex of their object identifiers; null: anything. */
  readonly purposes: readonly string[] | null
  /** It has a critical extension, or constraints on names, that we do not process: it must not be relied on. */
  readonly isBeyondUs: boolean
  /** Signed by an algorithm that still means something. */
  readonly isSignedWell: boolean
  /** Null where there is none, or more than one. */
  readonly commonName: string | null
  readonly dnsNames: readonly string[]
}

/** RFC 5280 §4.2.1.3: bit 0 is the highest. */
export const keyUsages = { digitalSignature: 0x80, keyCertSign: 0x04 } as const

const oid = {
  commonName: "550403",
  basicConstraints: "551d13",
  keyUsage: "551d0f",
  purposes: "551d25",
  alternativeName: "551d11",
  nameConstraints: "551d1e",
} as const
const processed: readonly string[] = [oid.basicConstraints, oid.keyUsage, oid.purposes, oid.alternativeName]

/** Hex of the object identifiers: no MD5, no SHA-1. */
const goodSignatures: ReadonlySet<string> = new Set([
  "2a8648ce3d040302", // ECDSA with SHA-256, -384, -512
  "2a8648ce3d040303",
  "2a8648ce3d040304",
  "2b6570", // Ed25519
  "2b6571", // Ed448
  "2a864886f70d01010b", // RSA with SHA-256, -384, -512
  "2a864886f70d01010c",
  "2a864886f70d01010d",
])

const tags = { boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06 } as const
const certificateSizeMax = 16 * 1024

export type ReadCertificate =
  | { readonly kind: "certificate"; readonly certificate: Certificate }
  /** `rule` says which part is wrong and, where a maker can mend it, how. */
  | { readonly kind: "malformed"; readonly rule: string }

/** What a certificate says, or which rule it breaks. */
export function readCertificate(der: Uint8Array): ReadCertificate {
  if (der.length > certificateSizeMax)
    return malformed(`the certificate has ${der.length} bytes, and may have ${certificateSizeMax}`)
  let x509: X509Certificate
  try {
    x509 = new X509Certificate(der)
  } catch {
    return malformed("the certificate is not X.509 in DER")
  }
  try {
    return readParts(x509, readDer(der))
  } catch {
    // node:crypto refuses the key in it.
    return malformed("the certificate has a key that cannot be read")
  }
}

/** The same, null where these bytes are no certificate that we read. */
export function parseCertificate(der: Uint8Array): Certificate | null {
  const read = readCertificate(der)
  return read.kind === "certificate" ? read.certificate : null
}

const malformed = (rule: string): ReadCertificate => ({ kind: "malformed", rule })

function readParts(x509: X509Certificate, whole: DerItem | null): ReadCertificate {
  const [body, outerAlgorithm] = whole?.children ?? []
  if (body === undefined || outerAlgorithm === undefined)
    return malformed("the certificate is not strict DER of at least two parts")
  // Only version 3 has extensions, and without them nothing says who may sign.
  const [version, , algorithm, , validity, subject, , ...rest] = body.children
  // [0] is absent in version 1, and says 0 or 1 for the first two.
  const number = version?.tag === 0xa0 ? (version.children[0]?.content[0] ?? 0) + 1 : 1
  if (number !== 3)
    return malformed(
      `the certificate is X.509 version ${number}, which has no extensions: make a version 3 certificate (with openssl x509 -req, give -extfile)`,
    )
  if (algorithm === undefined || subject === undefined)
    return malformed("the certificate has no signature algorithm or no subject")
  if (formatHex(algorithm.content) !== formatHex(outerAlgorithm.content))
    return malformed("the certificate names two signature algorithms") // §4.1.1.2
  const [from, until] = validity?.children.map(readTime) ?? []
  if (from === undefined || from === null || until === undefined || until === null)
    return malformed("the certificate's validity is not two times in UTC with seconds")
  const extensions = readExtensions(rest.find(({ tag }) => tag === 0xa3)?.children[0]?.children ?? [])
  if (extensions === null) return malformed("an extension is there twice, or cannot be read")
  const constraints = readConstraints(extensions.get(oid.basicConstraints)?.value)
  if (constraints === null) return malformed("the path length of the basic constraints is not 0 to 127")
  const usage = extensions.get(oid.keyUsage)?.value
  const certificate: Certificate = {
    x509,
    notBefore: from,
    notAfter: until,
    ...constraints,
    keyUsage: usage === undefined ? null : usage.tag === tags.bits ? (usage.content[1] ?? 0) : 0,
    purposes: extensions.get(oid.purposes)?.value.children.map(({ content }) => formatHex(content)) ?? null,
    isBeyondUs:
      extensions.has(oid.nameConstraints) ||
      [...extensions].some(([name, { isCritical }]) => isCritical && !processed.includes(name)),
    isSignedWell: goodSignatures.has(formatHex(algorithm.children[0]?.content ?? new Uint8Array(0))),
    commonName: readCommonName(subject),
    // GeneralName [2] dNSName
    dnsNames: (extensions.get(oid.alternativeName)?.value.children ?? [])
      .filter(({ tag }) => tag === 0x82)
      .map(({ content }) => Buffer.from(content).toString("latin1")),
  }
  return { kind: "certificate", certificate }
}

interface Extension {
  readonly isCritical: boolean
  readonly value: DerItem
}

/** By their identifiers; null where one is there twice or cannot be read (§4.2). */
function readExtensions(items: readonly DerItem[]): Map<string, Extension> | null {
  const extensions = new Map<string, Extension>()
  for (const { children } of items) {
    const name = children[0]
    const last = children.at(-1)
    if (name?.tag !== tags.oid || last?.tag !== tags.octets) return null
    const isCritical =
      children.length === 3 && children[1]?.tag === tags.boolean && children[1].content[0] !== 0
    const key = formatHex(name.content)
    const value = readDer(last.content)
    if (extensions.has(key)) return null
    // Of an extension that we do not process, only its being critical counts.
    if (value === null && processed.includes(key)) return null
    extensions.set(key, { isCritical, value: value ?? { tag: 0, content: new Uint8Array(0), children: [] } })
  }
  return extensions
}

/** §4.2.1.9 */
function readConstraints(
  value: DerItem | undefined,
): { readonly isCa: boolean; readonly pathLengthMax: number | null } | null {
  if (value === undefined) return { isCa: false, pathLengthMax: null }
  const isCa = value.children[0]?.tag === tags.boolean && value.children[0].content[0] !== 0
  const length = value.children.find(({ tag }) => tag === tags.integer)
  if (length === undefined) return { isCa, pathLengthMax: null }
  const [only, ...more] = length.content
  if (only === undefined || more.length > 0 || only > 127) return null
  return { isCa, pathLengthMax: only }
}

/** §4.1.2.5: UTCTime until 2049, then GeneralizedTime; both in UTC with seconds. */
function readTime({ tag, content }: DerItem): number | null {
  const text = Buffer.from(content).toString("latin1")
  if (tag !== 0x17 && tag !== 0x18) return null
  const match = (
    tag === 0x17
      ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
      : /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
  ).exec(text)
  if (match === null) return null
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number)
  const whole = tag === 0x18 ? year! : year! >= 50 ? 1900 + year! : 2000 + year!
  return Date.UTC(whole, month! - 1, day, hour, minute, second) / 1000
}

function readCommonName(subject: DerItem): string | null {
  const names = subject.children
    .flatMap(({ children }) => children)
    .filter(({ children }) => children[0] !== undefined && formatHex(children[0].content) === oid.commonName)
    .map(({ children }) => Buffer.from(children[1]?.content ?? []).toString("latin1"))
  return names.length === 1 ? names[0]! : null
}

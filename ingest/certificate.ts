/** Client certificates (RFC 5280): whose key is in one, and whether a trusted CA says that it is this device's. */
import { parsePublicKey } from "../chain/keyfile.ts"
import { encodeUtf8 } from "../chain/bytes.ts"
import type { PublicKey } from "../chain/key.ts"
import { showText } from "../chain/shown-text.ts"
import { type Certificate, keyUsages, parseCertificate, readCertificate } from "./x509.ts"
import type { TrustedAuthority } from "./registry.ts"

export type CertificateRefusal =
  | "certificate-malformed"
  | "certificate-untrusted"
  | "certificate-expired"
  | "certificate-name"
  | "certificate-key"

interface Refused {
  readonly kind: "refused"
  readonly reason: CertificateRefusal
  /** For the device's maker: which part of which certificate breaks which rule. */
  readonly detail: string
}

export type CertificateJudgement =
  { readonly kind: "trusted"; readonly key: PublicKey; readonly authority: TrustedAuthority } | Refused

const refused = (reason: CertificateRefusal, detail: string): Refused => ({
  kind: "refused",
  reason,
  detail,
})

/** Certificates between the device's and the CA's. */
const intermediatesMax = 6

const clientAuth = "2b06010505070302"
const anyPurpose = "551d2500"

/** The key in a client's certificate, if it may be used now. That the client has it, the TLS handshake has shown. */
export function readCertificateKey(
  der: Uint8Array,
  nowSeconds: number,
): { readonly kind: "key"; readonly key: PublicKey; readonly notAfterSeconds: number } | Refused {
  const read = readCertificate(der)
  if (read.kind === "malformed") return refused("certificate-malformed", read.rule)
  const { certificate } = read
  if (!isValidAt(certificate, nowSeconds)) return expired(certificate, "the certificate", nowSeconds)
  const key = keyOf(certificate)
  return key === null
    ? refused("certificate-key", noKeyOfADevice)
    : { kind: "key", key, notAfterSeconds: certificate.notAfter }
}

const noKeyOfADevice =
  "the certificate's key is neither Ed25519 nor on P-256, or not one that may be enrolled"

function expired({ notBefore, notAfter }: Certificate, what: string, nowSeconds: number): Refused {
  const isEarly = nowSeconds < notBefore
  return refused(
    "certificate-expired",
    isEarly
      ? `${what} is valid from ${formatTime(notBefore)} on, and that is to come`
      : `${what} was valid until ${formatTime(notAfter)}`,
  )
}

/** Any time that a certificate can name is in a Date's range. */
const formatTime = (seconds: number): string => new Date(seconds * 1000).toISOString()

/**
 * Whether a chain says that its first certificate is the device's: each certificate signed by the next, the last by a
 * trusted CA, all valid now, all but the first CAs that may sign (basic constraints, path length, key usage, purposes).
 *
 * @param certificates DER, the client's own first, the others in any order
 */
export function judgeChain(
  certificates: readonly Uint8Array[],
  device: string,
  authorities: readonly TrustedAuthority[],
  nowSeconds: number,
): CertificateJudgement {
  const [first, ...rest] = certificates
  const read = readCertificate(first ?? new Uint8Array(0))
  if (read.kind === "malformed") return refused("certificate-malformed", read.rule)
  const leaf = read.certificate
  if (!isValidAt(leaf, nowSeconds)) return expired(leaf, "the certificate", nowSeconds)
  const anchors = authorities.flatMap((authority) => {
    const certificate = parseCertificate(authority.certificate)
    return certificate === null ? [] : [{ authority, certificate }]
  })
  const unused = new Set(rest.map((der) => parseCertificate(der)).filter((other) => other !== null))
  let current = leaf
  for (let below = 0; below <= intermediatesMax; below++) {
    const child = current
    const anchor = anchors.find(({ certificate }) => maySign(certificate, child, below))
    if (anchor !== undefined) {
      if (!isValidAt(anchor.certificate, nowSeconds))
        return expired(anchor.certificate, `the certificate of CA ${anchor.authority.name}`, nowSeconds)
      return judgeLeaf(leaf, device, anchor.authority)
    }
    const next = [...unused].find((other) => maySign(other, child, below))
    if (next === undefined) return refused("certificate-untrusted", explainUntrusted(device, anchors.length))
    if (!isValidAt(next, nowSeconds)) return expired(next, "an intermediate certificate", nowSeconds)
    unused.delete(next)
    current = next
  }
  return refused(
    "certificate-untrusted",
    `the chain has over ${intermediatesMax} certificates between the device's and a trusted CA's`,
  )
}

function explainUntrusted(device: string, authorities: number): string {
  const trusts =
    authorities === 0
      ? "no CA is trusted"
      : `no trusted CA that may sign it (${authorities} are trusted) has signed it, or an intermediate is missing or may not sign`
  return `device ${device} is not enrolled, and ${trusts}: enrol its key, or trust its CA with tidemark device ca trust`
}

/** A certificate that a trusted CA issued: is it one of a device, of this one, and with a key that a device may have? */
function judgeLeaf(leaf: Certificate, device: string, authority: TrustedAuthority): CertificateJudgement {
  const rule = findLeafFault(leaf)
  if (rule !== null) return refused("certificate-untrusted", rule)
  if (leaf.commonName !== device && !leaf.dnsNames.includes(device)) {
    const names = [
      leaf.commonName === null ? "no single common name" : `common name ${showText(leaf.commonName)}`,
      leaf.dnsNames.length === 0
        ? "no DNS name"
        : `DNS names ${leaf.dnsNames.slice(0, namesShownMax).map(showText).join(", ")}`,
    ].join(" and ")
    return refused(
      "certificate-name",
      `the certificate has ${names}, and one of them must be the client id ${device}`,
    )
  }
  const key = keyOf(leaf)
  return key === null ? refused("certificate-key", noKeyOfADevice) : { kind: "trusted", key, authority }
}

const namesShownMax = 4

/** Why a certificate that a trusted CA signed is not one of a device, or null. */
function findLeafFault(leaf: Certificate): string | null {
  if (leaf.isCa)
    return "the certificate is a CA's by its basic constraints, and a device needs one of its own"
  if (leaf.isBeyondUs)
    return "the certificate has a critical extension, or name constraints, that are not processed here"
  if (!isFor(leaf, clientAuth)) return "the certificate's extended key usage does not name clientAuth"
  if (leaf.keyUsage !== null && (leaf.keyUsage & keyUsages.digitalSignature) === 0)
    return "the certificate's key usage does not name digitalSignature"
  return null
}

/** @param below CAs between `issuer` and the device's certificate (RFC 5280 §4.2.1.9) */
function maySign(issuer: Certificate, child: Certificate, below: number): boolean {
  return (
    issuer.isCa &&
    !issuer.isBeyondUs &&
    (issuer.pathLengthMax === null || below <= issuer.pathLengthMax) &&
    (issuer.keyUsage === null || (issuer.keyUsage & keyUsages.keyCertSign) !== 0) &&
    isFor(issuer, clientAuth) &&
    child.isSignedWell &&
    child.x509.checkIssued(issuer.x509) &&
    child.x509.verify(issuer.x509.publicKey)
  )
}

function isFor({ purposes }: Certificate, purpose: string): boolean {
  return purposes === null || purposes.includes(purpose) || purposes.includes(anyPurpose)
}

function isValidAt({ notBefore, notAfter }: Certificate, nowSeconds: number): boolean {
  return notBefore <= nowSeconds && nowSeconds <= notAfter
}

/** Null where it is no key that a device may have. */
function keyOf({ x509 }: Certificate): PublicKey | null {
  try {
    return parsePublicKey(encodeUtf8(x509.publicKey.export({ type: "spki", format: "pem" }) as string))
  } catch {
    return null
  }
}

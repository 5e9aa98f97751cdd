/** Client certificates (RFC 5280): whose key is in one, and whether a trusted CA says that it is this device's. */
import { parsePublicKey } from "../chain/keyfile.ts"
import { encodeUtf8 } from "../chain/bytes.ts"
import type { PublicKey } from "../chain/key.ts"
import { type Certificate, keyUsages, parseCertificate } from "./x509.ts"
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
}

export type CertificateJudgement =
  { readonly kind: "trusted"; readonly key: PublicKey; readonly authority: TrustedAuthority } | Refused

const refused = (reason: CertificateRefusal): Refused => ({ kind: "refused", reason })

/** Certificates between the device's and the CA's. */
const intermediatesMax = 6

const clientAuth = "2b06010505070302"
const anyPurpose = "551d2500"

/** The key in a client's certificate, if it may be used now. That the client has it, the TLS handshake has shown. */
export function readCertificateKey(
  der: Uint8Array,
  nowSeconds: number,
): { readonly kind: "key"; readonly key: PublicKey } | Refused {
  const certificate = parseCertificate(der)
  if (certificate === null) return refused("certificate-malformed")
  if (!isValidAt(certificate, nowSeconds)) return refused("certificate-expired")
  const key = keyOf(certificate)
  return key === null ? refused("certificate-key") : { kind: "key", key }
}

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
  const [leaf, ...others] = certificates.map((der) => parseCertificate(der))
  if (leaf === undefined || leaf === null) return refused("certificate-malformed")
  if (!isValidAt(leaf, nowSeconds)) return refused("certificate-expired")
  const anchors = authorities.flatMap((authority) => {
    const certificate = parseCertificate(authority.certificate)
    return certificate === null ? [] : [{ authority, certificate }]
  })
  const unused = new Set(others.filter((other) => other !== null))
  let current = leaf
  for (let below = 0; below <= intermediatesMax; below++) {
    const child = current
    const anchor = anchors.find(({ certificate }) => maySign(certificate, child, below))
    if (anchor !== undefined) {
      if (!isValidAt(anchor.certificate, nowSeconds)) return refused("certificate-expired")
      return judgeLeaf(leaf, device, anchor.authority)
    }
    const next = [...unused].find((other) => maySign(other, child, below))
    if (next === undefined) return refused("certificate-untrusted")
    if (!isValidAt(next, nowSeconds)) return refused("certificate-expired")
    unused.delete(next)
    current = next
  }
  return refused("certificate-untrusted")
}

/** A certificate that a trusted CA issued: is it one of a device, of this one, and with a key that a device may have? */
function judgeLeaf(leaf: Certificate, device: string, authority: TrustedAuthority): CertificateJudgement {
  const isForDevices =
    !leaf.isCa &&
    !leaf.isBeyondUs &&
    isFor(leaf, clientAuth) &&
    (leaf.keyUsage === null || (leaf.keyUsage & keyUsages.digitalSignature) !== 0)
  if (!isForDevices) return refused("certificate-untrusted")
  if (leaf.commonName !== device && !leaf.dnsNames.includes(device)) return refused("certificate-name")
  const key = keyOf(leaf)
  return key === null ? refused("certificate-key") : { kind: "trusted", key, authority }
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

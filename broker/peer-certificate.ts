import type { DetailedPeerCertificate, TLSSocket } from "node:tls"

/** More than any chain has; what comes behind is not looked at. */
const certificatesMax = 8

/**
 * The certificates that the client showed in its handshake, in DER, its own first; empty where it showed none.
 *
 * Not by `getPeerX509Certificate`: with a chain behind the first one, it did not return on Node 20.20.
 */
export function readPeerCertificates(socket: TLSSocket): Uint8Array[] {
  const certificates: Uint8Array[] = []
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true)
  while (next?.raw !== undefined && certificates.length < certificatesMax) {
    certificates.push(new Uint8Array(next.raw))
    const issuer: DetailedPeerCertificate | undefined = next.issuerCertificate
    // One that issued itself is the end of its chain.
    if (issuer === next) break
    next = issuer
  }
  return certificates
}

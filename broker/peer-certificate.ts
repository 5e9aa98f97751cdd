import type { TLSSocket } from "node:tls"

/** More than any chain has; what comes behind is not looked at. */
const certificatesMax = 8

/** The certificates that the client showed in its handshake, in DER, its own first; empty where it showed none. */
export function readPeerCertificates(socket: TLSSocket): Uint8Array[] {
  const certificates: Uint8Array[] = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && certificates.length < certificatesMax) {
    const { raw } = next
    certificates.push(new Uint8Array(raw))
    const { issuerCertificate } = next
    // One that issued itself is the end of its chain.
    if (issuerCertificate?.fingerprint256 === next.fingerprint256) break
    next = issuerCertificate
  }
  return certificates
}

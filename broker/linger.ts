import type { Duplex } from "node:stream"

/**
 * Ends `stream` so that what was written arrives: flush, FIN, then read and discard until the peer closes or
 * `lingerMsMax` passed. Closing a socket with unread bytes in it sends RST, and a peer that is still sending would
 * lose the receipt that tells it why.
 */
export function endGently(stream: Duplex, lingerMsMax: number): void {
  if (stream.destroyed) return
  const timer = setTimeout(() => stream.destroy(), lingerMsMax)
  stream.once("close", () => clearTimeout(timer))
  stream.end()
  stream.resume()
}

import type { Socket } from "node:net"
import { parseProxyHeader } from "./proxy-header.ts"

/**
 * Takes the PROXY header off the front of what `socket` brings; the rest stays in the socket for whoever reads it next.
 * How long that may take is the caller's business.
 *
 * @param peeled given the client's address, or null where the proxy does not say
 * @param malformed there is no header, or a wrong one
 */
export function peelProxyHeader(
  socket: Socket,
  peeled: (address: string | null) => void,
  malformed: () => void,
): void {
  let bytes = new Uint8Array(0)

  function look(): void {
    for (;;) {
      const chunk = socket.read() as Uint8Array | null
      if (chunk === null) return
      bytes = new Uint8Array(Buffer.concat([bytes, chunk]))
      const header = parseProxyHeader(bytes)
      if (header.kind === "short") continue
      stop()
      if (header.kind === "malformed") {
        malformed()
        return
      }
      if (bytes.length > header.size) socket.unshift(Buffer.from(bytes.subarray(header.size)))
      peeled(header.address)
      return
    }
  }

  function end(): void {
    stop()
    if (bytes.length > 0) malformed()
    else socket.destroy()
  }

  function stop(): void {
    socket.off("readable", look)
    socket.off("end", end)
  }

  socket.on("readable", look)
  socket.on("end", end)
}

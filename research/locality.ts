/** Whether somebody asks from this machine. */
import type { IncomingMessage } from "node:http"
import { isIP } from "node:net"

/** By its address, and by the name that it asked for: a page on the web may point a name of its own at 127.0.0.1. */
export function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const name = (headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1")
  return isLoopback(socket.remoteAddress ?? "") && (name === "localhost" || isLoopback(name))
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "")
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."))
}

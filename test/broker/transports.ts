/** All four transports of one broker, and how a client reaches them. */
import { type Socket, createConnection } from "node:net"
import { type ConnectionOptions, type TLSSocket, connect as connectTls } from "node:tls"
import type { BrokerOptions } from "../../broker/broker.ts"
import type { TlsOptions } from "../../broker/listener.ts"
import { type Transport, transports } from "../../broker/transport.ts"
import { type TestCertificate, makeServerCertificate } from "./certificate.ts"
import type { Stand } from "./stand.ts"

export const serverCertificate = makeServerCertificate()

export function tlsOf({ pem, keyPem }: TestCertificate): TlsOptions {
  return { cert: Buffer.from(pem), key: Buffer.from(keyPem) }
}

export const everyTransport: Pick<BrokerOptions, "listeners" | "tls"> = {
  listeners: transports.map((transport) => ({ transport, host: "127.0.0.1", port: 0 })),
  tls: tlsOf(serverCertificate),
}

export function portOf(stand: Stand, transport: Transport): number {
  return stand.broker.listeners.find((each) => each.transport === transport)!.port
}

export function urlOf(stand: Stand, transport: Transport): string {
  return `${transport}://127.0.0.1:${portOf(stand, transport)}${transport.startsWith("ws") ? "/mqtt" : ""}`
}

/** A TCP connection that has said nothing; what happens to it is in `closed`. */
export async function openSocket(port: number): Promise<{ socket: Socket; closed: Promise<void> }> {
  const socket = createConnection({ port, host: "127.0.0.1", noDelay: true })
  socket.on("error", () => {})
  socket.resume()
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  await new Promise((resolve) => socket.once("connect", resolve))
  return { socket, closed }
}

/** A TLS connection after its handshake. */
export async function openTls(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: "127.0.0.1", ca: serverCertificate.pem, ...options })
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve())
    socket.once("error", reject)
  })
  socket.on("error", () => {})
  return socket
}

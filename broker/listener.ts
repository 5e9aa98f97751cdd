/** Where devices come in: one port, and the stages in front of the gate. All listeners keep the same limits. */
import { constants } from "node:crypto"
import type { Server as HttpServer } from "node:http"
import { type AddressInfo, type Server, type Socket, createServer } from "node:net"
import type { Duplex } from "node:stream"
import { type TLSSocket, type Server as TlsServer, createServer as createTlsServer } from "node:tls"
import type { RefusedReason } from "./counters.ts"
import type { Entrance } from "./entrance.ts"
import type { BrokerLimits } from "./limits.ts"
import { readPeerCertificates } from "./peer-certificate.ts"
import { peelProxyHeader } from "./proxy-stage.ts"
import { type Transport, isSecure, isWeb } from "./transport.ts"
import { makeUpgrader } from "./websocket.ts"

export interface ListenerOptions {
  readonly transport: Transport
  readonly host: string
  /** 0: a free one. */
  readonly port: number
}

/** What TLS is spoken with, in PEM. */
export interface TlsOptions {
  /** The service's certificate, and its chain. */
  readonly cert: Uint8Array
  readonly key: Uint8Array
  /** Only clients with a certificate of one of these CAs complete the handshake. Without it, any may. */
  readonly ca?: Uint8Array
}

/** A connection that has come through the stages of its listener. */
export interface Arrival {
  readonly transport: Transport
  /** Of the peer, or as a PROXY header says. */
  readonly address: string
  /** The client's certificates in DER, its own first; empty where it showed none. */
  readonly certificates: readonly Uint8Array[]
  /** How long the stages took. */
  readonly spentMs: number
}

/** What a listener needs of its broker. */
export interface Entry {
  readonly limits: BrokerLimits
  readonly entrance: Entrance
  /** Each connection begins with a PROXY header. */
  readonly isProxied: boolean
  /** Clients are asked for a certificate. */
  readonly isCertificateAsked: boolean
  /** Origins of web pages that may connect over WebSocket, as browsers write them. */
  readonly webOrigins: ReadonlySet<string>
  /** Ms that only go forward. */
  readonly clock: () => number
  readonly refused: (reason: RefusedReason, detail?: string) => void
  readonly failed: (error: unknown) => void
  readonly admit: (stream: Duplex, arrival: Arrival) => void
}

export interface Listener extends ListenerOptions {
  /** For connections from now on. Throws where certificate and key do not fit, and then nothing has changed. */
  setTls(tls: TlsOptions): void
  /** No more connections; those that are not at the gate yet are closed. Resolves when all have gone. */
  close(): Promise<void>
}

/** A socket on its way to the gate. */
interface Pending {
  /** Below all stages. */
  readonly socket: Socket
  readonly late: NodeJS.Timeout
  readonly openedAtMs: number
  readonly address: string
}

/** Opens a port. Rejects where it cannot be had, or where certificate and key do not fit. */
export async function openListener(
  { transport, host, port }: ListenerOptions,
  tls: TlsOptions | null,
  entry: Entry,
): Promise<Listener> {
  const { limits, entrance, clock } = entry
  /** Sockets before their gate. */
  const early = new Set<Socket>()
  const handshaking = new Map<string, Pending>()
  const upgrading = new WeakMap<Duplex, Pending>()
  const tlsServer = isSecure(transport) ? makeTlsServer() : null
  const httpServer: HttpServer | null = isWeb(transport)
    ? makeUpgrader({ limits, origins: entry.webOrigins }, entry.refused, (carrier, stream) => {
        const pending = upgrading.get(carrier)
        if (pending === undefined) stream.destroy()
        else admit(stream, carrier, pending)
      })
    : null

  function take(socket: Socket): void {
    // Whoever owns the socket later listens too; until then its close says enough.
    socket.on("error", () => {})
    const crowded = entrance.enter()
    if (crowded !== null) {
      refuse(socket, crowded)
      return
    }
    early.add(socket)
    const late = setTimeout(() => refuse(socket, "connect-timeout"), limits.connectMsMax)
    socket.once("close", () => {
      clearTimeout(late)
      early.delete(socket)
      entrance.leave()
    })
    const pending: Pending = { socket, late, openedAtMs: clock(), address: socket.remoteAddress ?? "" }
    if (!entry.isProxied) enter(pending)
    else {
      peelProxyHeader(
        socket,
        (address) => enter(address === null ? pending : { ...pending, address }),
        () => refuse(socket, "proxy-header"),
      )
    }
  }

  /** Its address is known. */
  function enter(pending: Pending): void {
    const { socket, address } = pending
    const crowded = entrance.enterFrom(address)
    if (crowded !== null) {
      refuse(socket, crowded)
      return
    }
    socket.once("close", () => entrance.leaveFrom(address))
    if (tlsServer === null) {
      carry(socket, pending)
      return
    }
    const name = endsOf(socket)
    handshaking.set(name, pending)
    // Nobody who leaves in the middle of a handshake waits for an answer.
    socket.allowHalfOpen = false
    socket.once("close", () => {
      if (handshaking.get(name) === pending) handshaking.delete(name)
    })
    tlsServer.emit("connection", socket)
  }

  /** Its bytes are in the clear from here on. */
  function carry(carrier: Duplex, pending: Pending): void {
    if (httpServer === null) {
      admit(carrier, carrier, pending)
      return
    }
    upgrading.set(carrier, pending)
    httpServer.emit("connection", carrier)
  }

  function admit(stream: Duplex, carrier: Duplex, { socket, late, openedAtMs, address }: Pending): void {
    clearTimeout(late)
    early.delete(socket)
    const certificates =
      tlsServer === null || !entry.isCertificateAsked ? [] : readPeerCertificates(carrier as TLSSocket)
    entry.admit(stream, { transport, address, certificates, spentMs: clock() - openedAtMs })
  }

  function refuse(socket: Socket, reason: RefusedReason): void {
    if (socket.destroyed) return
    entry.refused(reason)
    socket.destroy()
  }

  function makeTlsServer(): TlsServer {
    if (tls === null) throw new Error(`broker: ${transport} needs a certificate and its key`)
    const made = createTlsServer({
      ...contextOf(tls, entry.isCertificateAsked),
      requestCert: entry.isCertificateAsked || tls.ca !== undefined,
      // Without CAs of its own the handshake takes any certificate, and proves its key; the login judges it.
      rejectUnauthorized: tls.ca !== undefined,
      handshakeTimeout: limits.tlsHandshakeMsMax,
    })
    made.on("secureConnection", (secure) => {
      secure.on("error", () => {})
      secure.allowHalfOpen = true
      const pending = handshaking.get(endsOf(secure))
      if (pending === undefined) secure.destroy()
      else carry(secure, pending)
    })
    made.on("tlsClientError", (error: NodeJS.ErrnoException, secure) => {
      // Reset: it is gone, by its own hand (a balancer asking for our health) or already refused by ours.
      if (error.code === "ERR_TLS_HANDSHAKE_TIMEOUT") {
        if (handshaking.has(endsOf(secure))) entry.refused("tls-timeout")
      } else if (error.code !== "ECONNRESET") entry.refused("tls")
      secure.destroy()
    })
    return made
  }

  const server = createServer({
    // Half-open: a client that sends DISCONNECT and FIN still gets the answers to what it sent before.
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  })
  server.on("connection", take)
  const portTaken = await listen(server, host, port)
  server.on("error", entry.failed)

  return {
    transport,
    host,
    port: portTaken,
    setTls: (next) => tlsServer?.setSecureContext(contextOf(next, entry.isCertificateAsked)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of early) socket.destroy()
      }),
  }
}

function contextOf({ cert, key, ca }: TlsOptions, isCertificateAsked: boolean) {
  return {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    ...(ca === undefined ? {} : { ca: Buffer.from(ca) }),
    minVersion: "TLSv1.2" as const,
    // A resumed session has the client's certificate, but not the chain it was sent with: the login needs both.
    ...(isCertificateAsked ? { secureOptions: constants.SSL_OP_NO_TICKET } : {}),
  }
}

/** Both ends of a connection: the same of a socket and of the TLS on it, and of no other that is open. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port }, () => {
      server.off("error", reject)
      resolve()
    })
  })
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === "string") throw new Error("broker: the listener has no port")
  return address.port
}

/** MQTT over WebSocket (MQTT 3.1.1 §6): the upgrade, and the stream of bytes behind it. */
import { type IncomingMessage, type Server, STATUS_CODES, createServer } from "node:http"
import { isIP } from "node:net"
import type { Duplex } from "node:stream"
import { WebSocketServer, createWebSocketStream } from "ws"
import { showText } from "../chain/shown-text.ts"
import type { RefusedReason } from "./counters.ts"
import type { BrokerLimits } from "./limits.ts"

const headerSizeMax = 8 * 1024
/** A message may hold several packets [MQTT-6.0.0-2]; it is buffered whole before the gate sees its first byte. */
const messageSlack = 64 * 1024

export interface UpgraderOptions {
  readonly limits: Pick<BrokerLimits, "packetSizeMax">
  /** Origins of web pages that may connect, as browsers write them. */
  readonly origins: ReadonlySet<string>
}

/**
 * An HTTP server that is given its connections (`emit("connection", socket)`) and does nothing but upgrade them. Any
 * path will do.
 *
 * @param upgraded `carrier` is the connection that was given, `stream` what MQTT is spoken on
 */
export function makeUpgrader(
  { limits, origins }: UpgraderOptions,
  refused: (reason: RefusedReason, detail?: string) => void,
  upgraded: (carrier: Duplex, stream: Duplex) => void,
): Server {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.packetSizeMax + messageSlack,
    handleProtocols: () => "mqtt", // [MQTT-6.0.0-4]
  })

  function decline(
    socket: Duplex,
    status: number,
    reason: RefusedReason = "websocket",
    detail?: string,
  ): void {
    refused(reason, detail)
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
    socket.end(head, () => socket.destroy())
  }

  sockets.on("wsClientError", (_error, socket) => decline(socket, 400))

  const server = createServer({ maxHeaderSize: headerSizeMax }, (_request, response) => {
    refused("websocket")
    response.writeHead(426, { connection: "close", upgrade: "websocket" }).end()
  })
  server.on("clientError", (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    // Who opens a connection and closes it without a word did nothing wrong.
    if (error.rawPacket === undefined) socket.destroy()
    else decline(socket, 400)
  })
  server.on("upgrade", (request, carrier, head) => {
    carrier.on("error", () => {})
    if (!isOriginAllowed(request, origins)) {
      const detail = `a web page of ${showText(request.headers.origin ?? "")} may not connect: name it with --ws-origin if it is meant to`
      decline(carrier, 403, "websocket-origin", detail)
      return
    }
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((each) => each.trim())
    // [MQTT-6.0.0-3]
    if (!offered.includes("mqtt")) {
      decline(carrier, 400)
      return
    }
    sockets.handleUpgrade(request, carrier, head, (socket) => {
      // Before the stream's own listeners: what it destroys they do not pass on.
      socket.on("message", (_bytes, isBinary) => {
        if (isBinary || stream.destroyed) return
        refused("websocket") // [MQTT-6.0.0-1]
        stream.destroy()
      })
      socket.on("error", (error: NodeJS.ErrnoException) => {
        if (stream.destroyed || error.code?.startsWith("WS_ERR") !== true) return
        const isTooLarge = error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"
        refused(isTooLarge ? "packet-too-large" : "websocket")
      })
      const stream = createWebSocketStream(socket)
      stream.on("error", () => {})
      upgraded(carrier, stream)
    })
  })
  return server
}

/**
 * Browsers say with each upgrade which page asks for it (RFC 6455 §4.1, §10.2), and let any page ask: without this a page
 * on the web could be a device of the machine that it is read on. Devices send no Origin.
 */
export function isOriginAllowed(
  { headers: { origin, host } }: Pick<IncomingMessage, "headers">,
  origins: ReadonlySet<string>,
): boolean {
  if (origin === undefined || origins.has(origin)) return true
  const page = URL.canParse(origin) ? new URL(origin) : null
  if (page === null || host === undefined || !URL.canParse(`${page.protocol}//${host}`)) return false
  const own = new URL(`${page.protocol}//${host}`)
  // A name of the web may point at this machine, and its page would name it in both headers. So a name is allowed by the
  // option only, and an address is its own.
  return page.host === own.host && (own.hostname === "localhost" || isAddress(own.hostname))
}

function isAddress(hostname: string): boolean {
  return isIP(hostname.replace(/^\[(.*)\]$/, "$1")) !== 0
}

/** MQTT over WebSocket (MQTT 3.1.1 §6): the upgrade, and the stream of bytes behind it. */
import { type Server, STATUS_CODES, createServer } from "node:http"
import type { Duplex } from "node:stream"
import { WebSocketServer, createWebSocketStream } from "ws"
import type { RefusedReason } from "./counters.ts"
import type { BrokerLimits } from "./limits.ts"

const headerSizeMax = 8 * 1024
/** A message may hold several packets [MQTT-6.0.0-2]; it is buffered whole before the gate sees its first byte. */
const messageSlack = 64 * 1024

/**
 * An HTTP server that is given its connections (`emit("connection", socket)`) and does nothing but upgrade them. Any
 * path will do.
 *
 * @param upgraded `carrier` is the connection that was given, `stream` what MQTT is spoken on
 */
export function makeUpgrader(
  limits: BrokerLimits,
  refused: (reason: RefusedReason) => void,
  upgraded: (carrier: Duplex, stream: Duplex) => void,
): Server {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.packetSizeMax + messageSlack,
    handleProtocols: () => "mqtt", // [MQTT-6.0.0-4]
  })

  function decline(socket: Duplex, status: number): void {
    refused("websocket")
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

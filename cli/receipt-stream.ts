/** `GET /v1/receipts[?device=ID]`: newline-delimited JSON, for readers on this machine. */
import type { IncomingMessage, ServerResponse } from "node:http"
import { isIP } from "node:net"
import { devicePattern } from "../chain/statement.ts"
import type { ReceiptFeed, Told } from "./receipt-feed.ts"

/** One line of the stream. `dropped` is the last one: the reader was too slow. An empty line says that nothing happened. */
export type ReceiptLine =
  | { readonly kind: "listening"; readonly device: string | null }
  | Told
  | { readonly kind: "dropped"; readonly rule: string }

export interface StreamLimits {
  /** Bytes that wait for a slow reader. */
  readonly bufferedBytesMax: number
  readonly readersMax: number
  /** An empty line so often, so that a reader that is gone is noticed. */
  readonly idleMsMax: number
  /** So long a reader that was dropped has to read that it was. */
  readonly partingMsMax: number
}

const limitsDefault: StreamLimits = {
  bufferedBytesMax: 256 * 1024,
  readersMax: 16,
  idleMsMax: 15_000,
  partingMsMax: 5_000,
}

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void

export function makeReceiptStream(feed: ReceiptFeed, changed: Partial<StreamLimits> = {}): RequestHandler {
  const limits = { ...limitsDefault, ...changed }
  return (request, response) => {
    const refuse = (status: number, error: string): void => {
      response
        .writeHead(status, { "content-type": "application/json", "cache-control": "no-store" })
        .end(`${JSON.stringify({ error })}\n`)
    }
    if (!isFromHere(request)) {
      refuse(403, "receipts are shown on this machine only: connect from 127.0.0.1, by that name")
      return
    }
    const device = new URL(request.url ?? "/", "http://localhost").searchParams.get("device")
    if (device !== null && !devicePattern.test(device)) {
      refuse(400, `a device id must match ${devicePattern.source}`)
      return
    }
    if (feed.listenerCount >= limits.readersMax) {
      refuse(503, `at most ${limits.readersMax} readers at a time`)
      return
    }
    response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" })
    const write = (line: ReceiptLine): void => {
      response.write(`${JSON.stringify(line)}\n`)
    }
    const stop = feed.listen(device, (told) => {
      write(told)
      if (response.writableLength > limits.bufferedBytesMax) drop()
    })
    const idle = setInterval(() => {
      response.write("\n")
      if (response.writableLength > limits.bufferedBytesMax) drop()
    }, limits.idleMsMax)
    const end = (): void => {
      stop()
      clearInterval(idle)
    }
    const drop = (): void => {
      end()
      write({ kind: "dropped", rule: `over ${limits.bufferedBytesMax} bytes wait for you: read faster` })
      response.end()
      const late = setTimeout(() => response.destroy(), limits.partingMsMax)
      response.once("close", () => clearTimeout(late))
    }
    response.once("close", end)
    response.on("error", end)
    write({ kind: "listening", device })
  }
}

/** By its address, and by the name that it asked for: a page on the web may point a name of its own at 127.0.0.1. */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const name = (headers.host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1")
  return isLoopback(socket.remoteAddress ?? "") && (name === "localhost" || isLoopback(name))
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "")
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."))
}

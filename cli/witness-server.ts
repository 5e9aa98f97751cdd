/** A witness over HTTP or HTTPS: two routes of C2SP tlog-witness, a page that says what it has seen, health and metrics. */
import { type IncomingMessage, type RequestListener, type ServerResponse, createServer } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Server } from "node:net"
import { Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client"
import { addCheckpointSizeMax } from "../chain/tlog-witness.ts"
import type { Witness, WitnessAnswer } from "../verify/witness.ts"
import type { TlsFiles } from "./tls-files.ts"
import { readTlsFiles } from "./tls-files.ts"
import { type SeenLog, formatWitnessPage, pagePolicy } from "./witness-page.ts"

export interface WitnessServerOptions {
  readonly witness: Witness
  readonly counts: WitnessCounts
  /** The logs with what was found about them, for the page. */
  readonly listLogs: () => Promise<readonly SeenLog[]>
  /** A split view of a log, by the hash of its origin and the view's name; null where there is none. */
  readonly readSplit: (hash: string, name: string) => Promise<string | null>
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  readonly tls?: TlsFiles
  readonly nowMs: () => number
  /** A request that could not be answered: our mistake, or the disk's. */
  readonly onFault: (error: Error) => void
}

export interface WitnessServer {
  readonly port: number
  readonly scheme: "http" | "https"
  /** Reads certificate and key again. Rejects where they cannot be used; the old ones stay. */
  reloadTls(): Promise<void>
  close(): Promise<void>
}

/** Requests by what became of them. */
export class WitnessCounts {
  readonly registry = new Registry()
  private readonly requests = new Counter({
    name: "tidemark_witness_requests_total",
    help: "Requests to cosign a checkpoint, by what became of them.",
    labelNames: ["verdict"],
    registers: [this.registry],
  })
  private readonly cosigned = new Gauge({
    name: "tidemark_witness_cosigned_timestamp_seconds",
    help: "When a checkpoint was cosigned for the last time.",
    registers: [this.registry],
  })
  private readonly counts = new Map<string, number>()

  constructor() {
    collectDefaultMetrics({ register: this.registry })
    for (const kind of kinds) this.requests.inc({ verdict: kind }, 0)
  }

  judged(kind: WitnessAnswer["kind"], nowMs: number): void {
    this.requests.inc({ verdict: kind })
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    if (kind === "cosign") this.cosigned.set(Math.floor(nowMs / 1000))
  }

  /** Since this process started. */
  get all(): ReadonlyMap<string, number> {
    return this.counts
  }
}

const kinds: readonly WitnessAnswer["kind"][] = [
  "cosign",
  "malformed",
  "unknown-log",
  "unsigned",
  "shrinking",
  "conflict",
  "inconsistent",
]

const requestMsMax = 15_000
const connectionsMax = 500

export async function startWitnessServer(options: WitnessServerOptions): Promise<WitnessServer> {
  const { host, port, tls } = options
  const limits = {
    requestTimeout: requestMsMax,
    headersTimeout: requestMsMax,
    connectionsCheckingInterval: 1_000,
  }
  const listener = answerEach(options)
  let setTls: (() => Promise<void>) | null = null
  let server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>
  if (tls === undefined) server = createServer(limits, listener)
  else {
    const read = async () => {
      const { cert, key } = (await readTlsFiles(tls)).tls
      return { cert: Buffer.from(cert), key: Buffer.from(key) }
    }
    const secure = createTlsServer(
      { ...limits, ...(await read()), minVersion: "TLSv1.2", handshakeTimeout: 10_000 },
      listener,
    )
    setTls = async () => secure.setSecureContext(await read())
    server = secure
  }
  server.maxConnections = connectionsMax
  server.on("clientError", (_error, socket) => {
    if (socket.writable)
      socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    else socket.destroy()
  })
  await listen(server, host, port)
  return {
    port: (server.address() as AddressInfo).port,
    scheme: tls === undefined ? "http" : "https",
    reloadTls: async () => setTls?.(),
    close: () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      setTimeout(() => server.closeAllConnections(), 1_000).unref()
      return closed
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port }, () => {
      server.off("error", reject)
      resolve()
    })
  })
}

interface Reply {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

const text = "text/plain; charset=utf-8"
const plain = (status: number, body: string, headers: Reply["headers"] = {}): Reply => ({
  status,
  contentType: text,
  body: `${body}\n`,
  headers,
})

function answerEach(options: WitnessServerOptions): RequestListener {
  return (request, response) => {
    answer(request, options).then(
      (reply) => send(request, response, reply),
      (error: unknown) => {
        // Whoever hung up in the middle of a body is no fault of ours.
        if (!request.complete && request.destroyed) return
        options.onFault(error as Error)
        send(request, response, plain(500, "the witness could not record it, and cosigns nothing"))
      },
    )
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, contentType, body, headers }: Reply,
): void {
  const bytes = Buffer.from(body)
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": bytes.length,
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    // A body that is not read to its end would be taken for the next request.
    ...(request.complete ? {} : { connection: "close" }),
    ...headers,
  })
  response.end(request.method === "HEAD" ? undefined : bytes)
}

async function answer(request: IncomingMessage, options: WitnessServerOptions): Promise<Reply> {
  const { witness, counts, listLogs, readSplit, nowMs } = options
  const [path] = (request.url ?? "/").split("?")
  if (path === "/add-checkpoint") {
    if (request.method !== "POST") return plain(405, "POST a checkpoint", { allow: "POST" })
    const body = await readBody(request)
    if (body === null) {
      counts.judged("malformed", nowMs())
      return plain(413, `a request has at most ${addCheckpointSizeMax} bytes`)
    }
    return witness.addCheckpoint(body)
  }
  if (request.method !== "GET" && request.method !== "HEAD")
    return plain(405, "GET only", { allow: "GET, HEAD" })
  const [, hash, name] = /^\/([0-9a-f]{64})\/(?:checkpoint|splits\/(\d+-\d+))$/.exec(path!) ?? []
  if (hash !== undefined) {
    const found = name === undefined ? await witness.readCheckpoint(hash) : await readSplit(hash, name)
    return found === null
      ? plain(404, "there is nothing of such a log here")
      : { status: 200, contentType: text, body: found }
  }
  switch (path) {
    case "/":
      return {
        status: 200,
        contentType: "text/html; charset=utf-8",
        headers: { "content-security-policy": pagePolicy },
        body: formatWitnessPage({
          cosigner: witness.cosigner,
          logs: await listLogs(),
          counts: counts.all,
          nowMs: nowMs(),
        }),
      }
    case "/logs.json":
      return { status: 200, contentType: "application/json", body: `${JSON.stringify(await listLogs())}\n` }
    case "/healthz":
      return {
        status: 200,
        contentType: "application/json",
        body: `${JSON.stringify({ status: "alive", pid: process.pid })}\n`,
      }
    case "/metrics":
      return {
        status: 200,
        contentType: counts.registry.contentType,
        body: await counts.registry.metrics(),
      }
    default:
      return plain(
        404,
        "there are /add-checkpoint, /<origin hash>/checkpoint, /, /logs.json, /healthz, /metrics",
      )
  }
}

/** Null where it is too large; then the rest is not read. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | null> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length
    if (size > addCheckpointSizeMax) return null
    pieces.push(piece)
  }
  return new Uint8Array(Buffer.concat(pieces))
}

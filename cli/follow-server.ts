/** What a follower shows others: the copy as C2SP tlog-tiles under `/log/`, the proofs of a split, and how it stands. */
import { readFile } from "node:fs/promises"
import { type IncomingMessage, type ServerResponse, createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { basename, join } from "node:path"
import { formatTilePath, parseTilePath } from "../chain/tile-path.ts"
import type { Mirror } from "../verify/mirror.ts"

export interface FollowServerOptions {
  readonly mirror: Mirror
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** For `/healthz`: whether all is well, and what there is to say. */
  readonly status: () => { readonly isWell: boolean; readonly said: Readonly<Record<string, unknown>> }
}

export interface FollowServer {
  readonly port: number
  close(): Promise<void>
}

interface Reply {
  readonly status: number
  readonly type: string
  readonly cache: string
  readonly body: Uint8Array | string
}

/** As the log serves them: a tile's name says how many leaves it covers, and a checkpoint changes. */
const forever = "public, max-age=31536000, immutable"
const asked = "no-cache"
const text = "text/plain; charset=utf-8"

export async function startFollowServer(options: FollowServerOptions): Promise<FollowServer> {
  const { host, port } = options
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    answer(request, options).then(
      (reply) => send(request, response, reply),
      () => send(request, response, plain(500, "the file cannot be read")),
    )
  })
  server.maxConnections = 500
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port }, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function plain(status: number, body: string): Reply {
  return { status, type: text, cache: asked, body: `${body}\n` }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, cache, body }: Reply,
): void {
  const bytes = Buffer.from(body)
  response.writeHead(status, {
    "content-type": type,
    "content-length": bytes.length,
    "cache-control": cache,
    "access-control-allow-origin": "*",
    "x-content-type-options": "nosniff",
    // A body that nobody reads would be taken for the next request.
    ...(request.method === "GET" || request.method === "HEAD" ? {} : { connection: "close" }),
  })
  response.end(request.method === "HEAD" ? undefined : bytes)
}

async function answer(request: IncomingMessage, options: FollowServerOptions): Promise<Reply> {
  const { mirror, status } = options
  if (request.method !== "GET" && request.method !== "HEAD") return plain(405, "there is only to read here")
  const path = (request.url ?? "/").split("?")[0]!
  if (path === "/healthz") {
    const { isWell, said } = status()
    const body = `${JSON.stringify(said)}\n`
    return { status: isWell ? 200 : 503, type: "application/json", cache: asked, body }
  }
  if (path === "/log/checkpoint") {
    const note = await mirror.readMirrored()
    return note === null
      ? plain(404, "nothing is copied yet")
      : { status: 200, type: text, cache: asked, body: note }
  }
  if (path === "/") return { status: 200, type: text, cache: asked, body: await describe(options) }
  if (path.startsWith("/split-views/")) {
    // Only a name that the folder lists: a path of the asker's is never opened.
    const found = (await mirror.listSplitViews()).find((one) => `/split-views/${basename(one)}` === path)
    return found === undefined
      ? plain(404, "there is no such file")
      : { status: 200, type: text, cache: asked, body: await readFile(found) }
  }
  const place = path.startsWith("/log/") ? parseTilePath(path.slice("/log/".length)) : null
  const file =
    place === null ? null : await readFile(join(mirror.logFolder, formatTilePath(place))).catch(() => null)
  return file === null
    ? plain(404, "there is no such file")
    : { status: 200, type: "application/octet-stream", cache: forever, body: file }
}

async function describe({ mirror, status }: FollowServerOptions): Promise<string> {
  const splits = await mirror.listSplitViews()
  return [
    `A copy of the log ${(await mirror.readKey())?.trimEnd() ?? ""}`,
    "",
    "  /log/checkpoint, /log/tile/...   the copy (c2sp.org/tlog-tiles)",
    ...splits.map((path) => `  /split-views/${basename(path)}   THE LOG HAS SIGNED TWO HISTORIES: the proof`),
    "  /healthz                         how it stands",
    "",
    JSON.stringify(status().said, null, 2),
    "",
  ].join("\n")
}

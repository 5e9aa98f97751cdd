/** The page as static files, under a policy that lets it load, run and ask for nothing but what stands here. */
import { createHash } from "node:crypto"
import { readFile, readdir } from "node:fs/promises"
import { extname, join } from "node:path"
import { promisify } from "node:util"
import { gzip } from "node:zlib"
import type { FastifyPluginAsync } from "fastify"

export interface PageOptions {
  /** Folders as `npm run build` leaves them, each under a path that ends with a slash. */
  readonly folders: readonly { readonly path: string; readonly folder: string }[]
  readonly facts: PageFacts
}

/** What the page asks for at `/page.json`. */
export interface PageFacts {
  readonly origin: string
  /** C2SP signed-note verifier key of the checkpoints. */
  readonly vkey: string
  /** Whether `/demo/tamper` is there. */
  readonly tamper: boolean
}

interface PageFile {
  readonly type: string
  readonly bytes: Uint8Array
  readonly gzipped: Uint8Array | null
  readonly etag: string
  /** The page's, or null where a page brings its own and stricter one: the offline verifier. */
  readonly policy: string | null
  /** Its name changes with its content. */
  readonly isForever: boolean
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
}

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ")

const ownPolicy = 'http-equiv="Content-Security-Policy"'

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tidemark</title>
<p>The page is not built here: <code>npm run build</code> makes it. The API is at <a href="/docs">/docs</a>.</p></html>
`

export const pageRoutes: FastifyPluginAsync<PageOptions> = async (app, { folders, facts }) => {
  const method = ["GET", "HEAD"]
  const schema = { hide: true }
  const files = new Map<string, PageFile>()
  for (const { path, folder } of folders) await readFolder(files, path, folder)
  const index = files.get("/index.html")
  if (index !== undefined) files.set("/", index)
  for (const [url, file] of files) {
    app.route({
      method,
      url,
      schema,
      handler: async (request, reply) => {
        reply
          .header("content-type", file.type)
          .header("etag", file.etag)
          .header("cache-control", file.isForever ? "public, max-age=31536000, immutable" : "no-cache")
          .header("cross-origin-opener-policy", "same-origin")
          .header("vary", "accept-encoding")
        if (file.policy !== null) reply.header("content-security-policy", file.policy)
        if (request.headers["if-none-match"] === file.etag) return reply.code(304).send()
        if (file.gzipped === null || !/\bgzip\b/.test(request.headers["accept-encoding"] ?? ""))
          return reply.send(file.bytes)
        return reply.header("content-encoding", "gzip").send(file.gzipped)
      },
    })
  }
  if (index === undefined) {
    app.route({
      method,
      url: "/",
      schema,
      handler: async (_request, reply) => reply.header("content-type", types[".html"]!).send(notBuilt),
    })
  }
  app.route({ method, url: "/page.json", schema, handler: async () => facts })
}

const compress = promisify(gzip)

/** Read once: they are some hundred kilobytes, and a path in a request is only ever looked up. */
async function readFolder(files: Map<string, PageFile>, path: string, folder: string): Promise<void> {
  const items = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const item of items) {
    if (item.isDirectory()) {
      await readFolder(files, `${path}${item.name}/`, join(folder, item.name))
      continue
    }
    const type = types[extname(item.name)]
    if (type === undefined || !item.isFile()) continue
    const bytes = await readFile(join(folder, item.name))
    files.set(`${path}${item.name}`, {
      type,
      bytes,
      gzipped: type.startsWith("font/") ? null : await compress(bytes),
      etag: `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}"`,
      policy: type.startsWith("text/html") && includesText(bytes, ownPolicy) ? null : policy,
      isForever: /-[A-Za-z0-9_-]{8}\.(?:js|css|woff2)$/.test(item.name),
    })
  }
}

function includesText(bytes: Uint8Array, text: string): boolean {
  return new TextDecoder().decode(bytes).includes(text)
}

/** A published log over HTTP that does as a test wants: an honest one unless it is told to lie. */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { type Checkpoint, signCheckpoint } from "../../chain/checkpoint.ts"
import { type Hash, hashSize } from "../../chain/hash.ts"
import { type PrivateKey, algorithmEd25519 } from "../../chain/key.ts"
import { formatEntries } from "../../chain/log-reader.ts"
import { type NoteKey, formatVkey } from "../../chain/note.ts"
import { parseTilePath } from "../../chain/tile-path.ts"
import { tileWidth } from "../../chain/tile.ts"
import { PublishedTree, entryOfLeaf } from "../chain/published-tree.ts"
import { testKey, vectorOrigin } from "../vectors/keys.ts"

export const servedKey: PrivateKey = testKey(algorithmEd25519, "served log")
export const servedLog: NoteKey = { name: vectorOrigin, publicKey: servedKey.publicKey }
export const servedVkey = formatVkey(servedLog)

/** Answers itself, and says so; false: as an honest log would. */
export type Lie = (path: string, response: ServerResponse) => boolean | Promise<boolean>

export class LogServer {
  /** What is served: of a history, so many leaves. */
  published: PublishedTree
  size: number
  lie: Lie = () => false
  /** What it says of its own keys; null: nothing. */
  policy: string | null = `log ${servedVkey}\nquorum none\n`
  /** Paths under the prefix, in order. */
  readonly asked: string[] = []
  private readonly server = createServer((request, response) => {
    this.answer(request, response).catch((error: unknown) => response.destroy(error as Error))
  })

  private constructor(published: PublishedTree, size: number) {
    this.published = published
    this.size = size
  }

  static async open(published: PublishedTree, size = published.size): Promise<LogServer> {
    const log = new LogServer(published, size)
    await new Promise<void>((resolve) => log.server.listen(0, "127.0.0.1", resolve))
    return log
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  note(checkpoint: Partial<Checkpoint> = {}, key = servedKey): string {
    return signCheckpoint({ origin: vectorOrigin, ...this.published.head(this.size), ...checkpoint }, key)
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.server.closeAllConnections()
    await closed
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.slice(1)
    this.asked.push(path)
    if (await this.lie(path, response)) return
    const texts: Readonly<Record<string, string | null>> = { checkpoint: this.note(), policy: this.policy }
    const body = path in texts ? texts[path] : await this.read(path)
    if (body == null) response.writeHead(404).end()
    else response.end(body)
  }

  private async read(path: string): Promise<Uint8Array | null> {
    const place = parseTilePath(path)
    if (place === null) return null
    const { index, width } = place
    const level = place.kind === "tile" ? place.level : 0
    if ((index * tileWidth + width) * tileWidth ** level > this.size) return null
    if (place.kind === "tile") return this.published.readTile(level, index, width)
    return formatEntries(this.published.entries.slice(index * tileWidth, index * tileWidth + width))
  }
}

/** A history of the log that others part from. */
export function grow(size: number): PublishedTree {
  return new PublishedTree(size)
}

/** Another history, the same up to a leaf. */
export function growElsewhere(size: number, from: number): PublishedTree {
  return new PublishedTree(size, (leaf): Hash => entryOfLeaf(leaf < from ? leaf : leaf + 1_000_000))
}

/** Bytes with one bit of another value. */
export function flip(bytes: Uint8Array, at = bytes.length - hashSize): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[at]! ^= 1
  return changed
}

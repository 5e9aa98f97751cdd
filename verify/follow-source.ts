/**
 * A published log over HTTP (C2SP tlog-tiles). What it answers is another organisation's: each answer is bounded in size
 * and in time, no redirect is followed, and nothing is believed here.
 */
import { hashSize } from "../chain/hash.ts"
import { LogFault, type TileReader, entryRecordSize } from "../chain/log-reader.ts"
import { type LogPlace, formatTilePath } from "../chain/tile-path.ts"
import { tileWidth } from "../chain/tile.ts"

/** The log cannot be reached now, or has said that it cannot answer now: nobody is accused, and it is asked again later. */
export class LogAway extends Error {
  override readonly name = "LogAway"
}

/** Where a log's checkpoint and tiles are read from. */
export interface LogSource extends TileReader {
  /** A signed note, in UTF-8. */
  readCheckpoint(): Promise<Uint8Array>
}

export interface SourceLimits {
  /** From the first byte sent to the last one that came, in ms. */
  readonly timeoutMs: number
  /** Between tries, where the log is away; none where there is no second try. */
  readonly waitsMs: readonly number[]
  readonly wait: (ms: number) => Promise<void>
}

/** 100 signatures of the longest kind in use, ML-DSA-44, are 330 KB. */
const noteSizeMax = 524_288
const policySizeMax = 65_536

export class HttpLog implements LogSource {
  /** Ends with a slash. */
  readonly prefix: string
  private readonly limits: SourceLimits

  /** @param prefix under which `checkpoint` stands, with or without a slash */
  constructor(prefix: string, limits: SourceLimits) {
    this.prefix = prefix.endsWith("/") ? prefix : `${prefix}/`
    this.limits = limits
  }

  /**
   * The log at this address, under the first of some folders that has a checkpoint.
   *
   * @param folders below the address: itself, and that of a Tidemark service; each ends with a slash
   * @throws LogAway, LogFault where there is none
   */
  static async find(
    url: string,
    limits: SourceLimits,
    folders: readonly string[] = ["", "log/"],
  ): Promise<HttpLog> {
    const { prefix } = new HttpLog(url, limits)
    for (const folder of folders) {
      const log = new HttpLog(`${prefix}${folder}`, limits)
      if ((await log.get("checkpoint", noteSizeMax)) !== null) return log
    }
    throw new LogAway(`no checkpoint of a log is at ${folders.map((folder) => prefix + folder).join(" or ")}`)
  }

  async readCheckpoint(): Promise<Uint8Array> {
    const note = await this.get("checkpoint", noteSizeMax)
    // A log that has sealed no block yet has none.
    if (note === null) throw new LogAway(`${this.prefix}checkpoint is not there (404)`)
    return note
  }

  /** What the log says of its own keys, a C2SP tlog-policy; null where it says nothing. Whoever uses it, trusts it. */
  async readPolicy(): Promise<Uint8Array | null> {
    return this.get("policy", policySizeMax)
  }

  readTile(level: number, index: number, width: number): Promise<Uint8Array> {
    return this.readPlace({ kind: "tile", level, index, width }, hashSize)
  }

  readEntries(index: number, width: number): Promise<Uint8Array> {
    return this.readPlace({ kind: "entries", index, width }, entryRecordSize)
  }

  private async readPlace(place: LogPlace, itemSize: number): Promise<Uint8Array> {
    const partial = await this.get(formatTilePath(place), place.width * itemSize, place)
    // C2SP tlog-tiles: a partial tile may be deleted when the full one is there.
    const bytes =
      partial !== null || place.width === tileWidth
        ? partial
        : await this.get(formatTilePath({ ...place, width: tileWidth }), tileWidth * itemSize, place)
    if (bytes === null) throw new LogFault(place, "is not there (404)")
    if (bytes.length < place.width * itemSize)
      throw new LogFault(place, `has ${bytes.length} bytes, and is cut off`)
    return bytes.subarray(0, place.width * itemSize)
  }

  /** Null where it is not there. */
  private async get(path: string, sizeMax: number, place: LogPlace | "checkpoint" = "checkpoint") {
    for (const waitMs of this.limits.waitsMs) {
      try {
        return await this.getOnce(path, sizeMax, place)
      } catch (error) {
        if (!(error instanceof LogAway)) throw error
        await this.limits.wait(waitMs)
      }
    }
    return this.getOnce(path, sizeMax, place)
  }

  private async getOnce(
    path: string,
    sizeMax: number,
    place: LogPlace | "checkpoint",
  ): Promise<Uint8Array | null> {
    const { timeoutMs } = this.limits
    const url = `${this.prefix}${path}`
    const abort = new AbortController()
    // Over the whole answer: what trickles is as silent as what does not come.
    const timer = setTimeout(() => abort.abort(), timeoutMs)
    try {
      const response = await fetch(url, {
        redirect: "manual",
        signal: abort.signal,
        headers: { accept: "*/*", "accept-encoding": "identity" },
      })
      const { status } = response
      if (status === 404 || status === 410) return null
      if (status >= 300 && status < 400)
        throw new LogFault(place, `is answered with a redirect (${status}), and none is followed`)
      if (status === 408 || status === 425 || status === 429 || status >= 500)
        throw new LogAway(`${url} is answered with ${status}`)
      if (status !== 200) throw new LogFault(place, `is answered with ${status}`)
      return await readBody(response, sizeMax, place)
    } catch (error) {
      if (error instanceof LogAway || error instanceof LogFault) throw error
      if (abort.signal.aborted) throw new LogAway(`${url} was not answered within ${timeoutMs / 1000} s`)
      throw new LogAway(`${url} cannot be reached: ${reasonOf(error)}`, { cause: error })
    } finally {
      clearTimeout(timer)
      // What was not read is not waited for.
      abort.abort()
    }
  }
}

/** The whole body, counted as it comes and behind any encoding: a declared length is only a word. */
async function readBody(
  response: Response,
  sizeMax: number,
  place: LogPlace | "checkpoint",
): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeMax)
  let size = 0
  if (response.body === null) return bytes.subarray(0, 0)
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (size + chunk.length > sizeMax) throw new LogFault(place, `has more than ${sizeMax} bytes`)
    bytes.set(chunk, size)
    size += chunk.length
  }
  return bytes.subarray(0, size)
}

/** Node's fetch says "fetch failed", and why inside. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error & { cause?: NodeJS.ErrnoException }
  return cause?.code ?? (cause?.message || message)
}

/** Tiles from the first of two that has them. */
export function readEither(first: TileReader, second: TileReader): TileReader {
  const either = async <T>(read: (reader: TileReader) => Promise<T>): Promise<T> => {
    try {
      return await read(first)
    } catch (error) {
      if (!(error instanceof LogFault || error instanceof LogAway)) throw error
      return read(second)
    }
  }
  return {
    readTile: (level, index, width) => either((reader) => reader.readTile(level, index, width)),
    readEntries: (index, width) => either((reader) => reader.readEntries(index, width)),
  }
}

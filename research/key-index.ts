/**
 * Digests of API keys by id, kept in memory. A guessed key costs no query: ids that are not known here are looked up
 * together, one query at a time. Whether a key was revoked is not kept: the row says so at each request.
 */
import { setTimeout as pause } from "node:timers/promises"
import type { Pool } from "pg"

export interface KeyIndexLimits {
  /** From the beginning of one look-up to the next. */
  readonly betweenMs: number
  /** Ids in one query; the others wait for the next. */
  readonly idsMax: number
}

const limitsDefault: KeyIndexLimits = { betweenMs: 100, idsMax: 200 }

interface Wanted {
  readonly ids: Set<string>
  readonly done: Promise<void>
}

export class KeyIndex {
  private readonly pool: Pool
  private readonly limits: KeyIndexLimits
  private readonly digests = new Map<string, Uint8Array>()
  private readonly waiting: Wanted[] = []
  private last: Promise<unknown> = Promise.resolve()
  private startedMs = -Infinity
  /** Queries so far. */
  lookUps = 0

  constructor(pool: Pool, limits: Partial<KeyIndexLimits> = {}) {
    this.pool = pool
    this.limits = { ...limitsDefault, ...limits }
  }

  has(id: string): boolean {
    return this.digests.has(id)
  }

  /** The SHA-256 of the key with this id; null where there is none. A key that was just made is found. */
  async find(id: string): Promise<Uint8Array | null> {
    const known = this.digests.get(id)
    if (known !== undefined) return known
    const open = this.waiting.findLast(({ ids }) => ids.has(id) || ids.size < this.limits.idsMax)
    const wanted = open ?? this.plan()
    wanted.ids.add(id)
    await wanted.done
    return this.digests.get(id) ?? null
  }

  /** A look-up that begins after those that are planned. */
  private plan(): Wanted {
    const ids = new Set<string>()
    const done = this.last.then(
      () => this.lookUp(ids),
      () => this.lookUp(ids),
    )
    const wanted = { ids, done }
    this.last = done
    // Those who wait for it report its failure.
    done.catch(() => {})
    this.waiting.push(wanted)
    return wanted
  }

  private async lookUp(ids: ReadonlySet<string>): Promise<void> {
    const earlyMs = this.startedMs + this.limits.betweenMs - performance.now()
    if (earlyMs > 0) await pause(earlyMs)
    this.startedMs = performance.now()
    // From here on an id comes too late for this query.
    this.waiting.shift()
    this.lookUps += 1
    const { rows } = await this.pool.query<{ key_id: string; digest: Buffer }>(
      "select key_id, digest from api_keys where key_id = any($1)",
      [[...ids]],
    )
    for (const { key_id: id, digest } of rows) this.digests.set(id, Uint8Array.from(digest))
  }
}

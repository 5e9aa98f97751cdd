/**
 * The way in: messages of all connections, in order of arrival, through check and group commit to their answers. Two
 * stages: while one group commits, the next one's signatures are checked.
 */
import type { Pool, PoolClient } from "pg"
import { encodeReceipt } from "../chain/receipt.ts"
import type { DeviceRecord } from "../chain/device.ts"
import { type Verdict, isRefusal, verdictCodes } from "../chain/verdict.ts"
import { type Decoded, checkCandidate, decodeCandidate, findCandidateKey } from "./candidate.ts"
import { type GroupItem, type Outcome, type PlaceState, commitGroup } from "./group.ts"
import { type IngestKeys, digestKeyOf } from "./log-keys.ts"
import { readDevices } from "./registry.ts"
import { type Verifier, verifierHere } from "./verifier.ts"

/** What a connection says. The same shape as the broker's `Message`: `cli/` hands one to the other. */
export type IntakeMessage =
  | { readonly kind: "statement"; readonly bytes: Uint8Array }
  | { readonly kind: "too-large"; readonly sizeBytes: number }
  | { readonly kind: "question" }

export type IntakeAnswer =
  | {
      readonly kind: "receipt"
      readonly code: number
      readonly receipt: Uint8Array
      readonly refused: boolean
      /** Which rule spoke, with its numbers: for people, not for the device. */
      readonly rule: string
      /** Acknowledged like any other, and then the connection closes: the device's next key stands. */
      readonly closes?: true
    }
  | { readonly kind: "dropped" }

export interface IntakePlace {
  submit(message: IntakeMessage): Promise<IntakeAnswer>
  close(): void
}

/** What happened, for counters and logs; never a value, key or payload. */
export interface IntakeEvents {
  /** After the commit. `rule` says why, with numbers. */
  judged?(device: string, verdict: Verdict, rule: string, seq: number | null, readings: number): void
  answeredQuestion?(verdict: Verdict): void
  dropped?(): void
  /** A group has committed. */
  committed?(statements: number, tookMs: number): void
  /** The database did not take a group: it is kept and tried again. Called for each failure, and with null when it works again. */
  troubled?(error: Error | null): void
}

export interface IntakeOptions {
  readonly pool: Pool
  /** Of the log: for `signed_digest`, and to answer devices that ask for their next key. */
  readonly keys: IngestKeys
  readonly events?: IntakeEvents
  /** By whom signatures are checked; on this thread by default. */
  readonly verifier?: Verifier
  /** For tests: called just before a group's transaction. */
  readonly beforeCommit?: (items: number) => Promise<void>
  /** How long `close` waits for a database that is away; 10 s by default. */
  readonly closingMsMax?: number
  /** Waits this long before a try again; a test passes its own. */
  readonly wait?: (ms: number) => Promise<void>
}

export interface Intake {
  open(device: string): IntakePlace
  /** Messages that have no answer yet. */
  waiting(): number
  /**
   * Resolves when everything that came in has its answer; afterwards nothing more is taken. Where the database stays away
   * for 10 s, what is left is dropped: neither judged nor acknowledged, and its devices send it again.
   */
  close(): Promise<void>
}

interface Entry {
  readonly place: PlaceState
  readonly decoded: Decoded | { readonly kind: "question" }
  /** Counts messages in order of arrival. */
  readonly arrival: number
  /** Waits for the operator's chain, or stands behind one of its connection that does. */
  isPostponed: boolean
  answer(answer: IntakeAnswer): void
}

/** A group is at most this large: a transaction of 2,000 statements of 60 readings takes some 50 ms. */
const groupItemsMax = 2_000
const groupBytesMax = 16 * 1024 * 1024
/**
 * What one device brings to a group: 100 statements of 600 bytes, or one of the largest. Beside a device that floods with
 * statements of 60 KB, PUBACKs of others took 2,100 ms (p95) without this.
 */
const deviceBytesMax = 64 * 1024
/**
 * So many signatures are handed over at once. While the next are checked, the main thread reads the payloads of these,
 * and is never away from its sockets for longer than that takes.
 */
const partItemsMax = 64
/** The payloads of so many bytes are read in some 4 ms; 64 statements of the largest size would take 60. */
const partBytesMax = 256 * 1024
const recordsCachedMax = 100_000
const retryMsMin = 50
const retryMsMax = 2_000
const postponedMs = 10
/** A database that does not come back does not keep the service from ending: nothing of this was acknowledged. */
const closingMsMaxDefault = 10_000

/** The service ends, and the database is still away. */
class GivenUp extends Error {
  override readonly name = "GivenUp"
}

export function openIntake(options: IntakeOptions): Intake {
  const { pool, keys, events = {}, verifier = verifierHere, closingMsMax = closingMsMaxDefault } = options
  const digestKey = digestKeyOf(keys)
  const wait = options.wait ?? ((ms: number) => new Promise<void>((done) => void setTimeout(done, ms)))
  const queue: Entry[] = []
  const records = new Map<string, DeviceRecord | null>()
  let waiting = 0
  let arrivals = 0
  let closingAtMs: number | null = null
  let isTroubled = false
  let wake: (() => void) | null = null

  const running = run()

  return {
    open: (device) => {
      const place: PlaceState = { device, epoch: null, isStopped: false }
      return {
        submit: (message) => submit(place, message),
        // What it sent before it went is judged all the same: a QoS 0 client publishes and leaves.
        close: () => {},
      }
    },
    waiting: () => waiting,
    close: async () => {
      closingAtMs ??= performance.now()
      wake?.()
      await running
    },
  }

  function submit(place: PlaceState, message: IntakeMessage): Promise<IntakeAnswer> {
    if (closingAtMs !== null || place.isStopped) return Promise.resolve({ kind: "dropped" })
    return new Promise((resolve) => {
      waiting += 1
      queue.push({
        place,
        decoded: decodeMessage(place.device, message),
        arrival: (arrivals += 1),
        isPostponed: false,
        answer: (answer) => {
          waiting -= 1
          resolve(answer)
        },
      })
      wake?.()
    })
  }

  async function run(): Promise<void> {
    let committing: Promise<void> = Promise.resolve()
    for (;;) {
      if (queue.length === 0) {
        await committing
        if (queue.length === 0) {
          if (closingAtMs !== null) return
          await new Promise<void>((resolve) => (wake = resolve))
          continue
        }
      }
      const group = takeGroup()
      // A seal holds the operator's chain until its block is committed: asked for again and again, not in a spin.
      if (group.every(({ isPostponed }) => isPostponed)) await wait(postponedMs)
      const checked = await check(group)
      await committing
      committing = settle(group, checked)
    }
  }

  /**
   * In order of arrival, but of each device only its share: the rest waits for the next group, behind nobody else. So a
   * device that floods with large statements lengthens a group by its share, and not by all that it has in flight.
   */
  function takeGroup(): Entry[] {
    const shares = new Map<string, number>()
    const taken: Entry[] = []
    const left: Entry[] = []
    let bytes = 0
    let at = 0
    for (; at < queue.length && taken.length < groupItemsMax && bytes < groupBytesMax; at++) {
      const entry = queue[at]!
      const { device } = entry.place
      const size = sizeOf(entry)
      const before = shares.get(device) ?? 0
      // One is always taken. A device's later messages stay behind those that wait: its order is kept.
      const isOver = before > 0 && before + size > deviceBytesMax
      shares.set(device, isOver ? Infinity : before + size)
      if (isOver) left.push(entry)
      else {
        taken.push(entry)
        bytes += size
      }
    }
    for (const [index, entry] of left.entries()) queue[at - left.length + index] = entry
    queue.splice(0, taken.length)
    return taken
  }

  /** Stage one: who is it, and does the signature hold? */
  async function check(group: readonly Entry[]): Promise<GroupItem[]> {
    await loadRecords(group)
    const parts: Promise<GroupItem[]>[] = []
    for (const part of partsOf(group)) parts.push(checkPart(part))
    return (await Promise.all(parts)).flat()
  }

  async function checkPart(part: readonly Entry[]): Promise<GroupItem[]> {
    const found = part.map(({ place, decoded }) => {
      const record = records.get(place.device) ?? null
      const candidate = decoded.kind === "decoded" ? findCandidateKey(decoded.statement, record) : decoded
      return { place, record, candidate }
    })
    const keyed = found.flatMap(({ candidate }) => (candidate.kind === "keyed" ? [candidate.request] : []))
    const verified = await verifier.verify(keyed)
    let at = 0
    return found.map(({ place, record, candidate }): GroupItem => {
      const checked =
        candidate.kind === "keyed" ? checkCandidate(candidate, verified[at++]!, digestKey) : candidate
      return { place, checked, record, decided: null, isUnreadable: false }
    })
  }

  async function loadRecords(group: readonly Entry[]): Promise<void> {
    const missing = [...new Set(group.map(({ place }) => place.device))].filter(
      (device) => !records.has(device),
    )
    if (missing.length === 0) return
    const loaded = await persist(() => readDevices(pool, missing)).catch((error: unknown) => {
      if (error instanceof GivenUp) return new Map<string, DeviceRecord>()
      throw error
    })
    if (records.size + missing.length > recordsCachedMax) records.clear()
    // Unknown devices are not remembered: anybody can make up a name.
    for (const [device, record] of loaded) records.set(device, record)
  }

  /** Stage two: commit, then answer in order of arrival. */
  async function settle(group: readonly Entry[], items: readonly GroupItem[]): Promise<void> {
    const startedAt = performance.now()
    let stored = 0
    let { entries, checked } = holdBack(group, items)
    while (entries.length > 0) {
      const outcomes = await commitOrSplit(checked)
      const stale: Entry[] = []
      const postponed: Entry[] = []
      for (const [index, outcome] of outcomes.entries()) {
        const entry = entries[index]!
        if (outcome.kind === "stale") {
          records.delete(entry.place.device)
          stale.push(entry)
          continue
        }
        if (outcome.kind === "postponed") {
          postponed.push(entry)
          continue
        }
        if (outcome.kind === "verdict" && isStoredNow(outcome.verdict)) stored += 1
        report(entry, outcome)
        entry.answer(answerOf(outcome))
      }
      postpone(postponed)
      // Before the next group, whatever it holds: order of arrival per connection is kept.
      entries = stale
      checked = stale.length > 0 ? await check(stale) : []
    }
    events.committed?.(stored, performance.now() - startedAt)
  }

  /**
   * The group without what came behind a postponed message of its connection: this group was taken before that one was
   * put back, and nobody overtakes on his own connection (a head told now would not hold).
   */
  function holdBack(group: readonly Entry[], items: readonly GroupItem[]) {
    const heldFrom = new Map<PlaceState, number>()
    for (const { isPostponed, place, arrival } of queue) {
      if (isPostponed && !heldFrom.has(place)) heldFrom.set(place, arrival)
    }
    const isHeld = ({ place, arrival }: Entry): boolean => arrival > (heldFrom.get(place) ?? Infinity)
    const entries = group.filter((entry) => !isHeld(entry))
    const checked = items.filter((_, index) => !isHeld(group[index]!))
    postpone(group.filter(isHeld))
    return { entries, checked }
  }

  /** Back to where they came from: the queue is in order of arrival. */
  function postpone(entries: readonly Entry[]): void {
    if (entries.length === 0) return
    for (const entry of entries) entry.isPostponed = true
    queue.push(...entries)
    queue.sort((a, b) => a.arrival - b.arrival)
  }

  async function commitOrSplit(items: readonly GroupItem[]): Promise<Outcome[]> {
    try {
      return await persist(async () => {
        await options.beforeCommit?.(items.length)
        return withClient(pool, (client) => commitGroup(client, items, keys))
      })
    } catch (error) {
      if (error instanceof GivenUp) return items.map(() => ({ kind: "dropped" }))
      // A row that Postgres will not take: halve the group until the culprit is alone, and store that one unread.
      if (items.length > 1) {
        const middle = Math.floor(items.length / 2)
        const first = await commitOrSplit(items.slice(0, middle))
        const held = new Map<PlaceState, Outcome>()
        for (const [index, outcome] of first.entries()) {
          if (outcome.kind === "stale" || outcome.kind === "postponed") held.set(items[index]!.place, outcome)
        }
        return [...first, ...(await commitBehind(items.slice(middle), held))]
      }
      const item = items[0]!
      if (!item.isUnreadable) {
        item.isUnreadable = true
        return commitOrSplit(items)
      }
      // Not even its bytes: no verdict can be given, so none is. The connection closes, and the others go on.
      // The database works: it said no.
      trouble(error as Error)
      endTrouble()
      item.place.isStopped = true
      return [{ kind: "dropped" }]
    }
  }

  /** The second half of a split group: what stands behind a message that waits, waits with it. */
  async function commitBehind(
    items: readonly GroupItem[],
    held: ReadonlyMap<PlaceState, Outcome>,
  ): Promise<Outcome[]> {
    const free = items.filter(({ place }) => !held.has(place))
    const outcomes = free.length === 0 ? [] : await commitOrSplit(free)
    let at = 0
    return items.map(({ place }) => held.get(place) ?? outcomes[at++]!)
  }

  /** Tries until the database takes it. Rejects only on an error that lies in the rows themselves. */
  async function persist<T>(work: () => Promise<T>): Promise<T> {
    for (let delayMs = retryMsMin; ; delayMs = Math.min(2 * delayMs, retryMsMax)) {
      try {
        const result = await work()
        endTrouble()
        return result
      } catch (error) {
        if (isDataError(error)) throw error
        trouble(error as Error)
        if (closingAtMs !== null && performance.now() - closingAtMs > closingMsMax) throw new GivenUp()
        await wait(delayMs)
      }
    }
  }

  function trouble(error: Error): void {
    isTroubled = true
    events.troubled?.(error)
  }

  function endTrouble(): void {
    if (!isTroubled) return
    isTroubled = false
    events.troubled?.(null)
  }

  function report(entry: Entry, outcome: Outcome): void {
    if (outcome.kind !== "verdict") events.dropped?.()
    else if (entry.decoded.kind === "question") events.answeredQuestion?.(outcome.verdict)
    else events.judged?.(entry.place.device, outcome.verdict, outcome.rule, outcome.seq, outcome.readings)
  }
}

function decodeMessage(device: string, message: IntakeMessage): Entry["decoded"] {
  if (message.kind === "question") return message
  if (message.kind === "statement") return decodeCandidate(device, message.bytes)
  return { kind: "refused", verdict: "too-large", rule: `${message.sizeBytes} bytes`, seq: null }
}

function answerOf(outcome: Outcome): IntakeAnswer {
  if (outcome.kind !== "verdict") return { kind: "dropped" }
  const code = verdictCodes[outcome.verdict]
  const receipt = encodeReceipt({
    code,
    seq: outcome.seq,
    head: outcome.head,
    now: Math.floor(outcome.nowMs / 1000),
  })
  return {
    kind: "receipt",
    code,
    receipt,
    refused: outcome.closes || isRefusal(outcome.verdict),
    rule: outcome.rule,
    ...(outcome.isRotated ? { closes: true } : {}),
  }
}

function isStoredNow(verdict: Verdict): boolean {
  return verdict === "accepted" || verdict === "accepted-unread" || verdict === "accepted-ahead"
}

/** SQLSTATE classes 22 (data exception), 23 (constraint) and 54 (limit): the same rows will fail again. */
function isDataError(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return typeof code === "string" && /^(22|23|54)/.test(code)
}

/** A connection for one transaction: rolled back and, if that fails, thrown away, where `work` rejects. */
async function withClient<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  client.on("error", ignore)
  let broken: Error | undefined
  try {
    return await work(client)
  } catch (error) {
    broken = error as Error
    await client.query("rollback").then(() => (broken = undefined), ignore)
    throw error
  } finally {
    client.off("error", ignore)
    client.release(broken)
  }
}

function ignore(): void {}

function sizeOf({ decoded }: Pick<Entry, "decoded">): number {
  return decoded.kind === "decoded" ? decoded.statement.bytes.length : 0
}

/** A group in its order, cut where a part has its number of items or of bytes; each part has one item at least. */
export function* partsOf<Item extends Pick<Entry, "decoded">>(group: readonly Item[]): Generator<Item[]> {
  let part: Item[] = []
  let bytes = 0
  for (const item of group) {
    const size = sizeOf(item)
    if (part.length > 0 && (part.length === partItemsMax || bytes + size > partBytesMax)) {
      yield part
      part = []
      bytes = 0
    }
    part.push(item)
    bytes += size
  }
  if (part.length > 0) yield part
}

/** Who looks on: each commit and each name on the disk, as it happens, beside what must never be. */
import { equalBytes, formatHex } from "../../../chain/bytes.ts"
import { parseCheckpoint } from "../../../chain/checkpoint.ts"
import { type ProtocolVersion, emptyHeadOf } from "../../../chain/genesis.ts"
import { noHead } from "../../../chain/link.ts"
import type { Head } from "../../../chain/receipt.ts"
import { formatNote, parseNote } from "../../../chain/note.ts"
import { decodeStatement } from "../../../chain/statement.ts"
import type { Store } from "./store.ts"
import type { Table } from "./table.ts"
import type { Entry } from "./tables.ts"
import type { Transaction } from "./transaction.ts"
import type { Truth } from "./truth.ts"

export class Witnessing {
  private readonly store: Store
  private readonly truth: Truth
  /** Root, by size, of everything that left the house. */
  private readonly published = new Map<number, string>()
  publishedSize = 0

  constructor(store: Store, truth: Truth) {
    this.store = store
    this.truth = truth
    store.onCommit = (transaction) => this.seeCommit(transaction)
  }

  private seeCommit(transaction: Transaction): void {
    this.seeOnlyAdded(transaction)
    this.seeChains(transaction)
  }

  /** What was accepted and what was sealed is only ever added to. */
  private seeOnlyAdded(transaction: Transaction): void {
    const { tables } = this.store
    const { entries, statements, series, forks, blocks, leafRuns, arrivalTiles, sealedHeads, checkpoints } =
      tables
    for (const table of [
      entries,
      statements,
      series,
      forks,
      blocks,
      leafRuns,
      arrivalTiles,
      sealedHeads,
      checkpoints,
    ]) {
      for (const key of writtenTo(transaction, table as Table<unknown>).keys())
        this.truth.demand(6, !table.rows.has(key), `the row ${key} of ${table.name} was written over`)
    }
  }

  /** Each chain goes on where it ended, by as many statements as its head moves, each on the entry before. */
  private seeChains(transaction: Transaction): void {
    const { truth, store } = this
    const { heads, entries, statements } = store.tables
    const added = new Map<string, Entry[]>()
    for (const entry of writtenTo(transaction, entries).values())
      added.set(entry.device, [...(added.get(entry.device) ?? []), entry])
    for (const [device, head] of writtenTo(transaction, heads)) {
      const before = heads.rows.get(device) ?? { ...this.emptyHeadOf(device), epoch: 0 }
      truth.demand(3, head.epoch >= before.epoch, `the epoch of ${device} went back`)
      let { seq, entry: prev } = before
      for (const entry of (added.get(device) ?? []).toSorted((a, b) => a.id - b.id)) {
        const bytes = writtenTo(transaction, statements).get(`${entry.id}`)?.bytes
        const decoded =
          bytes === undefined ? null : decodeStatement(bytes, device.includes("/") ? device : null)
        const isNext =
          decoded?.kind === "statement" &&
          entry.seq === seq + 1 &&
          decoded.statement.seq === entry.seq &&
          equalBytes(decoded.statement.prev, prev)
        truth.demand(3, isNext, `statement ${entry.seq} of ${device} does not stand behind ${seq}`)
        this.seeArrival(transaction, entry)
        seq = entry.seq
        prev = entry.entry
      }
      truth.demand(
        3,
        head.seq === seq && equalBytes(head.entry, prev),
        `the head of ${device} is ${head.seq}, and its last statement ${seq}`,
      )
      added.delete(device)
    }
    for (const device of added.keys())
      truth.demand(3, false, `statements of ${device} were added and its head stayed`)
  }

  /** The head with which a chain begins: the operator's begins before there is a log. */
  private emptyHeadOf(device: string): Head {
    const [log] = this.store.tables.log.rows.values()
    if (log === undefined || log.origin === device) return noHead
    return emptyHeadOf({ logVkey: log.vkey, version: log.version as ProtocolVersion }, device)
  }

  /** Between its transaction's beginning and now, by the clock that both were read from; a manifest at its block's end. */
  private seeArrival({ beganAtMs, clockSettings }: Transaction, { device, seq, receivedAtMs }: Entry): void {
    const { truth, store } = this
    if (clockSettings !== store.clockSettings) return
    const isManifest = device.includes("/")
    truth.demand(
      10,
      isManifest || (receivedAtMs >= beganAtMs && receivedAtMs <= store.clockMs),
      `statement ${seq} of ${device} says that it arrived at ${receivedAtMs}, and it is ${store.clockMs}`,
    )
  }

  /**
   * What is published is a checkpoint and nothing else, never goes back, and never says two roots of one size.
   *
   * @param isLeft by a loss of power, which may undo the last rename: nobody is served before the next start, which mends it
   */
  seePublished(path: string, text: string, isLeft: boolean): void {
    const { truth } = this
    if (!path.endsWith("/log/checkpoint")) return
    const note = parseNote(text)
    const checkpoint = note === null ? null : parseCheckpoint(note.text)
    if (note === null || checkpoint === null) {
      truth.demand(6, false, "what is published is no checkpoint")
      return
    }
    truth.demand(8, formatNote(note) === text, "the published checkpoint says more than a checkpoint")
    const { size, root } = checkpoint
    const known = this.published.get(size)
    truth.demand(
      6,
      known === undefined || known === formatHex(root),
      `two roots were published for ${size} leaves`,
    )
    if (isLeft) return
    truth.demand(6, size >= this.publishedSize, `${size} leaves were published behind ${this.publishedSize}`)
    this.published.set(size, formatHex(root))
    this.publishedSize = size
    const rows = [...this.store.tables.checkpoints.rows.values()]
    truth.demand(
      6,
      rows.some((row) => row.size === size && equalBytes(row.root, root)),
      `a checkpoint of ${size} leaves was published that is not committed`,
    )
  }

  /** Sizes and roots of all that was published. */
  listPublished(): ReadonlyMap<number, string> {
    return this.published
  }
}

function writtenTo<Row>(transaction: Transaction, table: Table<Row>): ReadonlyMap<string, Row> {
  return (transaction.writes.get(table) ?? new Map()) as ReadonlyMap<string, Row>
}

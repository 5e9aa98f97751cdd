/** What really happened, beside what the service says: who signed what, who was told what. */
import { formatHex } from "../../../chain/bytes.ts"
import type { Statement } from "../../../chain/statement.ts"
import { decodeStatement, entryOf } from "../../../chain/statement.ts"
import { type Verdict, isRefusal } from "../../../chain/verdict.ts"
import { sha256Native } from "../../../ingest/native.ts"

export interface Made {
  readonly statement: Statement
  readonly entry: string
}

export interface Fault {
  /** Of the README's ten, or 0: something that must never be, whatever was promised. */
  readonly promise: number
  readonly what: string
}

export class Truth {
  /** Everything that a holder of a device's key ever published, by entry. */
  readonly made = new Map<string, Made>()
  /** Entries that a device was told are stored. */
  readonly acknowledged = new Set<string>()
  /** Statements that honest devices were refused with, by device and verdict. */
  readonly refused = new Map<string, number>()
  readonly faults: Fault[] = []
  /** How often each thing happened: a run in which nothing happens proves nothing. */
  readonly seen = new Map<string, number>()

  publish(bytes: Uint8Array): void {
    const entry = formatHex(entryOf(bytes, sha256Native))
    if (this.made.has(entry)) return
    const decoded = decodeStatement(bytes)
    if (decoded.kind === "statement") this.made.set(entry, { statement: decoded.statement, entry })
  }

  refuse(device: string, verdict: Verdict): void {
    if (!isRefusal(verdict)) return
    const key = `${device} ${verdict}`
    this.refused.set(key, (this.refused.get(key) ?? 0) + 1)
  }

  demand(promise: number, holds: boolean, what: string): void {
    if (!holds) this.faults.push({ promise, what })
  }

  see(what: string, count = 1): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + count)
  }
}

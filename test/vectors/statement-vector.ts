/** One file of `statements/`: a statement, what stood before it, and what a service must say to it. */
import { formatHex } from "../../chain/bytes.ts"
import type { Series } from "../../chain/series.ts"
import { type Statement, entryOf } from "../../chain/statement.ts"
import type { VerdictCode } from "../../chain/verdict.ts"
import { heardAt } from "./draft.ts"
import { type KeyInFile, edKey, keyInFile, vectorOrigin } from "./keys.ts"

export interface StatementVector {
  readonly description: string
  /** Section of chain/FORMAT.md. */
  readonly rule: string
  /** The device of the topic on which the statement comes. */
  readonly device: string
  readonly origin: string
  /** The service's clock, Unix seconds. */
  readonly now: number
  /** The keys of the device, as enrolled and rotated before the first statement. */
  readonly keys: readonly KeyInFile[]
  /** Statements of the device that were accepted before, in order. */
  readonly before: readonly string[]
  readonly statement: string
  readonly verdict: VerdictCode
  /** Of those that end up stored: the entry of what is stored. */
  readonly entry?: string
  /** Of those with readings that can be read. */
  readonly series?: readonly SeriesInFile[]
}

/** A series as JSON: byte strings in hex, samples as integers. */
export type SeriesInFile = Readonly<Record<string, unknown>>

export function seriesInFile(series: Series): SeriesInFile {
  if (series.kind === "waveform") return { ...series, samples: [...series.samples] }
  if (series.kind === "bytes") return { ...series, values: series.values.map(formatHex) }
  return { ...series }
}

/** What a vector says beyond the usual: one Ed25519 key from seq 1, no history, heard two seconds later. */
export interface VectorParts {
  readonly description: string
  readonly rule: string
  readonly verdict: VerdictCode
  readonly statement: Uint8Array
  readonly before?: readonly Statement[]
  readonly keys?: readonly KeyInFile[]
  readonly now?: number
  readonly series?: readonly SeriesInFile[]
}

/** The vector named `name`, which is also its device. */
export function makeVector(name: string, parts: VectorParts): StatementVector {
  const isStored = parts.verdict >= 1 && parts.verdict <= 4
  return {
    description: parts.description,
    rule: parts.rule,
    device: name,
    origin: vectorOrigin,
    now: parts.now ?? heardAt,
    keys: parts.keys ?? [keyInFile(edKey)],
    before: (parts.before ?? []).map(({ bytes }) => formatHex(bytes)),
    statement: formatHex(parts.statement),
    verdict: parts.verdict,
    ...(isStored ? { entry: formatHex(entryOf(parts.statement)) } : {}),
    ...(parts.series === undefined ? {} : { series: parts.series }),
  }
}

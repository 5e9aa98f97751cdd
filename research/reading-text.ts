/** Rows of readings and buckets as the text formats frame them: pages of JSON, lines of NDJSON and CSV. */
import type { AsOfJson } from "./as-of.ts"
import { type BucketGroup, describeBucket } from "./bucket.ts"
import {
  type LineOptions,
  bucketColumns,
  formatBucketLine,
  formatHeader,
  formatRunLines,
  readingColumns,
} from "./csv.ts"
import { type Place, placeOf } from "./place.ts"
import { formatRun } from "./reading-json.ts"
import type { Run } from "./run.ts"
import type { SeriesOrder } from "./stored-series.ts"

const chunkSize = 64 * 1024

/** Rows as text; with the last one, where the page was cut. */
export interface Piece {
  readonly text: string
  readonly rows: number
  /** After this place there is more, which the page has no room for; null: not known yet, or the end. */
  readonly cutAt: Place | null
}

interface CutOptions {
  /** Rows of the page. */
  readonly limit: number
  readonly separator: string
  readonly count: (rows: number) => void
}

export async function* runPieces(
  runs: AsyncIterable<Run>,
  options: CutOptions & { readonly order: SeriesOrder; readonly liveWithinSeconds: number },
): AsyncGenerator<Piece> {
  const { limit, separator, count, order, liveWithinSeconds } = options
  let rows = 0
  let last: Place | null = null
  for await (const run of runs) {
    // Only now it is known that there is more.
    if (rows === limit) {
      yield { text: "", rows: 0, cutAt: last }
      return
    }
    const to = Math.min(run.to, run.from + limit - rows)
    const text = formatRun({ ...run, to }, { liveWithinSeconds, separator, isFirst: rows === 0 })
    rows += to - run.from
    count(to - run.from)
    if (rows === limit) last = placeOf(run, order, to - 1)
    yield { text, rows: to - run.from, cutAt: to < run.to ? last : null }
    if (to < run.to) return
  }
}

export async function* bucketPieces(
  groups: AsyncIterable<BucketGroup>,
  { limit, separator, count }: CutOptions,
): AsyncGenerator<Piece> {
  let rows = 0
  let last: Place | null = null
  for await (const group of groups) {
    // The buckets of one time stay together, so that a cursor is a time.
    if (rows > 0 && rows + group.length > limit) {
      yield { text: "", rows: 0, cutAt: last }
      return
    }
    const text = group
      .map((bucket, index) => (rows + index === 0 ? "" : separator) + JSON.stringify(describeBucket(bucket)))
      .join("")
    rows += group.length
    count(group.length)
    const { device, metric, endsAt } = group[0]!
    // Before everything that is said at the bucket's end: statements are counted from 1.
    last = { device, metric, time: endsAt, statement: 0, position: 0, index: 0 }
    yield { text, rows: group.length, cutAt: null }
  }
}

export interface Shape {
  readonly separator: string
  frame(
    pieces: AsyncIterable<Piece>,
    asOf: AsOfJson | null,
    cursorOf: (place: Place) => string,
  ): AsyncGenerator<string>
}

/** `{asOf, items, complete, next}`. */
export const jsonShape: Shape = {
  separator: ",\n",
  async *frame(pieces, asOf, cursorOf) {
    let text = `{"asOf":${JSON.stringify(asOf)},"items":[\n`
    let next: string | null = null
    for await (const piece of pieces) {
      text += piece.text
      if (piece.cutAt !== null) next = cursorOf(piece.cutAt)
      if (text.length >= chunkSize) {
        yield text
        text = ""
      }
    }
    yield `${text}\n],"complete":${next === null},"next":${JSON.stringify(next)}}\n`
  },
}

/**
 * A line per row and nothing else, so that every reader of NDJSON gets rows. With `hasEnd` a last line says that it is the
 * last; without it, that is for others to say: HTTP by its trailers, an export by its manifest.
 */
export function ndjsonShape(hasEnd: boolean): Shape {
  return {
    separator: "\n",
    async *frame(pieces, asOf, cursorOf) {
      let text = ""
      let rows = 0
      let next: string | null = null
      for await (const piece of pieces) {
        text += piece.text
        rows += piece.rows
        if (piece.cutAt !== null) next = cursorOf(piece.cutAt)
        if (text.length >= chunkSize) {
          yield text
          text = ""
        }
      }
      const end = hasEnd ? `${JSON.stringify({ complete: next === null, rows, next, asOf })}\n` : ""
      yield `${text}${rows === 0 ? "" : "\n"}${end}`
    },
  }
}

export async function* readingLines(runs: AsyncIterable<Run>, options: LineOptions): AsyncGenerator<string> {
  let text = formatHeader(readingColumns)
  for await (const run of runs) {
    text += formatRunLines(run, options)
    if (text.length >= chunkSize) {
      yield text
      text = ""
    }
  }
  yield text
}

export async function* bucketLines(
  groups: AsyncIterable<BucketGroup>,
  isSpreadsheetSafe: boolean,
): AsyncGenerator<string> {
  let text = formatHeader(bucketColumns)
  for await (const group of groups) {
    text += group.map((bucket) => formatBucketLine(bucket, isSpreadsheetSafe)).join("")
    if (text.length >= chunkSize) {
      yield text
      text = ""
    }
  }
  yield text
}

export async function* countRuns(
  runs: AsyncIterable<Run>,
  count: (rows: number) => void,
): AsyncGenerator<Run> {
  for await (const run of runs) {
    count(run.to - run.from)
    yield run
  }
}

export async function* countGroups(
  groups: AsyncIterable<BucketGroup>,
  count: (rows: number) => void,
): AsyncGenerator<BucketGroup> {
  for await (const group of groups) {
    count(group.length)
    yield group
  }
}

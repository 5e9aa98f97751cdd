/** Readings and buckets for a person: columns of fixed width, so that a long answer need not be held to be aligned. */
import { formatBase64 } from "../chain/bytes.ts"
import { showControls } from "../chain/visible-text.ts"
import type { describeBucket } from "../research/bucket.ts"
import { formatMs, formatSeconds } from "../research/instant.ts"
import type { Run } from "../research/run.ts"
import { formatDuration } from "./coverage-strip.ts"

/** A negative width is for numbers, which stand to the right. */
type Column = readonly [title: string, width: number]

const readingColumns: readonly Column[] = [
  ["time (device, UTC)", 24],
  ["device", 14],
  ["metric", 20],
  ["value", -12],
  ["unit", 9],
  ["arrived (UTC)", 24],
  ["late by", -12],
  ["block", -6],
]

const bucketColumns = (zone: string): readonly Column[] => [
  [`from (device, ${zone})`, 25],
  ["device", 14],
  ["metric", 20],
  ["unit", 9],
  ["count", -9],
  ["min", -10],
  ["mean", -10],
  ["max", -10],
  ["first", -10],
  ["last", -10],
  ["", 7],
]

function formatRow(columns: readonly Column[], cells: readonly string[]): string {
  const padded = columns.map(([, width], place) => {
    const cell = showControls(cells[place] ?? "")
    return width < 0 ? cell.padStart(-width) : cell.padEnd(width)
  })
  return `${padded.join("  ").trimEnd()}\n`
}

const titlesOf = (columns: readonly Column[]): string =>
  formatRow(
    columns,
    columns.map(([title]) => title),
  )

export async function* readingTable(runs: AsyncIterable<Run>): AsyncGenerator<string> {
  let text = titlesOf(readingColumns)
  for await (const run of runs) {
    for (let place = run.from; place < run.to; place++)
      text += formatReading(run, run.order === null ? place : run.order[place]!)
    yield text
    text = ""
  }
  yield text
}

function formatReading({ series }: Run, index: number): string {
  const { device, metric, unit, arrivedMs, block, kind, numbers, texts, blobs } = series
  const time = series.times[index]!
  const value =
    numbers === null
      ? (texts?.[index] ?? formatBase64(blobs![index]!))
      : kind === "boolean"
        ? String(numbers[index] === 1)
        : String(numbers[index])
  const late = arrivedMs / 1000 - time
  return formatRow(readingColumns, [
    formatSeconds(time),
    device,
    metric,
    value,
    unit ?? "",
    formatMs(Math.floor(arrivedMs)),
    late < 0 ? `-${formatDuration(-late)}` : formatDuration(late),
    block === null ? "-" : String(block),
  ])
}

export async function* bucketTable(
  groups: AsyncIterable<readonly ReturnType<typeof describeBucket>[]>,
  zone: string,
): AsyncGenerator<string> {
  const columns = bucketColumns(zone)
  yield titlesOf(columns)
  for await (const group of groups) {
    yield group
      .map(({ time, local, device, metric, unit, count, min, mean, max, first, last, partial }) =>
        formatRow(columns, [
          local ?? time,
          device,
          metric,
          unit ?? "",
          String(count),
          ...[min, mean, max, first, last].map((one) =>
            one === null ? "" : String(Number(one.toPrecision(6))),
          ),
          partial ? "partial" : "",
        ]),
      )
      .join("")
  }
}

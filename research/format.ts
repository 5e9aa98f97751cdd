/** The forms that rows are given in, chosen by `format` or by the Accept header. */
import { wantedTypes } from "./media-type.ts"
import { Problem } from "./problem.ts"

export const formats = ["json", "ndjson", "csv", "parquet", "arrow"] as const
export type Format = (typeof formats)[number]

export const mediaTypes: Readonly<Record<Format, string>> = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv; charset=utf-8; header=present",
  parquet: "application/vnd.apache.parquet",
  arrow: "application/vnd.apache.arrow.stream",
}

export const formatSchema = {
  type: "string",
  enum: formats,
  description: `json comes in pages, the others whole; the Accept header may say it instead: ${Object.values(
    mediaTypes,
  )
    .map((type) => type.split(";")[0])
    .join(", ")}`,
} as const

export const endLineSchema = {
  type: "boolean",
  default: false,
  description:
    "true: ndjson ends with a line {complete, rows, next, asOf}, for clients that do not see HTTP trailers",
} as const

/** What a stream of lines says after its last one, in HTTP trailers. */
export interface LineEnd {
  rows: number
  /** Cursor of the page that follows; null: that was all. */
  next: string | null
}

/** A stream that was cut has neither these nor the last chunk, which every HTTP client takes for an error. */
export function lineTrailers(end: LineEnd): Readonly<Record<string, () => string>> {
  return {
    "tidemark-rows": () => String(end.rows),
    "tidemark-complete": () => String(end.next === null),
    "tidemark-next": () => end.next ?? "",
  }
}

/** What a bulk format needs of a key. */
export function isBulk(format: Format): boolean {
  return format !== "json"
}

/** The first type of the header that is made here; quality values are followed. */
export function formatOf(named: Format | undefined, accept: string | undefined): Format {
  if (named !== undefined) return named
  if (accept === undefined || accept.trim() === "") return "json"
  for (const type of wantedTypes(accept)) {
    const format = formats.find((one) => mediaTypes[one].split(";")[0] === type)
    if (format !== undefined) return format
    if (type === "application/*" || type === "*/*") return "json"
    if (type === "text/*") return "csv"
  }
  throw new Problem("not-acceptable", {
    detail: "none of the types in Accept is made here",
    parameter: "Accept",
    rule: `must have one of ${Object.values(mediaTypes)
      .map((type) => type.split(";")[0])
      .join(", ")}`,
  })
}

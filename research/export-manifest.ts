/** What an export says of itself: its question, the block it stands on, and each file with its rows and its hash. */
import type { AsOfJson } from "./as-of.ts"
import { readingColumns } from "./csv.ts"

export const exportFormats = ["parquet", "csv", "ndjson"] as const
export type ExportFormat = (typeof exportFormats)[number]

export const exportParts = ["block", "device"] as const
export type ExportPart = (typeof exportParts)[number]

/** What was asked for: an export goes on only where it is the same. */
export interface ExportQuestion {
  readonly format: ExportFormat
  readonly by: ExportPart
  readonly devices: readonly string[] | null
  readonly metrics: readonly string[] | null
  /** Unix seconds by the device's clock. */
  readonly from: number | null
  readonly to: number | null
  readonly liveWithinSeconds: number
  /** Only where it is so: texts that a spreadsheet would take for formulas have ' in front of them. */
  readonly isSpreadsheetSafe?: true
}

/** A file of an export: one block's, or one device's. */
export interface ExportFile {
  readonly name: string
  readonly block?: number
  readonly device?: string
  readonly rows: number
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
  /** ISO 8601, of the earliest and the latest reading by the devices' clocks; null without rows. */
  readonly firstTime: string | null
  readonly lastTime: string | null
}

export interface ExportManifest {
  readonly kind: "tidemark-export"
  readonly version: 1
  readonly createdBy: string
  readonly log: { readonly origin: string }
  /** The state that every file speaks of: readings up to this block, and the root that proves them. */
  readonly asOf: AsOfJson
  /** The signed checkpoint over that root. */
  readonly checkpoint: string
  readonly question: ExportQuestion
  /** Names of files that the whole export has; a block or device without readings has a file without rows. */
  readonly filesTotal: number
  readonly rows: number
  /** True when every file is there: only then does the export hold all that was asked for. */
  readonly complete: boolean
  readonly files: readonly ExportFile[]
}

export const manifestName = "manifest.json"
export const dictionaryName = "dictionary.json"
export const hashesName = "SHA256SUMS"

export function formatManifest(manifest: ExportManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`
}

/** The manifest, or the rule that a text breaks. */
export function parseManifest(
  text: string,
): { readonly manifest: ExportManifest } | { readonly rule: string } {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { rule: "must be JSON" }
  }
  const given = parsed as Partial<ExportManifest> | null
  if (typeof given !== "object" || given === null || given.kind !== "tidemark-export")
    return { rule: "must be a manifest of an export" }
  if (given.version !== 1) return { rule: "must be of version 1" }
  const hasFiles =
    Array.isArray(given.files) &&
    given.files.every(
      ({ name, rows, bytes, sha256 }) =>
        /^readings-[A-Za-z0-9_-]+\.(?:parquet|csv|ndjson)$/.test(name) &&
        Number.isSafeInteger(rows) &&
        Number.isSafeInteger(bytes) &&
        /^[0-9a-f]{64}$/.test(sha256),
    )
  if (!hasFiles || given.question === undefined || !Number.isSafeInteger(given.asOf?.height))
    return { rule: "must have its question, its block and its files" }
  return { manifest: given as ExportManifest }
}

export function nameOfBlock(height: number, format: ExportFormat): string {
  return `readings-block-${String(height).padStart(7, "0")}.${format}`
}

export function nameOfDevice(device: string, format: ExportFormat): string {
  return `readings-device-${device}.${format}`
}

/** As `sha256sum -c` reads it. */
export function formatHashes(files: readonly ExportFile[]): string {
  return files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("")
}

const types = {
  time: ["timestamp (us, UTC)", "when it was measured, by the device's clock"],
  device: ["text", "id of the device: a pseudonym"],
  metric: ["text", "what was measured, such as heart-rate"],
  kind: ["text", "number, sum, boolean, text, bytes, or waveform (a sample of a regular series)"],
  value: ["double", "the number as sent, in unit; of a boolean 1 or 0; null for texts and bytes"],
  text: ["text", "the text as sent; null for other kinds"],
  blob: ["bytes", "the bytes as sent (base64 in csv and ndjson); null for other kinds"],
  unit: [
    "text",
    "as sent: SenML's (RFC 8428, where / and % are ratios), or else UCUM; null where none was sent",
  ],
  arrived: ["timestamp (us, UTC)", "when the service took it, by the database's clock, to the millisecond"],
  latenessSeconds: ["double", "arrived - time; negative where the device's clock was ahead"],
  mode: ["text", "live, or backfill where it arrived later than liveWithinSeconds after its time"],
  block: ["integer", "height of the block that seals it"],
  entry: ["text", "SHA-256 of the signed statement in hex: its name in the log, in receipts and in evidence"],
} as const satisfies Record<(typeof readingColumns)[number], readonly [string, string]>

/** What each column means, and how the files are to be read. */
export function describeColumns() {
  return {
    columns: readingColumns.map((name) => ({ name, type: types[name][0], description: types[name][1] })),
    notes: [
      "A row per reading. Nothing is rewritten: gaps are gaps, times may repeat and go back within a device.",
      "csv is RFC 4180 with empty cells for null; ndjson has a reading a line and nothing else: how many there must be is in the manifest.",
      "What came over 300 s ahead of the service's clock is left out: its time is no evidence.",
      "tidemark evidence and tidemark verify prove a device's readings of a range of blocks without asking anybody.",
    ],
  }
}

/**
 * Names of columns in CSV files that researchers and small tools write, in the terms of our metrics. A name that is not
 * here says nothing: such a column is refused rather than taken for something plausible.
 */

export interface ColumnMeaning {
  readonly metric: string
  readonly unit: string | null
}

/** A column as it was read. */
export interface ReadColumn {
  readonly name: string
  readonly values: readonly number[]
  /** Rows a second over the whole file; null where it has no times, or one. */
  readonly rowsPerSecond: number | null
}

export type ColumnVerdict =
  | { readonly kind: "meaning"; readonly meaning: ColumnMeaning }
  /** What keeps the column from being read, and what would mend it. */
  | { readonly kind: "refused"; readonly rule: string }

/** By the name without its unit; words are joined by `_`. */
const metrics: Readonly<Record<string, string>> = {
  ppg: "ppg",
  pleth: "ppg",
  // As HeartPy's examples name a sensor's raw values.
  hart: "ppg",
  bvp: "bvp",
  eda: "eda",
  gsr: "eda",
  hr: "heart-rate",
  heart_rate: "heart-rate",
  heartrate: "heart-rate",
  ibi: "rr-interval",
  rr: "rr-interval",
  rr_interval: "rr-interval",
  temp: "skin-temperature",
  skin_temp: "skin-temperature",
  skin_temperature: "skin-temperature",
  acc_x: "acc-x",
  acc_y: "acc-y",
  acc_z: "acc-z",
  spo2: "oxygen-saturation",
}

export const columnNames: readonly string[] = Object.keys(metrics)

/** Units by what a name ends with, `eda_us` or `EDA (uS)`; SenML's where it has one, else UCUM. */
const units: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  eda: { us: "uS" },
  "heart-rate": { bpm: "beat/min" },
  "rr-interval": { s: "s", ms: "ms" },
  "skin-temperature": { c: "Cel", degc: "Cel", f: "[degF]", degf: "[degF]" },
  "acc-x": { g: "[g]", mg: "m[g]", "m/s2": "m/s2" },
  "acc-y": { g: "[g]", mg: "m[g]", "m/s2": "m/s2" },
  "acc-z": { g: "[g]", mg: "m[g]", "m/s2": "m/s2" },
  // SenML's own % is the ratio (RFC 8428 §12.1, note 1).
  "oxygen-saturation": { "%": "/100" },
}

interface NamedColumn {
  readonly metric: string | null
  readonly unit: string | null
}

/** Splits `Skin Temp (°C)` and `temp_c` into metric and unit. */
function splitName(name: string): NamedColumn {
  const plain = name.trim().toLowerCase().replaceAll("µ", "u").replaceAll("μ", "u").replaceAll("°", "")
  const [, stem = plain, said] = /^(.*?)\s*[([]([^)\]]+)[)\]]$/.exec(plain) ?? []
  const words = stem.trim().replace(/[\s-]+/g, "_")
  const whole = metrics[words]
  if (whole !== undefined)
    return { metric: whole, unit: said === undefined ? null : (units[whole]?.[said] ?? "") }
  const [, front = "", suffix = ""] = /^(.+)_([a-z]+2?)$/.exec(words) ?? []
  const metric = said === undefined ? metrics[front] : undefined
  const unit = metric === undefined ? undefined : units[metric]?.[suffix]
  return metric === undefined || unit === undefined ? { metric: null, unit: null } : { metric, unit }
}

/**
 * What a column holds: its name says the metric, and its name or its values the unit.
 *
 * @param all columns of the file, for an acceleration's unit
 * @param given a metric that the user named, for the one column whose name says nothing
 */
export function meaningOf(
  column: ReadColumn,
  all: readonly ReadColumn[],
  given: string | null,
): ColumnVerdict {
  const { metric, unit } = splitName(column.name)
  const isGiven = metric === null || (given !== null && all.length === 1)
  const known = isGiven ? given : metric
  if (known === null) return refused(unknownRule(column.name, all.length))
  if (unit === "") return refused(`the unit of the column ${shown(column.name)} is not one that ${known} has`)
  if (unit !== null) return meaning(known, unit)
  if (isGiven && known === "heart-rate") return meaning(known, "beat/min")
  switch (known) {
    case "heart-rate":
      return heartRateOf(column)
    case "eda":
      return meaning(known, "uS")
    case "oxygen-saturation":
      return byRange(column, known, [
        [0, 1, "/"],
        [30, 100, "/100"],
      ])
    case "rr-interval":
      return byRange(column, known, [
        [0.2, 3.5, "s"],
        [200, 3500, "ms"],
      ])
    case "skin-temperature":
      return byRange(column, known, [
        [10, 45, "Cel"],
        [50, 113, "[degF]"],
      ])
    case "acc-x":
    case "acc-y":
    case "acc-z":
      return accelerationOf(known, all)
  }
  return meaning(known, null)
}

/**
 * `hr` is a heart rate in most files, and in HeartPy's examples the raw values of the sensor. A rate comes at most twice
 * a second and between 20 and 250; a wave comes over 20 times a second and leaves that range.
 */
function heartRateOf(column: ReadColumn): ColumnVerdict {
  const { values, rowsPerSecond } = column
  // 0 and -1 are how vendors say "not measured".
  const isRate = values.every((value) => value === 0 || value === -1 || (value >= 20 && value <= 250))
  if (isRate && (rowsPerSecond === null || rowsPerSecond <= 2)) return meaning("heart-rate", "beat/min")
  if (!isRate && rowsPerSecond !== null && rowsPerSecond >= 20) return meaning("ppg", null)
  return refused(
    `the column ${shown(column.name)} can be a heart rate or a sensor's raw wave: name it with --metric heart-rate or --metric ppg`,
  )
}

/** Gravity is in every acceleration that a body wears: the median length of the vector tells the unit. */
function accelerationOf(metric: string, all: readonly ReadColumn[]): ColumnVerdict {
  const axes = ["acc-x", "acc-y", "acc-z"].map((axis) =>
    all.find(({ name }) => splitName(name).metric === axis),
  )
  const [x, y, z] = axes.map((axis) => axis?.values ?? [])
  const lengths = (x ?? [])
    .map((value, i) => Math.hypot(value, y?.[i] ?? Number.NaN, z?.[i] ?? Number.NaN))
    .filter((length) => !Number.isNaN(length))
    .toSorted((a, b) => a - b)
  const median = lengths[lengths.length >> 1] ?? 0
  const gravities = [
    [1, "[g]"],
    [9.807, "m/s2"],
    [64, "[g]/64"],
    [1000, "m[g]"],
  ] as const
  const found = gravities.find(([gravity]) => Math.abs(median / gravity - 1) < 0.2)
  if (found !== undefined) return meaning(metric, found[1])
  return refused(
    "the unit of the acceleration is not known: name the columns acc_x_g, acc_x_mg or acc_x (m/s2)",
  )
}

function byRange(
  column: ReadColumn,
  metric: string,
  ranges: readonly (readonly [low: number, high: number, unit: string])[],
): ColumnVerdict {
  const found = ranges.find(([low, high]) => within(column.values, low, high))
  const names = ranges.map(([, , unit]) => unit).join(" or ")
  return found === undefined ? refused(rangeRule(column, names)) : meaning(metric, found[2])
}

function within(values: readonly number[], low: number, high: number): boolean {
  return values.length > 0 && values.every((value) => value >= low && value <= high)
}

function rangeRule({ name }: ReadColumn, unitNames: string): string {
  return `the unit of the column ${shown(name)} cannot be told from its values: write it into the name, ${unitNames}`
}

function unknownRule(name: string, columns: number): string {
  const known = `known are ${columnNames.join(", ")}`
  const option = columns === 1 ? "; or name its metric with --metric, as --metric ppg" : ""
  const which =
    name === "" ? "the column has no name that says what it holds" : `the column ${shown(name)} is not known`
  return `${which}: ${known}${option}`
}

/** A header's text may be anything, a row of readings too. */
function shown(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_ ()/%.-]{0,39}$/.test(name) ? name : "(a name that is not printed)"
}

function meaning(metric: string, unit: string | null): ColumnVerdict {
  return { kind: "meaning", meaning: { metric, unit } }
}

function refused(rule: string): ColumnVerdict {
  return { kind: "refused", rule }
}

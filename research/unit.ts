/**
 * Units as devices send them, in UCUM: SenML's names (RFC 8428 §12.1, RFC 8798) mean other things than UCUM's of the
 * same look, and where SenML has none devices send UCUM's. What is stored is never changed; what is exported may be.
 */

/** `value * factor + offset` of the unit sent is the value in `unit`. */
export interface UcumUnit {
  /** Case-sensitive UCUM code. */
  readonly unit: string
  readonly factor: number
  readonly offset: number
}

/** A unit in terms of the one that its dimension is counted in here. */
type Scale = readonly [dimension: string, factor: number, offset?: number]

/** UCUM units by dimension: `value * factor + offset` is the value in the dimension's own unit. */
const scales: ReadonlyMap<string, Scale> = new Map(
  Object.entries<Scale>({
    "1": ["ratio", 1],
    "%": ["ratio", 0.01],
    "/min": ["rate", 1 / 60],
    Hz: ["rate", 1],
    s: ["time", 1],
    ms: ["time", 0.001],
    min: ["time", 60],
    h: ["time", 3600],
    d: ["time", 86_400],
    m: ["length", 1],
    mm: ["length", 0.001],
    cm: ["length", 0.01],
    km: ["length", 1000],
    kg: ["mass", 1],
    g: ["mass", 0.001],
    Cel: ["temperature", 1],
    K: ["temperature", 1, -273.15],
    "[degF]": ["temperature", 5 / 9, -160 / 9],
    V: ["voltage", 1],
    mV: ["voltage", 0.001],
    uV: ["voltage", 0.000_001],
    S: ["conductance", 1],
    uS: ["conductance", 0.000_001],
    Pa: ["pressure", 1],
    hPa: ["pressure", 100],
    kPa: ["pressure", 1000],
    "mm[Hg]": ["pressure", 133.322],
    J: ["energy", 1],
    kJ: ["energy", 1000],
    kcal: ["energy", 4184],
    "m/s": ["speed", 1],
    "km/h": ["speed", 1 / 3.6],
    "m/s2": ["acceleration", 1],
    "[g]": ["acceleration", 9.806_65],
    "m[g]": ["acceleration", 0.009_806_65],
    "[g]/64": ["acceleration", 9.806_65 / 64],
    // Mass and amount of glucose are two dimensions: a molar mass would be an opinion about the specimen.
    "mg/dL": ["mass-concentration", 1],
    "mmol/L": ["amount-concentration", 1],
    "{steps}": ["steps", 1],
    "{count}": ["count", 1],
    W: ["power", 1],
    lx: ["illuminance", 1],
    deg: ["angle", 1],
    "kg/m2": ["body-mass-index", 1],
  }),
)

/** The UCUM units that are known here. */
export const ucumUnits: readonly string[] = [...scales.keys()]

/** SenML's names whose UCUM code or meaning is another one. The rest are written the same in both. */
const senmlNames: ReadonlyMap<string, string> = new Map([
  ["beat/min", "/min"],
  ["1/min", "/min"],
  ["1/s", "Hz"],
  // RFC 8428 §12.1 note 1: `%` is the ratio itself in SenML, not hundredths of it.
  ["/", "1"],
  ["%", "1"],
  ["/100", "%"],
  ["%EL", "%"],
  ["%RH", "%"],
  ["count", "{count}"],
  ["lat", "deg"],
  ["lon", "deg"],
])

/**
 * What a value in the unit `sent` is in UCUM: in `wanted`, where both are of one dimension, or else in the UCUM unit that
 * the unit sent is. Null where no unit was sent or it is not known: then it is given as it was sent, without a code.
 */
export function toUcum(sent: string | null, wanted: string | null): UcumUnit | null {
  if (sent === null) return null
  const unit = senmlNames.get(sent) ?? sent
  const from = scales.get(unit)
  if (from === undefined) return null
  // A count of steps is counted in steps, and not in whatever else can be counted.
  if (unit === "{count}" && wanted?.startsWith("{") === true) return { unit: wanted, factor: 1, offset: 0 }
  const to = wanted === null ? undefined : scales.get(wanted)
  if (wanted === null || to === undefined || to[0] !== from[0] || wanted === unit) {
    return { unit, factor: 1, offset: 0 }
  }
  return { unit: wanted, factor: from[1] / to[1], offset: ((from[2] ?? 0) - (to[2] ?? 0)) / to[1] }
}

/** The value in the other unit, without the digits that only binary fractions bring: 0.97 is 97 %, not 97.00000000000001. */
export function convert(value: number, { factor, offset }: UcumUnit): number {
  if (factor === 1 && offset === 0) return value
  return Number((value * factor + offset).toPrecision(12))
}

/**
 * The catalogue of metrics: what a metric's name means in the terms that researchers use. A metric that is not here is
 * stored and given out all the same, with its unit as sent.
 *
 * LOINC names and codes: FHIR R4 vital signs, HL7 implementation guides for continuous glucose and physical activity.
 * MDC: IEEE 11073-10101 with the specialisations -10404, -10406, -10407, -10408, -10415, -10417, -10420 and -10441; a
 * number is partition * 65,536 + code. Open mHealth: the newest version of each schema in openmhealth/schemas.
 */
import { ucumUnits } from "./unit.ts"

export interface MetricEntry {
  readonly metric: string
  readonly title: string
  /** How it usually comes: one by one, as a waveform, or as something that happened. */
  readonly form: "reading" | "waveform" | "event"
  /** The SenML unit to send it in (RFC 8428 §12.1, RFC 8798), or null where SenML has none that fits. */
  readonly senmlUnit: string | null
  /** The UCUM unit that exports give it in where the unit sent can be converted, or null for what has no unit. */
  readonly ucumUnit: string | null
  /** FHIR's observation-category. */
  readonly category: "vital-signs" | "laboratory" | "activity" | "procedure"
  /** The first that fits the unit is the code; the others say the same more closely. */
  readonly loinc: readonly LoincCode[]
  readonly mdc: MdcCode | null
  readonly openMHealth: OpenMHealthSchema | null
  /** FHIR's own profile of this vital sign, which an exported Observation then claims to follow. */
  readonly fhirProfile: string | null
}

export interface LoincCode {
  readonly code: string
  /** The long common name. */
  readonly display: string
  /** Only for a value in this UCUM unit: LOINC has a code each for mass and for moles. */
  readonly onlyFor?: string
}

export interface MdcCode {
  readonly code: number
  readonly refId: string
}

export interface OpenMHealthSchema {
  readonly namespace: "omh"
  readonly name: string
  readonly version: string
  /** The member of the body that holds value and unit. */
  readonly member: string
  /** Open mHealth's name of a unit, by UCUM unit; the first is what a value is converted to where it is in neither. */
  readonly units: Readonly<Record<string, string>>
  /** Other members of the body that the metric itself says. */
  readonly constants?: Readonly<Record<string, string>>
  /** Why one reading makes no data point of this schema; absent where it does. */
  readonly unfit?: string
}

type Parts = Partial<Omit<MetricEntry, "metric" | "title" | "senmlUnit" | "ucumUnit">>

function metricEntry(
  metric: string,
  title: string,
  [senmlUnit, ucumUnit]: readonly [string | null, string | null],
  parts: Parts = {},
): MetricEntry {
  return {
    metric,
    title,
    senmlUnit,
    ucumUnit,
    form: "reading",
    category: "vital-signs",
    loinc: [],
    mdc: null,
    openMHealth: null,
    fhirProfile: null,
    ...parts,
  }
}

const profile = (name: string): string => `http://hl7.org/fhir/StructureDefinition/${name}`

function omh(
  name: string,
  version: string,
  member: string,
  units: Readonly<Record<string, string>>,
  more: Pick<OpenMHealthSchema, "constants" | "unfit"> = {},
): OpenMHealthSchema {
  return { namespace: "omh", name, version, member, units, ...more }
}

const needsInterval = "the schema wants a time interval, and a reading has one time"
const needsAxes = "the schema wants the axes of one moment together, and a reading is of one axis"
const needsPair = "the schema wants systolic and diastolic pressure together, and a reading is of one"

const glucoseUnits = { "mg/dL": "mg/dL", "mmol/L": "mmol/L" }
const sensorGlucose: Parts = {
  category: "laboratory",
  loinc: [
    { code: "99504-3", display: "Glucose [Mass/volume] in Interstitial fluid", onlyFor: "mg/dL" },
    { code: "105272-9", display: "Glucose [Moles/volume] in Interstitial fluid", onlyFor: "mmol/L" },
  ],
  mdc: { code: 160_212, refId: "MDC_CONC_GLU_ISF" },
  openMHealth: omh("blood-glucose", "4.0", "blood_glucose", glucoseUnits, {
    constants: { specimen_source: "interstitial fluid" },
  }),
}
const stripGlucose: Parts = {
  category: "laboratory",
  loinc: [
    {
      code: "41653-7",
      display: "Glucose [Mass/volume] in Capillary blood by Glucometer",
      onlyFor: "mg/dL",
    },
    {
      code: "14743-9",
      display: "Glucose [Moles/volume] in Capillary blood by Glucometer",
      onlyFor: "mmol/L",
    },
  ],
  mdc: { code: 160_184, refId: "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD" },
  openMHealth: omh("blood-glucose", "4.0", "blood_glucose", glucoseUnits, {
    constants: { specimen_source: "capillary blood" },
  }),
}

/** Lead by the end of its metric's name: the code within MDC's partition 2, and the end of the reference id. */
const leads: Readonly<Record<string, readonly [number, string]>> = {
  i: [257, "_I"],
  ii: [258, "_II"],
  iii: [317, "_III"],
  avr: [318, "_AVR"],
  avl: [319, "_AVL"],
  avf: [320, "_AVF"],
  v1: [259, "_V1"],
  v2: [260, "_V2"],
  v3: [261, "_V3"],
  v4: [262, "_V4"],
  v5: [263, "_V5"],
  v6: [264, "_V6"],
}

function ecgEntry(metric: string, title: string, [code, end]: readonly [number, string]): MetricEntry {
  return metricEntry(metric, title, ["mV", "mV"], {
    form: "waveform",
    category: "procedure",
    mdc: { code: 131_072 + code, refId: `MDC_ECG_ELEC_POTL${end}` },
  })
}

const ecg = ecgEntry("ecg", "Electrocardiogram, one lead", [256, ""])

function axisEntry(axis: string): MetricEntry {
  return metricEntry(`acc-${axis}`, `Acceleration along ${axis}, gravity included`, ["m/s2", "m/s2"], {
    form: "waveform",
    category: "activity",
    openMHealth: omh(
      "acceleration",
      "2.0",
      `acceleration_${axis}`,
      { "m/s2": "m/s^2" },
      { unfit: needsAxes },
    ),
  })
}

/** In the order in which a person looks for them: the heart, breath, temperature, glucose, movement, the rest. */
export const metrics: readonly MetricEntry[] = [
  metricEntry("heart-rate", "Heart rate", ["beat/min", "/min"], {
    loinc: [{ code: "8867-4", display: "Heart rate" }],
    mdc: { code: 147_842, refId: "MDC_ECG_HEART_RATE" },
    openMHealth: omh("heart-rate", "2.0", "heart_rate", { "/min": "beats/min" }),
    fhirProfile: profile("heartrate"),
  }),
  metricEntry("pulse-rate", "Pulse rate by an optical sensor", ["beat/min", "/min"], {
    loinc: [{ code: "8889-8", display: "Heart rate by Pulse oximetry" }],
    mdc: { code: 149_530, refId: "MDC_PULS_OXIM_PULS_RATE" },
    openMHealth: omh("heart-rate", "2.0", "heart_rate", { "/min": "beats/min" }),
  }),
  metricEntry("resting-heart-rate", "Heart rate at rest", ["beat/min", "/min"], {
    loinc: [{ code: "40443-4", display: "Heart rate --resting" }],
    openMHealth: omh(
      "heart-rate",
      "2.0",
      "heart_rate",
      { "/min": "beats/min" },
      {
        constants: { temporal_relationship_to_physical_activity: "at rest" },
      },
    ),
  }),
  metricEntry("rr-interval", "Interval between two heart beats", ["s", "ms"], {
    loinc: [{ code: "8637-1", display: "R-R interval by EKG" }],
    mdc: { code: 147_240, refId: "MDC_ECG_TIME_PD_RR_GL" },
    openMHealth: omh("rr-interval", "1.0", "rr_interval", { ms: "ms" }),
  }),
  metricEntry(
    "heart-rate-variability",
    "Standard deviation of the intervals between heart beats",
    ["s", "ms"],
    {
      loinc: [{ code: "80404-7", display: "R-R interval.standard deviation (Heart rate variability)" }],
    },
  ),
  ecg,
  ...Object.entries(leads).map(([lead, code]) =>
    ecgEntry(
      `ecg-${lead}`,
      `Electrocardiogram, lead ${lead.startsWith("a") ? `a${lead.slice(1).toUpperCase()}` : lead.toUpperCase()}`,
      code,
    ),
  ),
  metricEntry("ppg", "Photoplethysmogram", [null, null], {
    form: "waveform",
    category: "procedure",
    mdc: { code: 150_452, refId: "MDC_PULS_OXIM_PLETH" },
  }),
  metricEntry("bvp", "Blood volume pulse, a photoplethysmogram", [null, null], {
    form: "waveform",
    category: "procedure",
    mdc: { code: 150_452, refId: "MDC_PULS_OXIM_PLETH" },
  }),
  metricEntry("oxygen-saturation", "Oxygen saturation by pulse oximetry", ["/", "%"], {
    // FHIR's profile wants 2708-6; 59408-5 says how it was measured.
    loinc: [
      { code: "2708-6", display: "Oxygen saturation in Arterial blood" },
      { code: "59408-5", display: "Oxygen saturation in Arterial blood by Pulse oximetry" },
    ],
    mdc: { code: 150_456, refId: "MDC_PULS_OXIM_SAT_O2" },
    openMHealth: omh(
      "oxygen-saturation",
      "2.0",
      "oxygen_saturation",
      { "%": "%" },
      {
        constants: { system: "peripheral capillary", measurement_method: "pulse oximetry" },
      },
    ),
    fhirProfile: profile("oxygensat"),
  }),
  metricEntry("systolic-blood-pressure", "Systolic blood pressure", ["Pa", "mm[Hg]"], {
    loinc: [{ code: "8480-6", display: "Systolic blood pressure" }],
    mdc: { code: 150_021, refId: "MDC_PRESS_BLD_NONINV_SYS" },
    openMHealth: omh(
      "blood-pressure",
      "4.0",
      "systolic_blood_pressure",
      { "mm[Hg]": "mmHg" },
      { unfit: needsPair },
    ),
  }),
  metricEntry("diastolic-blood-pressure", "Diastolic blood pressure", ["Pa", "mm[Hg]"], {
    loinc: [{ code: "8462-4", display: "Diastolic blood pressure" }],
    mdc: { code: 150_022, refId: "MDC_PRESS_BLD_NONINV_DIA" },
    openMHealth: omh(
      "blood-pressure",
      "4.0",
      "diastolic_blood_pressure",
      { "mm[Hg]": "mmHg" },
      { unfit: needsPair },
    ),
  }),
  metricEntry("respiration-rate", "Breaths a minute", ["1/min", "/min"], {
    loinc: [{ code: "9279-1", display: "Respiratory rate" }],
    mdc: { code: 151_562, refId: "MDC_RESP_RATE" },
    openMHealth: omh("respiratory-rate", "2.0", "respiratory_rate", { "/min": "breaths/min" }),
    fhirProfile: profile("resprate"),
  }),
  metricEntry("body-temperature", "Body temperature", ["Cel", "Cel"], {
    loinc: [{ code: "8310-5", display: "Body temperature" }],
    mdc: { code: 150_364, refId: "MDC_TEMP_BODY" },
    openMHealth: omh("body-temperature", "4.0", "body_temperature", { Cel: "C" }),
    fhirProfile: profile("bodytemp"),
  }),
  // Not a body temperature: the wrist is degrees colder, and follows the room.
  metricEntry("skin-temperature", "Temperature of the skin", ["Cel", "Cel"], {
    loinc: [{ code: "39106-0", display: "Temperature of Skin" }],
    mdc: { code: 150_388, refId: "MDC_TEMP_SKIN" },
  }),
  metricEntry("eda", "Electrodermal activity: conductance of the skin", ["S", "uS"], {
    category: "procedure",
  }),
  metricEntry(
    "glucose",
    "Glucose by a continuous sensor, in interstitial fluid",
    [null, "mg/dL"],
    sensorGlucose,
  ),
  metricEntry(
    "glucose-scan",
    "Glucose by a scanned sensor, in interstitial fluid",
    [null, "mg/dL"],
    sensorGlucose,
  ),
  metricEntry("glucose-strip", "Glucose by a test strip, in capillary blood", [null, "mg/dL"], stripGlucose),
  metricEntry(
    "glucose-calibration",
    "Glucose by a test strip, to calibrate a sensor",
    [null, "mg/dL"],
    stripGlucose,
  ),
  metricEntry("ketone", "Ketones by a test strip, in capillary blood", [null, "mmol/L"], {
    category: "laboratory",
  }),
  metricEntry("steps", "Steps since the reading before", ["count", "{steps}"], {
    category: "activity",
    loinc: [{ code: "55423-8", display: "Number of steps in unspecified time Pedometer" }],
    openMHealth: omh("step-count", "3.0", "step_count", { "{steps}": "steps" }, { unfit: needsInterval }),
  }),
  metricEntry("distance", "Distance", ["m", "m"], {
    category: "activity",
    mdc: { code: 8_454_247, refId: "MDC_HF_DISTANCE" },
  }),
  metricEntry("ascent", "Metres climbed", ["m", "m"], {
    category: "activity",
    mdc: { code: 8_454_244, refId: "MDC_HF_ALT_GAIN" },
  }),
  metricEntry("speed", "Speed", ["m/s", "m/s"], {
    category: "activity",
    mdc: { code: 8_454_254, refId: "MDC_HF_SPEED" },
  }),
  metricEntry("calories", "Energy expended", ["J", "kcal"], {
    category: "activity",
    loinc: [{ code: "41981-2", display: "Calories burned" }],
    mdc: { code: 8_454_263, refId: "MDC_HF_ENERGY" },
    openMHealth: omh("calories-burned", "2.0", "kcal_burned", { kcal: "kcal" }, { unfit: needsInterval }),
  }),
  metricEntry("intensity", "Minutes of activity", ["min", "min"], { category: "activity" }),
  metricEntry("sleep-duration", "Time asleep", ["s", "h"], {
    category: "activity",
    loinc: [{ code: "93832-4", display: "Sleep duration" }],
    mdc: { code: 8_455_148, refId: "MDC_HF_ACT_SLEEP" },
  }),
  axisEntry("x"),
  axisEntry("y"),
  axisEntry("z"),
  metricEntry("body-weight", "Body weight", ["kg", "kg"], {
    loinc: [{ code: "29463-7", display: "Body weight" }],
    mdc: { code: 188_736, refId: "MDC_MASS_BODY_ACTUAL" },
    openMHealth: omh("body-weight", "3.0", "body_weight", { kg: "kg" }),
    fhirProfile: profile("bodyweight"),
  }),
  metricEntry("body-height", "Body height", ["m", "cm"], {
    loinc: [{ code: "8302-2", display: "Body height" }],
    mdc: { code: 188_740, refId: "MDC_LEN_BODY_ACTUAL" },
    openMHealth: omh("body-height", "2.0", "body_height", { cm: "cm" }),
    fhirProfile: profile("bodyheight"),
  }),
  metricEntry("battery", "Charge of the device's battery", ["%EL", "%"], {
    category: "procedure",
    mdc: { code: 67_996, refId: "MDC_ATTR_VAL_BATT_CHARGE" },
  }),
  metricEntry("stress", "A vendor's score of stress", [null, null], { category: "activity" }),
  metricEntry("event", "A mark that the wearer made", [null, null], { form: "event", category: "activity" }),
  metricEntry("note", "A note that the wearer made", [null, null], { form: "event", category: "activity" }),
]

const byName: ReadonlyMap<string, MetricEntry> = new Map(metrics.map((one) => [one.metric, one]))

/** What the catalogue knows of a metric, or null. A lead that MDC has no code for (`ecg-mlii`) is an ECG all the same. */
export function findMetric(metric: string): MetricEntry | null {
  return byName.get(metric) ?? (metric.startsWith("ecg-") ? { ...ecg, metric } : null)
}

/** The LOINC codes of a metric for a value in this UCUM unit, the one that counts first. */
export function loincOf(entry: MetricEntry, ucumUnit: string | null): readonly LoincCode[] {
  return entry.loinc.filter(({ onlyFor }) => onlyFor === undefined || onlyFor === ucumUnit)
}

/** Every UCUM unit that an export can give. */
export function unitsOfCatalogue(): readonly string[] {
  return [...new Set([...metrics.flatMap(({ ucumUnit }) => ucumUnit ?? []), ...ucumUnits])]
}

import { expect, test } from "vitest"
import { parseBase64url } from "../../chain/bytes.ts"
import { type CborInput, type CborKey, FormatFault, encodeCbor } from "../../chain/cbor.ts"
import { decodePack, encodePack } from "../../chain/senml.ts"
import type { Series } from "../../chain/series.ts"
import { hasVectors, listVectors, readVector, readVectorJson } from "./folder.ts"

const folder = "core-wg-senml-spec"

type JsonRecord = Readonly<Record<string, string | number | boolean>>

const readPack = (name: string): JsonRecord[] => readVectorJson(`${folder}/${name}`) as JsonRecord[]

/** RFC 8428 §6: the labels that are numbers in CBOR. */
const labels: Readonly<Record<string, number>> = {
  bver: -1,
  bn: -2,
  bt: -3,
  bu: -4,
  bv: -5,
  bs: -6,
  n: 0,
  u: 1,
  v: 2,
  vs: 3,
  vb: 4,
  s: 5,
  t: 6,
  ut: 7,
  vd: 8,
}

/** A pack of JSON in CBOR: `vd` is base64url there and bytes here. */
function convert(records: readonly JsonRecord[]): Uint8Array {
  return encodeCbor(
    records.map(
      (record) =>
        new Map<CborKey, CborInput>(
          Object.entries(record).map(([name, value]) => [
            labels[name] ?? name,
            name === "vd" ? parseBase64url(String(value))! : value,
          ]),
        ),
    ),
  )
}

/** Of each reading what a resolved record says, in the form of the resolved files, ordered by name, unit and time. */
function flatten(series: readonly Series[]): string[] {
  const readings = series.flatMap((one) => {
    if (one.kind === "waveform") throw new Error("there are no waveforms in the examples")
    return one.values.map((value, index) => [one.name, one.unit, one.times[index]!, one.kind, value] as const)
  })
  return order(readings)
}

function flattenResolved(records: readonly JsonRecord[]): string[] {
  return order(
    records.map((record) => {
      const [kind, value] =
        "v" in record
          ? ["number", record["v"]]
          : "vs" in record
            ? ["text", record["vs"]]
            : ["boolean", record["vb"]]
      return [record["n"], record["u"] ?? null, Number(record["t"]), kind, value] as const
    }),
  )
}

function order(readings: readonly (readonly [unknown, unknown, number, unknown, unknown])[]): string[] {
  // Resolved times have three decimals at most; ours are sums of binary floats.
  return readings
    .map(([name, unit, time, kind, value]) => JSON.stringify([name, unit, time.toFixed(3), kind, value]))
    .toSorted()
}

function ruleOf(bytes: Uint8Array): string | null {
  try {
    decodePack(bytes)
    return null
  } catch (error) {
    if (error instanceof FormatFault) return error.rule
    throw error
  }
}

const relative = ["ex1", "ex2", "ex7"]
const absolute = ["ex3", "ex4", "ex5", "ex6", "ex8", "ex10", "ex11", "ex12"]

test.runIf(hasVectors)("every example is used", () => {
  const examples = listVectors(folder, ".json").filter((name) => !name.includes(".gen."))
  const used = [...absolute, ...relative, "ex9", "ex13"].map((name) => `${folder}/${name}.json`)
  expect(used.toSorted()).toEqual(examples)
  expect(listVectors(folder, ".resolved.json").length).toBe(12)
  expect(listVectors(folder, ".cbor").length).toBe(2)
})

test.runIf(hasVectors)("RFC 8428's packs with absolute times resolve as their authors say", () => {
  const resolved = absolute.map((name) => flattenResolved(readPack(`${name}.gen.resolved.json`)))
  const ours = absolute.map((name) => flatten(decodePack(convert(readPack(`${name}.json`)))))
  expect(ours).toEqual(resolved)
  expect(ours.map(({ length }) => length)).toEqual([7, 12, 13, 4, 2, 2, 2, 2])
})

test.runIf(hasVectors)(
  "RFC 8428's two packs in CBOR, floats of every width, resolve as the ones in JSON",
  () => {
    const names = ["ex3", "ex5"]
    const ours = names.map((name) => flatten(decodePack(readVector(`${folder}/${name}.gen.cbor`))))
    expect(ours).toEqual(names.map((name) => flattenResolved(readPack(`${name}.gen.resolved.json`))))
    // What we make of their series decodes to the same ones, unit by unit and to the last bit.
    const series = names.map((name) => decodePack(readVector(`${folder}/${name}.gen.cbor`)))
    expect(series.map((one) => decodePack(encodePack(one)))).toEqual(series)
  },
)

test.runIf(hasVectors)(
  "a pack whose times are relative to now is refused, and resolves once it has a base time",
  () => {
    expect(relative.map((name) => ruleOf(convert(readPack(`${name}.json`))))).toEqual(
      relative.map(() => "a resolved time is absolute: at least 2^28 seconds"),
    )
    const anchored = [...relative, "ex9"].map((name) => {
      const resolved = readPack(`${name}.gen.resolved.json`)
      const [first, ...rest] = readPack(`${name}.json`)
      const records = [{ ...first, bt: resolved[0]!["t"]! }, ...rest]
      // ex9 states its base name in a record of its own, without a value: see below.
      const [base, second, ...others] = records
      const pack = name === "ex9" ? [{ ...base, ...second }, ...others] : records
      const decoded = decodePack(convert(pack))
      // The resolved ex7 is older than the record with data, the only one of all examples.
      const known = decoded.filter(({ kind }) => kind !== "bytes")
      return {
        name,
        ours: flatten(known),
        theirs: flattenResolved(resolved),
        data: decoded.length - known.length,
      }
    })
    expect(anchored.map(({ name, ours }) => ({ name, ours }))).toEqual(
      anchored.map(({ name, theirs }) => ({ name, ours: theirs })),
    )
    expect(anchored.map(({ name, ours, data }) => [name, ours.length, data])).toEqual([
      ["ex1", 1, 0],
      ["ex2", 2, 0],
      ["ex7", 3, 1],
      ["ex9", 3, 0],
    ])
  },
)

test.runIf(hasVectors)(
  "a record that only sets a base is refused: RFC 8428 §4.2 wants a value or a sum in each",
  () => {
    expect(ruleOf(convert(readPack("ex9.json")))).toBe(
      "a record has exactly one of v, vs, vb and vd, or s alone",
    )
  },
)

test.runIf(hasVectors)("ex13, which has no resolved file, gives two series of two", () => {
  const series = decodePack(convert(readPack("ex13.json")))
  expect(series).toEqual([
    {
      kind: "number",
      name: "2001:db8::3",
      unit: "/",
      times: [1_320_078_429, 1_320_078_429.1],
      values: [0.5, 0],
    },
    {
      kind: "number",
      name: "2001:db8::4",
      unit: "/",
      times: [1_320_078_429, 1_320_078_429.1],
      values: [0.5, 0],
    },
  ])
})

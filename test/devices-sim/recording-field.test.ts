/** Recordings that were read as something plausible and wrong, or not at all, and the shapes of vendors' files near them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it, test } from "vitest"
import { openRecording, openRecordings } from "../../devices-sim/recording/open.ts"
import {
  type RecordedSignal,
  type Recording,
  type RecordingOptions,
  startsAtDefault,
} from "../../devices-sim/recording/recording.ts"

const inputs = fileURLToPath(new URL("field/", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "tidemark-field-"))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

const needsZone =
  "times are local, without an offset: name the zone that the device's clock kept with --timezone"
const berlin = { timezone: "Europe/Berlin" } as const
const utc = { timezone: "UTC" } as const

describe("dates", () => {
  it("field R1: a LibreView export with the day first and 12 hours lies on 6 and 7 February", async () => {
    const { signals, remarks } = await openRecording(join(inputs, "01-libreview-dmy-12h.csv"), berlin)
    expect(instantsOf(signals, "glucose")).toEqual([
      "2026-02-06T22:45:00Z",
      "2026-02-06T23:00:00Z",
      "2026-02-06T23:15:00Z",
    ])
    expect(remarks).toContain("dates are day, month, year: rows go on across midnight")
  })

  it("field R2: LibreView exports with the day or the year first are read", async () => {
    for (const name of ["02-libreview-dmy-24h.csv", "02b-libreview-iso.csv"]) {
      const { signals } = await openRecording(join(inputs, name), utc)
      expect(instantsOf(signals, "glucose")).toEqual([
        "2025-12-20T23:15:00Z",
        "2025-12-20T23:30:00Z",
        "2025-12-20T23:45:00Z",
      ])
      expect(only(signals, "glucose")).toMatchObject({ unit: "mmol/L", values: [5.4, 5.6, 5.8] })
    }
  })

  const undecided = "nothing in the file decides: give --dates"
  const dmy = "day, month, year"
  const mdy = "month, day, year"
  // Each row of an export: its times, and the first instant, how it was decided, or why it was not.
  test.each<[about: string, times: readonly string[], given: RecordingOptions["dates"], outcome: string]>([
    [
      "a day above 12 in the last row",
      ["02-03-2026 08:00", "13-03-2026 08:00"],
      undefined,
      `2026-03-02 ${dmy}: a day above 12`,
    ],
    [
      "a day above 12 in second place",
      ["02/03/2026 08:00", "02/13/2026 08:00"],
      undefined,
      `2026-02-03 ${mdy}: a day above 12`,
    ],
    [
      "a year of two digits",
      ["6/2/20 8:02", "10/13/20 8:02"],
      undefined,
      `2020-06-02 ${mdy}: a day above 12`,
    ],
    ["points between the numbers", ["31.01.2026 08:00"], undefined, `2026-01-31 ${dmy}: a day above 12`],
    ["one day in two readings", ["02-03-2026 08:00", "02-03-2026 08:15"], undefined, undecided],
    [
      "the same number twice",
      ["03-03-2026 08:00"],
      undefined,
      `2026-03-03 ${dmy}: day and month are the same`,
    ],
    ["one step across midnight", ["06-02-2026 23:50", "07-02-2026 00:05"], undefined, undecided],
    [
      "rows that run over midnight",
      ["02-06-2026 23:40", "02-06-2026 23:55", "02-07-2026 00:10"],
      undefined,
      `2026-02-06 ${mdy}: rows go on`,
    ],
    [
      "newest first over midnight",
      ["07-02-2026 00:10", "06-02-2026 23:55", "06-02-2026 23:40"],
      undefined,
      `2026-02-07 ${dmy}: rows go on`,
    ],
    [
      "a reading a month, in order",
      ["05-01-2026 8:00", "03-02-2026 8:00", "04-03-2026 8:00", "02-04-2026 8:00", "01-05-2026 8:00"],
      undefined,
      `2026-01-05 ${dmy}: rows are in order`,
    ],
    [
      "a reading a month, of too few months",
      ["05-01-2026 8:00", "03-02-2026 8:00", "04-03-2026 8:00"],
      undefined,
      undecided,
    ],
    ["an order that is asked for", ["02-03-2026 08:00"], "mdy", `2026-02-03 ${mdy}: as asked for`],
    [
      "two digits each, and the year first",
      ["20/02/06 08:00"],
      "ymd",
      "2020-02-06 year, month, day: as asked for",
    ],
    ["two digits each, without a word", ["20/02/06 08:00"], undefined, undecided],
    ["the year first whatever is asked for", ["2026-02-03 08:00"], "dmy", "2026-02-03"],
    [
      "an order that a row contradicts",
      ["02-03-2026 08:00", "13-03-2026 08:00"],
      "mdy",
      "no calendar as month, day, year, which --dates mdy asks for",
    ],
    ["two orders in one file", ["13-03-2026 08:00", "03-14-2026 08:00"], undefined, "no calendar"],
    [
      "two forms in one file",
      ["03/02/2026 08:00", "13-02-2026 08:00"],
      undefined,
      "another form than that of line 3",
    ],
    ["30 February", ["30-02-2026 08:00"], undefined, "no calendar"],
  ])("%s", async (_, times, given, outcome) => {
    const file = write(libre(times.map((time) => [time, "0", "100"])))
    const options: RecordingOptions = { ...utc, ...(given === undefined ? {} : { dates: given }) }
    const told = await tell(file, options, ({ signals, remarks }) => {
      const day = instantsOf(signals, "glucose")[0]?.slice(0, 10)
      return `${day} ${remarks.join("; ").replace("dates are ", "")}`
    })
    expect(told).toContain(outcome)
  })

  it("the day that an export was made on decides where the rows do not", async () => {
    const rows = libre([["06-02-2026 08:00", "0", "100"]])
    const file = write(rows.replace("Generated on,x", "Generated on,20-02-2026 09:00 UTC"))
    const { signals, remarks } = await openRecording(file, utc)
    expect(instantsOf(signals, "glucose")).toEqual(["2026-02-06T08:00:00Z"])
    expect(remarks).toContain("dates are day, month, year: a date above the rows has a day above 12")
  })

  test.each([
    ["11:45 PM", "23:45"],
    ["12:00 AM", "00:00"],
    ["12:30 pm", "12:30"],
    ["11:45\u202fPM", "23:45"],
    ["11:45 p.\u00a0m.", "23:45"],
    ["8:05 a. m.", "08:05"],
    ["오후 11:45", "23:45"],
    ["午前 8:05", "08:05"],
    ["8:05 πμ", "08:05"],
    ["11:45 em", "23:45"],
  ])("%s is %s", async (written, clock) => {
    const { signals } = await openRecording(write(libre([[`13-02-2026 ${written}`, "0", "100"]])), utc)
    expect(instantsOf(signals, "glucose")).toEqual([`2026-02-13T${clock}:00Z`])
  })
})

describe("zones", () => {
  it("field R4: local times without an offset are refused without a zone, and read in the one that is named", async () => {
    const paths = ["02b-libreview-iso.csv", "EDA_001.csv"].map((name) => join(inputs, name))
    paths.push(write(dexcom(["2026-06-02T08:00:00,EGV,100"])))
    for (const path of paths) await expect(openRecording(path)).rejects.toThrow(needsZone)
    const last = paths.at(-1) ?? ""
    for (const [timezone, instant] of [
      ["America/Los_Angeles", "2026-06-02T15:00:00Z"],
      ["Asia/Kolkata", "2026-06-02T02:30:00Z"],
      ["UTC", "2026-06-02T08:00:00Z"],
    ] as const) {
      const { signals, remarks } = await openRecording(last, { timezone })
      expect(instantsOf(signals, "glucose")).toEqual([instant])
      expect(remarks).toContain(`local times are read in ${timezone}`)
    }
    await expect(openRecording(last, { timezone: "Europe/Atlantis" })).rejects.toThrow("is not a time zone")
  })

  it("field R4: an order and a zone that are both missing are asked for at once", async () => {
    const file = write(libre([["06-02-2026 08:00", "0", "100"]]))
    await expect(openRecording(file)).rejects.toThrow(
      /give --dates dmy .* or --dates mdy .*; and times are local/,
    )
  })

  it("times with an offset need no zone", async () => {
    const file = write("datetime,eda\n2026-06-02T08:00:00.5+02:00,0.1\n2026-06-02T08:00:01+0200,0.2\n")
    const { signals } = await openRecording(file, { timezone: "Asia/Tokyo" })
    expect(only(signals, "eda")).toMatchObject({ times: [1_780_380_000.5, 1_780_380_001] })
  })

  it("the hour that clocks repeat is told apart by the order of the rows, in each direction and each series", async () => {
    // Clocks in Berlin went from 03:00 back to 02:00 on 25 October 2026, at 01:00Z.
    const clocks = ["01:45", "02:00", "02:30", "02:30", "02:45", "02:00", "02:15", "02:45", "03:00"]
    const instants = ["23:45", "00:00", "00:30", "00:30", "00:45", "01:00", "01:15", "01:45", "02:00"]
    const rows = clocks.map((clock) => `2026-10-25T${clock}:00,EGV,100`)
    for (const [written, told] of [
      [rows, instants],
      [rows.toReversed(), instants.toReversed()],
    ] as const) {
      const { signals, remarks } = await openRecording(write(dexcom(written)), berlin)
      expect(instantsOf(signals, "glucose").map((instant) => instant.slice(11, 16))).toEqual(told)
      expect(remarks).toContain("7 times in an hour that clocks repeat are told apart by their order")
    }
    // A series that goes through the hour again is another pass of its own.
    const both = [
      ...clocks.map((clock): [string, string, string] => [`2026-10-25 ${clock}`, "0", "100"]),
      ...clocks.map((clock): [string, string, string] => [`2026-10-25 ${clock}`, "1", "100"]),
    ]
    const { signals } = await openRecording(write(libre(both)), berlin)
    for (const metric of ["glucose", "glucose-scan"])
      expect(instantsOf(signals, metric).map((instant) => instant.slice(11, 16))).toEqual(instants)
  })

  it("an hour that clocks repeat and rows go through once is the first, and counted; three times is refused", async () => {
    const rows = ["02:00", "02:30", "04:00"].map((clock) => `2026-10-25T${clock}:00,EGV,100`)
    const { signals, remarks } = await openRecording(write(dexcom(rows)), berlin)
    expect(instantsOf(signals, "glucose")[1]).toBe("2026-10-25T00:30:00Z")
    expect(remarks).toContain(
      "2 times in an hour that clocks repeat, which the rows go through once, are read as the first",
    )
    const thrice = [...rows.slice(0, 2), ...rows.slice(0, 2), ...rows.slice(0, 2)]
    await expect(openRecording(write(dexcom(thrice)), berlin)).rejects.toThrow(
      /line 6: Europe\/Berlin has this hour twice, and the order of the rows does not say which is which/,
    )
    // A clock that is corrected by some seconds does not begin a second pass.
    const corrected = ["02:10:00", "02:09:58", "02:15:00"].map((clock) => `2026-10-25T${clock},EGV,100`)
    const { signals: once } = await openRecording(write(dexcom(corrected)), berlin)
    expect(instantsOf(once, "glucose").at(-1)).toBe("2026-10-25T00:15:00Z")
  })

  it("where a sensor counts, its counter tells apart an hour that clocks repeat, in any order", async () => {
    // As exports since 2019 have it: sorted by local time, so that both passes take turns.
    const rows: [clock: string, tick: number][] = []
    for (let second = 0; second < 3 * 3600; second += 300) {
      const clock = new Date((23 * 3600 + 1800 + second + (second < 5400 ? 7200 : 3600)) * 1000)
      rows.push([clock.toISOString().slice(11, 19), 480_000 + second])
    }
    const sorted = rows.toSorted(([one], [other]) => one.localeCompare(other))
    const export_ = g7(sorted.map(([clock, tick]) => [`2026-10-25T${clock}`, tick, "S1"]))
    const { signals, remarks } = await openRecording(write(export_), berlin)
    const glucose = only(signals, "glucose")
    const times = glucose.kind === "points" ? glucose.times.toSorted((a, b) => a - b) : []
    expect(times).toEqual(rows.map((_, i) => Date.UTC(2026, 9, 24, 23, 30) / 1000 + i * 300))
    expect(remarks).toContain("24 times in an hour that clocks repeat are told apart by the sensor's counter")
    // Without the counter nothing tells them apart, and none is guessed.
    const blind = export_.replace(/,(\d+),S1$/gm, ",,")
    await expect(openRecording(write(blind), berlin)).rejects.toThrow(
      "has this hour twice, and the order of the rows",
    )
  })

  it("a clock that was changed against the sensor's counter is named, since one zone does not fit the file", async () => {
    const trip = g7([
      ["2026-06-02T08:00:00", 1000, "S1"],
      ["2026-06-02T08:05:00", 1300, "S1"],
      ["2026-06-02T02:10:00", 1600, "S1"],
    ])
    await expect(openRecording(write(trip), berlin)).rejects.toThrow(
      /line 4: the device's clock was changed here/,
    )
    // A new sensor counts from its own beginning, and a hole is a hole in both.
    const changed = g7([
      ["2026-06-02T08:00:00", 1000, "S1"],
      ["2026-06-02T11:05:00", 12_100, "S1"],
      ["2026-06-02T12:10:00", 300, "S2"],
    ])
    expect((await openRecording(write(changed), berlin)).signals).toHaveLength(1)
  })

  it("a time that clocks leave out is named with its line", async () => {
    const rows = ["01:55", "02:30", "03:05"].map((clock) => `2026-03-29T${clock}:00,EGV,100`)
    await expect(openRecording(write(dexcom(rows)), berlin)).rejects.toThrow(
      /line 3: the local time does not exist in Europe\/Berlin/,
    )
    const { signals } = await openRecording(write(dexcom(rows)), { timezone: "Etc/GMT-1" })
    expect(instantsOf(signals, "glucose")).toHaveLength(3)
  })

  it("a leap second is the second after it, and second 60 of any other minute is refused", async () => {
    const { signals } = await openRecording(
      write("datetime,eda\n2016-12-31T23:59:59Z,0.1\n2016-12-31T23:59:60Z,0.2\n2017-01-01T00:00:00Z,0.3\n"),
    )
    expect(only(signals, "eda")).toMatchObject({ times: [1_483_228_799, 1_483_228_800, 1_483_228_800] })
    const { signals: garmin } = await openRecording(write("2017-01-01T00:59:60+01:00;STRESS;7\n", "data.csv"))
    expect(only(garmin, "stress")).toMatchObject({ times: [1_483_228_800] })
    await expect(openRecording(write("datetime,eda\n2016-12-31T23:58:60Z,0.1\n"))).rejects.toThrow(
      "line 2: a time",
    )
  })
})

describe("metrics and units", () => {
  it("field R3: the columns of a BIG IDEAs file are what they are named", async () => {
    const { signals: eda } = await openRecording(join(inputs, "EDA_001.csv"), utc)
    expect(eda).toMatchObject([{ metric: "eda", unit: "uS", values: [0.001281, 0.002562, 0.003843] }])
    expect(instantsOf(eda, "eda")[0]).toBe("2020-02-13T15:28:50Z")
    const { signals: hr } = await openRecording(join(inputs, "HR_001.csv"), utc)
    expect(hr).toMatchObject([{ metric: "heart-rate", unit: "beat/min", values: [94, 96] }])
  })

  // A header and rows at a rate: what comes out, or what is asked for.
  test.each<[header: string, rows: readonly string[], perSecond: number, outcome: unknown]>([
    ["datetime, ibi", ["0.8", "0.9"], 1, [["rr-interval", "s"]]],
    ["datetime, ibi", ["800", "900"], 1, [["rr-interval", "ms"]]],
    ["datetime, ibi", ["0.8", "900"], 1, "the unit of the column ibi cannot be told from its values"],
    ["datetime, temp", ["33.1", "33.2"], 4, [["skin-temperature", "Cel"]]],
    ["datetime, temp", ["91.5", "91.6"], 4, [["skin-temperature", "[degF]"]]],
    ["datetime, temp", ["47", "48"], 4, "write it into the name, Cel or [degF]"],
    ["datetime, temp_f", ["47", "48"], 4, [["skin-temperature", "[degF]"]]],
    ["timestamp,Skin Temp (°C)", ["47", "48"], 4, [["skin-temperature", "Cel"]]],
    ["datetime, temp (K)", ["306", "306"], 4, "is not one that skin-temperature has"],
    ["datetime, acc_x, acc_y, acc_z", ["-27,30,50", "-28,30,50"], 32, accelerations("[g]/64")],
    ["datetime, acc_x, acc_y, acc_z", ["-400,500,760", "-400,500,760"], 32, accelerations("m[g]")],
    ["datetime, acc_x, acc_y, acc_z", ["0.1,0.2,0.97", "0.1,0.2,0.97"], 32, accelerations("[g]")],
    ["datetime, acc_x, acc_y, acc_z", ["0,0,9.8", "0.1,0.1,9.8"], 32, accelerations("m/s2")],
    [
      "datetime, acc_x, acc_y, acc_z",
      ["0,0,300", "0,0,300"],
      32,
      "the unit of the acceleration is not known",
    ],
    ["datetime, acc_x_g", ["0.5", "0.5"], 32, [["acc-x", "[g]"]]],
    ["datetime, spo2", ["97", "98"], 1, [["oxygen-saturation", "/100"]]],
    ["datetime, bvp", ["-3.1", "4.2"], 64, [["bvp", null]]],
    ["datetime, hr", ["510", "498"], 100, [["ppg", null]]],
    ["datetime, hr", ["80", "81"], 100, "can be a heart rate or a sensor's raw wave: name it with --metric"],
    ["datetime, hr", ["510", "498"], 1, "can be a heart rate or a sensor's raw wave"],
    ["datetime, mood", ["1", "2"], 1, "the column mood is not known: known are ppg"],
    ["datetime, eda, mood", ["1,2", "1,2"], 1, "the column mood is not known"],
  ])("%s with %j at %d a second", async (header, rows, perSecond, outcome) => {
    const told = await tell(write(`${header}\n${at(rows, perSecond)}`), {}, ({ signals }) =>
      JSON.stringify(signals.map(({ metric, unit }) => [metric, unit])),
    )
    expect(told).toContain(typeof outcome === "string" ? outcome : JSON.stringify(outcome))
  })

  it("a metric that is asked for is that of the one column, with its unit", async () => {
    const file = write(`datetime, hr\n${at(["80", "81"], 100)}`)
    expect((await openRecording(file, { metric: "heart-rate" })).signals).toMatchObject([
      { metric: "heart-rate", unit: "beat/min" },
    ])
    expect((await openRecording(file, { metric: "ppg" })).signals).toMatchObject([
      { metric: "ppg", unit: null },
    ])
    const mood = write(`datetime, mood\n${at(["1", "2"], 1)}`)
    expect((await openRecording(mood, { metric: "mood" })).signals).toMatchObject([
      { metric: "mood", unit: null },
    ])
  })

  it("Unix times are told by their digits, and cells without a value are counted", async () => {
    for (const unit of [1, 1e3, 1e6]) {
      const rows = [1_772_440_000, 1_772_440_001, 1_772_440_002].map((second) => second * unit)
      const { signals, remarks } = await openRecording(
        write(`timestamp;hr\n${rows[0]};70\n${rows[1]};NaN\n${rows[2]};71\n`),
      )
      expect(only(signals, "heart-rate")).toMatchObject({
        times: [1_772_440_000, 1_772_440_002],
        values: [70, 71],
      })
      expect(remarks).toContain("1 values are left out: their cell is empty")
    }
    await expect(openRecording(write("timestamp,hr\n1772440000,70\n1772440001000,70\n"))).rejects.toThrow(
      "line 3: the time is written in another form",
    )
  })

  it("field R7: one column is read with a rate, and its name or an option says what it is", async () => {
    const file = join(inputs, "07-column.csv")
    await expect(openRecording(file)).rejects.toThrow("give its samples a second with --rate")
    const { signals } = await openRecording(file, { rateHz: 117.3, startsAt: 1_800_000_000 })
    expect(signals).toMatchObject([{ kind: "waveform", metric: "ppg", startsAt: 1_800_000_000, unit: null }])
    const [signal] = signals
    expect(signal?.kind === "waveform" && [Array.from(signal.samples), signal.periodMs]).toEqual([
      [530, 518, 506, 494],
      1000 / 117.3,
    ])
    const nameless = write("530\n518\n")
    await expect(openRecording(nameless, { rateHz: 100 })).rejects.toThrow("name its metric with --metric")
    expect((await openRecording(nameless, { rateHz: 100, metric: "bvp" })).signals).toMatchObject([
      { metric: "bvp" },
    ])
    await expect(openRecording(write("mood\n1\n2\n"), { rateHz: 1 })).rejects.toThrow(
      "the column mood is not known",
    )
  })

  it("values that the header's unit cannot have are refused", async () => {
    const moles = dexcom(["2026-06-02T08:00:00,EGV,100", "2026-06-02T08:05:00,EGV,101"]).replace(
      "mg/dL",
      "mmol/L",
    )
    await expect(openRecording(write(moles), utc)).rejects.toThrow("the header says mmol/L")
    const low = dexcom(["2026-06-02T08:00:00,EGV,30", "2026-06-02T08:05:00,EGV,95"])
    expect((await openRecording(write(low), utc)).signals).toHaveLength(1)
  })
})

describe("WFDB", () => {
  it("field R5: the date of a WFDB header is day, month and year, with or without leading zeros", async () => {
    const file = join(inputs, "04-wfdb-date", "r1.hea")
    const { signals } = await openRecording(file, utc)
    expect(signals).toMatchObject([{ startsAt: Date.UTC(1989, 3, 25, 13, 5) / 1000, metric: "ecg-ii" }])
    const { signals: there } = await openRecording(file, { timezone: "America/New_York" })
    expect(there).toMatchObject([{ startsAt: Date.UTC(1989, 3, 25, 17, 5) / 1000 }])
  })

  it("field R6: a record of a PhysioNet Challenge is read from its MAT-file, by header, file or folder", async () => {
    for (const path of ["A0001.hea", "A0001.mat", ""]) {
      const { signals, remarks } = await openRecording(join(inputs, "03-wfdb-mat", path), utc)
      const told = signals.map((signal) => [
        signal.metric,
        signal.unit,
        signal.kind === "waveform" && signal.startsAt,
        signal.kind === "waveform" && Array.from(signal.samples.slice(0, 4), (one) => one * signal.factor),
      ])
      const start = Date.UTC(2020, 1, 5, 11, 39, 16) / 1000
      expect(told).toEqual([
        ["ecg-i", "mV", start, [0, 0.01, 0.02, 0.03]],
        ["ecg-ii", "mV", start, [0.05, 0.05, 0.049, 0.048]],
      ])
      expect(remarks).toEqual(["local times are read in UTC"])
    }
  })

  const samples = Int16Array.of(1, -1, 2, -2, 3, -3)
  const matrix = (type = 30, rows = 2, columns = 3): Uint8Array => {
    const bytes = new Uint8Array(24 + samples.length * 2)
    const view = new DataView(bytes.buffer)
    for (const [i, word] of [type, rows, columns, 0, 4].entries()) view.setUint32(i * 4, word, true)
    bytes.set([0x76, 0x61, 0x6c], 20)
    for (const [i, sample] of samples.entries()) view.setInt16(24 + i * 2, sample, true)
    return bytes
  }
  test.each([
    [" 13:5:0 25/4/1989", "1989-04-25T13:05:00Z"],
    [" 05-Feb-2020 11:39:16", "2020-02-05T11:39:16Z"],
    [" 2014-05-08 05:05:15", "2014-05-08T05:05:15Z"],
    [" 05:05:15 1/05/2000", "2000-05-01T05:05:15Z"],
    ["", null],
    [" 0:0:0 0/0/0", null],
    [" 12:00:00", null],
  ])("a record line that ends with %j has its start", async (start, outcome) => {
    const [signal] = (await openRecording(writeRecord(challenge(start), matrix()), utc)).signals
    expect(signal).toMatchObject({
      startsAt: outcome === null ? startsAtDefault : Date.parse(outcome) / 1000,
    })
  })

  test.each([
    [" 2006", "must be a time as 13:05:00"],
    [" 12:00:00 25/04/89", "must be a time as 13:05:00"],
    [" 12:00:00 04/25/1989", "must be a time as 13:05:00"],
    [" 12:00 25/04/1989", "must be a time as 13:05:00"],
    [" 12:00:00 01/01/1975", "is before 1978-07-04T21:24:16Z"],
  ])("a record line that ends with %j is refused without a start of its own", async (start, rule) => {
    const file = writeRecord(challenge(start), matrix())
    await expect(openRecording(file, utc)).rejects.toThrow(rule)
    expect((await openRecording(file, { startsAt: 1_800_000_000 })).signals).toHaveLength(2)
  })

  it("a MAT-file that is of another kind, of another size or cut is refused", async () => {
    for (const [bytes, rule] of [
      [matrix(0), "must be a MAT-file of version 4 with 16-bit samples"],
      [matrix(30, 3, 2), "must hold a matrix of 2 rows"],
      [matrix().subarray(0, 32), "it is of another size, or cut"],
      [new TextEncoder().encode("MATLAB 5.0 MAT-file, Platform: GLNXA64"), "must be a MAT-file of version 4"],
    ] as const)
      await expect(openRecording(writeRecord(challenge(""), bytes))).rejects.toThrow(rule)
  })

  it("units are in SenML's words, and a header of several segments is named as one", async () => {
    const header = "m 2 0.02 1\nm.dat 16 10/% 16 0 957 957 0 SpO2\nm.dat 16 10/bpm 16 0 721 721 0 HR\n"
    const { signals } = await openRecording(writeRecord(header, Uint8Array.of(0xbd, 3, 0xd1, 2), "m.dat"))
    expect(signals.map(({ metric, unit }) => [metric, unit])).toEqual([
      ["spo2", "/100"],
      ["hr", "beat/min"],
    ])
    const segments = write("m/2 1 500 1000\nm_1 500\nm_2 500\n", "m.hea")
    await expect(openRecording(segments)).rejects.toThrow("line 1: records of several segments are not read")
  })

  it("what was not measured is a hole, and the samples after it keep their times", async () => {
    const file = writeRecord(
      "m 1 500 5\nm.dat 16 200/mV 16 0 1 0 0 II\n",
      new Uint8Array(Int16Array.of(1, 2, -32_768, 3, -32_768).buffer),
      "m.dat",
    )
    const { signals, remarks } = await openRecording(file, { startsAt: 1_800_000_000 })
    expect(signals).toMatchObject([
      { startsAt: 1_800_000_000, samples: Int16Array.of(1, 2) },
      { startsAt: 1_800_000_000.006, samples: Int16Array.of(3) },
    ])
    expect(remarks).toContain('2 samples of ecg-ii are left out: the format\'s mark for "not measured"')
  })

  it("samples that the header does not count, and a gain that it does not have, are said", async () => {
    const file = writeRecord(
      "m 1 500 2\nm.dat 16 0 16 0 1 0 0 II\n",
      Uint8Array.of(1, 0, 255, 255, 2, 0),
      "m.dat",
    )
    const { remarks } = await openRecording(file)
    expect(remarks).toContain("1 samples of each signal in m.dat are left out: the header has fewer")
    expect(remarks).toContain("ecg-ii has no gain: read with 200 a mV, as header(5) says")
    const cut = writeRecord("m 1 500\nm.dat 16 200 16 0 1 0 0 II\n", Uint8Array.of(1, 0, 255), "m.dat")
    await expect(openRecording(cut)).rejects.toThrow("ends in the middle of a sample")
  })
})

describe("files as other programs leave them", () => {
  const german = [
    "Index;Zeitstempel (JJJJ-MM-TTThh:mm:ss);Ereignistyp;Ereignisuntertyp;Glukosewert (mmol/l)",
    "1;;Warnung;Hoch;",
    "2;2026-06-02T00:00:00;EGV;;5,8",
    "3;2026-06-02T00:05:00;EGW;;Niedrig",
    "4;2026-06-02T00:10:00;Kohlenhydrate;;",
    "5;2026-06-02T00:15:00;EGV;;",
  ]

  it("a Clarity export in German, saved by a spreadsheet, is read: semicolons, decimal commas, UTF-16, CRLF", async () => {
    const text = german.map((line) => `${line}\r\n`).join("")
    for (const bytes of [
      Buffer.from(text),
      Buffer.from(`\ufeff${text}`),
      Buffer.from(`\ufeff${text}`, "utf16le"),
      Buffer.from(text, "utf16le"),
      Buffer.from(`\ufeff${text}`, "utf16le").swap16(),
      Buffer.from(`sep=;\r\n${text}`),
    ]) {
      const { signals, remarks, format } = await openRecording(write(bytes), utc)
      expect(format).toBe("dexcom-clarity")
      expect(signals).toMatchObject([
        { metric: "glucose", unit: "mmol/L", values: [5.8] },
        { metric: "glucose", values: ["Niedrig"] },
      ])
      expect(remarks).toEqual([
        "local times are read in UTC",
        "1 rows without a time are left out: about the person and the device",
        "1 rows of an event type other than EGV and Calibration are left out",
        "1 rows of the event type EGV are left out: they have no value",
      ])
    }
    await expect(
      openRecording(write(Buffer.from(text.replace("Warnung", "Gerät"), "latin1")), utc),
    ).rejects.toThrow("is neither UTF-8 nor UTF-16 text: save it as UTF-8")
  })

  it("a Clarity export in Czech is read, and the numbers of its alerts are not", async () => {
    const rows = [
      '"Obsah";"Časové razítko (RRRR-MM-DDThh:mm:ss)";"Typ události";"Podtyp události";"Hodnota glukózy (mmol/L)"',
      '"1";"";"Výstraha";"Vysoká";"11,1"',
      '"2";"2026-09-02T08:00:00";"Odhadovaná hodnota glukózy";"";"7,5"',
      '"3";"2026-09-02T08:05:00";"Odhadovaná hodnota glukózy";"Nízká";"Nízká"',
      '"4";"2026-09-02T08:06:00";"Aktivita";"";""',
    ]
    const { signals } = await openRecording(write(`\ufeff${rows.join("\r\n")}\r\n`), utc)
    expect(signals).toMatchObject([{ values: [7.5], unit: "mmol/L" }, { values: ["Nízká"] }])
  })

  test.each([
    [
      "German",
      "Gerät,Gerätezeitstempel,Aufzeichnungstyp,Glukosewert-Verlauf mg/dL,Glukose-Scan mg/dL,Notizen",
    ],
    [
      "Spanish",
      "Dispositivo,Sello de tiempo del dispositivo,Tipo de registro,Historial de glucosa mg/dL,Escaneo de glucosa mg/dL,Notas",
    ],
    [
      "Dutch",
      "Apparaat,Tijdstempel apparaat,Gegevenstype,Historische glucose mg/dl,Scan Glucose mg/dl,Notities",
    ],
  ])("a LibreView export in %s is read", async (_, header) => {
    const rows = [
      "x,24-02-2021 12:12,0,101,,",
      "x,24-02-2021 12:20,1,,99,",
      "x,24-02-2021 12:25,6,,,after lunch",
    ]
    const { signals } = await openRecording(
      write(`Werte,x,24-02-2021 13:00 UTC\n${header}\n${rows.join("\n")}\n`),
      utc,
    )
    expect(signals.map((signal) => [signal.metric, signal.unit])).toEqual([
      ["glucose", "mg/dL"],
      ["glucose-scan", "mg/dL"],
      ["note", null],
    ])
    expect(instantsOf(signals, "glucose")).toEqual(["2021-02-24T12:12:00Z"])
  })

  it("a file that was cut in the middle of a line gives no part of a number", async () => {
    const whole = "datetime,eda\n2026-06-02T08:00:00Z,0.128\n2026-06-02T08:00:01Z,0.256\n"
    for (const cut of [whole.slice(0, -1), whole.slice(0, -3)]) {
      const { signals, remarks } = await openRecording(write(cut))
      expect(only(signals, "eda")).toMatchObject({ values: [0.128] })
      expect(remarks).toContain("1 rows are left out: the last line has no line end and may be cut")
    }
    const export_ = libre([
      ["13-02-2026 08:00", "0", "101"],
      ["13-02-2026 08:15", "0", "102"],
    ])
    // The row of a wide export is whole if all its separators are there.
    expect(await glucoseIn(export_.slice(0, -1))).toEqual([101, 102])
    expect(await glucoseIn(export_.slice(0, -4))).toEqual([101])
    for (const [name, text, count] of [
      ["EDA.csv", "1772435400.0\n4.0\n0.11\n0.1", 1],
      ["IBI.csv", "1772435400.0, IBI\n1.5,0.81\n2.4,0.8", 1],
      ["data.csv", "2026-01-01T00:00:00Z;STRESS;71\n2026-01-01T00:00:01Z;STRESS;7", 1],
      ["ecg.csv", "t_ms,i_mv\n0,0.1\n4,0.12\n8,0.1", 2],
    ] as const) {
      const { signals, remarks } = await openRecording(write(text, name))
      const [signal] = signals
      expect(signal && (signal.kind === "waveform" ? signal.samples : signal.values)).toHaveLength(count)
      expect(remarks.join()).toContain("the last line has no line end and may be cut")
    }
  })

  it("field R8: every fault of a folder is told, and every row that is left out is counted", async () => {
    const place = join(folder, "mixed")
    mkdirSync(join(place, "deeper"), { recursive: true })
    writeFileSync(
      join(place, "a.csv"),
      dexcom(["2026-06-02T08:00:00,EGV,100", ",Alert,240", "2026-06-02T09:00:00,Insulin,"]),
    )
    writeFileSync(join(place, "b.csv"), libre([["06-02-2026 08:00", "0", "100"]]))
    writeFileSync(join(place, "deeper", "c.csv"), "timer,mood\n0,1\n")
    writeFileSync(join(place, "d.dat"), "abc")
    writeFileSync(join(place, "letter.csv"), "Dear device,\nhow are you?\n")
    writeFileSync(join(place, "README.md"), "# notes\n")
    const { recordings, faults, remarks } = await openRecordings([place, join(folder, "nowhere.csv")], utc)
    expect(recordings.map(({ recording }) => recording.remarks)).toEqual([
      [
        "local times are read in UTC",
        "1 rows without a time are left out: settings of alerts",
        "1 rows of the event type Insulin are left out",
      ],
    ])
    expect(faults.map(({ error }) => error.rule.split("\n")[0]?.slice(0, 40))).toEqual([
      "day and month of its dates can change pl",
      "can only be read with its WFDB header, d",
      "the column mood is not known: known are ",
      "is not a recording in a known format. Kn",
      "there is no such file or folder",
    ])
    expect(remarks).toEqual([`${place}: 1 files are left out: they are no .csv and no .hea`])
  })
})

/** What a recording is told as by `shown`, or why it is refused. */
function tell(
  path: string,
  options: RecordingOptions,
  shown: (recording: Recording) => string,
): Promise<string> {
  return openRecording(path, options).then(shown, (error: unknown) => String(error))
}

/** Rows with their times. */
function at(rows: readonly string[], perSecond: number): string {
  return rows
    .map((row, i) => `${new Date(1_772_440_000_000 + (i * 1000) / perSecond).toISOString()},${row}\n`)
    .join("")
}

/** A header as those of the PhysioNet Challenges. */
function challenge(start: string): string {
  return `m 2 500 3${start}\nm.mat 16+24 1000/mV 16 0 1 6 0 I\nm.mat 16+24 1000/mV 16 0 -1 -6 0 II\n`
}

async function glucoseIn(text: string): Promise<unknown> {
  const signal = only((await openRecording(write(text), utc)).signals, "glucose")
  return signal.kind === "points" && signal.values
}

function accelerations(unit: string): readonly (readonly [string, string])[] {
  return [
    ["acc-x", unit],
    ["acc-y", unit],
    ["acc-z", unit],
  ]
}

function libre(rows: readonly (readonly [time: string, type: string, value: string])[]): string {
  const header = "Device,Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL,Notes,A,B"
  const lines = rows.map(([time, type, value]) =>
    type === "1" ? `x,${time},1,,${value},,,` : `x,${time},${type},${value},,,,`,
  )
  return ["Glucose Data,Generated on,x", header, ...lines].map((line) => `${line}\n`).join("")
}

/** @param rows time, event type and value of each */
function dexcom(rows: readonly string[]): string {
  const header = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL),Carb Value (grams)"
  return [header, ...rows.map((row, i) => `${i + 1},${row},`)].map((line) => `${line}\n`).join("")
}

/** The 14 columns of exports since 2019, their names quoted as in some. */
function g7(rows: readonly (readonly [time: string, tick: number, sensor: string])[]): string {
  const names = [
    "Index",
    "Timestamp (YYYY-MM-DDThh:mm:ss)",
    "Event Type",
    "Event Subtype",
    "Patient Info",
    "Device Info",
  ]
  names.push(
    "Source Device ID",
    "Glucose Value (mg/dL)",
    "Insulin Value (u)",
    "Carb Value (grams)",
    "Duration (hh:mm:ss)",
  )
  names.push("Glucose Rate of Change (mg/dL/min)", "Transmitter Time (Long Integer)", "Transmitter ID")
  const header = names.map((name) => `"${name}"`).join(",")
  const lines = rows.map(
    ([time, tick, sensor], i) => `${i + 1},${time},EGV,,,,phone,110,,,,,${tick},${sensor}`,
  )
  return `\ufeff${[header, ...lines].map((line) => `${line}\n`).join("")}`
}

function write(content: string | Uint8Array, name = "recording.csv"): string {
  const file = join(folder, String(files++), name)
  mkdirSync(dirname(file))
  writeFileSync(file, content)
  return file
}

function writeRecord(header: string, bytes: Uint8Array, name = "m.mat"): string {
  const file = write(header, "m.hea")
  writeFileSync(join(dirname(file), name), bytes)
  return file
}

function only(signals: readonly RecordedSignal[], metric: string): RecordedSignal {
  const [signal, ...others] = signals.filter((one) => one.metric === metric)
  if (signal === undefined || others.length > 0) throw new Error(`${metric}: there is not one such signal`)
  return signal
}

function instantsOf(signals: readonly RecordedSignal[], metric: string): string[] {
  const signal = only(signals, metric)
  if (signal.kind === "waveform") throw new Error(`${metric} is a waveform`)
  return signal.times.map((time) => new Date(time * 1000).toISOString().replace(".000Z", "Z"))
}

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { openRecording } from "../../devices-sim/recording/open.ts"
import { RecordingError, recordingFormats } from "../../devices-sim/recording/recording.ts"

const folder = mkdtempSync(join(tmpdir(), "tidemark-recording-"))
afterAll(() => rmSync(folder, { recursive: true }))

const dexcom = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Glucose Value (mg/dL)"
const libre = "Glucose Data,x\nDevice,Device Timestamp,Record Type,Historic Glucose mg/dL,Notes"
const wfdb = "r 1 360 4\nr.dat 212 200 11 1024 0 0 0 MLII\n"

// One fault each: what the file holds, the line that is named, and the rule.
test.each<[name: string, text: string, line: number | null, rule: string]>([
  ["nothing.csv", "", null, "is empty"],
  ["blank.csv", "\n \r\n", null, "is empty"],
  [
    "data.csv",
    "2026-01-01T00:00:00Z;STRESS;7\n2026-01-01T00:00:01Z;STRESS;6667,5\n",
    2,
    "STRESS must be a decimal number",
  ],
  [
    "data.csv",
    "2026-01-01T00:00:00Z;STRESS;7\n2026-01-01T00:00:01;STRESS;7\n",
    2,
    "a time must be ISO 8601 with an offset",
  ],
  [
    "data.csv",
    "2026-01-01T00:00:00Z;STRESS;7\n\n2026-02-31T00:00:01Z;STRESS;7\n",
    3,
    "a time must be ISO 8601",
  ],
  [
    "data.csv",
    "2026-01-01T00:00:00Z;STRESS;7\n2026-01-01T00:00:01Z;STRESS\n",
    2,
    "must have 3 columns, has 2",
  ],
  [
    "data.csv",
    "2026-01-01T00:00:00Z;STRESS;7\n2026-01-01T00:00:01Z;a b;7\n",
    2,
    "a metric must be of the letters",
  ],
  ["data.csv", "1970-01-01T00:00:00Z;STRESS;7\n", 1, "cannot be absolute in SenML"],
  [
    "acc.csv",
    "2026-01-01T00:00:00Z;1;2;3\n2026-01-01T00:00:00Z;1;2;Infinity\n",
    2,
    "acceleration must be a decimal number",
  ],
  ["TEMP.csv", "1772435400.0\n4.0\n33.1\n3e400\n", 4, "a sample must be a decimal number"],
  ["TEMP.csv", "1772435400.0\n0.0\n33.1\n", 2, "rate in Hz, above 0"],
  ["ACC.csv", "1772435400, 1772435400, 1772435401\n32, 32, 32\n1,2,3\n", 1, "the same in each column"],
  ["ACC.csv", "1772435400, 1772435400, 1772435400\n32, 32, 32\n1,2\n", 3, "must have 3 columns, has 2"],
  ["renamed.csv", "1772435400.0\n4.0\n33.1\n", null, "says only by its name what it holds"],
  ["IBI.csv", "1772435400.0, IBI\n1.5,0x1\n", 2, "an interval must be a decimal number"],
  ["d.csv", "Index,Timestamp (x),Event Type,\n", 1, "the header must have the columns"],
  ["d.csv", `${dexcom}\n1,2026-01-01 25:00:00,EGV,,100\n`, 2, "a time must be a date and a clock time"],
  [
    "d.csv",
    `${dexcom}\n1,2026-01-01T05:00:00,EGV,,6667.\u00b9\n`,
    2,
    "glucose must be a decimal number, or a word",
  ],
  ["d.csv", `${dexcom}\n1,2026-01-01T05:00:00,EGV,,"6667\n`, 2, "is not CSV (CSV_QUOTE_NOT_CLOSED)"],
  ["l.csv", `${libre}\nx,13/31/20 8:00,0,100,\n`, 3, "the date is in no calendar"],
  ["l.csv", `${libre}\nx,13/1/20 8:00,0,100,\nx,1/13/20 8:00,0,100,\n`, 4, "the rows before it have another"],
  [
    "l.csv",
    `${libre}\nx,01-02-2020 08:00,0,100,\n`,
    null,
    "give --dates dmy (day, month, year) or --dates mdy",
  ],
  [
    "l.csv",
    `${libre}\nx,1/13/20 8:00,0,100,\nx,2020-01-14 8:00,0,100,\n`,
    4,
    "another form than that of line 3",
  ],
  ["l.csv", `${libre}\nx,43831.5,0,100,\n`, 3, "a spreadsheet's day number"],
  ["l.csv", `${libre}\nx,1/13/20 13:00 PM,0,100,\n`, 3, "a time must be a date and a clock time"],
  ["l.csv", `${libre}\nx,1/13/20 1:00 xm,0,100,\n`, 3, "a time must be a date and a clock time"],
  ["l.csv", `${libre}\nx,1/13/20 8:00,0,100\n`, 3, "must have 5 columns as the header has, has 4"],
  ["l.csv", `${libre}\nx,1/13/20 8:00,0,5.5,\nx,1/13/20 8:15,0,6.1,\n`, 3, "in the range of mmol/L"],
  ["l.csv", `${libre}\nx,1/2/20 8:00,zero,100,\n`, 3, "a record type must be a whole number"],
  ["l.csv", `${libre}\nx,1/13/20 8:00,0,"1,234",\n`, 3, "a decimal sign or part a number into thousands"],
  [
    "l.csv",
    `${libre}\nx,1/13/20 8:00,0,"99,5",\nx,1/13/20 8:15,0,99.5,\n`,
    3,
    "a decimal comma, and one in line 4",
  ],
  [
    "l.csv",
    "Device,Device Timestamp,Record Type,Historic Glucose g/L\n",
    1,
    "Historic Glucose mg/dL or mmol/L",
  ],
  ["timer.csv", "timer,hr\n0,1\n1,2,3\n", 3, "must have 2 columns, has 3"],
  ["timer.csv", "timer,hr\n0,1\nlater,6667\n", 3, "timer must be a decimal number"],
  ["datetime.csv", "datetime,hr\n2026-01-01,6667\n", 2, "a time must be a date and a clock time"],
  ["datetime.csv", "datetime,hr\n2026-01-01 10:00:60,6667\n", 2, "a time must be a date and a clock time"],
  [
    "datetime.csv",
    "datetime,x\n2026-01-01T00:00:00Z,6667\n",
    null,
    "the column x is not known: known are ppg",
  ],
  ["datetime.csv", "datetime,temp\n2026-01-01T00:00:00Z,6667\n", null, "cannot be told from its values"],
  ["column.csv", "1\n2\n", null, "give its samples a second with --rate"],
  ["column.csv", "ppg\n1\n\n2\n", 3, 'a hole in one column is written ""'],
  ["ecg.csv", "t_ms,i_mv\n0,1\n4,\n", 3, "a voltage must be a decimal number"],
  ["r.hea", wfdb, null, "is missing: the header of its WFDB record names it"],
  ["r.hea", wfdb.replace("212", "80"), 2, "format 80 is not read: 16 and 212 are"],
  ["r.hea", wfdb.replace("r 1", "r/3 1"), 1, "records of several segments are not read"],
  ["r.hea", wfdb.replace("r 1", "r 2"), 1, "2 signal lines must follow"],
  ["r.hea", wfdb.replace("360", "0"), 1, "a rate must be above 0 Hz"],
  ["r.hea", wfdb.replace("r.dat 212", "../r.dat 212"), 2, "must be in the header's folder"],
  ["r.hea", wfdb.replace("212", "212x2"), 2, "several samples in a frame"],
  ["s.dat", "abc", null, "can only be read with its WFDB header, s.hea, beside it"],
  ["r.hea", wfdb.replace("360 4", "360 4 13:05"), 1, "a time as 13:05:00 and a date as 25/04/1989"],
  ["r.hea", wfdb.replace("360 4", "360 4 13:05:00 04/25/1989"), 1, "a time as 13:05:00 and a date as"],
  ["r.hea", wfdb.replace("360 4", "360 4 2006"), 1, "a time as 13:05:00 and a date as"],
  ["r.hea", wfdb.replace("360 4", "360 4 13:05:00 25/4/89"), 1, "a time as 13:05:00 and a date as"],
  ["r.hea", wfdb.replace("360 4", "360 4 13:05:00 25/04/1989"), 1, "name its zone with --timezone"],
  ["book.csv", "PK\u0003\u0004...", null, "an Excel workbook: unpack it, or save the sheet as CSV"],
])("%s: %j is refused", async (name, text, line, rule) => {
  const file = join(mkdtempSync(join(folder, "one-")), name)
  writeFileSync(file, text)
  const fault = await openRecording(file).then(
    () => null,
    (error: unknown) => error,
  )
  if (!(fault instanceof RecordingError)) throw new Error(`read, or failed otherwise: ${String(fault)}`)
  expect(fault.rule).toContain(rule)
  expect(fault.line).toBe(line)
  // A WFDB fault may be of the signal file beside the header.
  expect([name, "r.dat"]).toContain(basename(fault.file))
  expect(fault.message).toContain(fault.file)
  expect(fault.message).not.toContain("6667")
})

test("a WFDB signal file that is short or whose checksum is wrong is refused", async () => {
  const record = join(folder, "record")
  mkdirSync(record)
  writeFileSync(join(record, "r.hea"), wfdb)
  writeFileSync(join(record, "r.dat"), Uint8Array.of(1, 0, 2))
  await expect(openRecording(record)).rejects.toThrow("r.dat: must hold 4 samples of each of 1 signals")
  writeFileSync(join(record, "r.dat"), Uint8Array.of(1, 0, 2, 3, 0, 4))
  writeFileSync(join(record, "r.hea"), wfdb.replace("0 0 0 MLII", "0 1 0 MLII"))
  await expect(openRecording(record)).rejects.toThrow("r.dat: the samples of ecg-mlii do not add up")
  // As the headers of a PhysioNet Challenge have it.
  writeFileSync(join(record, "r.hea"), wfdb)
  expect((await openRecording(record)).remarks).toContain(
    "the header has no checksum of ecg-mlii: its samples were not checked",
  )
  writeFileSync(join(record, "r.dat"), Uint8Array.of(0xff, 0x0f, 1, 0, 0x88, 0))
  // -1 and 1, then twice the mark for "not measured".
  writeFileSync(join(record, "r.hea"), wfdb.replace("0 0 0 MLII", "0 -4096 0 MLII"))
  const { signals, remarks } = await openRecording(record)
  expect(signals).toMatchObject([{ samples: Int16Array.of(-1, 1) }])
  expect(remarks).toContain('2 samples of ecg-mlii are left out: the format\'s mark for "not measured"')
})

test("an unknown format is answered with the known ones", async () => {
  const file = join(folder, "letter.txt")
  writeFileSync(file, "Dear device,\nhow are you?\n")
  const fault = await openRecording(file).catch((error: unknown) => String(error))
  expect(fault).toContain("letter.txt: is not a recording in a known format")
  for (const format of Object.values(recordingFormats)) expect(fault).toContain(format)
  await expect(openRecording(join(folder, "nowhere"))).rejects.toThrow(
    "nowhere: there is no such file or folder",
  )
  const bytes = join(folder, "bytes.bin")
  writeFileSync(
    bytes,
    Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 256),
  )
  await expect(openRecording(bytes)).rejects.toThrow("known format")
})

test("a folder with several recordings asks for one of them", async () => {
  const several = join(folder, "several")
  mkdirSync(several)
  writeFileSync(join(several, "a.csv"), "timer,hr\n0,1\n10,2\n")
  writeFileSync(join(several, "b.csv"), "t_ms,i_mv\n0,1\n4,2\n")
  writeFileSync(join(several, "empty.csv"), "")
  await expect(openRecording(several)).rejects.toThrow("holds 2 recordings, name one: a.csv, b.csv")
  rmSync(join(several, "b.csv"))
  expect((await openRecording(several)).format).toBe("columns")
})

test("a metric that Garmin adds is taken under its own name", async () => {
  const file = join(folder, "data.csv")
  writeFileSync(
    file,
    "\ufeff2026-01-01T01:00:00+0100;BODY_BATTERY;55.0\r\n2026-01-01T00:00:00.25Z;BODY_BATTERY;54\r\n",
  )
  const { signals, remarks } = await openRecording(file)
  const start = Date.UTC(2026, 0, 1) / 1000
  expect(signals).toEqual([
    { kind: "points", metric: "body-battery", unit: null, times: [start, start + 0.25], values: [55, 54] },
  ])
  expect(remarks).toEqual(["BODY_BATTERY is not a metric that we know: taken without a unit"])
})

import { expect, it } from "vitest"
import { showControls, showControlsInJson, showControlsInLines } from "../../chain/visible-text.ts"
import { formatCell } from "../../research/csv.ts"
import { formatTable } from "../../cli/table.ts"

/** C0, DEL, C1 and everything that changes the direction of text. */
const bounds = [
  [0, 0x1f],
  [0x7f, 0x9f],
  [0x61c, 0x61c],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
  [0xfeff, 0xfeff],
] as const
const obeyed = bounds.flatMap(([first, last]) =>
  Array.from({ length: last - first + 1 }, (_, place) => String.fromCharCode(first + place)),
)

const readCell = (cell: string) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell)

it("field S14: no control and no mark of direction stays in a text that is shown", () => {
  for (const character of obeyed) {
    const code = character.charCodeAt(0).toString(16).padStart(4, "0")
    expect(showControls(`a${character}b`)).toBe(`a\\u${code}b`)
  }
  expect(showControls("mg/dL, 37 °C, µV, 心拍, عدد, 🙂")).toBe("mg/dL, 37 °C, µV, 心拍, عدد, 🙂")
})

it("field S14: lines keep their ends, tabs and our own colours, and no other sequence", () => {
  expect(showControlsInLines("one\ttwo\n\u001b[32mwhole\u001b[0m")).toBe("one\ttwo\n\u001b[32mwhole\u001b[0m")
  expect(showControlsInLines("\u001b]0;title\u0007\u001b[2J\u001b[8m\u009b2J\r")).toBe(
    "\\u001b]0;title\\u0007\\u001b[2J\\u001b[8m\\u009b2J\\u000d",
  )
})

it("field S14: JSON is the same JSON afterwards", () => {
  for (const text of [obeyed.join(""), "\\u009b", "\\", 'a"b'])
    expect(JSON.parse(showControlsInLines(JSON.stringify({ text })))).toEqual({ text })
})

it("field S14: a line of the log that will be parsed and shown holds escapes as text", () => {
  for (const character of obeyed.filter((one) => one !== "\n" && one !== "\t")) {
    const shown = (
      JSON.parse(showControlsInJson(`${JSON.stringify({ text: `a${character}b` })}\n`)) as { text: string }
    ).text
    expect(shown).toMatch(/^a\\(u00[0-9a-f]{2}|u[0-9a-f]{4}|[bfr])b$/)
  }
  // A text that holds a backslash and u001b is left alone.
  const plain = JSON.stringify({ text: "\\u001b" })
  expect(showControlsInJson(plain)).toBe(plain)
})

it("field S14: a table's cell takes one line, whatever its text holds", () => {
  expect(formatTable(["unit"], [["a\nb\u202e"]]).split("\n")).toEqual(["unit", "a\\u000ab\\u202e"])
})

it.each(['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1"])(
  "field S14: %j as a cell for a spreadsheet is a text, and else what was signed",
  (text) => {
    expect(readCell(formatCell(text, true))).toBe(`'${text}`)
    expect(readCell(formatCell(text, false))).toBe(text)
  },
)

it("field S14: numbers and common texts stay as they are in a spreadsheet", () => {
  expect([-5.5, "mg/dL", "", null].map((cell) => formatCell(cell, true))).toEqual(["-5.5", "mg/dL", '""', ""])
})

/** The decimal sign of one file: a point or a comma, decided from all of its numbers. */
import { type Row, decimalsOf, fault, parseDecimal } from "./row.ts"

/**
 * Spreadsheets of half the world write `5,4`. One file has one sign; where commas could all be thousands separators, as
 * in `1,234`, it is refused, since such a number would be wrong by a factor of 1,000.
 */
export class FileDecimals {
  private point: Row | null = null
  private comma: Row | null = null
  /** A comma that cannot be a thousands separator has been seen. */
  private isSure = false

  /** The number in `text`, or null if it is none. */
  parse(row: Row, text: string): number | null {
    const value = parseDecimal(text.replace(",", "."))
    if (value === null) return null
    if (text.includes(",")) {
      this.comma ??= row
      if (!/^[-+]?[1-9]\d{0,2},\d{3}$/.test(text)) this.isSure = true
    } else if (text.includes(".")) this.point ??= row
    return value
  }

  /** @throws RecordingError if the numbers of the file have two signs, or one that can be read in two ways */
  decide(): void {
    if (this.comma === null) return
    if (this.point !== null)
      throw fault(
        this.comma,
        `a number has a decimal comma, and one in line ${this.point.line} a decimal point: a file has one of them`,
      )
    if (!this.isSure)
      throw fault(
        this.comma,
        "the comma in a number can be a decimal sign or part a number into thousands: write a decimal point",
      )
  }
}

/** How many digits after its sign a number needs. */
export function decimalsWritten(text: string): number {
  return decimalsOf(text.replace(",", "."))
}

/** Options that commands share, and how their texts are read. A text that does not fit is a usage fault that names it. */
import { readFile } from "node:fs/promises"
import { isIP } from "node:net"
import { type Command, InvalidArgumentError, Option } from "commander"
import { devicePattern } from "../chain/statement.ts"
import { readInstant } from "../research/instant.ts"
import { Zone, timezoneRule } from "../research/zone.ts"
import { CommandFault } from "./fault.ts"

export function dataOption(): Option {
  return new Option("--data <folder>", "keys, ports and by default the database")
    .default("./data")
    .env("TIDEMARK_DATA")
}

export function jsonOption(): Option {
  return new Option("--json", "print JSON, for programs").default(false)
}

export function spreadsheetOption(): Option {
  return new Option(
    "--spreadsheet-safe",
    "csv: put ' in front of texts that a spreadsheet would take for a formula (they begin with = + - @)",
  ).default(false)
}

/** Of whoever seals. */
export function witnessesOption(): Option {
  return new Option(
    "--witnesses <file>",
    "who cosigns each block's checkpoint, and which of them it needs: a C2SP tlog-policy with the witnesses' addresses",
  ).env("TIDEMARK_WITNESSES")
}

/** A whole number from min to max. */
export function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^[0-9]+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    }
    return value
  }
}

export const parsePort = parseCount(0, 65_535)

/** Where to listen: an address or a name. Whether it may be is asked when all is known (`findConnectingFault`). */
export function parseHost(text: string): string {
  if (isIP(text) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(text)) return text
  throw new InvalidArgumentError("It must be an address such as 127.0.0.1, or a host's name.")
}

const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90d` or `2027-01-31T12:00:00Z`; given the time now, gives the time meant, both in Unix ms. */
export function parseExpiry(text: string): (nowMs: number) => number {
  const [, count, unit] = /^([1-9][0-9]{0,5})([mhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) return (nowMs) => nowMs + Number(count) * unitMs[unit]!
  // A bare number would be seconds of 1970, and nobody means that.
  if (!/^\d{4}-/.test(text))
    throw new InvalidArgumentError(
      "It must be a time from now such as 12h or 90d, or such as 2027-01-31T12:00:00Z.",
    )
  const atMs = parseTime(text)
  return () => atMs
}

/**
 * Unix seconds of a date (UTC), a time with its offset, or Unix seconds. No reading is from before 1970 (FORMAT §3), so a
 * minus is a mistake here; over HTTP it is allowed, since a chart may be moved to there.
 */
export function parseInstant(text: string): number {
  const read = readInstant(text)
  if ("rule" in read) throw new InvalidArgumentError(`It ${read.rule}.`)
  if (read.seconds < 0) throw new InvalidArgumentError("It must not be before 1970, where no reading is.")
  return read.seconds
}

/** A time zone of IANA's database. */
export function parseZone(text: string): Zone {
  const zone = Zone.find(text)
  if (zone === null) throw new InvalidArgumentError(`It ${timezoneRule}.`)
  return zone
}

/** An instant, Unix ms: a date in UTC, or a date and a time with its zone. */
export function parseTime(text: string): number {
  return parseInstant(text) * 1000
}

/** Heights of blocks, the last one included. */
export interface BlockRange {
  readonly from: number
  readonly to: number
}

/** `10..34`, or `10` for one block. */
export function parseBlocks(text: string): BlockRange {
  const [, first, last = first] = /^([0-9]{1,15})(?:\.\.([0-9]{1,15}))?$/.exec(text) ?? []
  const range = { from: Number(first), to: Number(last) }
  if (first === undefined || range.to < range.from)
    throw new InvalidArgumentError("It must be heights such as 10..34, or one height.")
  return range
}

export function parseDevice(text: string): string {
  if (!devicePattern.test(text)) throw new InvalidArgumentError("It must be a device's id.")
  return text
}

/** A command with the help option of all of them. */
export function addCommand(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).helpOption("--help", "show help").helpCommand(false)
}

/** A file that the user named; a fault that says why it cannot be read. */
export async function readNamedFile(path: string, what: string): Promise<Uint8Array> {
  try {
    return Uint8Array.from(await readFile(path))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === "ENOENT"
        ? "there is no such file"
        : code === "EISDIR"
          ? "it is a folder"
          : (code ?? String(error))
    throw new CommandFault(`${what} ${path} cannot be read: ${why}`)
  }
}

/** Enrolments as lines of CSV or NDJSON: id, key or keyFile, and if known proof, make, model, firmware. */
import { createReadStream } from "node:fs"
import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { createInterface } from "node:readline"
import { parse } from "csv-parse"
import { encodeUtf8, parseHex } from "../chain/bytes.ts"
import type { PublicKey } from "../chain/key.ts"
import { KeyFault, parsePublicKey } from "../chain/keyfile.ts"
import { signatureSize } from "../chain/signature.ts"
import { devicePattern } from "../chain/statement.ts"
import type { Enrolment } from "../ingest/registry.ts"
import { CommandFault } from "./fault.ts"

export type EnrolmentLine =
  | { readonly kind: "good"; readonly line: number; readonly enrolment: Enrolment }
  | { readonly kind: "bad"; readonly line: number; readonly rule: string }

export interface ReadLine {
  readonly line: EnrolmentLine
  /** Of the file, for a progress bar. */
  readonly readBytes: number
}

const attributeNames = ["make", "model", "firmware"] as const
const memberNames: readonly string[] = ["id", "key", "keyFile", "proof", ...attributeNames]
/** A line with everything has a few hundred characters; more is no enrolment. */
const lineLengthMax = 65_536

/** The file's lines in order, as they are read. Throws a CommandFault on a header that cannot be understood. */
export async function* readEnrolmentLines(path: string, format: "csv" | "ndjson"): AsyncGenerator<ReadLine> {
  const folder = dirname(path)
  const rows = format === "csv" ? readCsv(path) : readNdjson(path)
  for await (const { number, members, readBytes } of rows) {
    const line: EnrolmentLine =
      typeof members === "string"
        ? { kind: "bad", line: number, rule: members }
        : await readMembers(number, members, folder)
    yield { line, readBytes }
  }
}

interface Row {
  readonly number: number
  /** By name, or the rule that the line breaks. */
  readonly members: ReadonlyMap<string, string> | string
  readonly readBytes: number
}

async function* readNdjson(path: string): AsyncGenerator<Row> {
  const file = createReadStream(path)
  let number = 0
  for await (const line of createInterface({ input: file, crlfDelay: Infinity })) {
    number += 1
    if (line.trim() === "") continue
    yield { number, members: parseNdjson(line), readBytes: file.bytesRead }
  }
}

function parseNdjson(line: string): ReadonlyMap<string, string> | string {
  if (line.length > lineLengthMax) return `it has more than ${lineLengthMax} characters`
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return "it is not JSON"
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "it is not a JSON object"
  const members = new Map<string, string>()
  for (const [name, member] of Object.entries(value)) {
    if (!memberNames.includes(name)) return `there is no member ${JSON.stringify(name)}`
    if (typeof member === "string") members.set(name, member)
    // A JWK may stand as it is.
    else if (name === "key" && typeof member === "object" && member !== null)
      members.set(name, JSON.stringify(member))
    else if (member !== null) return `${name} is not a text`
  }
  return members
}

async function* readCsv(path: string): AsyncGenerator<Row> {
  const file = createReadStream(path)
  const bad: Row[] = []
  const parser = file.pipe(
    parse({
      bom: true,
      info: true,
      trim: true,
      skip_empty_lines: true,
      relax_column_count: true,
      skip_records_with_error: true,
      max_record_size: lineLengthMax,
    }),
  )
  file.on("error", (error) => parser.destroy(error))
  parser.on("skip", (error: { readonly lines?: number }) =>
    bad.push({ number: error.lines ?? 0, members: "it is not CSV", readBytes: file.bytesRead }),
  )
  let header: readonly string[] | null = null
  for await (const { record, info } of parser as AsyncIterable<{
    readonly record: readonly string[]
    readonly info: { readonly lines: number }
  }>) {
    yield* bad.splice(0)
    if (header === null) {
      header = readHeader(record, path)
      continue
    }
    // A quoted PEM has several lines: the record is named by its last.
    yield { number: info.lines, members: membersOf(record, header), readBytes: file.bytesRead }
  }
  yield* bad
}

function readHeader(record: readonly string[], path: string): readonly string[] {
  const stranger = record.find((name) => !memberNames.includes(name))
  const hint = `the first line names the columns: ${memberNames.join(", ")}`
  if (stranger !== undefined) throw new CommandFault(`${path} has a column ${JSON.stringify(stranger)}`, hint)
  if (new Set(record).size !== record.length) throw new CommandFault(`${path} has a column twice`, hint)
  if (!record.includes("id")) throw new CommandFault(`${path} has no column id`, hint)
  return record
}

function membersOf(
  record: readonly string[],
  header: readonly string[],
): ReadonlyMap<string, string> | string {
  if (record.length !== header.length)
    return `it has ${record.length} columns, and the first line ${header.length}`
  return new Map(header.flatMap((name, column) => (record[column] === "" ? [] : [[name, record[column]!]])))
}

async function readMembers(
  line: number,
  members: ReadonlyMap<string, string>,
  folder: string,
): Promise<EnrolmentLine> {
  const device = members.get("id") ?? ""
  const bad = (rule: string): EnrolmentLine => ({ kind: "bad", line, rule })
  if (!devicePattern.test(device)) return bad(`id: a device id must match ${devicePattern.source}`)
  const key = await readKey(members.get("key"), members.get("keyFile"), folder)
  if (typeof key === "string") return bad(`${device}: ${key}`)
  const given = members.get("proof")
  const proof = given === undefined ? undefined : parseHex(given.toLowerCase())
  if (proof === null || (proof !== undefined && proof.length !== signatureSize))
    return bad(`${device}: proof is not 64 bytes in hex`)
  const attributes = new Map(
    attributeNames.flatMap((name) => {
      const value = members.get(name)
      return value === undefined || value === "" ? [] : [[name, value]]
    }),
  )
  const enrolment = { device, key, attributes, ...(proof === undefined ? {} : { proof }) }
  return { kind: "good", line, enrolment }
}

/** The key, or why there is none. Never says anything of what it was given. */
async function readKey(
  inline: string | undefined,
  keyFile: string | undefined,
  folder: string,
): Promise<PublicKey | string> {
  if ((inline === undefined) === (keyFile === undefined)) return "one of key and keyFile is needed"
  let bytes: Uint8Array
  if (keyFile !== undefined) {
    try {
      bytes = Uint8Array.from(await readFile(resolve(folder, keyFile)))
    } catch (error) {
      return `keyFile ${keyFile} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "it is no file"}`
    }
  } else {
    bytes = parseHex(inline!.toLowerCase()) ?? encodeUtf8(inline!)
  }
  try {
    return parsePublicKey(bytes)
  } catch (error) {
    if (error instanceof KeyFault) return error.message
    throw error
  }
}

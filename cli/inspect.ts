import { gunzipSync } from "node:zlib"
import type { Command } from "commander"
import { formatHex, parseHex } from "../chain/bytes.ts"
import type { CoseReceipt } from "../chain/cose-receipt.ts"
import type { DumpLine } from "../chain/dump.ts"
import { formatSeconds } from "../chain/dump-shape.ts"
import { isEvidence } from "../chain/evidence.ts"
import { type Inspection, type Wrong, inspect } from "../chain/inspect.ts"
import { type PublicKey, algorithmEd25519, kidOf } from "../chain/key.ts"
import type { Payload } from "../chain/payload.ts"
import { findOriginFault } from "../chain/policy.ts"
import { type Series, countReadings, timesOf } from "../chain/series.ts"
import { checkSignature } from "../chain/signature.ts"
import { isSplitView } from "../chain/split-view.ts"
import { type Content, type Statement, contentSenml, signedBytesOf } from "../chain/statement.ts"
import { isTlogProof } from "../chain/tlog-proof.ts"
import { parseVerdictCode, verdictAdvice } from "../chain/verdict.ts"
import { readPublicKey } from "./key-file.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { dumpEvidenceItem, formatInspectedEvidence, inspectEvidence } from "./inspect-evidence.ts"
import { formatInspectedProof, inspectProof } from "./inspect-proof.ts"
import { formatInspectedSplit, inspectSplit } from "./inspect-split.ts"
import { addCommand, jsonOption, parseCount, readNamedFile } from "./option.ts"
import { print } from "./output.ts"

interface InspectOptions {
  readonly origin?: string
  readonly key?: string
  readonly item?: number
  readonly json: boolean
}

export function addInspect(program: Command): void {
  addCommand(
    program,
    "inspect",
    "explain a statement, a receipt, a proof, evidence or a split view: byte by byte, and the first wrong one named",
  )
    .argument("<file>", "the bytes or their hex; - is standard input")
    .option("--item <number>", "of evidence: this item byte by byte", parseCount(1, 2 ** 31))
    .option("--origin <origin>", "the log's, where its operator may speak")
    .option("--key <file>", "check the signature with this public key")
    .addOption(jsonOption())
    .action(runInspect)
}

const fileSizeMax = 1024 * 1024

async function runInspect(path: string, options: InspectOptions): Promise<void> {
  const { origin, key: keyPath, json } = options
  if (origin !== undefined) {
    const fault = findOriginFault(origin)
    if (fault !== null) throw new UsageFault(`--origin ${origin}: ${fault}`)
  }
  const given = path === "-" ? await readStandardInput() : await readNamedFile(path, "the file")
  const evidence = unpack(given, path)
  if (isEvidence(evidence)) {
    runInspectEvidence(evidence, options)
    return
  }
  if (options.item !== undefined) throw new UsageFault("--item is for evidence, and this is none")
  if (isTlogProof(given)) {
    const inspected = inspectProof(given)
    if (json) print(JSON.stringify(inspected))
    else for (const line of formatInspectedProof(given, inspected)) print(line)
    if (inspected.wrong !== null) process.exitCode = 1
    return
  }
  if (isSplitView(given)) {
    const inspected = inspectSplit(given)
    if (json) print(JSON.stringify(inspected))
    else for (const line of formatInspectedSplit(inspected)) print(line)
    if (inspected.wrong !== null) process.exitCode = 1
    return
  }
  const bytes = parseInput(given)
  const key = keyPath === undefined ? null : await readPublicKey(keyPath)
  const inspection = inspect(bytes, origin ?? null)
  const signature =
    key !== null && (inspection.kind === "statement" || inspection.kind === "transparent")
      ? judge(inspection.statement, key)
      : null
  if (json) print(JSON.stringify(toJson(inspection, bytes, signature)))
  else for (const line of describe(inspection, bytes, signature)) print(line)
  // What the service would refuse, or keep unread, is a failure for a script.
  if (("wrong" in inspection && inspection.wrong !== null) || (signature !== null && signature !== "good"))
    process.exitCode = 1
}

function unpack(file: Uint8Array, path: string): Uint8Array {
  if (file[0] !== 0x1f || file[1] !== 0x8b) return file
  try {
    return Uint8Array.from(gunzipSync(file))
  } catch (error) {
    throw new CommandFault(`${path} cannot be unpacked: ${(error as Error).message}`, null, { cause: error })
  }
}

function runInspectEvidence(bytes: Uint8Array, { item, json }: InspectOptions): void {
  const inspected = inspectEvidence(bytes)
  const dump = item === undefined ? null : dumpEvidenceItem(bytes, inspected, item)
  if (item !== undefined && dump === null)
    throw new CommandFault(`there is no item ${item}: the file has ${inspected.items.length}`)
  if (dump !== null) {
    if (json) print(JSON.stringify(dump, hexInPlace))
    else for (const line of formatDump(dump.lines, null, dump.sizeBytes)) print(line)
  } else if (json) print(JSON.stringify({ kind: "evidence", sizeBytes: bytes.length, ...inspected }))
  else for (const line of formatInspectedEvidence(inspected, bytes.length)) print(line)
  if (inspected.wrong !== null) process.exitCode = 1
}

async function readStandardInput(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > 3 * fileSizeMax) break
  }
  return Uint8Array.from(Buffer.concat(chunks))
}

/** Hex with any white space, or the bytes themselves: neither a statement nor a receipt begins like a hex digit. */
function parseInput(file: Uint8Array): Uint8Array {
  const text = new TextDecoder("latin1").decode(file).replaceAll(/\s/g, "")
  const bytes = (/^[0-9a-fA-F]+$/.test(text) ? parseHex(text) : null) ?? file
  if (bytes.length === 0) throw new CommandFault("there is nothing to inspect: no bytes")
  if (bytes.length > fileSizeMax)
    throw new CommandFault(`at most ${fileSizeMax} bytes are inspected, and this has more`)
  return bytes
}

type SignatureFinding = ReturnType<typeof checkSignature> | "other-key"

function judge(statement: Statement, key: PublicKey): SignatureFinding {
  if (formatHex(kidOf(key)) !== formatHex(statement.kid)) return "other-key"
  return checkSignature(key, statement.algorithm, signedBytesOf(statement), statement.signature)
}

const signatureSays: Readonly<Record<SignatureFinding, string>> = {
  good: "good",
  bad: "bad: it does not verify under this key (15, bad-signature)",
  "high-s": "high-s: good but for s > n / 2; replace s by n - s (17, high-s)",
  "other-key": "not checked: kid is not this key's (13, unknown-key)",
}

function describe(inspection: Inspection, bytes: Uint8Array, signature: SignatureFinding | null): string[] {
  const wrong = "wrong" in inspection ? inspection.wrong : null
  const lines = [...formatDump(inspection.lines, wrong, bytes.length), ""]
  switch (inspection.kind) {
    case "no-statement":
      return [...lines, `no statement   ${bytes.length} bytes`, formatWrong(inspection.wrong)]
    case "no-receipt":
    case "no-cose-receipt":
      return [...lines, `no receipt     ${bytes.length} bytes`, formatWrong(inspection.wrong)]
    case "no-transparent":
      return [...lines, `no statement with receipts   ${bytes.length} bytes`, formatWrong(inspection.wrong)]
    case "sealed-answer": {
      const { seq, receipt } = inspection
      return [
        ...lines,
        `sealed         ${seq === null ? "nothing of the device" : `statement ${seq}`}${receipt === null ? ": there was no receipt; ask again after the next block" : ""}`,
        ...(receipt === null ? [] : [describeReceipt(receipt)]),
      ]
    }
    case "cose-receipt":
      return [
        ...lines,
        `COSE Receipt   ${bytes.length} bytes; nothing was verified: tidemark verify FILE does`,
        describeReceipt(inspection.receipt),
      ]
    case "receipt": {
      const { code, seq, head, now } = inspection.receipt
      const verdict = parseVerdictCode(code)!
      return [
        ...lines,
        `receipt        ${code} ${verdict}${seq === null ? "" : ` of seq ${seq}`}`,
        `then           ${verdictAdvice[verdict]}`,
        `head           seq ${head.seq}, ${head.seq === 0 ? "where the chain begins" : "entry"} ${formatHex(head.entry)}`,
        `now            ${formatSeconds(now) ?? now}`,
      ]
    }
    default: {
      const { statement, entry, payload } = inspection
      const { iss, sub, seq, iat, kid, algorithm } = statement
      return [
        ...lines,
        `statement      ${bytes.length} bytes, ${wrong === null ? "as it must be" : "well-formed, and its payload cannot be read"}`,
        `entry          ${formatHex(entry)}`,
        `iss            ${iss}${sub === iss ? "" : `, about ${sub}`}`,
        `seq            ${seq}, ${seq === 1 ? describeBeginning(statement) : `behind ${formatHex(statement.prev)}`}`,
        `iat            ${formatSeconds(iat) ?? iat}`,
        `kid            ${formatHex(kid)}, ${algorithm === algorithmEd25519 ? "Ed25519" : "P-256"}`,
        `payload        ${describeContent(statement.content)}, ${statement.payload.length} bytes`,
        ...describePayload(payload),
        ...(inspection.kind === "transparent" ? inspection.receipts.map(describeReceipt) : []),
        `signature      ${signature === null ? "not checked: name the key with --key" : signatureSays[signature]}`,
        ...(wrong === null ? [] : [formatWrong(wrong)]),
      ]
    }
  }
}

/** Where a chain begins names its log (FORMAT §4, genesis), and a statement of another log is broken there. */
function describeBeginning({ prev }: Statement): string {
  return prev.some((byte) => byte !== 0)
    ? `the first, on the genesis ${formatHex(prev)}`
    : "the first, on zeros: by an operator, or in a log of protocol version 1"
}

function describeReceipt(receipt: CoseReceipt | null): string {
  if (receipt === null) return "receipt        of another service"
  const { origin, index, size, kid } = receipt
  return `receipt        leaf ${index} of ${size} of the log ${origin}, by key ${formatHex(kid)}`
}

function formatWrong({ rule, offset }: Wrong): string {
  return `first wrong    byte ${offset}: ${rule}`
}

const bytesPerRow = 18
/** Of an opaque payload, a signature or samples the beginning is enough; --json has it all. */
const rowsMax = 4

/** Offset, hex, meaning. The mark of what is wrong stands before the byte's line, or after it where it is inside. */
function formatDump(lines: readonly DumpLine[], wrong: Wrong | null, size: number): string[] {
  const width = Math.max(4, String(size).length)
  return [
    ...lines.flatMap((line) => {
      const shown = formatLine(line, width)
      const isHere =
        wrong !== null && wrong.offset >= line.offset && wrong.offset < line.offset + line.bytes.length
      if (!isHere) return shown
      return wrong.offset === line.offset ? [mark(wrong, width), ...shown] : [...shown, mark(wrong, width)]
    }),
    ...(wrong !== null && wrong.offset >= size ? [mark(wrong, width)] : []),
  ]
}

function mark({ rule, offset }: Wrong, width: number): string {
  return `${String(offset).padStart(width)}  ^^^ ${rule}`
}

function formatLine({ offset, bytes, depth, text }: DumpLine, width: number): string[] {
  const rows: string[] = []
  for (let at = 0; at < bytes.length && rows.length < rowsMax; at += bytesPerRow)
    rows.push(formatHex(bytes.subarray(at, at + bytesPerRow)))
  const left = bytes.length - rows.length * bytesPerRow
  if (left > 0) rows.push(`… ${left} more bytes`)
  return rows.map((row, index) => {
    const place = index === 0 ? String(offset).padStart(width) : " ".repeat(width)
    return index === 0
      ? `${place}  ${row.padEnd(2 * bytesPerRow)}  ${"  ".repeat(depth)}${text}`
      : `${place}  ${row}`
  })
}

function describeContent(content: Content): string {
  if (content === contentSenml) return "SenML (112)"
  return typeof content === "string" ? content || "of an empty type" : "a digest of something elsewhere"
}

const valuesShownMax = 5

function describePayload(payload: Payload): string[] {
  switch (payload.kind) {
    case "readings":
      return payload.series.map(describeSeries)
    case "lost": {
      const { reason, count, from, to } = payload.lost
      const span = `${formatSeconds(from) ?? from} to ${formatSeconds(to) ?? to}`
      return [`  lost         ${count ?? "unknown how many"} readings, ${reason}, ${span}`]
    }
    case "registry":
      return [`  registry     ${payload.registry.action} ${payload.registry.device}`]
    case "opaque":
      return ["  opaque       accepted, and never looked into"]
    default:
      return []
  }
}

function describeSeries(series: Series): string {
  const { startsAt, endsAt } = timesOf(series)
  const [from, to] = [formatSeconds(startsAt) ?? startsAt, formatSeconds(endsAt) ?? endsAt]
  const span = from === to ? from : `${from} to ${to}`
  const unit = series.unit === null ? "" : ` ${series.unit}`
  const size = countReadings(series)
  const values =
    series.kind === "waveform"
      ? `int16 * ${series.factor} + ${series.origin}, every ${series.periodMs} ms`
      : [
          ...series.values.slice(0, valuesShownMax).map(showValue),
          ...(size > valuesShownMax ? [`… ${size - valuesShownMax} more`] : []),
        ].join(", ")
  return `  ${series.name}: ${series.kind}, ${size} × ${values}${unit} (${span})`
}

function showValue(value: number | boolean | string | Uint8Array): string {
  return value instanceof Uint8Array ? `${value.length} bytes` : JSON.stringify(value)
}

function toJson(inspection: Inspection, bytes: Uint8Array, signature: SignatureFinding | null): unknown {
  const { lines, ...rest } = inspection
  const items = lines.map(({ offset, bytes: part, depth, text }) => ({ offset, bytes: part, depth, text }))
  const plain =
    inspection.kind === "statement" || inspection.kind === "transparent"
      ? { ...rest, statement: strip(inspection.statement), signature }
      : rest
  return JSON.parse(JSON.stringify({ sizeBytes: bytes.length, ...plain, items }, hexInPlace)) as unknown
}

function strip({ bytes: _bytes, protectedEnd: _end, ...statement }: Statement): unknown {
  return statement
}

/** Bytes become hex, maps objects, and samples numbers. */
function hexInPlace(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return formatHex(value)
  if (value instanceof Int16Array) return [...value]
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>)
  return value
}

/** Statements one by one: what a row says beside what its device signed. */
import { equalBytes } from "../chain/bytes.ts"
import type { BlockStatement } from "../chain/block.ts"
import { type Hash, type Sha256, hashSize, parseHash, sha256 } from "../chain/hash.ts"
import { type Hmac, hmacSha256 } from "../chain/heads.ts"
import { verdictOfNext } from "../chain/link.ts"
import { type Payload, isAhead, readPayloadByRule01, ruleOfRefusedSeries } from "../chain/payload.ts"
import { countPackReadings } from "../chain/senml.ts"
import { type Series, spanOf } from "../chain/series.ts"
import {
  type VerifyEquation,
  checkSignature,
  checkSignatureForm,
  verifyEquation,
} from "../chain/signature.ts"
import {
  type DecodedStatement,
  SignedBytes,
  type Statement,
  contentBlock,
  contentPolicy,
  contentRegistry,
  decodeStatement,
} from "../chain/statement.ts"
import { verdictCodes } from "../chain/verdict.ts"
import { type Chains, findGap } from "./chains.ts"
import type { Findings } from "./finding.ts"
import { findDifference } from "./series-rows.ts"
import type { EntryRow, SeriesRow, StatementRow, StatementRows } from "./source.ts"

export interface StatementAuditOptions {
  readonly findings: Findings
  readonly chains: Chains
  readonly digestKey: Uint8Array | null
  readonly sha256?: Sha256
  readonly hmac?: Hmac
  readonly verify?: VerifyEquation
}

/** What is left of an id's rows for the block around it; null where the rows give no statement. */
export interface AuditedStatement {
  readonly row: string
  readonly statement: Statement
  readonly entry: Hash
  readonly receivedAtMs: number
  /** As a block takes it in; a manifest ends one instead. */
  readonly forBlock: BlockStatement | "manifest"
}

/** What a statement is called in findings. */
export function nameStatement(origin: string, device: string, seq: number): string {
  return device === origin ? `statement ${seq} of the operator` : `statement ${seq} of device ${device}`
}

export class StatementAudit {
  private readonly findings: Findings
  private readonly chains: Chains
  private readonly digestKey: Uint8Array | null
  private readonly hash: Sha256
  private readonly hmac: Hmac
  private readonly verify: VerifyEquation
  /** What was signed, in the same memory for each: to make it anew costs a tenth of what hashing it does. */
  private readonly signed = new SignedBytes()
  private isOldVerdictTold = false

  constructor(options: StatementAuditOptions) {
    this.findings = options.findings
    this.chains = options.chains
    this.digestKey = options.digestKey
    this.hash = options.sha256 ?? sha256
    this.hmac = options.hmac ?? hmacSha256
    this.verify = options.verify ?? verifyEquation
  }

  /** Judges all rows of an id, and follows the chain. Call it in order of ids. */
  audit(rows: StatementRows): AuditedStatement | null {
    const { entry } = rows
    if (entry === null) {
      this.addOrphans(rows)
      return null
    }
    const { origin } = this.chains
    const called = nameStatement(origin, entry.deviceId, entry.seq)
    // Constraints of the schema hold only as long as nobody drops them.
    if (entry.entry.length !== hashSize) {
      this.findings.add("entries", "entry", called, "has not the 32 bytes of a SHA-256")
      return null
    }
    const stored = this.findStatementRow(rows, entry, called)
    if (stored === null) {
      this.skip(entry)
      return null
    }
    const decoded = this.decode(stored.bytes, entry.deviceId)
    if (decoded.kind !== "statement") {
      this.findings.add(
        "statements",
        "bytes",
        called,
        `is no statement: ${decoded.kind === "malformed" ? decoded.rule : "too large"}`,
      )
      this.skip(entry)
      return null
    }
    return this.auditDecoded(rows, entry, stored, decoded.statement, called)
  }

  /**
   * A device's statement of which only the entry is here: its place in its chain and in its block, by its row alone. Call
   * it in order of ids. Null where the row gives no such place.
   */
  glance(entry: EntryRow): { readonly row: string; readonly forBlock: BlockStatement } | null {
    const { findings, chains } = this
    const { deviceId: device, seq, readings, startsAt, endsAt } = entry
    const row = nameStatement(chains.origin, device, seq)
    const chain = chains.find(device)
    if (entry.entry.length !== hashSize) {
      findings.add("entries", "entry", row, "has not the 32 bytes of a SHA-256")
      return null
    }
    if (chain === null) findings.add("entries", null, row, "is by a device that was not enrolled before it")
    else {
      const fault = findGap(chain, seq)
      if (fault !== null) findings.add("entries", null, row, fault)
      chains.advance(chain, seq, entry.entry)
    }
    const times = startsAt === null || endsAt === null ? null : { startsAt, endsAt }
    const origin = { kind: "device", device, seq, readings, times } as const
    const receivedAtMs = this.readArrival(entry, row)
    return { row, forBlock: { entry: parseHash(entry.entry), receivedAtMs, origin } }
  }

  private addOrphans({ id, statements, series }: StatementRows): void {
    const row = `id ${id}`
    for (const _ of statements) this.findings.add("statements", null, row, "has a statement and no entry")
    for (const { position } of series)
      this.findings.add("series", null, `series ${position} of id ${id}`, "has no entry")
  }

  /** What follows a bad statement is judged by itself: the chain goes on from where its row says that it stood. */
  private skip(entry: EntryRow): void {
    const chain = this.chains.find(entry.deviceId)
    if (chain !== null) this.chains.advance(chain, entry.seq, entry.entry)
  }

  /** The row of `statements`: there is one, and it arrived when the entry says. */
  private findStatementRow(
    { statements, series }: StatementRows,
    entry: EntryRow,
    called: string,
  ): StatementRow | null {
    const matching = statements.find(({ receivedAtUs }) => receivedAtUs === entry.receivedAtUs)
    const stored = matching ?? statements[0]
    if (stored === undefined) {
      this.findings.add("statements", null, called, "is missing: there is an entry, and no bytes")
      return null
    }
    if (matching === undefined) {
      // Two that agree are believed against the third.
      const isEntry = series.some(({ receivedAtUs }) => receivedAtUs === stored.receivedAtUs)
      const rule = isEntry
        ? "differs from that of its bytes and its series"
        : "differs from that of its entry"
      this.findings.add(isEntry ? "entries" : "statements", "received_at", called, rule)
    }
    if (statements.length > 1)
      this.findings.add(
        "statements",
        null,
        called,
        `has ${statements.length} rows of bytes, and a statement has one`,
      )
    return stored
  }

  /** Rows are in memory that is used again: what the chains keep, keys and requests, is read from a copy. */
  private decode(bytes: Uint8Array, device: string): DecodedStatement {
    const { origin } = this.chains
    if (device === origin) return decodeStatement(Uint8Array.from(bytes), origin)
    const decoded = decodeStatement(bytes, origin)
    const isKept = decoded.kind === "statement" && decoded.statement.content === contentRegistry
    return isKept ? decodeStatement(Uint8Array.from(bytes), origin) : decoded
  }

  private auditDecoded(
    rows: StatementRows,
    entry: EntryRow,
    { bytes }: StatementRow,
    statement: Statement,
    called: string,
  ): AuditedStatement {
    const { findings, chains } = this
    const computed = this.hash(bytes)
    const isEntry = equalBytes(computed, entry.entry)
    if (!isEntry && !this.isAsAccepted(statement, entry)) {
      // Bytes that were changed say nothing about the rest of the row, which stands in the block by its entry.
      const row = called
      findings.add(
        "statements",
        "bytes",
        row,
        "is not the statement that was accepted here: its SHA-256 is not the entry",
      )
      this.skip(entry)
      const own = parseHash(entry.entry)
      const receivedAtMs = this.readArrival(entry, row)
      const forBlock = this.forBlock(statement, own, receivedAtMs, { kind: "opaque" }, contentsOf([]))
      return { row, statement, entry: own, receivedAtMs, forBlock }
    }
    const isNamed = statement.iss === entry.deviceId && statement.seq === entry.seq
    const row = isNamed ? called : nameStatement(chains.origin, statement.iss, statement.seq)
    if (!isEntry) findings.add("entries", "entry", row, "is not the SHA-256 of the signed statement")
    const signed = chains.readPayload(statement, computed, this.verify)
    this.auditChain(statement, computed, entry, signed, row)
    const receivedAtMs = this.readArrival(entry, row)
    const payload = this.auditVerdict(statement, signed, entry, receivedAtMs, row)
    if (payload.kind === "registry" && statement.iss !== chains.origin)
      chains.expectRotation(statement.iss, { entry: computed, registry: payload.registry })
    const series = payload.kind === "readings" ? payload.series : []
    const contents = contentsOf(series)
    this.auditSummary(entry, contents, row)
    this.auditSeries(rows, entry, series, row)
    const forBlock = this.forBlock(statement, computed, receivedAtMs, payload, contents)
    return { row, statement, entry: computed, receivedAtMs, forBlock }
  }

  /** Whether the bytes are those that were accepted here and the entry was changed, or the other way round. */
  private isAsAccepted(statement: Statement, row: EntryRow): boolean {
    const { iss, seq, algorithm, signature } = statement
    if (iss !== row.deviceId || seq !== row.seq) return false
    const key = this.chains.findKey(statement)
    const message = this.signed.of(statement)
    if (key === null || checkSignature(key, algorithm, message, signature, this.verify) !== "good")
      return false
    // A fork is signed as well, and has another digest.
    return this.digestKey === null || equalBytes(row.signedDigest, this.hmac(this.digestKey, message))
  }

  private auditChain(
    statement: Statement,
    entry: Hash,
    row: EntryRow,
    signed: Payload,
    called: string,
  ): void {
    const { findings, chains } = this
    const { iss, seq, algorithm, signature } = statement
    if (row.deviceId !== iss)
      findings.add("entries", "device_id", called, "differs from iss of the signed statement")
    if (row.seq !== seq) findings.add("entries", "seq", called, "differs from the signed seq")
    const message = this.signed.of(statement)
    if (this.digestKey !== null && !equalBytes(row.signedDigest, this.hmac(this.digestKey, message)))
      findings.add("entries", "signed_digest", called, "is not the keyed SHA-256 of the signed bytes")
    const standing = chains.judge(statement, entry)
    const chain = chains.find(iss)
    if (standing.kind === "fault") findings.add("entries", null, called, standing.rule)
    else {
      const { key } = standing
      const isGood =
        checkSignatureForm(key, algorithm, signature) === "good" &&
        (findings.expectSignature(key, message, signature, called) || this.verify(key, message, signature))
      if (!isGood) findings.addSignature(called)
    }
    if (chain !== null) chains.advance(chain, seq, entry)
    if (iss === chains.origin) this.followOperator(statement, entry, signed, called)
  }

  /** The registry, statement by statement. The policy and the manifests are for others. */
  private followOperator(statement: Statement, entry: Hash, payload: Payload, called: string): void {
    const { findings } = this
    const { content, sub, seq } = statement
    const say = (rule: string): void => findings.add("statements", "bytes", called, rule)
    if (content === contentPolicy) {
      if (seq !== 1) say("is a second policy: a log has one")
      if (sub !== "policy") say("is a policy whose sub is not policy")
    } else if (content === contentBlock) {
      if (sub !== "block") say("is a manifest whose sub is not block")
    } else if (content === contentRegistry) {
      if (payload.kind !== "registry") {
        say(`is no registry statement${payload.kind === "unread" ? `: ${payload.rule}` : ""}`)
        return
      }
      const { registry } = payload
      if (sub !== registry.device) say("is a registry statement whose sub is not its device")
      const rule = this.chains.applyRegistry(registry, entry, this.verify)
      if (rule !== null) say(`is a registry statement against the rules: ${rule}`)
    } else findings.remarks.push(`${called} is of a content type that this version does not know`)
  }

  private readArrival({ receivedAtUs }: EntryRow, row: string): number {
    const receivedAtMs = receivedAtUs / 1000
    if (Number.isSafeInteger(receivedAtMs)) return receivedAtMs
    this.findings.add("entries", "received_at", row, "is not a whole millisecond")
    const floored = Math.floor(receivedAtMs)
    return Number.isSafeInteger(floored) ? floored : 0
  }

  /** Code and fault by the payload and the arrival, as ingest gives them; the payload as far as it was taken. */
  private auditVerdict(
    statement: Statement,
    signed: Payload,
    row: EntryRow,
    receivedAtMs: number,
    called: string,
  ): Payload {
    const { findings } = this
    const isOperator = statement.iss === this.chains.origin
    const refused: Payload = { kind: "unread", rule: ruleOfRefusedSeries, offset: 0 }
    const isRefused =
      (signed.kind === "readings" || (signed.kind === "registry" && !isOperator)) &&
      row.code === verdictCodes["accepted-unread"] &&
      row.fault === faultOf(refused)
    if (isRefused)
      findings.remarks.push(
        `${called} could be read, and by its row the database refused its series: they are in no query`,
      )
    const payload = isRefused ? refused : (this.findOldVerdict(statement, signed, row, called) ?? signed)
    const isUnread = payload.kind === "unread"
    const verdict = isOperator
      ? "accepted"
      : verdictOfNext(isUnread, isAhead(statement.iat, payload, receivedAtMs))
    if (row.code !== verdictCodes[verdict])
      findings.add(
        "entries",
        "code",
        called,
        `is ${row.code}, and the signed payload and its arrival give ${verdictCodes[verdict]} (${verdict})`,
      )
    if (row.fault !== (isOperator ? null : faultOf(payload)))
      findings.add("entries", "fault", called, "is not what the signed payload gives")
    return payload
  }

  /**
   * A statement that can be read now, and was stored unread by the rule of version 0.1 (FORMAT §3): as it was judged
   * then, since block and rows say that. Null for any other. One remark is enough for all of a device with such an encoder.
   */
  private findOldVerdict(
    statement: Statement,
    signed: Payload,
    row: EntryRow,
    called: string,
  ): Payload | null {
    if (signed.kind !== "readings" || row.code !== verdictCodes["accepted-unread"]) return null
    const old = readPayloadByRule01(statement)
    if (old.kind !== "unread" || row.fault !== faultOf(old)) return null
    if (!this.isOldVerdictTold)
      this.findings.remarks.push(
        `${called} was stored unread before values under unknown labels were passed over, as others may have been: their readings are in no query`,
      )
    this.isOldVerdictTold = true
    return old
  }

  /** What the entry keeps of the readings for its block's summary. */
  private auditSummary(entry: EntryRow, { readings, times }: Contents, called: string): void {
    const say = (column: string): void =>
      this.findings.add("entries", column, called, "is not what the signed payload gives")
    if (!Object.is(entry.readings, readings)) say("readings")
    if (!Object.is(entry.startsAt, times?.startsAt ?? null)) say("starts_at")
    if (!Object.is(entry.endsAt, times?.endsAt ?? null)) say("ends_at")
  }

  private auditSeries(rows: StatementRows, entry: EntryRow, series: readonly Series[], called: string): void {
    const { findings } = this
    const isInOrder =
      rows.series.length === series.length && rows.series.every((row, index) => row.position === index)
    if (isInOrder) {
      for (let position = 0; position < series.length; position++)
        this.auditOneSeries(rows.series[position]!, series[position]!, entry, position, called)
      return
    }
    const name = (position: number): string => `series ${position} of ${called}`
    const byPosition = new Map(rows.series.map((row) => [row.position, row]))
    for (const [position, signed] of series.entries()) {
      const row = byPosition.get(position)
      if (row === undefined) {
        findings.add("series", null, name(position), "is missing")
        continue
      }
      byPosition.delete(position)
      this.auditOneSeries(row, signed, entry, position, called)
    }
    const extra = rows.series.length - series.length
    if (extra > 0 || byPosition.size > 0) {
      for (const position of byPosition.keys())
        findings.add("series", null, name(position), "is not in the signed payload")
      // The same position twice, under another arrival.
      if (byPosition.size === 0)
        findings.add("series", null, called, `has ${extra} rows more than its signed payload`)
    }
  }

  private auditOneSeries(
    row: SeriesRow,
    signed: Series,
    entry: EntryRow,
    position: number,
    called: string,
  ): void {
    const say = (column: string, rule: string): void =>
      this.findings.add("series", column, `series ${position} of ${called}`, rule)
    const column = findDifference(row, signed)
    if (column !== null) say(column, "differs from the signed payload")
    if (row.deviceId !== entry.deviceId) say("device_id", "differs from that of its entry")
    if (row.receivedAtUs !== entry.receivedAtUs) say("received_at", "differs from that of its entry")
    if (row.ahead !== (entry.code === verdictCodes["accepted-ahead"]))
      say("ahead", "differs from the code of its entry")
  }

  private forBlock(
    { iss, seq, content }: Statement,
    entry: Hash,
    receivedAtMs: number,
    payload: Payload,
    { readings, times }: Contents,
  ): BlockStatement | "manifest" {
    if (iss !== this.chains.origin)
      return { entry, receivedAtMs, origin: { kind: "device", device: iss, seq, readings, times } }
    if (content === contentBlock) return "manifest"
    const common = { entry, receivedAtMs }
    if (payload.kind !== "registry") return { ...common, origin: { kind: "operator" } }
    const { device, action } = payload.registry
    // About a CA no device's place moves, also where a device has the CA's name.
    const isOfDevice = action !== "trust-ca" && action !== "distrust-ca" && this.chains.devices.has(device)
    if (!isOfDevice) return { ...common, origin: { kind: "operator" } }
    return { ...common, origin: { kind: "operator", registry: { device, isEnrolment: action === "enrol" } } }
  }
}

/** What a block's summary counts of a statement. */
interface Contents {
  readonly readings: number
  readonly times: { readonly startsAt: number; readonly endsAt: number } | null
}

function contentsOf(series: readonly Series[]): Contents {
  return { readings: countPackReadings(series), times: spanOf(series) }
}

/** As ingest writes it: `ingest/group.ts`. */
function faultOf(payload: Payload): string | null {
  return payload.kind === "unread" ? `${payload.rule} (at byte ${payload.offset} of the payload)` : null
}

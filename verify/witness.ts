/**
 * A witness of C2SP tlog-witness: it cosigns a checkpoint that grows out of the last one it cosigned, once that is
 * recorded, and nothing else. Records and the clock are passed in; the rules are `judgeCheckpoint`'s.
 */
import { formatHex } from "../chain/bytes.ts"
import type { Checkpoint } from "../chain/checkpoint.ts"
import { type Cosigner, checkCosignature, cosignNote } from "../chain/cosignature.ts"
import type { PrivateKey } from "../chain/key.ts"
import {
  type Note,
  type NoteKey,
  formatNote,
  formatSignatures,
  parseNote,
  verifyNote,
} from "../chain/note.ts"
import { formatSplitView } from "../chain/split-view.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import {
  type AddCheckpoint,
  type WitnessVerdict,
  type WitnessedSplit,
  contentTlogSize,
  judgeCheckpoint,
  originHash,
  parseAddCheckpoint,
} from "../chain/tlog-witness.ts"
import { parseExtendedCheckpoint } from "../chain/checkpoint.ts"

/** A log that a witness takes checkpoints of. */
export interface WitnessedOrigin {
  readonly origin: string
  readonly keys: readonly NoteKey[]
}

/** The last checkpoint of a log that a witness has recorded, with the log's signature and the witness's. */
export interface WitnessRecord {
  /** From 1, one more each time the tree has grown. */
  readonly version: number
  readonly note: string
}

/** Keeps records. All of it may fail; then nothing is cosigned. */
export interface WitnessStore {
  /** The record of the highest version; null where there is none. */
  read(origin: string): Promise<WitnessRecord | null>
  /**
   * Records the first version, or the one behind the last: on disk before it resolves, and false where that version is
   * there already, written by somebody else.
   */
  grow(origin: string, record: WitnessRecord): Promise<boolean>
  /** The same checkpoint cosigned anew, in the place of the record of the same version; false as above. */
  renew(origin: string, record: WitnessRecord): Promise<boolean>
  /**
   * A split view: proof that the log has signed two histories.
   *
   * @param name the sizes of the two checkpoints, `15-18`
   */
  keepSplit(origin: string, name: string, view: string): Promise<void>
}

export interface WitnessOptions {
  /** A name of the form of a note's key name, such as `witness.example/w1`. */
  readonly name: string
  readonly key: PrivateKey
  /** Asked at each request: the logs may change while it runs. */
  readonly logs: () => readonly WitnessedOrigin[]
  readonly store: WitnessStore
  /** Unix ms. */
  readonly nowMs: () => number
  readonly verify?: VerifyEquation
  readonly judged?: (
    origin: string | null,
    kind: WitnessAnswer["kind"],
    checkpoint: Checkpoint | null,
  ) => void
}

/** What goes back over HTTP. */
export interface WitnessAnswer {
  readonly kind: WitnessVerdict["kind"] | "malformed"
  readonly status: 200 | 400 | 403 | 404 | 409 | 422
  readonly contentType: string
  readonly body: string
}

/** A log as a witness shows it. */
export interface WitnessSight {
  readonly origin: string
  /** Of the path at which its checkpoint is shown. */
  readonly originHash: string
  readonly checkpoint: Checkpoint | null
  /** When it was cosigned for the last time, Unix seconds. */
  readonly cosignedAt: number | null
}

interface Known {
  readonly record: WitnessRecord
  readonly checkpoint: Checkpoint
  readonly cosignedAt: number
}

/** A record that this witness did not write: it must not go on from what it does not know. */
export class WitnessRecordFault extends Error {
  override readonly name = "WitnessRecordFault"
}

export class Witness {
  private readonly options: WitnessOptions
  readonly cosigner: Cosigner
  /** By origin: one request at a time, from the look at the record to the answer. */
  private readonly turns = new Map<string, Promise<unknown>>()

  constructor(options: WitnessOptions) {
    this.options = options
    this.cosigner = { name: options.name, publicKey: options.key.publicKey }
  }

  /** Reads the records of all logs. Rejects with a WitnessRecordFault where one cannot be trusted. */
  async open(): Promise<void> {
    for (const { origin } of this.options.logs()) await this.read(origin)
  }

  /** Rejects where the record could not be kept; then nothing was cosigned. */
  async addCheckpoint(body: Uint8Array): Promise<WitnessAnswer> {
    const parsed = parseAddCheckpoint(body)
    if (parsed.kind === "malformed") {
      this.options.judged?.(null, "malformed", null)
      return refuse("malformed", 400, parsed.rule)
    }
    const { request, checkpoint } = parsed
    const log = this.options.logs().find(({ origin }) => origin === checkpoint.origin)
    // Before anything is kept of it: whoever asks for logs that nobody knows fills no memory.
    if (log === undefined) {
      this.options.judged?.(null, "unknown-log", null)
      return refuse("unknown-log", 404, "this witness does not know the log")
    }
    return this.inTurn(log.origin, () => this.judge(log, request, checkpoint))
  }

  /** The last checkpoint of a log, with the log's signature and the cosignature; null where none was cosigned. */
  async readCheckpoint(hexOfOriginHash: string): Promise<string | null> {
    const log = this.options.logs().find(({ origin }) => formatHex(originHash(origin)) === hexOfOriginHash)
    return log === undefined ? null : ((await this.read(log.origin))?.record.note ?? null)
  }

  async list(): Promise<WitnessSight[]> {
    return Promise.all(
      this.options.logs().map(async ({ origin }) => {
        const known = await this.read(origin)
        return {
          origin,
          originHash: formatHex(originHash(origin)),
          checkpoint: known?.checkpoint ?? null,
          cosignedAt: known?.cosignedAt ?? null,
        }
      }),
    )
  }

  private async judge(
    log: WitnessedOrigin,
    request: AddCheckpoint,
    checkpoint: Checkpoint,
  ): Promise<WitnessAnswer> {
    const { judged, verify } = this.options
    const { origin, keys } = log
    for (;;) {
      const known = await this.read(origin)
      const verdict = judgeCheckpoint(request, checkpoint, { keys, last: known?.checkpoint ?? null }, verify)
      if (verdict.kind !== "cosign") {
        judged?.(origin, verdict.kind, checkpoint)
        if ("split" in verdict && verdict.split !== null)
          await this.keepSplit(log, known!, request.note, checkpoint, verdict.split)
        return answerRefusal(verdict)
      }
      const made = this.cosign(request.note, log, known, checkpoint)
      // A crash here: nothing was recorded, and nothing has left the process.
      if (!(await this.keep(origin, made, known))) continue
      // A crash here: what is recorded was not answered; the log asks again, and the same grows out of itself.
      judged?.(origin, "cosign", checkpoint)
      return { kind: "cosign", status: 200, contentType: "text/plain; charset=utf-8", body: made.lines }
    }
  }

  private cosign(note: Note, log: WitnessedOrigin, known: Known | null, { size }: Checkpoint) {
    const { name, key, nowMs } = this.options
    // A clock that was set back must not make a later checkpoint look older.
    const cosignedAt = Math.max(Math.floor(nowMs() / 1000), known?.cosignedAt ?? 0)
    const cosignature = cosignNote(note.text, name, key, cosignedAt)
    const hasGrown = known === null || known.checkpoint.size !== size
    const version = (known?.record.version ?? 0) + (hasGrown ? 1 : 0)
    const record = {
      version,
      note: formatNote({
        text: note.text,
        signatures: [...this.signedBy(log, note).signatures, cosignature],
      }),
    }
    return { record, lines: formatSignatures([cosignature]) }
  }

  /** Of the signatures that came only those by the log's keys are kept. */
  private signedBy({ keys }: WitnessedOrigin, { text, signatures }: Note): Note {
    const { verify } = this.options
    return {
      text,
      signatures: signatures.filter(
        (one) => verifyNote({ text, signatures: [one] }, keys, verify)?.length === 1,
      ),
    }
  }

  /** A file that anybody can check: what was cosigned here, and what the log has signed since. */
  private async keepSplit(
    log: WitnessedOrigin,
    known: Known,
    note: Note,
    { size }: Checkpoint,
    { rootThere, proof }: WitnessedSplit,
  ): Promise<void> {
    const first = parseNote(known.record.note)!
    const view = formatSplitView({ first, second: this.signedBy(log, note), rootThere, proof })
    await this.options.store.keepSplit(log.origin, `${known.checkpoint.size}-${size}`, view)
  }

  /** On disk; false where somebody else was first, whose record is then the last. */
  private async keep(
    origin: string,
    { record }: Pick<Known, "record">,
    known: Known | null,
  ): Promise<boolean> {
    const { store } = this.options
    if (record.version !== known?.record.version) return store.grow(origin, record)
    // In the same second it is the same bytes.
    return record.note === known.record.note || store.renew(origin, record)
  }

  /** Each time anew: another process may keep records in the same place. */
  private async read(origin: string): Promise<Known | null> {
    const record = await this.options.store.read(origin)
    return record === null ? null : this.openRecord(origin, record)
  }

  private openRecord(origin: string, record: WitnessRecord): Known {
    const note = parseNote(record.note)
    const checkpoint = note === null ? null : parseExtendedCheckpoint(note.text)
    const finding = note === null ? null : checkCosignature(note, this.cosigner, this.options.verify)
    if (checkpoint === null || checkpoint.origin !== origin || finding?.kind !== "good")
      throw new WitnessRecordFault(
        `record ${record.version} of the log ${origin} is not one that ${this.cosigner.name} cosigned: restore it, or ask who changed it`,
      )
    return { record, checkpoint, cosignedAt: finding.timestamp }
  }

  private async inTurn<T>(origin: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.turns.get(origin) ?? Promise.resolve()).then(work)
    const settled = turn.catch(() => {})
    this.turns.set(origin, settled)
    try {
      return await turn
    } finally {
      if (this.turns.get(origin) === settled) this.turns.delete(origin)
    }
  }
}

function refuse(
  kind: WitnessAnswer["kind"],
  status: Exclude<WitnessAnswer["status"], 200>,
  why: string,
): WitnessAnswer {
  return { kind, status, contentType: "text/plain; charset=utf-8", body: `${why}\n` }
}

function answerRefusal(verdict: Exclude<WitnessVerdict, { kind: "cosign" }>): WitnessAnswer {
  switch (verdict.kind) {
    case "unknown-log":
      return refuse("unknown-log", 404, "this witness does not know the log")
    case "unsigned":
      return refuse("unsigned", 403, "the checkpoint is not signed by the log's key")
    case "shrinking":
      return refuse("shrinking", 400, "the old size is above the checkpoint's")
    case "conflict":
      return { kind: "conflict", status: 409, contentType: contentTlogSize, body: `${verdict.size}\n` }
    default:
      return refuse("inconsistent", 422, verdict.rule)
  }
}

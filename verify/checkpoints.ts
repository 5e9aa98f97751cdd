/** Checkpoints: one per block, signed by the log's key, and the published one among them. */
import { equalBytes } from "../chain/bytes.ts"
import { type Checkpoint, parseCheckpoint } from "../chain/checkpoint.ts"
import { checkReceiptTree } from "../chain/cose-receipt.ts"
import type { Hash } from "../chain/hash.ts"
import type { PublicKey } from "../chain/key.ts"
import type { Frontier } from "../chain/merkle.ts"
import { type NoteKey, parseNote, verifyNote } from "../chain/note.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import type { Findings } from "./finding.ts"
import { Peekable } from "./peekable.ts"
import type { AuditSource, CheckpointRow } from "./source.ts"

const publishedRow = "the published checkpoint"

export class CheckpointAudit {
  private readonly findings: Findings
  private readonly logKey: NoteKey
  private readonly verify: VerifyEquation | undefined
  private readonly rows: Peekable<CheckpointRow>
  private readonly hasPublished: boolean
  /** Null where nothing was published, or nothing that can be read. */
  private readonly published: Checkpoint | null
  /** The height of the block at which the database has the published size. */
  private publishedHeight: number | null = null
  private last: { readonly height: number; readonly size: number } | null = null
  /** Of the policy, which is the first that the audit reads. */
  receiptKey: PublicKey | null = null
  private hasReceipts = false

  /**
   * @param published the note as it was published; null where none was
   * @param from the height of the first block whose checkpoint is looked at
   */
  constructor(
    source: AuditSource,
    findings: Findings,
    logKey: NoteKey,
    published: string | null,
    verify: VerifyEquation | undefined,
    from: number,
  ) {
    this.findings = findings
    this.logKey = logKey
    this.verify = verify
    this.rows = new Peekable(source.checkpoints(from))
    this.hasPublished = published !== null
    this.published = published === null ? null : (this.open(published)?.checkpoint ?? null)
  }

  /** The checkpoint of a note that this log's key signed; null for anything else. */
  private open(text: string): { readonly checkpoint: Checkpoint; readonly signatures: number } | null {
    const note = parseNote(text)
    const checkpoint = note === null ? null : parseCheckpoint(note.text)
    if (note === null || checkpoint === null || checkpoint.origin !== this.logKey.name) return null
    const signers = verifyNote(note, [this.logKey], this.verify)
    return signers?.length === 1 ? { checkpoint, signatures: note.signatures.length } : null
  }

  /**
   * The checkpoint of a block beside the tree up to its manifest.
   *
   * @param manifestRow what the manifest's statement is called
   * @param isExplained whether something before was found that gives the tree another root
   */
  async check(height: number, tree: Frontier, manifestRow: string, isExplained: boolean): Promise<void> {
    const { size } = tree
    const root = tree.root()
    const name = `checkpoint of block ${height}`
    const row = await this.findRow(height)
    this.last = { height, size }
    if (this.published?.size === size) this.checkPublished(height, root, isExplained)
    if (row === null) {
      this.findings.add("checkpoints", null, name, "is missing")
      return
    }
    if (row.size !== size)
      this.findings.add("checkpoints", "size", name, `is not ${size}, the leaves up to its manifest`)
    // A signature more would be a note that `signCheckpoint` does not make.
    const opened = this.open(row.note)
    if (opened === null || opened.signatures !== 1) {
      this.findings.add("checkpoints", "note", name, "is not a checkpoint signed by the log's key")
      return
    }
    const { checkpoint } = opened
    if (checkpoint.size !== size)
      this.findings.add("checkpoints", "note", name, `is signed for another size than ${size}`)
    else if (equalBytes(checkpoint.root, root) || isExplained) {
      if (!equalBytes(row.root, checkpoint.root))
        this.findings.add("checkpoints", "root", name, "is not the root that the log signed")
    } else
      this.findings.add(
        "entries",
        "entry",
        manifestRow,
        "is not what was sealed: the log signed another root with it",
      )
    // Of another tree than the log signed, the rule above is the one that was broken.
    if (checkpoint.size === size && equalBytes(checkpoint.root, root))
      this.checkReceiptSignature(row.receiptSignature, tree, name)
  }

  /** Under each tree but those that were sealed before there were receipts. */
  private checkReceiptSignature(signature: Uint8Array | null, tree: Frontier, name: string): void {
    const say = (rule: string): void => this.findings.add("checkpoints", "receipt_signature", name, rule)
    if (signature === null) {
      if (this.hasReceipts) say("is missing: the blocks before have one")
      return
    }
    this.hasReceipts = true
    const { receiptKey, logKey, verify } = this
    if (receiptKey === null) return
    if (!checkReceiptTree(logKey.name, tree.size, tree.root(), signature, receiptKey, verify))
      say("is not the receipt key's signature over this tree")
  }

  /** Leaves of the published tree; null where there is none. */
  get publishedSize(): number | null {
    return this.published?.size ?? null
  }

  /** @param isExplained as of `check` */
  checkPublished(height: number, root: Hash, isExplained: boolean): void {
    this.publishedHeight = height
    const { published } = this
    if (published === null || isExplained || equalBytes(published.root, root)) return
    const rule = `differs from ${publishedRow} of ${published.size} leaves: this is another history`
    this.findings.add("checkpoints", "root", `checkpoint of block ${height}`, rule)
  }

  private async findRow(height: number): Promise<CheckpointRow | null> {
    for (
      let row = await this.rows.peek();
      row !== null && row.height <= height;
      row = await this.rows.peek()
    ) {
      await this.rows.take()
      if (row.height === height) return row
      this.addStray(row)
    }
    return null
  }

  private addStray({ height }: CheckpointRow): void {
    this.findings.add(
      "checkpoints",
      null,
      `checkpoint of block ${height}`,
      "is of a block that has no signed manifest",
    )
  }

  /** What is stored beyond the last block, and whether what was published is behind us. */
  async finish(): Promise<void> {
    for (let row = await this.rows.take(); row !== null; row = await this.rows.take()) this.addStray(row)
    const { published, last } = this
    if (!this.hasPublished) {
      if (last !== null)
        this.findings.remarks.push(
          "nothing is published yet: no checkpoint outside the database holds it to its past",
        )
      return
    }
    if (published === null) {
      this.findings.add("checkpoints", "note", publishedRow, "is not a checkpoint signed by the log's key")
      return
    }
    if (this.publishedHeight === null) {
      const size = last?.size ?? 0
      const rule =
        size < published.size
          ? `has ${published.size} leaves and the database ${size}: the database is behind what was published`
          : `has ${published.size} leaves, where no block of the database ends: this is another history`
      this.findings.add("checkpoints", null, publishedRow, rule)
    } else if (last !== null && this.publishedHeight < last.height) {
      this.findings.remarks.push(
        `the published checkpoint is of block ${this.publishedHeight}, and the last block is ${last.height}: publish again`,
      )
    }
  }

  async close(): Promise<void> {
    await this.rows.close()
  }
}

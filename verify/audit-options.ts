/** What an audit is given, and what it is asked to look at. */
import type { Sha256 } from "../chain/hash.ts"
import type { Hmac } from "../chain/heads.ts"
import type { NoteKey } from "../chain/note.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import type { SignatureQueue } from "./finding.ts"
import type { AuditedPlace } from "./audited.ts"
import type { AuditSource } from "./source.ts"

export interface AuditOptions {
  readonly source: AuditSource
  /** The log's name and checkpoint key as the auditor knows them, never from the database. */
  readonly logKey: NoteKey
  /** Without it the heads roots are not computed again, which a remark says. */
  readonly headsSecret: Uint8Array | null
  /** Of `signed_digest`; without it that column is not checked, which a remark says. */
  readonly digestKey: Uint8Array | null
  /** The published checkpoint, read before the source took its picture; null where nothing was published. */
  readonly published: string | null
  /** Everything where nothing is said. */
  readonly range?: AuditRange
  /** Noble's where nothing is given, here and below. */
  readonly sha256?: Sha256
  readonly hmac?: Hmac
  readonly verify?: VerifyEquation
  /** Where statements' signatures are checked, in place of `verify`: on threads, many at once. */
  readonly signatures?: SignatureQueue
  readonly onProgress?: (progress: AuditProgress) => void
  /** Called often: true ends the audit behind what it is at. */
  readonly isStopped?: () => boolean
  /** Where the ends of blocks are kept, to go on from. */
  readonly memory?: AuditMemory
  /** Unix ms, for `memory`. */
  readonly nowMs?: () => number
  /** True where nothing is said: the first bad row is what an operator needs. */
  readonly isStoppingAtFirst?: boolean
}

/** Blocks by their heights; what waits for the next block is looked at where `to` is null. */
export interface AuditRange {
  /** The first block. What stood before it is taken from what the block before it signs. */
  readonly from: number
  /** The last block; null: to the end, and with it what the database says of now. */
  readonly to: number | null
  /** Whose statements are opened; of others only the entries are read. Null: everybody's. */
  readonly device: string | null
  /** Where an earlier audit ended, which the log must still contain: it is that of block `from` - 1. */
  readonly behind?: AuditedPlace
}

export interface AuditProgress {
  /** Statements. */
  readonly done: number
  readonly total: number
  /** The block that is being computed. */
  readonly height: number
}

export interface AuditMemory {
  /** Asked at the end of each block. To keep a place costs waiting for every signature before it. */
  isDue(): boolean
  /** Everything from block 0, or from `behind`, up to here was found good. */
  keep(place: AuditedPlace): Promise<void>
  /** Something was found, and nothing that was kept before can be said any more. */
  forget(): Promise<void>
}

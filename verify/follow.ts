/**
 * A log followed: is each checkpoint that it shows a continuation of the last one, are its entries what the tree says, and
 * if it shows two histories, the proof of that. The log is another organisation's: nothing that it says is believed.
 *
 * A step that a crash ends is taken again: what the log is held to (`latest`) is on disk before anything of it is copied,
 * and the copy's checkpoint only after all that it covers.
 */
import { equalBytes } from "../chain/bytes.ts"
import { type Checkpoint, parseExtendedCheckpoint } from "../chain/checkpoint.ts"
import { type Sha256, sha256 } from "../chain/hash.ts"
import { LogFault, type TileReader, TiledTree } from "../chain/log-reader.ts"
import { type Note, type NoteKey, formatNote, parseNote, verifyNote } from "../chain/note.ts"
import { type VerifyEquation, verifyEquation } from "../chain/signature.ts"
import { type SplitView, checkSplitView, formatSplitView } from "../chain/split-view.ts"
import { growMirror, openMirroredTree } from "./follow-copy.ts"
import { LogAway, type LogSource } from "./follow-source.ts"
import { type Mirror, MirrorFault } from "./mirror.ts"

export interface FollowOptions {
  readonly mirror: Mirror
  /** What the log's checkpoints must be signed by. */
  readonly log: NoteKey
  /** Most leaves by which the log may grow at once: a log that lies could give without end. */
  readonly growthMax: number
  /** Unix ms. */
  readonly nowMs: () => number
  readonly verify?: VerifyEquation
  readonly sha256?: Sha256
  /** Leaves that are copied, of all. */
  readonly onProgress?: (done: number, total: number) => void
}

/** A checkpoint that the log has signed. */
export interface SignedCheckpoint extends Checkpoint {
  readonly note: Note
}

export type Followed =
  /** The log has what it had. */
  | { readonly kind: "same"; readonly checkpoint: SignedCheckpoint }
  /** It went on from where it was, and all of it is copied. `from` is 0 the first time. */
  | { readonly kind: "grown"; readonly from: number; readonly checkpoint: SignedCheckpoint }
  /** An older checkpoint of the same history: nothing is wrong with it, and it says nothing new. */
  | { readonly kind: "older"; readonly checkpoint: SignedCheckpoint; readonly latestSize: number }
  /** Two histories, both signed: nothing more is copied. */
  | { readonly kind: "split"; readonly view: SplitView; readonly path: string }
  /** They were found earlier, and nobody has removed the proof. */
  | { readonly kind: "was-split"; readonly paths: readonly string[] }
  /** What it serves is not what it signed, or no log. What is wrong is not kept. */
  | {
      readonly kind: "fault"
      readonly what: string
      readonly rule: string
      /** Of the checkpoint that it signed and does not show, where it is kept. */
      readonly unproven: string | null
    }
  /** It cannot be reached now. */
  | { readonly kind: "away"; readonly rule: string }

/** Asks the log for its checkpoint, and copies what is new. Throws where our own folder is at fault. */
export async function followLog(source: LogSource, options: FollowOptions): Promise<Followed> {
  return guard(options, async () => {
    const seen = await takeCheckpoint(await source.readCheckpoint(), source, options)
    if (seen.kind !== "same" && seen.kind !== "older") return seen
    return (await copy(seen.checkpoint, source, options)) ?? seen
  })
}

/**
 * Compares a checkpoint of this log that somebody else was shown with what we were shown. Nothing is copied; where it is
 * ahead and goes on from ours, the log is held to it from now on.
 *
 * @param note a signed note, in UTF-8
 * @param tiles where the tiles of that checkpoint are read, where it is ahead of ours
 */
export async function compareCheckpoint(
  note: Uint8Array,
  tiles: TileReader,
  options: FollowOptions,
): Promise<Followed> {
  return guard(options, () => takeCheckpoint(note, tiles, options))
}

async function guard(options: FollowOptions, work: () => Promise<Followed>): Promise<Followed> {
  const paths = await options.mirror.listSplitViews()
  // Nothing heals two histories. Whoever has read the proof and goes on, removes it.
  if (paths.length > 0) return { kind: "was-split", paths }
  try {
    return await work()
  } catch (error) {
    if (error instanceof LogAway) return { kind: "away", rule: error.message }
    if (error instanceof LogFault) return faultOf(error, null)
    throw error
  }
}

function faultOf({ path, rule }: LogFault, unproven: string | null): Followed {
  return { kind: "fault", what: path, rule, unproven }
}

/** Holds a checkpoint against the last one. Same: it is the last one now, and goes on from the one before. */
async function takeCheckpoint(
  bytes: Uint8Array,
  tiles: TileReader,
  options: FollowOptions,
): Promise<Followed> {
  const { mirror, growthMax } = options
  const checkpoint = openNote(bytes, options)
  const latest = await readOwn(mirror.readLatest(), "latest", options)
  const growth = checkpoint.size - (latest?.size ?? 0)
  if (growth > growthMax)
    throw new LogFault(
      "checkpoint",
      `has ${checkpoint.size} leaves, ${growth} more than before, and ${growthMax} are taken at once`,
    )
  const compare = growth < 0 ? compareOlder : growth === 0 && latest !== null ? compareEqual : compareNewer
  try {
    return await compare(checkpoint, latest!, tiles, options)
  } catch (error) {
    if (!(error instanceof LogFault)) throw error
    // Signed, and not shown: if it is another history, its tiles would prove that.
    return faultOf(error, await mirror.writeUnproven(formatNote(checkpoint.note), checkpoint.size))
  }
}

async function compareNewer(
  checkpoint: SignedCheckpoint,
  latest: SignedCheckpoint | null,
  tiles: TileReader,
  options: FollowOptions,
): Promise<Followed> {
  const tree = await TiledTree.open(tiles, checkpoint, options.sha256)
  if (latest !== null && !equalBytes(await tree.readRoot(latest.size), latest.root))
    return proveSplit(latest, checkpoint, tree, options)
  // From here on the log is held to this one, also if we stop before it is copied.
  await options.mirror.writeLatest(formatNote(checkpoint.note))
  await options.mirror.writeGrownAtMs(options.nowMs())
  return { kind: "same", checkpoint }
}

async function compareEqual(
  checkpoint: SignedCheckpoint,
  latest: SignedCheckpoint,
  _tiles: TileReader,
  options: FollowOptions,
): Promise<Followed> {
  if (!equalBytes(checkpoint.root, latest.root)) return proveSplit(latest, checkpoint, null, options)
  // Witnesses cosign after the log has published: what has more of them is the better one to keep.
  const isRicher = checkpoint.note.signatures.length > latest.note.signatures.length
  if (isRicher) await options.mirror.writeLatest(formatNote(checkpoint.note))
  return { kind: "same", checkpoint: isRicher ? checkpoint : latest }
}

/** Against our own copy where it reaches so far: the log may have forgotten what it was. */
async function compareOlder(
  checkpoint: SignedCheckpoint,
  latest: SignedCheckpoint,
  tiles: TileReader,
  options: FollowOptions,
): Promise<Followed> {
  const mirrored = await readOwn(options.mirror.readMirrored(), "log/checkpoint", options)
  const isCopied = mirrored !== null && checkpoint.size <= mirrored.size
  const end = isCopied ? mirrored : latest
  const tree = isCopied
    ? await openMirroredTree(options.mirror, mirrored, options.sha256)
    : await TiledTree.open(tiles, latest, options.sha256)
  return equalBytes(await tree.readRoot(checkpoint.size), checkpoint.root)
    ? { kind: "older", checkpoint, latestSize: latest.size }
    : proveSplit(checkpoint, end, tree, options)
}

/**
 * Two checkpoints that are of no one history, as a file.
 *
 * @param tree of the second; null where both have one size
 */
async function proveSplit(
  first: SignedCheckpoint,
  second: SignedCheckpoint,
  tree: TiledTree | null,
  { mirror, log, verify, sha256: hash }: FollowOptions,
): Promise<Followed> {
  // Of an empty tree there is one root, and no proof from it to another.
  if (first.size === 0)
    throw new LogFault("checkpoint", "has no leaves, and a root that is not that of an empty tree")
  const view: SplitView = {
    first: first.note,
    second: second.note,
    rootThere: tree === null ? second.root : await tree.readRoot(first.size),
    proof: tree === null ? [] : await tree.proveConsistency(first.size),
  }
  const finding = checkSplitView(view, log, verify, hash)
  // An accusation that does not hold would be ours to answer for.
  if (finding.kind === "none") throw new Error(`a split view proves nothing: ${finding.what} ${finding.rule}`)
  const path = await mirror.writeSplitView(formatSplitView(view), first.size, second.size)
  return { kind: "split", view, path }
}

/** Copies what a checkpoint covers and the mirror has not; null where there is nothing to copy. */
async function copy(
  checkpoint: SignedCheckpoint,
  source: LogSource,
  options: FollowOptions,
): Promise<Followed | null> {
  const { mirror, sha256: hash = sha256, onProgress } = options
  const mirrored = await readOwn(mirror.readMirrored(), "log/checkpoint", options)
  const from = mirrored?.size ?? 0
  const note = formatNote(checkpoint.note)
  if (mirrored !== null && checkpoint.size <= from) {
    // The same tree, cosigned by more: what we serve follows what the log serves.
    if (checkpoint.size === from && note.length > formatNote(mirrored.note).length)
      await mirror.writeMirrored(note)
    return null
  }
  if (checkpoint.size > 0) {
    const tree = await TiledTree.open(source, checkpoint, hash)
    await growMirror(mirror, mirrored, tree, hash, onProgress)
  }
  await mirror.writeMirrored(note)
  return { kind: "grown", from, checkpoint }
}

/** What the log answered. Throws a LogFault on what is no checkpoint that this log's key has signed. */
function openNote(bytes: Uint8Array, { log, verify = verifyEquation }: FollowOptions): SignedCheckpoint {
  const note = decodeNote(bytes)
  const checkpoint = note === null ? null : parseExtendedCheckpoint(note.text)
  if (note === null || checkpoint === null)
    throw new LogFault("checkpoint", "is no signed checkpoint of a log")
  if (checkpoint.origin !== log.name)
    throw new LogFault("checkpoint", `is of ${nameLog(checkpoint.origin)}, and not of ${log.name}`)
  if (verifyNote(note, [log], verify)?.length !== 1)
    throw new LogFault("checkpoint", `is not signed by the key of ${log.name} that it is held to`)
  return { ...checkpoint, note }
}

/** What anybody may have written, for a line of a terminal. */
function nameLog(origin: string): string {
  return /^[\x21-\x7e]{1,255}$/.test(origin) ? `the log ${origin}` : "a log of another name"
}

function decodeNote(bytes: Uint8Array): Note | null {
  try {
    return parseNote(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return null
  }
}

async function readOwn(
  text: Promise<string | null>,
  name: string,
  options: FollowOptions,
): Promise<SignedCheckpoint | null> {
  const note = await text
  if (note === null) return null
  try {
    return openNote(new TextEncoder().encode(note), options)
  } catch (error) {
    if (!(error instanceof LogFault)) throw error
    throw new MirrorFault(`${options.mirror.folder}: the file ${name} ${error.rule}`)
  }
}

/** The copy of a log as it grows: every entry hashed into our own tree, and each tile written from that, not as it came. */
import { equalBytes } from "../chain/bytes.ts"
import { type Hash, type Sha256, hashSize } from "../chain/hash.ts"
import { LogFault, TiledTree, type TreeHead, formatEntries, parseEntries } from "../chain/log-reader.ts"
import { Frontier, coverRange, hashLeaf } from "../chain/merkle.ts"
import { countNodes } from "../chain/tile-path.ts"
import { TileCollector, foldNodes, tileHeight, tileWidth } from "../chain/tile.ts"
import { type Mirror, MirrorFault } from "./mirror.ts"

/** Bundles that are asked for at once. */
const inFlight = 8

/** Our own copy, held against its own checkpoint: a file that was damaged is named, and nobody else is blamed for it. */
export async function openMirroredTree(mirror: Mirror, head: TreeHead, hash?: Sha256): Promise<TiledTree> {
  return own(mirror, () => TiledTree.open(mirror, head, hash))
}

async function own<T>(mirror: Mirror, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof LogFault)) throw error
    throw new MirrorFault(
      `${mirror.logFolder}/${error.path} ${error.rule}: the copy is damaged. Remove ${mirror.logFolder} to make it anew; what the log is held to stays`,
    )
  }
}

/**
 * Copies the leaves that a tree has and the mirror has not, and proves that they give the tree's root.
 *
 * @param from what the mirror has; null for nothing
 * @throws LogFault where the log serves something else than it signed
 */
export async function growMirror(
  mirror: Mirror,
  from: TreeHead | null,
  tree: TiledTree,
  hash: Sha256,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const size = from?.size ?? 0
  const collector = new TileCollector()
  const frontier =
    from === null ? new Frontier(hash) : await own(mirror, () => resume(mirror, from, collector, hash))
  const writeTile = ({ level, index, hashes }: { level: number; index: number; hashes: Uint8Array }) =>
    mirror.writePlace({ kind: "tile", level, index, width: hashes.length / hashSize }, hashes)
  let writing: Promise<unknown> = Promise.resolve()
  const first = Math.floor(size / tileWidth)
  const count = Math.ceil(tree.size / tileWidth) - first
  try {
    for await (const [place, entries] of inOrder(count, (at) => readBundle(mirror, tree, first + at, hash))) {
      const index = first + place
      for (const entry of entries.slice(place === 0 ? size - first * tileWidth : 0))
        frontier.append(hashLeaf(entry, hash), collector.keep)
      // While the next bundle comes. A crash here: what is on disk is read again on the next start, and its tiles are made
      // again.
      await writing
      writing = Promise.all([
        ...collector.takeFull().map(writeTile),
        mirror.writePlace({ kind: "entries", index, width: entries.length }, formatEntries(entries)),
      ])
      writing.catch(() => {})
      onProgress(frontier.size, tree.size)
    }
  } finally {
    // Nothing is written any more when this has ended, whichever way.
    await writing
  }
  await Promise.all(collector.listGrowing().map(writeTile))
  // Each entry was held against the log's tiles, and those against its root.
  if (frontier.size !== tree.size || !equalBytes(frontier.root(), tree.root))
    throw new Error("the entries that were copied do not give the root that they were held against")
}

async function resume(
  mirror: Mirror,
  head: TreeHead,
  collector: TileCollector,
  hash: Sha256,
): Promise<Frontier> {
  const tree = await TiledTree.open(mirror, head, hash)
  for (let level = 0; countNodes(level, head.size) > 0; level++) {
    const nodes = countNodes(level, head.size)
    const index = Math.floor(nodes / tileWidth)
    const width = nodes - index * tileWidth
    if (width > 0) collector.resume({ level, index, hashes: await tree.readTile(level, index) })
  }
  const places = coverRange(0, head.size)
  const roots = await tree.readNodes(places)
  let next = 0
  return Frontier.resume(head.size, () => roots[next++]!, hash)
}

/** What an earlier run has left, where it is what the tree says, or else from the log. */
async function readBundle(
  mirror: Mirror,
  tree: TiledTree,
  index: number,
  hash: Sha256,
): Promise<readonly Hash[]> {
  if ((index + 1) * tileWidth <= tree.size) {
    const kept = await mirror.readFullEntries(index)
    const entries = kept === null ? null : parseEntries(kept)
    if (entries?.length === tileWidth) {
      const leaves = new Uint8Array(tileWidth * hashSize)
      for (const [at, entry] of entries.entries()) leaves.set(hashLeaf(entry, hash), at * hashSize)
      const [expected] = await tree.readNodes([{ level: tileHeight, index }])
      if (equalBytes(foldNodes(leaves, hash), expected!)) return entries
    }
  }
  return tree.readEntries(index)
}

/** Some tasks at once, and their results in order. */
async function* inOrder<T>(count: number, task: (at: number) => Promise<T>): AsyncGenerator<[number, T]> {
  const running: Promise<T>[] = []
  let started = 0
  for (let at = 0; at < count; at++) {
    while (started < count && started < at + inFlight) {
      const promise = task(started++)
      // It is awaited in its turn; until then its failure is nobody's surprise.
      promise.catch(() => {})
      running.push(promise)
    }
    yield [at, await running.shift()!]
  }
}

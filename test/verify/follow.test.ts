import { mkdtemp, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { TiledTree, formatEntries } from "../../chain/log-reader.ts"
import { formatNote, parseNote } from "../../chain/note.ts"
import { type TlogPolicy, parseTlogPolicy, policyOfLog } from "../../chain/tlog-policy.ts"
import { cosignNote, formatCosignerVkey } from "../../chain/cosignature.ts"
import { sha256Native, verifyNative } from "../../ingest/native.ts"
import { HttpLog, type SourceLimits } from "../../verify/follow-source.ts"
import { type FollowOptions, type Followed, compareCheckpoint, followLog } from "../../verify/follow.ts"
import { formatFollowed } from "../../verify/follow-report.ts"
import { Mirror, MirrorFault } from "../../verify/mirror.ts"
import { verifySplitView } from "../../verify/split-view.ts"
import { edKey } from "../vectors/keys.ts"
import { LogServer, flip, grow, growElsewhere, servedLog, servedVkey } from "./log-server.ts"

const honest = grow(5_200)
/** Parts at leaf 300. */
const other = growElsewhere(1_500, 300)
const limits: SourceLimits = { timeoutMs: 30_000, waitsMs: [], wait: async () => {} }
/** For a log that says nothing. */
const impatient: SourceLimits = { ...limits, timeoutMs: 300 }

let log: LogServer
let folder: string
let mirror: Mirror
let options: FollowOptions

beforeEach(async () => {
  log = await LogServer.open(honest, 200)
  folder = await mkdtemp(join(tmpdir(), "tidemark-follow-"))
  mirror = new Mirror(folder)
  options = {
    mirror,
    log: servedLog,
    growthMax: 100_000,
    nowMs: () => 1_795_000_000_000,
    verify: verifyNative,
    sha256: sha256Native,
  }
})

afterEach(async () => {
  await log.close()
  await rm(folder, { recursive: true, force: true })
})

const follow = async (patience = limits): Promise<Followed> =>
  followLog(new HttpLog(log.url, patience), options)
const followTo = async (size: number): Promise<Followed> => {
  log.size = size
  return follow()
}
const mirroredSize = async (): Promise<number> => Number((await mirror.readMirrored())?.split("\n")[1] ?? 0)

const readPolicy = (text: string): TlogPolicy => {
  const parsed = parseTlogPolicy(new TextEncoder().encode(text))
  if (parsed.kind === "fault") throw new Error(parsed.rule)
  return parsed.policy
}

/** The copy as anybody would read it: each tile and each entry of it against its checkpoint. */
async function checkCopy(size: number, published = honest): Promise<void> {
  expect(await mirroredSize()).toBe(size)
  const tree = await TiledTree.open(mirror, published.head(size), sha256Native)
  const last = Math.floor((size - 1) / 256)
  for (let index = 0; index <= last; index += index < 3 || index > last - 4 ? 1 : last - 6)
    expect(await tree.readEntries(index)).toEqual(
      published.entries.slice(index * 256, Math.min(size, (index + 1) * 256)),
    )
}

const expectSplit = (followed: Followed): string => {
  expect(followed.kind).toBe("split")
  if (followed.kind !== "split") throw new Error("no split")
  return followed.path
}

/** The file alone, by who has the log's key and nothing else. */
async function expectProof(path: string, sizes: readonly [number, number]): Promise<void> {
  const result = verifySplitView(await readFile(path), policyOfLog(servedLog), verifyNative)
  expect(result).toMatchObject({ kind: "split", first: { size: sizes[0] }, second: { size: sizes[1] } })
}

test("a log that grows over the borders of its tiles is copied, and the copy is what the log was at each size", async () => {
  let from = 0
  for (const size of [1, 200, 255, 256, 257, 512, 700, 5_119, 5_120, 5_200]) {
    expect(await followTo(size)).toMatchObject({ kind: "grown", from, checkpoint: { size } })
    expect(await mirroredSize()).toBe(size)
    from = size
  }
  await checkCopy(5_200)
  expect(await mirror.readGrownAtMs()).toBe(1_795_000_000_000)
  log.asked.length = 0
  expect(await follow()).toMatchObject({ kind: "same", checkpoint: { size: 5_200 } })
  expect(log.asked).toEqual(["checkpoint"])
  // Partial tiles went with the full ones that took their place.
  expect(await readdir(join(folder, "log/tile/0/x000")).catch(() => [])).toEqual([])
  expect((await readdir(join(folder, "log/tile/0"))).filter((name) => name.endsWith(".p"))).toEqual(["020.p"])
})

test("only what is new is asked for", async () => {
  await followTo(2_000)
  log.asked.length = 0
  await followTo(2_100)
  expect(log.asked.filter((path) => path.startsWith("tile/entries/")).toSorted()).toEqual([
    "tile/entries/007",
    "tile/entries/008.p/52",
  ])
  expect(log.asked.length).toBeLessThan(12)
})

test("a copy can itself be followed", async () => {
  await followTo(700)
  const copied = await LogServer.open(honest, 700)
  copied.lie = async (path, response) => {
    const file = await readFile(join(folder, "log", path)).catch(() => null)
    if (file === null) response.writeHead(404).end()
    else response.end(file)
    return true
  }
  const again = await mkdtemp(join(tmpdir(), "tidemark-follow-"))
  try {
    const second = await followLog(new HttpLog(copied.url, limits), { ...options, mirror: new Mirror(again) })
    expect(second).toMatchObject({ kind: "grown", checkpoint: { size: 700 } })
  } finally {
    await copied.close()
    await rm(again, { recursive: true, force: true })
  }
})

test("an older checkpoint of the same history is nobody's fault", async () => {
  await followTo(700)
  expect(await followTo(300)).toMatchObject({ kind: "older", checkpoint: { size: 300 }, latestSize: 700 })
  expect(await mirroredSize()).toBe(700)
})

test.each([
  ["of the same size", 700, 700, [700, 700]],
  ["that is longer", 700, 1_500, [700, 1_500]],
  ["that is shorter", 700, 400, [400, 700]],
  ["whose first tree ends at a tile", 512, 1_500, [512, 1_500]],
] as const)("another history %s is found, and proven by a file", async (_what, before, after, sizes) => {
  await followTo(before)
  log.published = other
  const path = expectSplit(await followTo(after))
  await expectProof(path, sizes)
  // And it stays found: nothing is copied on top, whatever the log shows now.
  log.published = honest
  expect(await followTo(2_000)).toEqual({ kind: "was-split", paths: [path] })
  expect(await mirroredSize()).toBe(before)
  await rm(path)
  expect(await follow()).toMatchObject({ kind: "grown" })
})

test("histories that part behind what was seen cannot be told from one", async () => {
  await followTo(300)
  log.published = other
  expect(await followTo(700)).toMatchObject({ kind: "grown", from: 300 })
  await checkCopy(700, other)
})

test("a checkpoint that somebody else was shown is compared: older, the same, ahead, or the proof of a split", async () => {
  await followTo(700)
  const elsewhere = await LogServer.open(other, 600)
  const theirs = (size: number, published = other): Uint8Array => {
    elsewhere.published = published
    elsewhere.size = size
    return new TextEncoder().encode(elsewhere.note())
  }
  const source = new HttpLog(log.url, limits)
  const compare = (note: Uint8Array, tiles = source) => compareCheckpoint(note, tiles, options)
  try {
    expect(await compare(theirs(299))).toMatchObject({ kind: "older" })
    expect(await compare(theirs(700, honest))).toMatchObject({ kind: "same" })
    // Ahead of what the log shows us: the log is held to it.
    log.size = 900
    expect(await compare(theirs(900, honest))).toMatchObject({ kind: "same", checkpoint: { size: 900 } })
    expect(await mirroredSize()).toBe(700)
    expect(await follow()).toMatchObject({ kind: "grown", from: 700, checkpoint: { size: 900 } })
    // Ahead, and nobody shows its tiles: nothing is proven, and what was signed is kept.
    const unproven = await compare(theirs(1_000))
    expect(unproven).toMatchObject({ kind: "fault", what: "tile/0/003.p/232" })
    const kept = unproven.kind === "fault" ? unproven.unproven! : ""
    expect(await readFile(kept, "utf8")).toContain("\n1000\n")
    await expectProof(
      expectSplit(await compare(theirs(1_000), new HttpLog(elsewhere.url, limits))),
      [900, 1_000],
    )
    await rm(join(folder, "split-views"), { recursive: true })
    await expectProof(expectSplit(await compare(theirs(600))), [600, 900])
  } finally {
    await elsewhere.close()
  }
})

test("a follower that was stopped in the middle goes on from what it has, and is held to what was signed", async () => {
  let bundles = 0
  log.lie = (path, response) => {
    if (!path.startsWith("tile/entries/") || ++bundles <= 10) return false
    response.destroy()
    return true
  }
  expect(await followTo(5_000)).toMatchObject({ kind: "away" })
  expect(await mirroredSize()).toBe(0)
  log.lie = () => false
  log.asked.length = 0
  expect(await follow()).toMatchObject({ kind: "grown", from: 0 })
  expect(log.asked.filter((path) => path.startsWith("tile/entries/")).length).toBeLessThan(20 - 3)
  await checkCopy(5_000)
})

test("stopped in the middle and shown another history then: the split is found, though nothing was copied", async () => {
  log.lie = (path, response) => path.startsWith("tile/entries/") && (response.destroy(), true)
  expect(await followTo(700)).toMatchObject({ kind: "away" })
  log.lie = () => false
  log.published = other
  await expectProof(expectSplit(await followTo(800)), [700, 800])
})

test("a bundle that an earlier run left and that is another now is fetched anew", async () => {
  log.lie = (path, response) => path.startsWith("tile/entries/001") && (response.destroy(), true)
  expect(await followTo(700)).toMatchObject({ kind: "away" })
  const path = join(folder, "log/tile/entries/000")
  await writeFile(path, flip(await readFile(path)))
  log.lie = () => false
  await follow()
  await checkCopy(700)
})

test("a copy that was damaged is said to be damaged, and the log is not blamed", async () => {
  await followTo(700)
  const path = join(folder, "log/tile/0/002.p/188")
  await writeFile(path, flip(await readFile(path)))
  await expect(followTo(900)).rejects.toThrow(MirrorFault)
  await truncate(path, 10)
  await expect(follow()).rejects.toThrow(/cut off/)
  await rm(join(folder, "log"), { recursive: true })
  expect(await follow()).toMatchObject({ kind: "grown", from: 0 })
  await checkCopy(900)
})

test("cosignatures that come later are kept, and told", async () => {
  await followTo(200)
  const note = parseNote(log.note())!
  const cosigned = formatNote({
    text: note.text,
    signatures: [...note.signatures, cosignNote(note.text, "w.example", edKey, 1_795_000_000)],
  })
  log.lie = (path, response) => path === "checkpoint" && (response.end(cosigned), true)
  const vkey = formatCosignerVkey({ name: "w.example", publicKey: edKey.publicKey })
  const policy = readPolicy(`log ${servedVkey}\nwitness w1 ${vkey}\nquorum w1\n`)
  expect(formatFollowed(await follow(), policy).join()).toContain("cosigned by w1")
  expect(await mirror.readMirrored()).toBe(cosigned)
  log.lie = () => false
  const bare = await follow()
  expect(await mirror.readMirrored()).toBe(cosigned)
  expect(formatFollowed(bare, policy).join()).toContain("cosigned by w1")
})

/** The whole of what an honest log answers, changed on its way. */
const change = (path: string, how: (bytes: Uint8Array) => Uint8Array) => {
  log.lie = (asked, response) => {
    if (asked !== path) return false
    const bytes = path.startsWith("tile/entries/")
      ? formatEntries(honest.entries.slice(256, 512))
      : Uint8Array.from(
          Buffer.concat(
            honest.entries.slice(0, 256).map((_, leaf) => honest.readNode({ level: 0, index: 256 + leaf })),
          ),
        )
    response.end(how(bytes))
    return true
  }
}

test.each([
  ["tile/entries/001", "has another entry at leaf 511 than the tree", flip],
  ["tile/entries/001", "is cut off", (bytes: Uint8Array) => bytes.subarray(0, -1)],
  ["tile/entries/001", "has more than 8704 bytes", (bytes: Uint8Array) => new Uint8Array(bytes.length + 1)],
  ["tile/entries/001", "is not 256 entries", (bytes: Uint8Array) => flip(bytes, 1)],
  ["tile/0/001", "does not hash to", flip],
  ["tile/0/001", "is cut off", (bytes: Uint8Array) => bytes.subarray(0, -1)],
] as const)(
  "a wrong %s is named (%s), nothing of it is kept, and the follower goes on when it is mended",
  async (path, rule, how) => {
    await followTo(200)
    change(path, how)
    const followed = await followTo(700)
    expect(followed).toMatchObject({
      kind: "fault",
      what: path,
      rule: expect.stringContaining(rule) as string,
    })
    expect(await mirroredSize()).toBe(200)
    log.lie = () => false
    expect(await follow()).toMatchObject({ kind: "grown", from: 200 })
    await checkCopy(700)
  },
)

const answer = (status: number, headers: Record<string, string> = {}, body = "") => {
  log.lie = (path, response) => path === "checkpoint" && (response.writeHead(status, headers).end(body), true)
}
/** Bytes without end, until the reader hangs up. */
const pour = (head: (response: import("node:http").ServerResponse) => void) => {
  log.lie = (_path, response) => {
    head(response)
    const more = (): void => {
      while (!response.destroyed && response.write("A".repeat(65_536)));
    }
    response.on("drain", more)
    more()
    return true
  }
}

test.each<readonly [string, "fault" | "away", RegExp, () => void]>([
  ["a redirect", "fault", /redirect \(302\)/, () => answer(302, { location: "http://127.0.0.1:1/" })],
  ["a status that means nothing", "fault", /answered with 403/, () => answer(403)],
  ["an error of the server", "away", /answered with 503/, () => answer(503)],
  ["no checkpoint", "away", /not there \(404\)/, () => answer(404)],
  ["something else than a note", "fault", /is no signed checkpoint/, () => answer(200, {}, "<html></html>")],
  [
    "bytes without end",
    "fault",
    /has more than 524288 bytes/,
    () => pour((response) => response.writeHead(200)),
  ],
  [
    "compressed bytes that are none",
    "away",
    /cannot be reached/,
    () => answer(200, { "content-encoding": "gzip" }, "no gzip"),
  ],
  ["silence", "away", /not answered within/, () => (log.lie = () => true)],
  [
    "a trickle",
    "away",
    /not answered within/,
    () =>
      (log.lie = (_path, response) => {
        response.write("t")
        const timer = setInterval(() => response.write("t"), 50)
        response.on("close", () => clearInterval(timer))
        return true
      }),
  ],
  [
    "a closed connection",
    "away",
    /cannot be reached/,
    () => (log.lie = (_path, response) => (response.destroy(), true)),
  ],
  [
    "the signature of another key",
    "fault",
    /not signed by the key/,
    () => answer(200, {}, log.note({}, edKey)),
  ],
  [
    "another log's checkpoint",
    "fault",
    /is of the log other.example/,
    () => answer(200, {}, log.note({ origin: "other.example/log" })),
  ],
  [
    "more leaves than are taken at once",
    "fault",
    /are taken at once/,
    () => answer(200, {}, log.note({ size: 2 ** 52 })),
  ],
  [
    "a root that its tiles do not give",
    "fault",
    /do not give the root of 250 leaves|is not there/,
    () => answer(200, {}, log.note({ size: 250 })),
  ],
  [
    "an empty tree with a root",
    "fault",
    /not signed|no leaves|empty tree/,
    () => answer(200, {}, log.note({ size: 0 })),
  ],
])(
  "a log that answers with %s harms nothing, and is followed again when it has come to its senses",
  async (_what, kind, rule, lie) => {
    await followTo(200)
    lie()
    const followed = await follow(rule.source.includes("within") ? impatient : limits)
    expect(followed.kind).toBe(kind)
    expect(formatFollowed(followed, policyOfLog(servedLog)).join(" ")).toMatch(rule)
    expect(await mirroredSize()).toBe(200)
    log.lie = () => false
    expect(await followTo(300)).toMatchObject({ kind: "grown", from: 200 })
  },
)

test("a log that is away for a moment is asked again", async () => {
  let tries = 0
  const waited: number[] = []
  log.lie = (path, response) => path === "checkpoint" && ++tries < 3 && (response.writeHead(503).end(), true)
  const patient: SourceLimits = {
    ...limits,
    waitsMs: [10, 20],
    wait: async (ms) => void waited.push(ms),
  }
  expect(await followLog(new HttpLog(log.url, patient), options)).toMatchObject({ kind: "grown" })
  expect(waited).toEqual([10, 20])
})

test("a partial tile that the log has deleted is read from the full one", async () => {
  log.lie = async (path, response) => {
    if (!path.includes(".p/") || path.startsWith("tile/1/")) return false
    response.writeHead(404).end()
    return true
  }
  // The log has 700 leaves by now, and shows 500 of them.
  log.size = 700
  const note = new TextEncoder().encode(log.note(honest.head(500)))
  const source = new HttpLog(log.url, limits)
  const older = {
    readCheckpoint: async () => note,
    readTile: source.readTile.bind(source),
    readEntries: source.readEntries.bind(source),
  }
  expect(await followLog(older, options)).toMatchObject({ kind: "grown", checkpoint: { size: 500 } })
  await checkCopy(500)
})

import { mkdtemp, readFile, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { encodeUtf8, formatBase64, formatHex, joinBytes } from "../../chain/bytes.ts"
import { parseHash } from "../../chain/hash.ts"
import { parseEntries } from "../../chain/log-reader.ts"
import { Frontier, hashLeaf } from "../../chain/merkle.ts"
import { TileCollector } from "../../chain/tile.ts"
import { thumbprintOf } from "../../chain/key.ts"
import { encodePack } from "../../chain/senml.ts"
import { type Statement, entryOf } from "../../chain/statement.ts"
import { encodeCbor } from "../../chain/cbor.ts"
import { sha256Native } from "../../ingest/native.ts"
import { exportLog } from "../../research/log-export.ts"
import { type Stand, TestDevice, send } from "../ingest/stand.ts"
import { publishedLogOf } from "../research/log-stand.ts"
import { type ResearchStand, openResearchStand } from "../research/research-stand.ts"

/** A log of two hours, and all that is published of it. */
interface World {
  readonly stand: ResearchStand
  readonly devices: readonly TestDevice[]
  readonly said: readonly Statement[]
  /** By path. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** What devices say in each hour, besides their enrolment in the first. */
type Life = (device: TestDevice, hour: number) => Statement[]

let quiet: World
let loud: World

beforeAll(async () => {
  // Per hour 1 + 36 and 9 statements in both: one device with one kind of reading, and three that differ in all else.
  quiet = await live(["k1"], (device, hour) =>
    Array.from({ length: hour === 0 ? 36 : 9 }, () => device.next()),
  )
  loud = await live(["ward-7-bed-3", "infusion-pump", "k7"], (device, hour) => {
    const count = hour === 0 ? (device.id === "k7" ? 10 : 12) : 3
    return Array.from({ length: count }, (_, place) =>
      device.next(
        device.id === "infusion-pump"
          ? {
              content: "text/plain",
              payload: encodeUtf8(`insulin, bolus ${place}, ${"x".repeat(50 * place)}`),
            }
          : { payload: encodePack([fever(place)]) },
      ),
    )
  })
})
afterAll(async () => {
  await quiet.stand.close()
  await loud.stand.close()
})

function fever(place: number) {
  return {
    kind: "number" as const,
    name: "temperature",
    unit: "Cel",
    times: Array.from({ length: 20 }, (_, minute) => 1_760_000_000 + 60 * minute),
    values: Array.from({ length: 20 }, () => 38.5 + place / 10),
  }
}

async function live(names: readonly string[], life: Life): Promise<World> {
  const stand = await openResearchStand()
  const devices: TestDevice[] = []
  for (const name of names) devices.push(await stand.enrol(name))
  const said: Statement[] = []
  for (const hour of [0, 1]) {
    for (const device of devices) {
      const statements = life(device, hour)
      const place = stand.intake.open(device.id)
      const receipts = await Promise.all(statements.map((statement) => send(place, statement)))
      if (receipts.some(({ code }) => code !== 1)) throw new Error(`a statement of ${device.id} was refused`)
      said.push(...statements)
    }
    await stand.seal()
  }
  return { stand, devices, said, files: await publish(stand) }
}

async function publish({ pool }: Pick<Stand, "pool">): Promise<Map<string, Uint8Array>> {
  const folder = await mkdtemp(join(tmpdir(), "tidemark-promise-"))
  await exportLog(publishedLogOf(pool), folder)
  const files = new Map<string, Uint8Array>()
  for (const item of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!item.isFile()) continue
    const path = join(item.parentPath, item.name)
    files.set(path.slice(folder.length + 1), Uint8Array.from(await readFile(path)))
  }
  await rm(folder, { recursive: true })
  return files
}

function sizesOf({ files }: World): Record<string, number> {
  return Object.fromEntries([...files].map(([path, { length }]) => [path, length] as const))
}

function entriesOf({ files }: World) {
  const [, bundle] = [...files].filter(([path]) => path.startsWith("tile/entries/")).at(-1)!
  return parseEntries(bundle)!
}

test("The log reveals how many statements each hour had, and nothing else: two services with as many publish the same files, of the same sizes", () => {
  expect(quiet.said).toHaveLength(45)
  expect(loud.said).toHaveLength(43)
  expect(sizesOf(loud)).toEqual(sizesOf(quiet))
  expect(Object.keys(sizesOf(quiet)).toSorted()).toEqual([
    ".well-known/scitt-keys",
    "checkpoint",
    "policy",
    "tile/0/000.p/39",
    "tile/0/000.p/49",
    "tile/entries/000.p/39",
    "tile/entries/000.p/49",
  ])
})

test("every byte of a tile comes from the entries, and an entry is the hash of a whole statement, in the order of acceptance", async () => {
  for (const { stand, files } of [quiet, loud]) {
    const { rows } = await stand.pool.query<{ bytes: Uint8Array }>("select bytes from statements order by id")
    const entries = rows.map(({ bytes }) => sha256Native(bytes))
    const tree = new Frontier(sha256Native)
    const tiles = new TileCollector()
    for (const entry of entries) tree.append(hashLeaf(entry, sha256Native), tiles.keep)
    const [tile] = tiles.listGrowing()
    for (const width of [39, 49]) {
      expect(files.get(`tile/0/000.p/${width}`)).toEqual(tile!.hashes.slice(0, 32 * width))
      expect(parseEntries(files.get(`tile/entries/000.p/${width}`)!)).toEqual(
        entries.slice(0, width).map(parseHash),
      )
    }
    expect(new TextDecoder().decode(files.get("checkpoint"))).toContain(
      `\n49\n${formatBase64(tree.root())}\n`,
    )
  }
})

test("no name, key, reading or signature of a device stands in what is published, in any alphabet", () => {
  const { devices, said, files } = loud
  const published = [...files.values()].map((bytes) => Buffer.from(bytes))
  const isPublished = (bytes: Uint8Array): boolean =>
    [bytes, encodeUtf8(formatHex(bytes)), encodeUtf8(formatBase64(bytes))].some((form) =>
      published.some((file) => file.includes(Buffer.from(form))),
    )
  // What is published is found, so that what is not found is not there.
  expect(isPublished(entryOf(said[0]!.bytes))).toBe(true)
  expect(isPublished(loud.stand.keys.receipt.publicKey.bytes)).toBe(true)
  const secrets = [
    ...devices.flatMap(({ id, key }) => [
      encodeUtf8(id),
      key.publicKey.bytes.slice(0, 32),
      thumbprintOf(key.publicKey),
    ]),
    ...devices.map(({ id }) => sha256Native(encodeUtf8(id))),
    ...["temperature", "Cel", "insulin", "text/plain"].map(encodeUtf8),
    ...said.flatMap(({ payload, bytes }) => [payload, bytes.slice(-64), bytes.slice(0, 40)]),
  ]
  expect(secrets.filter(isPublished).map(formatHex)).toEqual([])
})

test("who guesses a reading cannot see in the log whether the guess is right", () => {
  const entries = entriesOf(loud)
  const published = new Set([...entries, ...entries.map((entry) => hashLeaf(entry))].map(formatHex))
  const said = loud.said.filter(({ iss }) => iss === "k7")
  for (const { bytes, payload, protectedBytes } of said.map(partsOf)) {
    const isSeen = (guess: Uint8Array): boolean =>
      [sha256Native(guess), hashLeaf(guess)].some((hash) => published.has(formatHex(hash)))
    // The whole statement is in the log; all of it but the signature is what can be guessed.
    expect(isSeen(bytes)).toBe(true)
    const other = Uint8Array.from(bytes)
    other.fill(0, -64)
    const guesses = [
      payload,
      protectedBytes,
      bytes.slice(0, -64),
      other,
      encodeCbor(["Signature1", protectedBytes, new Uint8Array(0), payload]),
      joinBytes(protectedBytes, payload),
    ]
    expect(guesses.map(isSeen)).toEqual(guesses.map(() => false))
  }
})

/** A statement is d2 84, its protected header with its length in two bytes, and the rest. */
function partsOf({ bytes, payload }: Statement): Record<"bytes" | "payload" | "protectedBytes", Uint8Array> {
  return { bytes, payload, protectedBytes: bytes.slice(4, 4 + bytes[3]!) }
}

test("whoever has no key is shown nothing else from outside", async () => {
  const { app } = loud.stand
  await app.ready()
  const paths = Object.keys(app.swagger().paths ?? {})
  expect(paths.length).toBeGreaterThan(15)
  for (const path of paths) {
    const url = path.replaceAll(/\{[^}]+\}/g, "1")
    const { statusCode, body } = await app.inject({ url, remoteAddress: "203.0.113.7" })
    expect([url, statusCode]).toEqual([url, 401])
    expect(body).not.toContain("k7")
  }
})

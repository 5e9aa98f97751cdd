import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { noHead } from "../../chain/link.ts"
import { contentSenml } from "../../chain/statement.ts"
import { makeSigner, makeSpeaker, signDraft, signNatively } from "../../devices-sim/device-sign.ts"
import { recordsOf, takeRecord } from "../../devices-sim/outbox-record.ts"
import { makeFileOutbox } from "../../devices-sim/outbox-file.ts"
import {
  type Draft,
  type Outbox,
  type OutboxEntry,
  OutboxIndex,
  makeMemoryOutbox,
} from "../../devices-sim/outbox.ts"

const key = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(1))
const speaker = makeSpeaker("k7", makeSigner(key, signNatively))
const draftOf = (number: number, text = `${number}`): Draft => ({
  content: number % 3 === 0 ? contentSenml : number % 3 === 1 ? "text/plain" : { digestAlgorithm: -16 },
  payload: encodeUtf8(text),
  iat: 1_795_000_000 + number,
  sub: "k7/left-wrist",
})
const unsigned = (number: number): OutboxEntry => ({ ...draftOf(number), number, signed: null })
const signed = (number: number, seq = number): OutboxEntry => {
  const draft = draftOf(number)
  return { ...draft, number, signed: signDraft(speaker, draft, seq, noHead.entry) }
}

/** No log is known yet, and of the accepted seq no entry. */
const unbound = { acceptedEntry: null, firstPrev: null }

let folder = ""
let files = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidemark-outbox-"))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})
const newPath = () => join(folder, `${files++}.outbox`)
const openFile = (path: string, compactAboveBytes?: number) =>
  makeFileOutbox({ path, deviceId: "k7", ...(compactAboveBytes === undefined ? {} : { compactAboveBytes }) })

describe.each([
  ["in memory", (): Outbox => makeMemoryOutbox()],
  ["on disk", (): Outbox => openFile(newPath())],
  ["on disk, written anew all the time", (): Outbox => openFile(newPath(), 0)],
])("an outbox %s", (_name, make) => {
  test("holds nothing at first", async () => {
    const outbox = make()
    expect(await outbox.load()).toEqual({ entries: [], forgottenUpTo: 0, acceptedSeq: 0, ...unbound })
    await outbox.close()
  })

  test("keeps entries in order, each once, and forgets up to a number", async () => {
    const outbox = make()
    await outbox.load()
    await outbox.append([unsigned(1), signed(2)])
    await outbox.append([signed(3)])
    await outbox.append([signed(1), signed(2, 9)])
    await outbox.forget(1, 1)
    await outbox.append([unsigned(4)])
    await outbox.forget(0, 0)
    expect(await outbox.load()).toEqual({
      entries: [signed(2, 9), signed(3), unsigned(4)],
      forgottenUpTo: 1,
      acceptedSeq: 1,
      ...unbound,
    })
    await outbox.close()
  })

  test("never gives back what was forgotten", async () => {
    const outbox = make()
    await outbox.load()
    await outbox.append([signed(1), signed(2)])
    await outbox.forget(2, 7)
    await outbox.append([signed(2)])
    expect(await outbox.load()).toEqual({ entries: [], forgottenUpTo: 2, acceptedSeq: 7, ...unbound })
    await outbox.close()
  })
})

/** What an outbox went through, as a list of things that may be done to any of them. */
const deed = fc.oneof(
  fc.record({
    kind: fc.constant("append" as const),
    numbers: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant("forget" as const), upTo: fc.integer({ min: 0, max: 9 }) }),
  fc.record({ kind: fc.constant("bind" as const), log: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ kind: fc.constant("reopen" as const) }),
)

test("an outbox on disk holds what one in memory holds, however often it is opened", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { maxLength: 12 }), async (deeds) => {
      const path = newPath()
      const memory = new OutboxIndex()
      let disk = openFile(path, 400)
      await disk.load()
      let seq = 0
      let top = 0
      for (const one of deeds) {
        if (one.kind === "append") {
          // As a device appends: the next number, or one of those before it again.
          const entries = one.numbers.map((number) => {
            const at = Math.min(number, top + 1)
            top = Math.max(top, at)
            return signed(at, (seq += 1))
          })
          for (const entry of entries) memory.put(entry)
          await disk.append(entries)
        } else if (one.kind === "forget") {
          const upTo = Math.min(one.upTo, top)
          const entry = upTo % 2 === 0 ? null : sha256(Uint8Array.of(upTo))
          memory.forget(upTo, upTo, entry)
          await disk.forget(upTo, upTo, entry)
        } else if (one.kind === "bind") {
          const firstPrev = sha256(Uint8Array.of(100 + one.log))
          memory.bind(firstPrev)
          await disk.bind!(firstPrev)
        } else {
          await disk.close()
          disk = openFile(path, 400)
          await disk.load()
        }
      }
      await disk.close()
      const again = openFile(path)
      expect(await again.load()).toEqual(memory.content())
      await again.close()
    }),
    { numRuns: 40 },
  )
})

test("a kit from before chains were bound finds everything that waits in a file written again", () => {
  const index = new OutboxIndex()
  const [logA, logB] = [1, 2].map((log) => sha256(Uint8Array.of(log)))
  index.bind(logA!)
  for (const number of [1, 2, 3, 4]) index.put(signed(number))
  index.forget(1, 1)
  index.bind(logB!)
  for (const number of [2, 3, 4]) index.put(signed(number, number - 1))
  index.forget(3, 2)
  index.bind(logA!)
  index.bind(logB!)
  const kinds = recordsOf(index.content()).map(({ kind }) => kind)
  expect(kinds.slice(0, 3)).toEqual(["bind", "forget", "entry"])
  // None that it knows behind the first that it does not know, but for where the chain begins.
  const unknown = kinds.findIndex((kind) => kind === "left" || kind === "kept")
  expect(kinds.slice(unknown).filter((kind) => kind === "entry" || kind === "forget")).toEqual([])
  const again = new OutboxIndex()
  for (const record of recordsOf(index.content())) takeRecord(again, record)
  expect(again.content()).toEqual(index.content())
})

async function writeThree(): Promise<{ path: string; ends: number[] }> {
  const path = newPath()
  const outbox = openFile(path)
  await outbox.load()
  const ends = [(await stat(path)).size]
  for (const number of [1, 2, 3]) {
    await outbox.append([signed(number)])
    ends.push((await stat(path)).size)
  }
  await outbox.close()
  return { path, ends }
}

test("a file that was cut anywhere opens with the records that are whole", async () => {
  const { path, ends } = await writeThree()
  const bytes = await readFile(path)
  for (let size = ends[0]!; size <= ends[3]!; size += 7) {
    const cut = newPath()
    await writeFile(cut, bytes.subarray(0, size))
    const outbox = openFile(cut)
    const whole = [1, 2, 3].filter((number) => ends[number]! <= size)
    expect((await outbox.load()).entries.map(({ number }) => number)).toEqual(whole)
    // What is written behind a torn end is found again.
    await outbox.append([signed(8)])
    await outbox.close()
    const again = openFile(cut)
    expect((await again.load()).entries.map(({ number }) => number)).toEqual([...whole, 8])
    expect(again.damagedCount).toBe(0)
    await again.close()
  }
})

test("zeros behind the end, as a file system leaves them when power is lost, are no record", async () => {
  const { path } = await writeThree()
  await appendFile(path, new Uint8Array(4096))
  const outbox = openFile(path)
  expect((await outbox.load()).entries).toEqual([signed(1), signed(2), signed(3)])
  await outbox.close()
})

test("a record that changed on disk is left out and counted, and those behind it are kept", async () => {
  const { path, ends } = await writeThree()
  const bytes = await readFile(path)
  bytes[ends[1]! + 40]! ^= 1
  await writeFile(path, bytes)
  const outbox = openFile(path)
  expect((await outbox.load()).entries).toEqual([signed(1), signed(3)])
  expect(outbox.damagedCount).toBe(1)
  await outbox.close()
})

test("what a compaction left half written is not read", async () => {
  const { path } = await writeThree()
  await writeFile(`${path}.new`, "half")
  const outbox = openFile(path)
  expect((await outbox.load()).entries).toHaveLength(3)
  await outbox.close()
  await expect(stat(`${path}.new`)).rejects.toThrow("ENOENT")
})

test("an outbox that is used for long does not grow", async () => {
  const path = newPath()
  const outbox = openFile(path, 4_000)
  await outbox.load()
  for (let number = 1; number <= 100; number++) {
    await outbox.append([signed(number)])
    await outbox.forget(number, number)
  }
  expect((await stat(path)).size).toBeLessThan(6_000)
  expect(await outbox.load()).toEqual({ entries: [], forgottenUpTo: 100, acceptedSeq: 100, ...unbound })
  await outbox.close()
})

test("the outbox of another device, and a file that is none, are not opened", async () => {
  const { path } = await writeThree()
  await expect(makeFileOutbox({ path, deviceId: "k8" }).load()).rejects.toThrow("not the outbox of device k8")
  const other = newPath()
  await writeFile(other, "a letter to somebody")
  await expect(openFile(other).load()).rejects.toThrow("not the outbox of device k7")
  expect(await readFile(other, "utf8")).toBe("a letter to somebody")
  await truncate(other, 0)
  expect((await openFile(other).load()).entries).toEqual([])
})

import { mkdtemp, readFile, readdir, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { beforeEach, expect, it, onTestFinished } from "vitest"
import {
  createFile,
  createFolder,
  removeDrafts,
  renameFolder,
  replaceFile,
  replaceFileBy,
} from "../../disk/durable.ts"

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidemark-durable-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
})

const writers = Array.from({ length: 40 }, (_, index) => `${index}`.repeat(10_000))

it("field S24: forty writers replace one file at once, and each write succeeds whole", async () => {
  const path = join(folder, "contradiction")
  const seen: string[] = []
  await Promise.all(
    writers.map(async (text) => {
      await replaceFile(path, text)
      seen.push(await readFile(path, "utf8"))
    }),
  )
  expect(seen.filter((text) => !writers.includes(text))).toEqual([])
  expect(await readdir(folder)).toEqual(["contradiction"])
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

it("field S2: of forty makers of one file one makes it, and it is never replaced", async () => {
  const path = join(folder, "publisher")
  const made = await Promise.all(writers.map((text) => createFile(path, text)))
  expect(made.filter((isOurs) => isOurs)).toHaveLength(1)
  expect(await readFile(path, "utf8")).toBe(writers[made.indexOf(true)])
  expect(await createFile(path, "later")).toBe(false)
  expect(await readdir(folder)).toEqual(["publisher"])
})

it("field S2: of forty makers of one folder one makes it, with all its files, and it is never replaced", async () => {
  const path = join(folder, "keys")
  const made = await Promise.all(writers.map((text) => createFolder(path, { a: text, b: text })))
  expect(made.filter((isOurs) => isOurs)).toHaveLength(1)
  for (const name of ["a", "b"])
    expect(await readFile(join(path, name), "utf8")).toBe(writers[made.indexOf(true)])
  expect(await readdir(folder)).toEqual(["keys"])
  expect((await stat(path)).mode & 0o777).toBe(0o700)

  await createFolder(join(folder, "others"), { a: "" })
  expect(await renameFolder(join(folder, "others"), path)).toBe(false)
  expect((await readdir(path)).toSorted()).toEqual(["a", "b"])
})

it("a write that fails leaves the file as it was, and no draft", async () => {
  const path = join(folder, "evidence")
  await replaceFile(path, "old")
  const failing = replaceFileBy(path, async (file) => {
    await file.writeFile("half")
    throw new Error("it would be refused")
  })
  await expect(failing).rejects.toThrow("it would be refused")
  expect(await readFile(path, "utf8")).toBe("old")
  expect(await readdir(folder)).toEqual(["evidence"])
})

it("drafts of killed writes are removed when they are old, or belong to a file with one writer", async () => {
  const [old, young, other] = [
    "checkpoint.0123456789abcdef.new",
    "checkpoint.new",
    "outbox.0000000000000000.new",
  ]
  for (const name of [old, young, other, "checkpoint", "renewed"]) await writeFile(join(folder, name), "half")
  await utimes(join(folder, old), new Date(0), new Date(0))
  await removeDrafts(folder)
  expect((await readdir(folder)).toSorted()).toEqual([young, other, "checkpoint", "renewed"].toSorted())
  await removeDrafts(folder, "outbox")
  expect((await readdir(folder)).toSorted()).toEqual([young, "checkpoint", "renewed"].toSorted())
})

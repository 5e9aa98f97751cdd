import { existsSync } from "node:fs"
import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { makeFolder, removeFolders, tidemark } from "./command.ts"
import { processesIn } from "../ingest/embedded-folder.ts"

afterAll(removeFolders)

test("log init makes a log once, says what to keep, and leaves no process", async () => {
  const data = await makeFolder()
  const made = await tidemark(["log", "init", "--origin", "example.org/log", "--data", data])
  expect(made.code).toBe(0)
  expect(made.stdout).toMatch(/^log {7}example\.org\/log\nvkey {6}example\.org\/log\+[0-9a-f]{8}\+\S+\n/)
  expect(made.stdout).toContain(`keys      ${data}/keys`)
  expect(processesIn(data)).toEqual([])
  for (const name of await readdir(join(data, "keys")))
    expect((await stat(join(data, "keys", name))).mode & 0o777).toBe(0o600)

  const again = await tidemark(["log", "init", "--origin", "example.org/other", "--data", data])
  expect(again).toMatchObject({ code: 1, stdout: "" })
  expect(again.stderr).toContain(`there is a log in ${data} already`)
})

test.each([
  ["example.org/my log", "a space"],
  ["example.org/a+b", "a plus"],
  ["", "nothing"],
])("the origin %j, with %s, is a usage fault that leaves nothing behind", async (origin) => {
  const data = await makeFolder()
  const { code, stdout, stderr } = await tidemark(["log", "init", "--origin", origin, "--data", data])
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain("--origin")
  expect(existsSync(data)).toBe(false)
})

test("a log has no name until somebody gives it one", async () => {
  const { code, stderr } = await tidemark(["log", "init"])
  expect(code).toBe(2)
  expect(stderr).toContain("--origin <origin>")
})

test("commands on a folder without a log say so, and make nothing", async () => {
  const data = await makeFolder()
  for (const command of [["blocks"], ["seal"], ["verify"], ["device", "list"]]) {
    const { code, stdout, stderr } = await tidemark([...command, "--data", data])
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    expect(stderr).toContain(`there is no log in ${data}`)
    expect(stderr).toContain("tidemark up")
  }
  expect(existsSync(data)).toBe(false)
})

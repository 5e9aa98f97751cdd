import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { tidemark } from "./command.ts"
import { repository } from "./program.ts"

const commands = [
  "up",
  "log",
  "log init",
  "device",
  "device enroll",
  "device list",
  "device show",
  "simulate",
  "seal",
  "blocks",
  "readings",
  "verify",
  "demo",
]

test.each(commands)("tidemark %s --help says how it is used, and does nothing", async (command) => {
  const { code, stdout, stderr } = await tidemark([...command.split(" "), "--help"])
  expect(code).toBe(0)
  expect(stdout).toMatch(new RegExp(`^Usage: tidemark ${command}\\b`))
  expect(stdout).toContain("--help")
  expect(stderr).toBe("")
})

test("tidemark --help names every command", async () => {
  const { code, stdout } = await tidemark(["--help"])
  expect(code).toBe(0)
  for (const command of commands.filter((name) => !name.includes(" ")))
    expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"))
})

test("tidemark --version prints the version of package.json, and nothing else", async () => {
  const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as {
    version: string
  }
  expect(await tidemark(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" })
})

test("a command that is none, and none at all, are usage faults", async () => {
  const unknown = await tidemark(["sealing"])
  expect(unknown).toMatchObject({ code: 2, stdout: "" })
  expect(unknown.stderr).toContain("unknown command 'sealing'")
  const none = await tidemark([])
  expect(none).toMatchObject({ code: 2, stdout: "" })
  expect(none.stderr).toContain("Usage: tidemark")
})

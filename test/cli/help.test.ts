import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { tidemark } from "./command.ts"
import { repository } from "./program.ts"

/** The names under "Commands:" of a help text. */
function commandsOf(help: string): string[] {
  const [, list = ""] = help.split("\nCommands:\n")
  return [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name!)
}

test("every command that --help names says how it is used, and does nothing", async () => {
  const named: string[] = []
  const walk = async (command: string): Promise<void> => {
    const { code, stdout, stderr } = await tidemark([...command.split(" ").filter(Boolean), "--help"])
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: "" })
    expect(stdout).toMatch(new RegExp(`^Usage: tidemark${command}\\b`))
    expect(stdout).toContain("--help")
    const inside = commandsOf(stdout).map((name) => `${command} ${name}`)
    named.push(...inside)
    await Promise.all(inside.map(walk))
  }
  await walk("")
  for (const one of [" up", " log init", " device enroll", " simulate", " seal", " verify", " demo"])
    expect(named).toContain(one)
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

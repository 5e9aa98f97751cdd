import type { Command } from "commander"
import { expect, test } from "vitest"
import { commands, makeProgram } from "../../cli/commands.ts"

/** The help of a command and of those below it, as a terminal of 100 columns shows it. */
function* helpOf(command: Command, names: readonly string[]): Generator<string> {
  command.configureOutput({ getOutHelpWidth: () => 100, getOutHasColors: () => false })
  if (names.length > 0) {
    const anchor = "#".repeat(Math.min(names.length + 1, 4))
    yield `${anchor} tidemark ${names.join(" ")}\n\n\`\`\`\n${command.helpInformation().trim()}\n\`\`\`\n`
  }
  for (const one of command.commands) yield* helpOf(one, [...names, one.name()])
}

test("docs/commands.md is what --help says; vitest -u writes it again", async () => {
  const program = makeProgram()
  for (const load of Object.values(commands)) (await load())(program)
  const page = [
    "# Commands\n\nThe output of `--help`, command by command. A test keeps it current.\n",
    ...helpOf(program, []),
  ].join("\n")
  await expect(page).toMatchFileSnapshot("../../docs/commands.md")
})

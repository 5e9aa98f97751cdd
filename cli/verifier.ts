import { readFile } from "node:fs/promises"
import type { Command } from "commander"
import { createFile, replaceFile } from "../disk/durable.ts"
import { CommandFault } from "./fault.ts"
import { addCommand } from "./option.ts"
import { print } from "./output.ts"
import { verifierFile } from "./parts/page.ts"

export function addVerifier(program: Command): void {
  addCommand(
    program,
    "verifier",
    "the offline verifier as one HTML file, which opens from disk and can reach no network",
  )
    .requiredOption("-o, --output <file>", "where to write it, such as verifier.html")
    .option("--force", "write over a file that is there", false)
    .action(({ output, force }: { output: string; force: boolean }) => writeVerifier(output, force))
}

async function writeVerifier(output: string, force: boolean): Promise<void> {
  const page = await readFile(verifierFile).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    throw new CommandFault("the offline verifier is not built here", "npm run build makes it")
  })
  try {
    const mode = 0o666
    const isWritten = force
      ? await replaceFile(output, page, { mode }).then(() => true)
      : await createFile(output, page, { mode })
    if (!isWritten) throw new CommandFault(`${output} is there already`, "--force writes over it")
  } catch (error) {
    if (error instanceof CommandFault) throw error
    const { code } = error as NodeJS.ErrnoException
    const why = code === "ENOENT" ? "there is no such folder" : (code ?? String(error))
    throw new CommandFault(`${output} cannot be written: ${why}`)
  }
  print(
    `${output}: ${page.length.toLocaleString("en")} bytes. Open it in a browser, and give it an evidence file.`,
  )
}

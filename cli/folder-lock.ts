/** One process at a time writes a folder: of two, the slower one could put an older state over a newer. */
import { mkdir, open, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { CommandFault } from "./fault.ts"

const file = "pid"

/**
 * Takes the folder, which is made where it is not there, and gives the function that lets it go.
 *
 * @throws CommandFault where a process that lives has it
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === "EEXIST" || error.code === "ENOTDIR" ? "a file is in its way" : error.code
    throw new CommandFault(`the folder ${folder} cannot be made: ${why}`, "name another")
  })
  const path = join(folder, file)
  // A file that a kill left is taken away once; who is there then was faster.
  for (let attempt = 1; ; attempt++) {
    try {
      const lock = await open(path, "wx")
      await lock.writeFile(`${process.pid}\n`)
      await lock.close()
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
    }
    const holder = Number((await readFile(path, "utf8").catch(() => "")).trim())
    if (attempt > 1 || (Number.isSafeInteger(holder) && holder > 0 && isAlive(holder)))
      throw new CommandFault(
        `process ${holder} works on ${folder} already`,
        `stop it, or name another folder; if it is none of tidemark, remove ${path}`,
      )
    await rm(path, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

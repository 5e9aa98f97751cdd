/** `tidemark` as its users run it: a process of its own. */
import { existsSync, readdirSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

export const repository = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const folders = ["chain", "disk", "broker", "ingest", "research", "verify", "devices-sim", "cli"]

/** What stands before a command's arguments: `dist/` where it was built from these sources, or else tsx over them. */
export const programArgs: readonly string[] = findProgram()

function findProgram(): readonly string[] {
  const built = join(repository, "dist", "cli", "main.js")
  if (isBuilt(built)) return [built]
  // By its place in the repository: a command may run in another working folder.
  const loader = pathToFileURL(join(repository, "node_modules", "tsx", "dist", "loader.mjs")).href
  return ["--import", loader, join(repository, "cli", "main.ts")]
}

/** Never an old build of new sources: the tests would be about another program. */
function isBuilt(built: string): boolean {
  const builtMs = statSync(built, { throwIfNoEntry: false })?.mtimeMs
  if (builtMs === undefined || !existsSync(join(repository, "dist", "ingest", "database", "migrations")))
    return false
  return folders.every((folder) => newestMs(join(repository, folder)) <= builtMs)
}

function newestMs(folder: string): number {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
  return Math.max(
    ...names
      .filter((name) => /\.(ts|js|sql)$/.test(name))
      .map((name) => statSync(join(folder, name)).mtimeMs),
  )
}

/** The environment of a command: nothing of ours that would change what it does. */
export function programEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const environment = { ...process.env }
  for (const name of ["DATABASE_URL", "TIDEMARK_DATA", "LOG_LEVEL", "NODE_OPTIONS"]) delete environment[name]
  return { ...environment, ...extra }
}

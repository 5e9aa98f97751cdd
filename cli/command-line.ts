/** How a person calls this program again, in lines that are made to be copied. */
import { basename, join } from "node:path"
import { packageRoot } from "./package-root.ts"

/**
 * `tidemark` where it was called by that name, and otherwise `node` with this clone's own program. Never by npx:
 * outside a clone that would run what anyone has published under this name.
 */
export function programName(calledAs: string | undefined = process.argv[1]): string {
  if (calledAs !== undefined && basename(calledAs) === "tidemark") return "tidemark"
  const path = join(packageRoot, "dist", "cli", "main.js")
  return `node ${/^[A-Za-z0-9_./\\:-]+$/.test(path) ? path : `"${path}"`}`
}

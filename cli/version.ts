import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** Of package.json, which lies one folder up in the sources and two up in `dist/`. */
export const version = findVersion(dirname(fileURLToPath(import.meta.url)))

function findVersion(folder: string): string {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string }
    return manifest.version
  } catch {
    return findVersion(dirname(folder))
  }
}

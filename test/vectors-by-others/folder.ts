/** Where the test vectors by others stand: beside the clone, never in it. Where they do not, their tests do not run. */
import { existsSync, readFileSync, readdirSync } from "node:fs"

/** As the README names it, from the repository's root. */
export const vectorsPlace = "../shared/vectors"

const folder = new URL(`../../${vectorsPlace}/`, import.meta.url)

/** For `test.runIf`. Where they are not, `presence.test.ts` says so, and fails in CI. */
export const hasVectors = existsSync(folder)

export function readVector(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(path, folder)))
}

export function readVectorText(path: string): string {
  return readFileSync(new URL(path, folder), "utf8")
}

/** The JSON of a file, whose shape the caller knows from its project's schema. */
export function readVectorJson(path: string): unknown {
  return JSON.parse(readVectorText(path))
}

/** Every file of a folder and of those below it whose name ends so, sorted, with its path from the vectors' root. */
export function listVectors(path: string, ending: string): string[] {
  return readdirSync(new URL(`${path}/`, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${path}/${name.replaceAll("\\", "/")}`)
    .toSorted()
}

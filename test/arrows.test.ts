import { readFileSync, readdirSync } from "node:fs"
import { builtinModules } from "node:module"
import { dirname, posix } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"

const top = dirname(dirname(fileURLToPath(import.meta.url)))

/** What a folder may import of the others. The parts do not import one another: what one needs, `cli/` passes in. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  chain: [],
  disk: [],
  broker: ["chain"],
  ingest: ["chain", "disk"],
  research: ["chain", "disk"],
  verify: ["chain", "disk"],
  "devices-sim": ["chain", "disk"],
  cli: ["chain", "disk", "broker", "ingest", "research", "verify", "devices-sim"],
  test: ["chain", "disk", "broker", "ingest", "research", "verify", "devices-sim", "cli"],
}

const outside = new Set(["node_modules", "dist", "data", ".git"])

function sourcesUnder(folder: string): string[] {
  return readdirSync(`${top}/${folder}`, { withFileTypes: true }).flatMap((one) => {
    const path = folder === "" ? one.name : `${folder}/${one.name}`
    if (one.isDirectory()) return outside.has(one.name) ? [] : sourcesUnder(path)
    return /\.[cm]?tsx?$/.test(one.name) ? [path] : []
  })
}

/** What a file imports: static, for side effects, by a type, again exported, or when it runs. */
function importsOf(text: string): string[] {
  const forms = [
    /^\s*(?:import|export)\s[^"'`;]*?from\s*["']([^"']+)["']/gm,
    /^\s*import\s*["']([^"']+)["']/gm,
    /\bimport\(\s*["'`]([^"'`]+)["'`]\s*[,)]/g,
    /\brequire\(\s*["'`]([^"'`]+)["'`]\s*\)/g,
  ]
  return forms.flatMap((form) => [...text.matchAll(form)].map(([, name]) => name!))
}

interface Import {
  readonly file: string
  readonly folder: string
  readonly name: string
}

const files = sourcesUnder("")
const imports: Import[] = files.flatMap((file) =>
  importsOf(readFileSync(`${top}/${file}`, "utf8")).map((name) => ({
    file,
    folder: file.includes("/") ? file.slice(0, file.indexOf("/")) : "",
    name,
  })),
)

/** The folder that an import reaches, or null for a package. */
function reachedBy({ file, name }: Import): string | null {
  if (!name.startsWith(".")) return null
  const path = posix.join(posix.dirname(file), name)
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : ""
}

const shown = ({ file, name }: Import): string => `${file} imports ${name}`

test("the arrows between the folders are those of the architecture, and no others", () => {
  const crossing = imports.filter((one) => {
    const reached = reachedBy(one)
    // A file at the top configures a tool and imports packages only.
    return reached !== null && reached !== one.folder && !(allowed[one.folder] ?? []).includes(reached)
  })
  expect(crossing.map(shown)).toEqual([])
})

test("every folder with sources has its arrows written down here", () => {
  const folders = new Set(imports.map(({ folder }) => folder).filter((folder) => folder !== ""))
  expect([...folders].filter((folder) => allowed[folder] === undefined && folder !== "examples")).toEqual([])
})

test("chain/ imports @noble/* and itself: no sockets, no files, no clock of Node", () => {
  const foreign = imports.filter(
    (one) => one.folder === "chain" && reachedBy(one) === null && !one.name.startsWith("@noble/"),
  )
  expect(foreign.map(shown)).toEqual([])
})

test("chain/ asks for no clock, no chance and no process, so that it runs in a browser and twice the same", () => {
  const global =
    /\b(?:Date\.now|new Date\(\)|Math\.random|performance\.|process\.|Buffer\b|globalThis|crypto\.getRandomValues)/
  const asking = files
    .filter((file) => file.startsWith("chain/"))
    .filter((file) =>
      global.test(readFileSync(`${top}/${file}`, "utf8").replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, "")),
    )
  expect(asking).toEqual([])
})

test("modules of Node are imported by their full name", () => {
  const bare = imports.filter(({ name }) => builtinModules.includes(name) && !name.startsWith("node:"))
  expect(bare.map(shown)).toEqual([])
})

test("this has seen the repository: at least 20 files, each part that there is, and imports of both kinds", () => {
  expect(files.length).toBeGreaterThanOrEqual(20)
  expect(files.filter((file) => file.startsWith("chain/")).length).toBeGreaterThanOrEqual(15)
  expect(imports.filter((one) => reachedBy(one) === "chain").length).toBeGreaterThan(50)
  expect(imports.some(({ folder, name }) => folder === "chain" && name.startsWith("@noble/"))).toBe(true)
})

test("an import is seen in whatever form it is written", () => {
  const text = [
    'import { a } from "./one.ts"',
    "import {\n  b,\n  type C,\n} from './two.ts'",
    'import "./three.ts"',
    'export * from "./four.ts"',
    'export { d } from "./five.ts"',
    'const e = await import("./six.ts")',
    'let f: import("./seven.ts").F',
    'import type { G } from "./eight.ts"',
  ].join("\n")
  expect(importsOf(text).toSorted()).toEqual(
    ["one", "two", "three", "four", "five", "six", "seven", "eight"].map((name) => `./${name}.ts`).toSorted(),
  )
})

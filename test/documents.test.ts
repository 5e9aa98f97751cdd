import { readFileSync, readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"

const top = dirname(dirname(fileURLToPath(import.meta.url)))
const outside = new Set(["node_modules", "dist", "data", "test", ".git"])

function textsUnder(folder: string): string[] {
  return readdirSync(join(top, folder), { withFileTypes: true }).flatMap((one) => {
    const path = join(folder, one.name)
    if (one.isDirectory()) return outside.has(one.name) ? [] : textsUnder(path)
    return /\.(md|tsx?|js|c|py|sh|ya?ml|html)$/.test(one.name) ? [path] : []
  })
}

test("field D8: no document, example or message runs or installs a name of a registry that is not ours", () => {
  const texts = textsUnder("")
  expect(texts).toEqual(expect.arrayContaining(["README.md", "cli/demo.ts", "examples/devices/README.md"]))
  const foreign =
    /\b(npx|npm exec|pnpm dlx|yarn dlx|bunx)\s+(-\S+\s+)*tidemark|\b(npm|pnpm|yarn) (i|install|add)\s+(-\S+\s+)*tidemark\b/
  const found = texts.filter((path) => foreign.test(readFileSync(join(top, path), "utf8")))
  expect(found).toEqual([])
})

test("field D10: the guide of the device in C names the package of each header that it includes", () => {
  const packages: Readonly<Record<string, string>> = { mosquitto: "libmosquitto-dev", openssl: "libssl-dev" }
  const source = readFileSync(join(top, "examples/devices/c/device.c"), "utf8")
  const foreign = [...source.matchAll(/^#include <(\w+)/gm)].flatMap(([, name]) => packages[name!] ?? [])
  expect(new Set(foreign)).toEqual(new Set(Object.values(packages)))
  const guide = readFileSync(join(top, "examples/devices/README.md"), "utf8")
  const line = guide.split("\n").find((one) => one.startsWith("| [c/device.c]"))
  for (const name of ["gcc", "libc6-dev", ...foreign])
    expect(line).toMatch(new RegExp(`apt-get install.* ${name}\\b`))
})

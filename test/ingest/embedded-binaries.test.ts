import { execFile } from "node:child_process"
import { chmod, lstat, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { expect, onTestFinished, test } from "vitest"
import { rootsAccount } from "../../ingest/database/embedded/account.ts"
import {
  findInstalledBinaries,
  prepareBinaries,
  programOf,
  type Binaries,
} from "../../ingest/database/embedded/binaries.ts"
import { copyFolder, listFolder, makeFolder } from "./embedded-folder.ts"

const isRoot = process.geteuid?.() === 0
const account = isRoot ? rootsAccount : undefined

/** The package as npm leaves it when install scripts are off: without the links between its libraries. */
async function installWithoutScripts(folder: string): Promise<Binaries> {
  const native = join(folder, "package", "native")
  await mkdir(native, { recursive: true })
  await copyFolder(findInstalledBinaries().folder, native)
  for (const entry of await readdir(join(native, "lib"), { withFileTypes: true })) {
    if (entry.isSymbolicLink()) await rm(join(native, "lib", entry.name))
  }
  await writeFile(join(folder, "package", "package.json"), JSON.stringify({ version: "18.4.0" }))
  return { folder: native }
}

async function versionOf(binaries: Binaries, name: "initdb" | "postgres"): Promise<string> {
  return (await promisify(execFile)(programOf(binaries, name), ["--version"], { ...account, cwd: "/" }))
    .stdout
}

test("the links that an install script would have made are made at the start", async () => {
  const folder = await makeFolder()
  const installed = await installWithoutScripts(folder)
  await expect(versionOf(installed, "initdb")).rejects.toThrow("libicuuc")
  expect(await prepareBinaries(installed, folder, account)).toEqual(installed)
  expect((await lstat(join(installed.folder, "lib", "libpq.so.5"))).isSymbolicLink()).toBe(true)
  expect(await versionOf(installed, "initdb")).toContain("18.4")
  expect(await listFolder(folder)).toEqual(["package"])
})

test("from a package folder that the account cannot enter or we cannot write, a copy is run", async () => {
  const [closed, place] = [await makeFolder(), await makeFolder()]
  const installed = await installWithoutScripts(closed)
  await chmod(isRoot ? closed : join(installed.folder, "lib"), isRoot ? 0o700 : 0o500)
  onTestFinished(() => chmod(join(installed.folder, "lib"), 0o700))
  const umask = process.umask(0o077)
  const copies = await Promise.all([1, 2, 3].map(() => prepareBinaries(installed, place, account)))
  process.umask(umask)
  for (const copied of copies) {
    expect(dirname(dirname(copied.folder))).toBe(place)
    expect(await versionOf(copied, "postgres")).toContain("18.4")
  }
  expect(await listFolder(place)).toEqual(["postgres-binaries-18.4.0"])
  const before = await stat(programOf({ folder: copies[0]?.folder ?? "" }, "postgres"))
  const again = await prepareBinaries(installed, place, account)
  expect((await stat(programOf(again, "postgres"))).ino).toBe(before.ino)
})

test("where there is no build, or it does not run, DATABASE_URL is named", async () => {
  const unsupported = { kind: "unsupported", message: expect.stringContaining("DATABASE_URL") }
  expect(() => findInstalledBinaries("linux", "riscv64")).toThrow(expect.objectContaining(unsupported))
  expect(() => findInstalledBinaries("freebsd", "x64")).toThrow(expect.objectContaining(unsupported))
  const folder = await makeFolder()
  const installed = await installWithoutScripts(folder)
  await writeFile(programOf(installed, "postgres"), "#!/no/such/loader\n")
  await expect(prepareBinaries(installed, folder, account)).rejects.toMatchObject(unsupported)
})

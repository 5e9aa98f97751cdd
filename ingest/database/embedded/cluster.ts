import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chmod, chown, mkdir, open, readdir, readFile, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { findNamedAccount, type Account } from "./account.ts"
import { environmentOf, postgresMajor, programOf, type Binaries } from "./binaries.ts"
import { adviseOn, EmbeddedDatabaseError, readStartFailure } from "./fault.ts"
import { createFile, renameFolder, syncFolder } from "../../../disk/durable.ts"
import { describeHome, exists, openMaking, sweepMaking, type Home } from "./home.ts"
import { bornSettings } from "./settings.ts"

/** The only role of the cluster, and the name of its database. */
export const roleName = "tidemark"

/**
 * Makes a cluster in a folder of its own and renames it to `folder`, so that a killed initdb leaves nothing that looks
 * done. If another start was quicker, its cluster stays and ours is thrown away.
 *
 * @param account the account that will own the cluster: given by root only
 * @throws EmbeddedDatabaseError "disk", "account" or "start" with what initdb said
 */
export async function makeCluster(
  folder: string,
  binaries: Binaries,
  account: Account | undefined,
): Promise<void> {
  await sweepMaking(dirname(folder))
  const making = await openMaking(folder)
  try {
    if (account !== undefined) await chmod(making, 0o711)
    const home = describeHome(making)
    const password = randomBytes(32).toString("base64url")
    await createFile(home.password, password)
    await mkdir(home.cluster, { mode: 0o700 })
    const maker = account === undefined ? undefined : await findNamedAccount()
    // initdb reads the password under its own account, so root makes it a copy.
    const passwordCopy = join(making, "password-of-initdb")
    await createFile(passwordCopy, password)
    if (maker !== undefined) {
      await chown(home.cluster, maker.uid, maker.gid)
      await chown(passwordCopy, maker.uid, maker.gid)
    }
    await runInitdb(home, binaries, maker, passwordCopy)
    await rm(passwordCopy)
    if (account !== undefined) await giveFolder(home.cluster, account)
    await syncFolder(making)
    // A crash before this line leaves a `.making` folder, which the next start sweeps; after it, a whole cluster.
    const isOurs = await renameFolder(making, folder)
    if (!isOurs) await rm(making, { recursive: true, force: true, maxRetries: 5 })
  } catch (error) {
    await rm(making, { recursive: true, force: true, maxRetries: 5 }).catch(() => undefined)
    const { code, message } = error as NodeJS.ErrnoException
    if (error instanceof EmbeddedDatabaseError || code === undefined) throw error
    throw new EmbeddedDatabaseError(
      "disk",
      `The database could not be made in ${folder}: ${message}. ${adviseOn("disk")}`,
      { cause: error },
    )
  }
}

async function runInitdb(
  home: Home,
  binaries: Binaries,
  maker: Account | undefined,
  pwfile: string,
): Promise<void> {
  const args = [
    // Without LANG initdb would choose SQL_ASCII.
    "--encoding=UTF8",
    "--locale=C",
    "--auth=scram-sha-256",
    "--no-instructions",
    `--pgdata=${home.cluster}`,
    `--username=${roleName}`,
    `--pwfile=${pwfile}`,
    ...bornSettings.flatMap((setting) => ["--set", setting]),
  ]
  const options = { ...maker, cwd: home.folder, env: environmentOf(home.folder) }
  let said = ""
  const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    const child = spawn(programOf(binaries, "initdb"), args, {
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-8_000)
      })
    }
    child.on("error", reject)
    child.on("close", (code, signal) => resolve(code ?? signal))
  })
  if (status === 0) return
  const failure = readStartFailure(said)
  const fault = failure.kind === "fault" && failure.fault !== "corrupt" ? failure.fault : "start"
  throw new EmbeddedDatabaseError(
    fault,
    `The database could not be made in ${home.folder}: initdb ended with ${status}. ${adviseOn(fault)}\n${said.trim()}`,
  )
}

/** Gives a folder and all in it to an account. */
async function giveFolder(folder: string, account: Account): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await giveFolder(path, account)
    else await chown(path, account.uid, account.gid)
  }
  await chown(folder, account.uid, account.gid)
}

/**
 * Which cluster lies in the home, read from its files.
 *
 * @returns its system identifier
 * @throws EmbeddedDatabaseError "corrupt" or "foreign"
 */
export async function readSystemIdentifier(home: Home): Promise<string> {
  const corrupt = (what: string, cause?: unknown): EmbeddedDatabaseError =>
    new EmbeddedDatabaseError(
      "corrupt",
      `The database in ${home.folder} is damaged: ${what}. ${adviseOn("corrupt")}`,
      {
        cause,
      },
    )
  let version: string
  try {
    version = (await readFile(join(home.cluster, "PG_VERSION"), "utf8")).trim()
  } catch (cause) {
    throw corrupt("PG_VERSION is missing from its cluster folder", cause)
  }
  if (version !== String(postgresMajor)) {
    if (!/^\d+(\.\d+)?$/.test(version)) throw corrupt("PG_VERSION holds no version")
    throw new EmbeddedDatabaseError(
      "foreign",
      `The database in ${home.folder} was made by Postgres ${version}, and this Tidemark brings ${postgresMajor}. ` +
        `Start it with the Tidemark that made it, or move it with pg_dump.`,
    )
  }
  const control = new Uint8Array(16)
  try {
    const file = await open(join(home.cluster, "global", "pg_control"))
    try {
      const { bytesRead } = await file.read(control)
      if (bytesRead < control.length) throw new Error("it is too short")
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw corrupt("global/pg_control cannot be read", cause)
  }
  // src/include/catalog/pg_control.h: system_identifier, then pg_control_version, in the machine's order of bytes.
  const view = new DataView(control.buffer)
  const controlVersion = view.getUint32(8, true)
  if (Math.floor(controlVersion / 100) !== postgresMajor) throw corrupt("global/pg_control is not one")
  return view.getBigUint64(0, true).toString()
}

/** Whether a whole home stands there: both the cluster and its password. */
export async function isHome(folder: string): Promise<boolean> {
  const home = describeHome(folder)
  return (await exists(home.password)) && (await exists(home.cluster))
}

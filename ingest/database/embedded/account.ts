import { chmod, chown, mkdir, readFile, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { EmbeddedDatabaseError } from "./fault.ts"

/** The account that the server runs under. `undefined` where one speaks of it: our own. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

/**
 * Postgres refuses to run as root, so root lends it a number that nobody else has. Not `nobody`: other daemons run
 * under that name, and could then read the database. Numbers above 65535 do not exist in a rootless container;
 * 65520 to 65533 are in use by no system (systemd's "Users, Groups, UIDs and GIDs", Debian policy §9.2.2).
 */
export const rootsAccount: Account = { uid: 65529, gid: 65529 }

/** Whether we are root, and so must run the server under another account. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0
}

/**
 * The account for an existing cluster: Postgres runs only as the owner of its folder.
 *
 * @throws EmbeddedDatabaseError "account" if we are neither the owner nor root
 */
export async function findAccount(cluster: string): Promise<Account | undefined> {
  if (process.geteuid === undefined) return undefined
  const { uid, gid } = await stat(cluster)
  if (process.geteuid() === uid && uid !== 0) return undefined
  if (!isRoot()) {
    throw new EmbeddedDatabaseError(
      "account",
      `The database in ${cluster} belongs to account ${uid}, and this is account ${process.geteuid()}. ` +
        `Start as the account that made it (root, if it was made by root), or name a server in DATABASE_URL.`,
    )
  }
  if (uid === 0) {
    throw new EmbeddedDatabaseError(
      "account",
      `The database in ${cluster} belongs to root, and Postgres refuses to run as root. ` +
        `Give it back to its account: chown -R ${rootsAccount.uid}:${rootsAccount.gid} ${cluster}`,
    )
  }
  return { uid, gid }
}

/**
 * The account that initdb runs under, for root: initdb wants an account with a name in /etc/passwd ("could not look
 * up effective user ID"), which the server itself does not. What it made is given to the server's account then.
 */
export async function findNamedAccount(): Promise<Account> {
  const passwd = await readFile("/etc/passwd", "utf8").catch(() => "")
  const uid = /^nobody:[^:]*:(-?\d+):/m.exec(passwd)?.[1]
  // macOS writes nobody's number as -2.
  return { uid: uid === undefined ? 65534 : Number(uid) >>> 0, gid: rootsAccount.gid }
}

/** Whether the account can pass through every folder down to `folder`, by the mode bits. */
export async function canReach(account: Account, folder: string): Promise<boolean> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const { uid, gid, mode } = await stat(at)
    const passage = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & passage) === 0) return false
    if (at === dirname(at)) return true
  }
}

/**
 * Where root's database of this data folder goes: into the data folder where the account can get there, else
 * `undefined`. A data folder that is closed itself (0700) is opened to the account's group, for passing through
 * only; the folders above it are not ours, and stay as they are.
 */
export async function openPassage(dataFolder: string): Promise<boolean> {
  if (await canReach(rootsAccount, dataFolder)) return true
  const { uid, gid, mode } = await stat(dataFolder)
  if (uid !== 0 || gid !== 0 || (mode & 0o070) !== 0) return false
  if (!(await canReach(rootsAccount, dirname(resolve(dataFolder))))) return false
  await chown(dataFolder, 0, rootsAccount.gid)
  await chmod(dataFolder, (mode & 0o700) | 0o010)
  return canReach(rootsAccount, dataFolder)
}

/**
 * Makes and gives the folder for what the account cannot reach in the data folder. What belongs to a temporary data
 * folder is as temporary.
 *
 * @throws EmbeddedDatabaseError "account" if there is no such place
 */
export async function makeElsewhere(dataFolder: string, given: string | undefined): Promise<string> {
  const lasting = process.platform === "darwin" ? "/var/db/tidemark" : "/var/lib/tidemark"
  const temporary = `${resolve(tmpdir())}/`
  const folder =
    given ?? (`${resolve(dataFolder)}/`.startsWith(temporary) ? join(temporary, "tidemark-root") : lasting)
  try {
    await mkdir(folder, { recursive: true })
    const { uid } = await stat(folder)
    // Whoever owned it could have put binaries there.
    if (uid !== 0) throw new Error(`it belongs to account ${uid}`)
    await chmod(folder, 0o711)
    if (!(await canReach(rootsAccount, folder))) throw new Error("a folder above it is closed to others")
  } catch (cause) {
    throw new EmbeddedDatabaseError(
      "account",
      `Postgres does not run as root, an unprivileged account cannot reach ${dataFolder}, and ${folder} cannot hold ` +
        `the database instead: ${(cause as Error).message}. Start as an ordinary user, give a data folder that ` +
        `others can pass through, or name a server in DATABASE_URL.`,
      { cause },
    )
  }
  return folder
}

import { createHash, randomBytes } from "node:crypto"
import { mkdir, realpath, rm } from "node:fs/promises"
import { join } from "node:path"
import { findAccount, isRoot, makeElsewhere, openPassage, rootsAccount, type Account } from "./account.ts"
import { findInstalledBinaries, prepareBinaries, type Binaries } from "./binaries.ts"
import { isHome, makeCluster, readSystemIdentifier } from "./cluster.ts"
import { EmbeddedDatabaseError } from "./fault.ts"
import {
  claimRecord,
  describeHome,
  exists,
  readRecord,
  recordPath,
  resolveRecord,
  type Home,
} from "./home.ts"
import type { ClusterMarks } from "./processes.ts"

/** The cluster of a data folder, found or made, and what is needed to run it. */
export interface LocatedCluster {
  readonly home: Home
  readonly systemIdentifier: string
  readonly marks: ClusterMarks
  /** Set for root: whose server it is. */
  readonly account: Account | undefined
  /** Where binaries may be copied to, if the installed ones do not serve. */
  readonly place: string
}

/**
 * Finds the data folder's cluster, and makes one where none ever was.
 *
 * @param create whether one may be made, and the data folder with it
 * @throws EmbeddedDatabaseError "absent", "missing", "foreign", "corrupt", "account", "disk"
 */
export async function locateCluster(
  dataFolderGiven: string,
  create: boolean,
  elsewhere: string | undefined,
  say: (line: string) => void,
): Promise<LocatedCluster> {
  if (create) await mkdir(dataFolderGiven, { recursive: true, mode: isRoot() ? 0o711 : 0o700 })
  const dataFolder = await realpath(dataFolderGiven).catch((cause: unknown) => {
    throw new EmbeddedDatabaseError("absent", `There is no data folder ${dataFolderGiven}.`, { cause })
  })
  for (;;) {
    const record = await readRecord(dataFolder)
    if (record !== undefined) {
      const home = describeHome(resolveRecord(dataFolder, record))
      return describeLocated(dataFolder, home, record.systemIdentifier)
    }
    const folder = join(dataFolder, "postgres")
    if (await isHome(folder)) {
      // A start was killed between the cluster's rename and the record.
      await findAccount(describeHome(folder).cluster)
      await claimRecord(dataFolder, folder, await readSystemIdentifier(describeHome(folder)))
    } else if (await exists(folder)) {
      throw new EmbeddedDatabaseError(
        "foreign",
        `${folder} is in the way, and is no database that Tidemark made. ` +
          `Move it away, or give another data folder.`,
      )
    } else if (!create) {
      throw new EmbeddedDatabaseError(
        "absent",
        `There is no database in ${dataFolder}: ${recordPath(dataFolder)} is missing. ` +
          `Give the folder that "tidemark up" made, or start "tidemark up" to make one.`,
      )
    } else {
      await makeHome(dataFolder, folder, elsewhere, say)
    }
  }
}

async function makeHome(
  dataFolder: string,
  folderInside: string,
  elsewhere: string | undefined,
  say: (line: string) => void,
): Promise<void> {
  const account = isRoot() ? rootsAccount : undefined
  const isInside = account === undefined || (await openPassage(dataFolder))
  const place = isInside ? dataFolder : await makeElsewhere(dataFolder, elsewhere)
  // A new name each time: the same data folder may have had another database, that belongs to somebody who moved it.
  const folder = isInside ? folderInside : join(place, randomBytes(8).toString("hex"))
  say(isInside ? `Making the database in ${folder}` : `Making the database in ${folder}, for ${dataFolder}`)
  const binaries = await prepareBinaries(findInstalledBinaries(), place, account)
  await makeCluster(folder, binaries, account)
  const systemIdentifier = await readSystemIdentifier(describeHome(folder))
  if (await claimRecord(dataFolder, folder, systemIdentifier)) return
  if (isInside) return // both mean the one folder of this name
  await removeLostHome(folder, say)
}

/** Another start was quicker to name its home elsewhere: ours is empty, and was never used. */
async function removeLostHome(folder: string, say: (line: string) => void): Promise<void> {
  say(`Another start made the database already: removing ${folder}`)
  await rm(folder, { recursive: true, force: true })
}

async function describeLocated(
  dataFolder: string,
  home: Home,
  systemIdentifier: string,
): Promise<LocatedCluster> {
  if (!(await exists(home.cluster))) {
    throw new EmbeddedDatabaseError(
      "missing",
      `The database of ${dataFolder} is gone: ${recordPath(dataFolder)} says that it is in ${home.folder}. ` +
        `Put that folder back (from where it was moved, or from a backup). No new one is made in its place: ` +
        `its statements would be lost silently.`,
    )
  }
  const account = await findAccount(home.cluster)
  const found = await readSystemIdentifier(home)
  if (found !== systemIdentifier) {
    throw new EmbeddedDatabaseError(
      "foreign",
      `The database in ${home.folder} has the number ${found}, and ${recordPath(dataFolder)} expects ` +
        `${systemIdentifier}: it belongs to another data folder, or its global/pg_control is damaged. ` +
        `Put back the database that belongs to this data folder, or give another one.`,
    )
  }
  const cluster = await realpath(home.cluster)
  const clusterName = `tidemark-${createHash("sha256").update(cluster).digest("hex").slice(0, 12)}`
  const place = home.folder.startsWith(join(dataFolder, "/")) ? dataFolder : join(home.folder, "..")
  return { home: { ...home, cluster }, systemIdentifier, marks: { cluster, clusterName }, account, place }
}

/** The binaries for a located cluster. */
export async function binariesFor(located: LocatedCluster): Promise<Binaries> {
  return prepareBinaries(findInstalledBinaries(), located.place, located.account)
}

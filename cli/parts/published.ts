/** The part that notices a restored backup where nothing is sealed. */
import { EventEmitter, once } from "node:events"
import { LogRolledBack, checkPublished, publishLast } from "../../ingest/publication.ts"
import type { CheckpointSigner } from "../../ingest/log-keys.ts"
import type { Base } from "./base.ts"

export interface PublishedPart {
  /** Resolves when the database is behind what was seen of the log before: nothing may be accepted on top of it. */
  readonly rolledBack: Promise<LogRolledBack>
  close(): Promise<void>
}

/** A restored backup is at most so much younger than what a process remembers, and still found out. */
const lookMsDefault = 10 * 60_000

/**
 * Keeps a copy of the last checkpoint in this process's folder, as the sealer does in its own, and compares the database
 * with it now and then: a process that takes statements on a machine of its own would not know else that the database
 * went back. The first look was at the base's start.
 */
export async function followPublished(
  { database: { pool }, dataFolder, keys, log }: Base<CheckpointSigner>,
  lookMs = lookMsDefault,
): Promise<PublishedPart> {
  await publishLast(pool, dataFolder)
  const gone = new EventEmitter<{ back: [LogRolledBack] }>()
  const rolledBack = once(gone, "back").then(([error]) => error as LogRolledBack)
  let looking: Promise<void> | null = null
  const look = async (): Promise<void> => {
    try {
      await checkPublished(pool, dataFolder, keys)
      await publishLast(pool, dataFolder)
    } catch (error) {
      if (error instanceof LogRolledBack) gone.emit("back", error)
      // The database is away: the next look tells.
      else log.warn({ error: (error as Error).message }, "the log's last checkpoint could not be read")
    }
    looking = null
  }
  const timer = setInterval(() => {
    looking ??= look()
  }, lookMs)
  return {
    rolledBack,
    close: async () => {
      clearInterval(timer)
      await looking
    },
  }
}

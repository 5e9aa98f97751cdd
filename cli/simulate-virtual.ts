/**
 * A run that is bound to nothing outside: the judge, the database and the sealer are in this process, the database's clock
 * is the scenario's, and the log's keys and salts come from the seed. The same seed gives the same blocks.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"
import { makeRandom } from "../devices-sim/random.ts"
import type { RunOutcome } from "../devices-sim/run-judge.ts"
import { runScenario } from "../devices-sim/scenario-run.ts"
import type { Scenario } from "../devices-sim/scenario.ts"
import { VirtualClock } from "../devices-sim/scenario-clock.ts"
import { openHttpView } from "../devices-sim/service-view.ts"
import { makeVirtualLink } from "../devices-sim/virtual-link.ts"
import { openPool } from "../ingest/database/pool.ts"
import { openIntake } from "../ingest/intake.ts"
import { initLog } from "../ingest/log.ts"
import { allSecrets } from "../ingest/log-keys.ts"
import { seal } from "../ingest/seal.ts"
import { openVerifier } from "../ingest/verifier.ts"
import { type Database, findKeys, makingAlone, openDatabase } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { makeIngestMetrics } from "./metrics.ts"
import { makeLogger } from "./output.ts"
import { openBase } from "./parts/base.ts"
import { compose } from "./parts/composition.ts"
import { openGuard } from "./parts/guard.ts"
import { startHttp } from "./parts/http.ts"
import { openResearch } from "./parts/research.ts"
import { auditStored, tamperWith } from "./simulate-audit.ts"
import { enrolKnown, makeOperator } from "./simulate-enrol.ts"
import { proveByEvidence } from "./simulate-proof.ts"
import type { RunBase } from "./simulate-options.ts"

/** @param data null: a throw-away folder */
export async function runVirtually(
  base: RunBase,
  { data }: { readonly data: string | null },
): Promise<RunOutcome> {
  const { scenario } = base
  if (scenario.serviceFaults.length > 0)
    throw new UsageFault(
      "nothing can be killed in a virtual run, and this scenario kills: leave --virtual out",
    )
  if (scenario.network.length > 0)
    throw new UsageFault("a virtual run has no network, and this scenario has toxics: leave --virtual out")
  const folder = data === null ? await mkdtemp(join(tmpdir(), "tidemark-virtual-")) : null
  // Postgres may run as another user.
  if (folder !== null) await chmod(folder, 0o711)
  const dataFolder = data ?? join(folder!, "data")
  try {
    base.say?.(
      data === null
        ? "a virtual run, on a throw-away database"
        : `a virtual run, on a new log in ${dataFolder}`,
    )
    return await runIn(dataFolder, base, folder !== null)
  } finally {
    if (folder !== null) await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

async function runIn(dataFolder: string, base: RunBase, isThrownAway: boolean): Promise<RunOutcome> {
  const { scenario } = base
  const random = makeRandom(scenario.seed).fork("log")
  await makeVirtualLog(dataFolder, scenario, (line) => base.say?.(line))
  const log = makeLogger("warn")
  return compose(async (parts) => {
    const opened = await openBase(
      { dataFolder, log },
      { command: "simulate", needed: allSecrets, schemaPath: simulatedPath },
    )
    parts.add(opened)
    const { database, keys } = opened
    const { pool } = database
    const metrics = makeIngestMetrics(opened.registry)
    const verifier = parts.add(openVerifier({}))
    const intake = parts.add(openIntake({ pool, keys, verifier, events: metrics.intake }))
    const { guard } = parts.add(openGuard(opened))
    const research = parts.add(openResearch(opened, guard))
    const http = parts.add(
      await startHttp(opened, { host: "127.0.0.1", port: 0, plugins: [research.plugin] }),
    )
    const api = `http://127.0.0.1:${http.port}`
    const clock = new VirtualClock()
    const databaseClock = parts.add(await openClock(pool, scenario.startsAt))
    // Never on a server that is somebody else's.
    if (isThrownAway && database.pid !== null) await forgoDisk(pool)
    // Sealing takes its salts in turn.
    const salts = random.fork("salts")
    const outcome = await runScenario({
      ...base,
      service: { url: "mqtt://virtual.invalid:1883" },
      clock,
      openLink: makeVirtualLink(clock, (device) => intake.open(device)),
      onTime: (atMs) => databaseClock.set(atMs),
      view: openHttpView({ api, metrics: [api] }),
      origin: keys.origin,
      operator: makeOperator(pool, keys),
      enrol: (devices) => enrolKnown(pool, keys, devices),
      seal: async () => {
        await seal({ pool, keys, dataFolder, random: (size) => salts.bytes(size) })
      },
      audit: () => auditStored({ ...database, keys, dataFolder }),
      tamper: (kind, devices) => tamperWith({ ...database, keys, dataFolder }, kind, devices),
      prove: (id) => proveByEvidence({ api }, id, keys),
    })
    await parts.close()
    return outcome
  })
}

/** On an empty database only: what is there already would stand in the first block. */
async function makeVirtualLog(
  dataFolder: string,
  { seed, name, startsAt }: Scenario,
  say: (line: string) => void,
): Promise<void> {
  await makingAlone(dataFolder, say, async () => {
    if (await findKeys(dataFolder))
      throw new CommandFault(
        `there is a log in ${dataFolder} already`,
        "a virtual run begins with an empty folder",
      )
    const database = await openDatabase(dataFolder, { create: true, schemaPath: simulatedPath })
    try {
      await replaceClock(database, startsAt)
      const pool = openPool(database.url, 2)
      try {
        const secrets = makeRandom(seed).fork("log").fork("keys")
        await initLog(pool, dataFolder, `tidemark.invalid/simulated/${name}/${seed}`, (size) =>
          secrets.bytes(size),
        )
      } finally {
        await pool.end()
      }
    } finally {
      await database.close()
    }
  })
}

/** A search_path in which our schema comes before Postgres's own. */
const simulatedPath = "public, pg_catalog"

/**
 * A function of the schema's own is found before the built-in one of this name where search_path says so. Everything that
 * ingest and sealing know of the time comes from it.
 */
async function replaceClock({ pool }: Database, startsAt: number): Promise<void> {
  const { rows } = await pool.query<{ count: number }>(
    "select count(*)::int as count from pg_tables where schemaname = 'public'",
  )
  if (rows[0]?.count !== 0)
    throw new CommandFault("the database is not empty", "a virtual run begins with an empty database")
  await pool.query(`
    create unlogged table simulated_clock (at timestamptz not null);
    insert into simulated_clock values (to_timestamp(${startsAt}));
    create function clock_timestamp() returns timestamptz language sql volatile
      as 'select at from public.simulated_clock';`)
}

interface DatabaseClock {
  /** @param atMs of scenario time */
  set(atMs: number): Promise<void>
  close(): Promise<void>
}

async function openClock(pool: Pool, startsAt: number): Promise<DatabaseClock> {
  const client = await pool.connect()
  client.on("error", () => {})
  // It is made anew with the run: no need to wait for the disk.
  await client.query("set synchronous_commit = off")
  return {
    async set(atMs) {
      await client.query("update simulated_clock set at = to_timestamp($1)", [startsAt + atMs / 1000])
    },
    close: () => Promise.resolve(client.release(true)),
  }
}

/** What is thrown away need not be on disk: a commit takes 1 ms in place of 10 and more. */
async function forgoDisk(pool: Pool): Promise<void> {
  await pool.query("alter system set fsync = off")
  await pool.query("select pg_reload_conf()")
}

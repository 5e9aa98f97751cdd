/** The real service on a database of its own, a victim that goes on publishing, and what must not have happened to it. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import type { BrokerLimits } from "../../broker/limits.ts"
import type { Algorithm } from "../../chain/key.ts"
import type { Service } from "../../cli/service.ts"
import { enrolDevices } from "../../ingest/registry.ts"
import { DeviceSession } from "../ingest/device-session.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { startServiceOn } from "../ingest/service-stand.ts"
import { Watchdog, findStallFault } from "../watchdog.ts"
import { TestDevice, spineTemplate, testOrigin } from "../ingest/stand.ts"

export interface AttackStand {
  readonly service: Service
  readonly port: number
  /** Enrolled, connected and subscribed. */
  readonly victim: TestDevice
  readonly victimSession: DeviceSession
  /** Enrolled as well: who attacks is not a stranger. */
  readonly attacker: TestDevice
  enrol(id: string, algorithm: Algorithm): Promise<TestDevice>
  /** Statements stored of this device. */
  countStored(device: string): Promise<number>
  /** A value of `/metrics`; 0 where there is none. */
  metric(name: string): Promise<number>
  /** Looks again until it is so. */
  untilMetric(name: string, value: number): Promise<void>
  /**
   * The victim's connection is the one that it was, it heard nothing that it did not ask for, its next statement is
   * accepted, and all that it said is stored once. And the counters add up.
   */
  expectUnharmed(): Promise<void>
}

let watching: Promise<Watchdog> | null = null

/** Of this file's tests, which run one after another. */
function watch(): Promise<Watchdog> {
  return (watching ??= Watchdog.open())
}

/** Signing is the test's own work, in the process that is watched. */
function apart(watchdog: Watchdog, device: TestDevice): TestDevice {
  const sign = device.sign.bind(device)
  device.sign = (claims) => watchdog.apart(() => sign(claims))
  return device
}

export async function openAttackStand(limits: Partial<BrokerLimits> = {}): Promise<AttackStand> {
  const database = await openTestDatabase({ template: spineTemplate })
  const dataFolder = await mkdtemp(join(tmpdir(), "tidemark-attack-"))
  const service = await startServiceOn(database.url, dataFolder, { origin: testOrigin, limits })
  onTestFinished(async () => {
    await service.close()
    await database.close()
    await rm(dataFolder, { recursive: true, force: true })
  })
  const { pool } = service.database
  const watchdog = await watch()
  const enrol = async (id: string, algorithm: Algorithm): Promise<TestDevice> => {
    const device = apart(watchdog, new TestDevice(id, algorithm, service.keys.binding))
    const [result] = await enrolDevices(pool, service.keys, [{ device: id, key: device.key.publicKey }])
    if (result?.kind !== "enrolled") throw new Error(`${id} was not enrolled`)
    return device
  }
  const victim = await enrol("victim", -19)
  const attacker = await enrol("attacker", -9)
  const victimSession = await DeviceSession.open(service.mqtt, "victim")
  await victimSession.say(victim.next().bytes)
  const countStored = async (device: string): Promise<number> => {
    const sql = "select count(*) as count from entries where device_id = $1"
    return (await pool.query<{ count: number }>(sql, [device])).rows[0]?.count ?? 0
  }
  const readMetrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${service.http}/metrics`)).text()
  const metric = async (name: string): Promise<number> => {
    const line = (await readMetrics()).split("\n").find((one) => one.startsWith(`${name} `))
    return line === undefined ? 0 : Number(line.slice(name.length + 1))
  }
  watchdog.restart()
  return {
    service,
    port: service.mqtt,
    victim,
    victimSession,
    attacker,
    enrol,
    countStored,
    metric,
    untilMetric: async (name, value) => {
      while ((await metric(name)) !== value) await pool.query("select pg_sleep(0.01)")
    },
    expectUnharmed: async () => {
      const stall = findStallFault(watchdog.longest())
      if (stall !== null) throw new Error(stall)
      const before = await victimSession.client.ping()
      if (before.length > 0)
        throw new Error(`the victim heard ${before.length} packets that it did not ask for`)
      const heard = await victimSession.say(victim.next().bytes)
      if (heard.receipt.code !== 1 || !heard.isAcknowledged)
        throw new Error(`the victim's statement was answered with ${heard.receipt.code}`)
      const stored = await countStored("victim")
      if (stored !== victim.seq)
        throw new Error(`the victim said ${victim.seq} statements, ${stored} are stored`)
      const verdicts = [...(await readMetrics()).matchAll(/^tidemark_verdicts_total\{.*\} (\d+)$/gm)]
      const sum = verdicts.reduce((all, [, count]) => all + Number(count), 0)
      const received = await metric("tidemark_statements_received_total")
      if (received !== sum) throw new Error(`received ${received}, verdicts ${sum}`)
    },
  }
}

export const refusedMetric = (reason: string): string =>
  `tidemark_mqtt_connections_refused_total{reason="${reason}"}`
export const verdictMetric = (verdict: string): string => `tidemark_verdicts_total{verdict="${verdict}"}`

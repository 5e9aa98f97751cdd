/** A sealed log with a past: a device's day at one reading a second, and some hours of a fleet, sent as they would be. */
import type { BenchContext } from "./context.ts"
import { IngestStand } from "./ingest-stand.ts"
import { BenchService } from "./service.ts"
import { watchTidemark } from "./command.ts"

export interface History {
  readonly service: BenchService
  /** Of the day: the first reading, Unix seconds. */
  readonly dayFromS: number
  /** Its id. */
  readonly dayDevice: string
  /** Of the hour, the second of those that are there. */
  readonly hourFromS: number
  readonly hourDevices: readonly string[]
  readonly statements: number
}

const readings = 60
const pace = { window: 20, perSecond: null } as const
export const hourSeconds = 3_600
export const daySeconds = 86_400

/** Makes it; whoever asked closes its service, which is up. */
export async function makeHistory(context: BenchContext): Promise<History> {
  const { seed, nowS, isQuick, say } = context
  const service = await BenchService.open({ isProfiled: false })
  try {
    say("making a log with a device's day and a fleet's hours")
    const [devices, hours] = isQuick ? [20, 2] : [100, 3]
    const day = await IngestStand.open(service, { name: "day", devices: 1, seed, nowS })
    const fleet = await IngestStand.open(service, { name: "fleet", devices, seed, nowS })
    const up = await service.start()
    const statements = (devices * hours * hourSeconds) / readings
    await day.ingest(day.prepare({ readings, statements: daySeconds / readings }), pace, [up])
    await fleet.ingest(fleet.prepare({ readings, statements }), pace, [up])
    await watchTidemark(["seal", "--json", "--data", service.dataFolder])
    await service.pool.query("vacuum analyze")
    await Promise.all([day.close(), fleet.close()])
    return {
      service,
      dayFromS: day.fleet.startsAtS,
      dayDevice: day.fleet.devices[0]!.id,
      hourFromS: fleet.fleet.startsAtS + hourSeconds,
      hourDevices: fleet.fleet.devices.map(({ id }) => id),
      statements: statements + daySeconds / readings,
    }
  } catch (error) {
    await service.close()
    throw error
  }
}

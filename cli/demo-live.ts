/** What goes on while somebody looks at the demo: a few devices that say something now and then, sealed every minute. */
import { runFleet } from "../devices-sim/fleet.ts"
import type { Service } from "./service.ts"
import { enrolKnown } from "./simulate-enrol.ts"

const devices = 6
/** A statement of three readings is some twelve seconds of a device's life. */
const readings = 3
const intervalMs = 12_000
const sealEveryMs = 60_000

export interface LivePlay {
  close(): Promise<void>
}

export function playLive(service: Service): LivePlay {
  const { pool } = service.database
  const leaving = new AbortController()
  const play = async (seed: number): Promise<void> => {
    // One after the other, so that something comes in every two seconds.
    await wait((seed - 1) * (intervalMs / devices), leaving.signal)
    if (leaving.signal.aborted) return
    await runFleet({
      service: { url: `mqtt://127.0.0.1:${service.mqtt}` },
      seed,
      prefix: "live",
      devices: 1,
      // More than anybody will watch.
      statements: 100_000,
      readings,
      intervalMs,
      startsAt: Math.floor(Date.now() / 1000),
      enrol: async (enrolments) => {
        await enrolKnown(pool, service.keys, enrolments)
      },
      signal: leaving.signal,
    })
  }
  const played = Promise.allSettled(Array.from({ length: devices }, (_, index) => play(index + 1)))
  let sealing: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => {
    // What fails here the service has logged; the next minute tries again.
    sealing = service.seal().catch(() => {})
  }, sealEveryMs)
  return {
    close: async () => {
      clearInterval(timer)
      leaving.abort()
      await played
      await sealing
    },
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener("abort", end)
  })
}

/** `seal`: an hour of 1,000,000 statements by `tidemark seal`, in a process of its own. */
import type { BenchContext } from "./context.ts"
import { watchTidemark } from "./command.ts"
import { Fleet } from "./fleet.ts"
import { fillHour } from "./hour.ts"
import { readFamilySeconds } from "./processor-time.ts"
import { BenchService } from "./service.ts"
import { sumOf, timeProcesses } from "./stopwatch.ts"
import { readStoredBytes } from "./stored-bytes.ts"

const mebibyte = 1024 * 1024

export async function runSealing(context: BenchContext): Promise<void> {
  const { samples, seed, nowS, isQuick, say } = context
  const statements = isQuick ? 50_000 : 1_000_000
  const service = await BenchService.open({ isProfiled: false })
  try {
    const fleet = new Fleet("hour", isQuick ? 100 : 1_000, seed, nowS)
    say(`enrolling ${fleet.devices.length} devices`)
    await service.enrol(fleet)
    const seal = async () => {
      await service.settle()
      const clocks = { postgres: () => readFamilySeconds(service.postmaster) }
      const { result, seconds } = await timeProcesses(clocks, () =>
        watchTidemark(["seal", "--json", "--data", service.dataFolder]),
      )
      const { tookMs } = JSON.parse(result.stdout) as { tookMs: number }
      return { ...result, sealSeconds: tookMs / 1000, all: sumOf(result.seconds, seconds.postgres) }
    }
    // What the program needs without much to seal: the enrolments.
    const small = await seal()
    say(`writing ${statements.toLocaleString("en-US")} statements as rows`)
    await fillHour({ pool: service.pool, devices: fleet.devices.map(({ id }) => id), statements })
    await service.pool.query("vacuum analyze")
    const before = await readStoredBytes(service.pool)
    const large = await seal()
    const after = await readStoredBytes(service.pool)
    samples.nextRound()
    samples.add("seal.time", large.sealSeconds, "s")
    samples.add("seal.cpu", large.all, "CPU-s")
    samples.add("seal.rate", statements / large.sealSeconds, "statements/s")
    if (large.peakBytes !== null && small.peakBytes !== null)
      samples.add("seal.memory", (large.peakBytes - small.peakBytes) / mebibyte, "MiB")
    samples.add("seal.bytes", (after.all - before.all) / statements, "bytes/statement")
    say(`sealed in ${large.sealSeconds.toFixed(1)} s`)
  } finally {
    await service.close()
  }
}

/** `verify`: the audit of a whole database, by `tidemark verify` with native cryptography. */
import type { BenchContext } from "./context.ts"
import { watchTidemark } from "./command.ts"
import type { History } from "./history.ts"
import { readFamilySeconds } from "./processor-time.ts"
import { sumOf, timeProcesses } from "./stopwatch.ts"

export async function runAudit({ service, statements }: History, context: BenchContext): Promise<void> {
  const { samples, rounds, say } = context
  for (let round = 1; round <= rounds; round++) {
    const clocks = { postgres: () => readFamilySeconds(service.postmaster) }
    const { result, seconds } = await timeProcesses(clocks, () =>
      watchTidemark(["verify", "--json", "--data", service.dataFolder]),
    )
    const found = JSON.parse(result.stdout) as { kind: string; statements: number }
    if (found.kind !== "passed" || found.statements !== statements)
      throw new Error(`the audit of ${statements} statements did not pass: ${result.stdout}`)
    samples.nextRound()
    samples.add("verify.audit", statements / result.wallSeconds, "statements/s")
    const spent = sumOf(result.seconds, seconds.postgres)
    if (spent !== null) samples.add("verify.audit-cpu", (1e6 * spent) / statements, "CPU-µs/statement")
    say(`round ${round} of ${rounds}: ${statements} statements audited in ${result.wallSeconds.toFixed(1)} s`)
  }
}

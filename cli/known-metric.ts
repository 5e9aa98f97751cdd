/** A metric that there is not, as a command's fault. */
import { KnownMetrics, type MetricQuestion } from "../research/known-metric.ts"
import { Problem } from "../research/problem.ts"
import { CommandFault } from "./fault.ts"

/** A fault that names the first metric that nobody knows, and the nearest that there are. */
export async function checkMetrics(
  queries: Parameters<KnownMetrics["check"]>[0],
  { metrics, devices }: Omit<MetricQuestion, "scope">,
): Promise<void> {
  try {
    await new KnownMetrics().check(queries, { metrics, devices, scope: null })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    throw new CommandFault(error.message, "tidemark coverage shows what the devices have sent", {
      cause: error,
    })
  }
}

/** Codes of a search that name nothing: an empty searchset would say that there are no such readings. */
import { codeOf, metricsOf } from "./fhir-search.ts"
import { findMetric } from "./metric.ts"
import { Problem } from "./problem.ts"
import { metricsSchema } from "./schema.ts"

/**
 * The first of the codes that neither the catalogue nor a device has, as the problem that other routes answer; else null.
 *
 * @param values of the parameter `code`, each with commas between alternatives
 * @param check throws a Problem about `metric` if no device that the reader may see has sent it
 */
export async function findUnknownCode(
  values: readonly string[],
  origin: string,
  check: (metric: string) => Promise<void>,
): Promise<Problem | null> {
  for (const token of values.flatMap((value) => value.split(","))) {
    const named = metricsOf(token, origin)
    if (named.some((metric) => findMetric(metric) !== null)) continue
    const [metric] = named
    if (metric === undefined || metric.length > metricsSchema.items.maxLength)
      return new Problem("unknown-metric", {
        detail: `no metric of /v1/metrics has the code ${codeOf(token)}`,
        parameter: "code",
        rule: "must be a code of /v1/metrics",
      })
    try {
      await check(metric)
    } catch (error) {
      if (!(error instanceof Problem) || error.kind !== "unknown-metric") throw error
      return new Problem("unknown-metric", { ...error.facts, parameter: "code" })
    }
  }
  return null
}

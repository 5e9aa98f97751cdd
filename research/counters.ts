/** What is counted of requests that were not answered as asked. */
import type { HttpRefusal } from "./problem.ts"

export interface HttpCounters {
  refused(reason: HttpRefusal): void
}

export const noCounters: HttpCounters = { refused: () => {} }

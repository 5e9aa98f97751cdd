/** The signals by which a process that stays is told to end. */
import { once } from "node:events"

/** The first SIGINT or SIGTERM; a second one ends the process at once. */
export async function waitForSignal(): Promise<string> {
  const controller = new AbortController()
  const { signal } = controller
  const name = await Promise.race(
    (["SIGINT", "SIGTERM"] as const).map(async (one) => {
      await once(process, one, { signal })
      return one
    }),
  )
  controller.abort()
  for (const one of ["SIGINT", "SIGTERM"] as const) process.once(one, () => process.exit(130))
  return name
}

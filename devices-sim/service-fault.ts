/** What happens to the service and its database while a fleet runs, where the simulator has started them. */
import type { Random } from "./random.ts"

export type ServiceFault =
  /** SIGKILL to the service, which is started again after `downMs`. */
  | { readonly kind: "kill-service"; readonly downMs: number }
  /** The database stops at once, as if its machine lost power, and is started again after `downMs`. */
  | { readonly kind: "stop-database"; readonly downMs: number }

export type ServiceFaultKind = ServiceFault["kind"]

export const serviceFaultKinds = [
  "kill-service",
  "stop-database",
] as const satisfies readonly ServiceFaultKind[]

/** A line of a scenario. */
export interface ServiceFaultRule {
  readonly fault: ServiceFault
  /** When, in ms of the run. */
  readonly atMs: number
  /** The seed adds up to so much; 0 by default. */
  readonly jitterMs?: number
  /** How often, `everyMs` apart; once by default. */
  readonly times?: number
  readonly everyMs?: number
}

export interface PlannedServiceFault {
  readonly fault: ServiceFault
  readonly atMs: number
}

/** When each of them happens, in order. Only the seed and the rules decide. */
export function planServiceFaults(random: Random, rules: readonly ServiceFaultRule[]): PlannedServiceFault[] {
  return rules
    .flatMap(({ fault, atMs, jitterMs = 0, times = 1, everyMs = 0 }, index) => {
      const own = random.fork(`service ${index}`)
      return Array.from({ length: times }, (_, time) => ({
        fault,
        atMs: atMs + time * everyMs + (jitterMs === 0 ? 0 : own.int(0, jitterMs)),
      }))
    })
    .toSorted((a, b) => a.atMs - b.atMs)
}

/**
 * A service in a process of its own and the database that it holds. Whoever starts processes implements it; each promise
 * resolves when it is done, and a device that finds nobody there waits by itself.
 */
export interface ServiceHost {
  killService(): Promise<void>
  startService(): Promise<void>
  stopDatabase(): Promise<void>
  startDatabase(): Promise<void>
}

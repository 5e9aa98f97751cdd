/** What every part of the bench is given. */
import type { Samples } from "./measure.ts"

export interface BenchContext {
  readonly samples: Samples
  /** Of keys and readings. */
  readonly seed: number
  readonly rounds: number
  readonly isQuick: boolean
  /** Unix seconds by the machine's clock: readings are older. */
  readonly nowS: number
  /** For a person who waits. */
  readonly say: (line: string) => void
}

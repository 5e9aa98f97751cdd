/** Takes each new checkpoint to a witness, again and again until it is cosigned: one courier a witness, beside sealing. */
import { type CosignOptions, type CosignTrouble, cosignLast } from "./cosign.ts"
import { LogRolledBack } from "./publication.ts"
import type { AskedWitness } from "./witness-plan.ts"

export interface CourierEvents {
  cosigned?(witness: string, height: number, isWitnessed: boolean): void
  failed?(witness: string, trouble: CosignTrouble | DatabaseTrouble): void
  /** The witness has proof that the database went back: nothing may be sealed on top of it. */
  rolledBack?(witness: string, error: LogRolledBack): void
}

/** Our own: the database is away, or the disk is full. */
export interface DatabaseTrouble {
  readonly kind: "failed"
  readonly rule: string
}

export interface CourierOptions extends CosignOptions {
  readonly witness: AskedWitness
  readonly events?: CourierEvents
  /** From 0 to 1, so that not all logs come back to a witness in the same second. */
  readonly random: () => number
  /** Between looks at what other processes sealed. */
  readonly lookMs?: number
  /** After the first failure; doubled up to `retryMsMax`. */
  readonly retryMs?: number
  readonly retryMsMax?: number
}

const lookMsDefault = 60_000
const retryMsDefault = 5_000
const retryMsMaxDefault = 600_000

export class Courier {
  private readonly options: CourierOptions
  private readonly running: Promise<void>
  private isDue = true
  private isClosed = false
  private wakeUp: () => void = ignore

  constructor(options: CourierOptions) {
    this.options = options
    this.running = this.run()
  }

  /** A block was sealed. */
  wake(): void {
    this.isDue = true
    this.wakeUp()
  }

  /** Ends once the answer that is waited for has come, or its time is over. */
  async close(): Promise<void> {
    this.isClosed = true
    this.wakeUp()
    await this.running
  }

  private async run(): Promise<void> {
    const {
      lookMs = lookMsDefault,
      retryMs = retryMsDefault,
      retryMsMax = retryMsMaxDefault,
      random,
    } = this.options
    for (let failures = 0; !this.isClosed;) {
      this.isDue = false
      failures = (await this.take()) ? 0 : failures + 1
      const waitMs =
        failures === 0 ? lookMs : Math.min(retryMs * 2 ** (failures - 1), retryMsMax) * (0.5 + random() / 2)
      await this.rest(waitMs)
    }
  }

  /** Whether there is nothing left to do for now. Never rejects: sealing goes on whatever a witness does. */
  private async take(): Promise<boolean> {
    const { witness, events = {} } = this.options
    try {
      const outcome = await cosignLast(this.options, witness)
      if (outcome.kind === "cosigned") {
        events.cosigned?.(witness.name, outcome.height, outcome.isWitnessed)
        return true
      }
      if (outcome.kind === "current") return true
      events.failed?.(witness.name, outcome)
    } catch (error) {
      if (error instanceof LogRolledBack) events.rolledBack?.(witness.name, error)
      else events.failed?.(witness.name, { kind: "failed", rule: (error as Error).message })
    }
    return false
  }

  /** Until a block is sealed, or the time is over. */
  private rest(waitMs: number): Promise<void> {
    if (this.isDue || this.isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitMs)
      this.wakeUp = () => {
        clearTimeout(timer)
        this.wakeUp = ignore
        resolve()
      }
    })
  }
}

function ignore(): void {}

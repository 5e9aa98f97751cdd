/** How many reads there may be at a time, in all, by reader and by address: each holds a connection and a part of the memory. */
import { Problem } from "./problem.ts"

export interface TurnstileLimits {
  readonly inMax: number
  /** Limit for one key, or for one address where no key is asked for. */
  readonly ofReaderMax: number
  readonly ofAddressMax: number
  /** So long a read waits for a place. */
  readonly waitMsMax: number
  /** Reads of one reader that may wait. */
  readonly waitingOfReaderMax: number
}

/** Who wants in. */
export interface Visitor {
  readonly reader: string
  readonly address: string
}

interface Waiter extends Visitor {
  readonly let: () => void
}

/** Waiting reads in all. */
const waitingMax = 200

export class Turnstile {
  readonly limits: TurnstileLimits
  private inside = 0
  private readonly byReader = new Map<string, number>()
  private readonly byAddress = new Map<string, number>()
  private readonly waiting: Waiter[] = []

  constructor(limits: TurnstileLimits) {
    this.limits = limits
  }

  get count(): number {
    return this.inside
  }

  /**
   * Resolves with what must be called once when the read has ended; rejects with a problem where there is no room in
   * time. Those who wait come in the order in which they came, but for readers who have all that is theirs.
   */
  async enter(visitor: Visitor, signal?: AbortSignal): Promise<() => void> {
    if (!this.hasRoom(visitor)) await this.wait(visitor, signal)
    else this.take(visitor)
    let isIn = true
    return () => {
      if (isIn) this.leave(visitor)
      isIn = false
    }
  }

  private hasRoom({ reader, address }: Visitor): boolean {
    const { inMax, ofReaderMax, ofAddressMax } = this.limits
    return (
      this.inside < inMax &&
      (this.byReader.get(reader) ?? 0) < ofReaderMax &&
      (this.byAddress.get(address) ?? 0) < ofAddressMax
    )
  }

  private take({ reader, address }: Visitor): void {
    this.inside += 1
    change(this.byReader, reader, 1)
    change(this.byAddress, address, 1)
  }

  private leave({ reader, address }: Visitor): void {
    this.inside -= 1
    change(this.byReader, reader, -1)
    change(this.byAddress, address, -1)
    const next = this.waiting.find((waiter) => this.hasRoom(waiter))
    next?.let()
  }

  private async wait(visitor: Visitor, signal?: AbortSignal): Promise<void> {
    const { waitMsMax, waitingOfReaderMax } = this.limits
    const ofReader = this.waiting.filter(({ reader }) => reader === visitor.reader).length
    if (waitMsMax === 0 || ofReader >= waitingOfReaderMax || this.waiting.length >= waitingMax)
      throw this.busy(visitor)
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", onAbort)
        this.waiting.splice(this.waiting.indexOf(waiter), 1)
      }
      const waiter: Waiter = {
        ...visitor,
        let: () => {
          end()
          this.take(visitor)
          resolve()
        },
      }
      const onAbort = (): void => {
        end()
        reject(signal!.reason as Error)
      }
      const timer = setTimeout(() => {
        end()
        reject(this.busy(visitor))
      }, waitMsMax)
      signal?.addEventListener("abort", onAbort)
      this.waiting.push(waiter)
    })
  }

  private busy({ reader, address }: Visitor): Problem {
    const { inMax, ofReaderMax, ofAddressMax } = this.limits
    const own = this.byReader.get(reader) ?? 0
    const near = this.byAddress.get(address) ?? 0
    const detail =
      own >= ofReaderMax
        ? `${own} reads of yours are under way, and a reader may have ${ofReaderMax}`
        : near >= ofAddressMax
          ? `${near} reads from your address are under way, and an address may have ${ofAddressMax}`
          : `${inMax} reads are under way`
    return new Problem("busy", { detail: `${detail}; try again soon`, retryAfterSeconds: 2 })
  }
}

function change(counts: Map<string, number>, name: string, by: 1 | -1): void {
  const count = (counts.get(name) ?? 0) + by
  if (count === 0) counts.delete(name)
  else counts.set(name, count)
}

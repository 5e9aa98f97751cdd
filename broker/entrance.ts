import { isLoopback, sourceOf } from "./address.ts"
import type { RefusedReason } from "./counters.ts"
import type { BrokerLimits } from "./limits.ts"

/** What one address has: connections, and a token bucket of new ones. */
interface Source {
  count: number
  tokens: number
  atMs: number
}

/** Sources without a connection are forgotten when there are so many and their bucket is full again. */
const sourcesMax = 10_000
const sweepMsMin = 1_000

/**
 * Counts who is in, over all listeners: in all, and by address. A rate of new connections is a token bucket by address.
 */
export class Entrance {
  readonly #limits: BrokerLimits
  readonly #isLoopbackLimited: boolean
  readonly #clock: () => number
  readonly #sources = new Map<string, Source>()
  #count = 0
  #sweptAtMs = -Infinity

  /**
   * @param isLoopbackLimited whether the limits by address hold for this machine too
   * @param clock ms that only go forward
   */
  constructor(limits: BrokerLimits, isLoopbackLimited: boolean, clock: () => number) {
    this.#limits = limits
    this.#isLoopbackLimited = isLoopbackLimited
    this.#clock = clock
  }

  /** Sockets that are in. */
  get count(): number {
    return this.#count
  }

  /** A socket was opened. Where it may not stay, the reason; else `leave` has to follow. */
  enter(): RefusedReason | null {
    if (this.#count >= this.#limits.connectionsMax) return "too-many-connections"
    this.#count++
    return null
  }

  leave(): void {
    this.#count--
  }

  /** Its address is known, by the socket or by a PROXY header. As above, with `leaveFrom`. */
  enterFrom(address: string): RefusedReason | null {
    if (this.#isExempt(address)) return null
    const nowMs = this.#clock()
    const source = this.#find(sourceOf(address), nowMs)
    if (source.count >= this.#limits.connectionsPerAddressMax) return "too-many-from-address"
    if (source.tokens < 1) return "connect-rate"
    source.tokens -= 1
    source.count++
    return null
  }

  leaveFrom(address: string): void {
    if (this.#isExempt(address)) return
    const source = this.#sources.get(sourceOf(address))
    if (source !== undefined) source.count--
  }

  /** How many addresses are remembered. */
  get sourceCount(): number {
    return this.#sources.size
  }

  #isExempt(address: string): boolean {
    return !this.#isLoopbackLimited && isLoopback(address)
  }

  #find(name: string, nowMs: number): Source {
    const { addressConnectsPerSecondMax: perSecond, addressConnectBurstMax: burst } = this.#limits
    const known = this.#sources.get(name)
    if (known !== undefined) {
      known.tokens = Math.min(burst, known.tokens + ((nowMs - known.atMs) / 1000) * perSecond)
      known.atMs = nowMs
      return known
    }
    if (this.#sources.size >= sourcesMax && nowMs - this.#sweptAtMs >= sweepMsMin) this.#sweep(nowMs)
    const source: Source = { count: 0, tokens: burst, atMs: nowMs }
    this.#sources.set(name, source)
    return source
  }

  #sweep(nowMs: number): void {
    this.#sweptAtMs = nowMs
    const { addressConnectsPerSecondMax: perSecond, addressConnectBurstMax: burst } = this.#limits
    for (const [name, source] of this.#sources) {
      const isFull = source.tokens + ((nowMs - source.atMs) / 1000) * perSecond >= burst
      if (source.count === 0 && isFull) this.#sources.delete(name)
    }
  }
}

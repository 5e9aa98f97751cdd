/**
 * Connects of one device beyond `perSecondMax` are delayed, never refused (FORMAT §5: a device reconnects
 * at most once a second, and the service delays only above 10). At most one connection of a device waits: the newest,
 * since a newer one takes an older one's place anyway [MQTT-3.1.4-2]. So a delay is at most 1 / perSecondMax seconds.
 */
export interface ReconnectsOptions {
  readonly perSecondMax: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
  /** Calls back once after a delay, and gives a function that prevents it. */
  readonly timer?: (delayMs: number, run: () => void) => () => void
  /** A connection waits. */
  readonly delayed?: () => void
}

interface Place {
  /** Connects take turns: when the next one would be due if none ever came early (the GCRA of ATM Forum TM 4.1). */
  dueMs: number
  waiting: { readonly enter: () => void; readonly leave: () => void; readonly cancel: () => void } | null
}

export class Reconnects {
  readonly #now: () => number
  readonly #timer: NonNullable<ReconnectsOptions["timer"]>
  readonly #delayed: () => void
  readonly #intervalMs: number
  readonly #aheadMsMax: number
  /** In order of their last connect; a place that is due in the past is as good as none. */
  readonly #places = new Map<string, Place>()

  constructor({ perSecondMax, now, timer, delayed }: ReconnectsOptions) {
    this.#now = now ?? (() => performance.now())
    this.#timer = timer ?? setTimer
    this.#delayed = delayed ?? (() => {})
    this.#intervalMs = 1_000 / perSecondMax
    this.#aheadMsMax = (perSecondMax - 1) * this.#intervalMs
  }

  /** Devices that are remembered: those that connected within about a second. */
  get size(): number {
    return this.#places.size
  }

  /**
   * Calls `enter` at once, or when it is this device's turn; or `leave`, where a newer connection of the device took
   * its place meanwhile. After `close` neither.
   */
  arrive(device: string, enter: () => void, leave: () => void): void {
    const nowMs = this.#now()
    this.#forget(nowMs)
    const place = this.#places.get(device) ?? { dueMs: nowMs, waiting: null }
    this.#places.delete(device)
    this.#places.set(device, place)
    const older = place.waiting
    if (older !== null) {
      place.waiting = { enter, leave, cancel: older.cancel }
      this.#delayed()
      older.leave()
      return
    }
    const delayMs = place.dueMs - this.#aheadMsMax - nowMs
    if (delayMs <= 0) {
      this.#take(place, nowMs)
      enter()
      return
    }
    const cancel = this.#timer(delayMs, () => {
      const { waiting } = place
      place.waiting = null
      this.#take(place, this.#now())
      waiting?.enter()
    })
    place.waiting = { enter, leave, cancel }
    this.#delayed()
  }

  /** Nobody who waits enters any more. */
  close(): void {
    for (const { waiting } of this.#places.values()) waiting?.cancel()
    this.#places.clear()
  }

  #take(place: Place, nowMs: number): void {
    place.dueMs = Math.max(place.dueMs, nowMs) + this.#intervalMs
  }

  /** Two per connect, so that the map cannot grow beyond the connects of about a second. */
  #forget(nowMs: number): void {
    let left = 2
    for (const [device, { dueMs, waiting }] of this.#places) {
      if (left === 0 || dueMs > nowMs || waiting !== null) return
      this.#places.delete(device)
      left -= 1
    }
  }
}

function setTimer(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs)
  return () => clearTimeout(timer)
}

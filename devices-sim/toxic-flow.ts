/** One direction of a connection on its way through the toxics that befall it, one stage behind the other. */
import type { Random } from "./random.ts"
import { type Toxic, type ToxicRule, isToxicOn } from "./toxic.ts"

/** What a stage may do to the whole connection. */
export interface FlowEnd {
  /** Both sides are closed. */
  close(): void
  /** Nothing gets through any more, in neither direction, and nobody is told. */
  silence(): void
}

/** Where bytes go on from a stage. */
interface Stage {
  push(bytes: Uint8Array): void
  end(): void
}

/** Time and chance of a flow. */
export interface FlowClock {
  readonly random: Random
  /** Ms of the run. */
  readonly now: () => number
  readonly timer: (delayMs: number, run: () => void) => () => void
}

/** The pieces in which a slow line carries bytes: as much as goes through in so long. */
const bandwidthPieceMs = 100

/**
 * The way through these toxics in the order of their rules. `reset_peer` and `timeout` are the connection's, since they
 * happen without a byte too; here `timeout` lets nothing through.
 */
export class Flow implements Stage {
  /** Bytes that are on the way. */
  pending = 0
  private readonly first: Stage
  private readonly waits: (() => void)[] = []
  private isEnding = false
  private isStopped = false

  constructor(rules: readonly ToxicRule[], clock: FlowClock, last: Stage, end: FlowEnd) {
    const leaving: Stage = {
      push: (bytes) => {
        this.pending -= bytes.length
        if (!this.isStopped) last.push(bytes)
      },
      end: () => {
        if (!this.isStopped) last.end()
      },
    }
    // From the last to the first, each with the next one.
    this.first = rules.reduceRight<Stage>((next, rule, index) => {
      const own = { ...clock, random: clock.random.fork(`toxic ${index}`) }
      return makeStage(rule, own, next, this, end)
    }, leaving)
  }

  push(bytes: Uint8Array): void {
    if (this.isStopped) return
    this.pending += bytes.length
    this.first.push(bytes)
  }

  /** Behind everything that is on the way. Once is enough. */
  end(): void {
    if (this.isStopped || this.isEnding) return
    this.isEnding = true
    this.first.end()
  }

  /** What a stage keeps for itself. */
  drop(count: number): void {
    this.pending -= count
  }

  keep(cancel: () => void): void {
    this.waits.push(cancel)
  }

  /** What is on the way is lost. */
  stop(): void {
    this.isStopped = true
    for (const cancel of this.waits) cancel()
  }
}

function makeStage(rule: ToxicRule, clock: FlowClock, next: Stage, flow: Flow, end: FlowEnd): Stage {
  const { toxic } = rule
  const isOn = (): boolean => isToxicOn(rule, clock.now())
  switch (toxic.kind) {
    case "latency":
      return new Line(clock, next, flow, (bytes) => [
        { bytes, takesMs: 0, delayMs: isOn() ? drawLatency(toxic, clock.random) : 0 },
      ])
    case "bandwidth":
      return new Line(clock, next, flow, (bytes) => {
        if (!isOn()) return [{ bytes, takesMs: 0, delayMs: 0 }]
        // A kilobyte a second is a byte a millisecond.
        const size = Math.max(1, Math.floor(toxic.rateKBps * bandwidthPieceMs))
        return cut(bytes, () => size).map((piece) => ({
          bytes: piece,
          takesMs: piece.length / toxic.rateKBps,
          delayMs: 0,
        }))
      })
    case "slicer":
      return new Line(clock, next, flow, (bytes) => {
        if (!isOn()) return [{ bytes, takesMs: 0, delayMs: 0 }]
        const pieces = cut(bytes, () => drawSize(toxic, clock.random))
        return pieces.map((piece, index) => ({
          bytes: piece,
          takesMs: index === 0 ? 0 : toxic.delayUs / 1000,
          delayMs: 0,
        }))
      })
    case "slow_close":
      return {
        push: (bytes) => next.push(bytes),
        end: () => flow.keep(clock.timer(isOn() ? toxic.delayMs : 0, () => next.end())),
      }
    case "limit_data":
      return limit(toxic.bytes, isOn, next, flow, () => end.close())
    case "silence":
      return limit(toxic.afterBytes, isOn, next, flow, () => end.silence())
    case "timeout":
      return {
        push: (bytes) => (isOn() ? flow.drop(bytes.length) : next.push(bytes)),
        end: () => next.end(),
      }
    default:
      return next
  }
}

interface Piece {
  readonly bytes: Uint8Array
  /** Before the next one may begin. */
  readonly takesMs: number
  /** In which others may be under way. */
  readonly delayMs: number
}

/** Carries bytes in their order, each not before the one ahead of it. */
class Line implements Stage {
  private readonly clock: FlowClock
  private readonly next: Stage
  private readonly flow: Flow
  private readonly pieces: (bytes: Uint8Array) => readonly Piece[]
  private freeAtMs = -Infinity
  private lastAtMs = -Infinity
  private readonly queue: { readonly atMs: number; readonly bytes: Uint8Array | null }[] = []
  private isWaiting = false

  constructor(clock: FlowClock, next: Stage, flow: Flow, pieces: (bytes: Uint8Array) => readonly Piece[]) {
    this.clock = clock
    this.next = next
    this.flow = flow
    this.pieces = pieces
  }

  push(bytes: Uint8Array): void {
    const nowMs = this.clock.now()
    for (const piece of this.pieces(bytes)) {
      this.freeAtMs = Math.max(this.freeAtMs, nowMs) + piece.takesMs
      this.lastAtMs = Math.max(this.lastAtMs, this.freeAtMs + piece.delayMs)
      this.queue.push({ atMs: this.lastAtMs, bytes: piece.bytes })
    }
    this.carry()
  }

  end(): void {
    this.queue.push({ atMs: this.lastAtMs, bytes: null })
    this.carry()
  }

  private carry(): void {
    if (this.isWaiting) return
    for (let head = this.queue[0]; head !== undefined; head = this.queue[0]) {
      const waitMs = head.atMs - this.clock.now()
      if (waitMs > 0) {
        this.isWaiting = true
        this.flow.keep(
          this.clock.timer(waitMs, () => {
            this.isWaiting = false
            this.carry()
          }),
        )
        return
      }
      this.queue.shift()
      if (head.bytes === null) this.next.end()
      else this.next.push(head.bytes)
    }
  }
}

/** Lets so many bytes through while the rule is on, then calls `reached`, once, and lets nothing more through. */
function limit(bytesMax: number, isOn: () => boolean, next: Stage, flow: Flow, reached: () => void): Stage {
  let left = bytesMax
  let isReached = false
  return {
    push: (bytes) => {
      if (isReached) {
        flow.drop(bytes.length)
        return
      }
      if (!isOn()) {
        next.push(bytes)
        return
      }
      const through = bytes.subarray(0, left)
      left -= through.length
      if (through.length > 0) next.push(through)
      flow.drop(bytes.length - through.length)
      if (left > 0) return
      isReached = true
      reached()
    },
    end: () => {
      if (!isReached) next.end()
    },
  }
}

function drawLatency({ latencyMs, jitterMs }: Toxic & { kind: "latency" }, random: Random): number {
  return Math.max(0, latencyMs + (2 * random.float() - 1) * jitterMs)
}

function drawSize(
  { averageSizeBytes, sizeVariationBytes }: Toxic & { kind: "slicer" },
  random: Random,
): number {
  return Math.max(1, Math.round(averageSizeBytes + (2 * random.float() - 1) * sizeVariationBytes))
}

function cut(bytes: Uint8Array, size: () => number): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + size())
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}

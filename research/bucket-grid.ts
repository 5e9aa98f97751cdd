/**
 * Where buckets begin and end. Every instant is in one bucket, and a bucket ends where the next one begins.
 *
 * In a time zone buckets follow the clock on the wall: a day of 23 or 25 hours is one bucket of 1d. Of the clock's changes:
 * - time that is put back by less than the width makes the bucket longer (1d: 25 h; 6h: 7 h);
 * - time that is put back by the width or more is run through again, in buckets of its own (1h: two that begin at 02:00);
 * - time that is skipped makes the bucket shorter, and one that is skipped whole does not exist (the day that Samoa skipped).
 */
import { type Shift, type Zone, dateSecondsMax } from "./zone.ts"

/** Unix seconds: startsAt <= time < endsAt. */
export interface Stretch {
  readonly startsAt: number
  readonly endsAt: number
}

export interface BucketGrid {
  readonly widthSeconds: number
  /** Null: UTC. */
  readonly zone: Zone | null
  stretchOf(time: number): Stretch
}

/** @param widthSeconds whole, at most a year; buckets are counted from 1970-01-01T00:00 on the zone's wall */
export function makeGrid(widthSeconds: number, zone: Zone | null): BucketGrid {
  let last: Stretch | null = null
  return {
    widthSeconds,
    zone,
    stretchOf: (time) => {
      if (last === null || !(time >= last.startsAt && time < last.endsAt))
        last = findStretch(time, widthSeconds, zone)
      return last
    },
  }
}

function findStretch(time: number, width: number, zone: Zone | null): Stretch {
  // What no date reaches has no place on a grid, and sums of such doubles may not move at all: an instant of its own.
  if (!(Math.abs(time) <= dateSecondsMax - 2 * reachOf(width)))
    return { startsAt: time, endsAt: nextDouble(time) }
  // Buckets begin at whole seconds, and of whole numbers the quotient is never rounded up to the next bucket.
  const second = Math.floor(time)
  if (zone !== null) return stretchOnWall(second, width, zone)
  const startsAt = Math.floor(second / width) * width
  return { startsAt, endsAt: startsAt + width }
}

/** How far from an instant its bucket may reach: no clock was ever put by more than a day. */
function reachOf(width: number): number {
  return width + 2 * 86_400
}

function stretchOnWall(time: number, width: number, zone: Zone): Stretch {
  const shift = zone.lastShift(time, time - reachOf(width))
  const offset = shift?.after ?? zone.offsetAt(time)
  const startsAt = startOf(time, offset, shift, width, zone)
  // Where the clock was put back by less than the width, the wall that was reached before counts until it is reached again.
  const wall =
    shift !== null && isLonger(shift, width) ? Math.max(time + offset, wallReached(shift)) : time + offset
  const end = (Math.floor(wall / width) + 1) * width
  return { startsAt, endsAt: endOf(time, offset, end, width, zone) }
}

/** Whether a bucket goes on over this change, and is longer by it. */
function isLonger({ before, after }: Shift, width: number): boolean {
  return before > after && before - after < width
}

/** The last second that the wall showed before the change. */
function wallReached({ at, before }: Shift): number {
  return at + before - 1
}

function startOf(time: number, offset: number, shift: Shift | null, width: number, zone: Zone): number {
  const beginning = Math.floor((time + offset) / width) * width
  if (shift === null) return beginning - offset
  const wallBefore = shift.at + shift.before
  const isPutBackFar = shift.before > shift.after && !isLonger(shift, width)
  if (isPutBackFar) return Math.max(shift.at, beginning - offset)
  // On this side of the change the wall has come to a beginning: at it, or where the change skipped it.
  if (beginning >= wallBefore) return Math.max(shift.at, beginning - offset)
  const before = shift.at - 1
  return startOf(before, shift.before, zone.lastShift(before, before - reachOf(width)), width, zone)
}

/** The first instant after `time` at which the wall shows `end` or later, or begins again. */
function endOf(time: number, offset: number, end: number, width: number, zone: Zone): number {
  const shift = zone.nextShift(time, time + reachOf(width))
  if (shift === null || end - offset < shift.at) return end - offset
  const isPutBack = shift.after < shift.before
  if (isPutBack ? !isLonger(shift, width) : shift.at + shift.after >= end) return shift.at
  return endOf(shift.at, shift.after, end, width, zone)
}

const double = new Float64Array(1)
const bits = new BigInt64Array(double.buffer)

/** The next larger double. */
function nextDouble(value: number): number {
  if (value === 0) return Number.MIN_VALUE
  double[0] = value
  bits[0]! += value > 0 ? 1n : -1n
  return double[0]
}

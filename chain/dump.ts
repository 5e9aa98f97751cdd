/**
 * CBOR line by line, each with its offset, its bytes and what they mean. It follows whatever has a structure, also what
 * breaks a rule of ours: which byte is wrong is for the strict decoders to say, and this only shows it.
 */

/** A part of the bytes. The lines of a dump are in order, do not overlap and leave nothing out. */
export interface DumpLine {
  readonly offset: number
  /** A view of what was dumped; of a map's member the key and the value, or the value's head. */
  readonly bytes: Uint8Array
  readonly depth: number
  readonly text: string
}

/** What is known about the item at a place: its name, what its value means, and what stands inside. */
export interface Shape {
  readonly name?: string
  /** The meaning, for people; null where there is nothing to add. */
  readonly says?: (value: DumpValue) => string | null
  readonly items?: (index: number) => Shape
  readonly members?: (key: number | string) => Shape
  /** Of a byte string: the shape of CBOR in it, or null where it is none. */
  readonly inside?: (content: Uint8Array) => Shape | null
}

/** A scalar; null for what has none (a container, an odd simple value). Integers beyond 2^53 are bigints. */
export type DumpValue = number | bigint | string | boolean | Uint8Array | null

const depthMax = 32
const utf8 = new TextDecoder("utf-8", { fatal: true })

export function dumpCbor(bytes: Uint8Array, shape: Shape): readonly DumpLine[] {
  const dump = new Dump(bytes)
  dump.whole(0, bytes.length, 0, shape)
  return dump.lines
}

interface Head {
  readonly major: number
  readonly low: number
  readonly argument: number | bigint
  /** Where the item's content begins. */
  readonly end: number
}

/** Where the structure cannot be followed any more. */
class Lost extends Error {
  readonly offset: number
  constructor(text: string, offset: number) {
    super(text)
    this.offset = offset
  }
}

class Dump {
  readonly lines: DumpLine[] = []
  private readonly bytes: Uint8Array
  private readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** One item from `start` to `end`, and what is left over. */
  whole(start: number, end: number, depth: number, shape: Shape): void {
    let at = start
    try {
      at = this.item(start, start, end, depth, shape, "")
      if (at < end) this.line(at, end, depth, `${count(end - at, "byte")} after the end`)
    } catch (error) {
      if (!(error instanceof Lost)) throw error
      const last = this.lines.at(-1)
      const from = last === undefined ? start : Math.max(start, last.offset + last.bytes.length)
      // What stands before the place is a key whose value is lost.
      if (error.offset > from) this.line(from, error.offset, depth, "a key, and then")
      this.line(error.offset, end, depth, `${error.message}; what follows is not read`)
    }
  }

  private line(offset: number, end: number, depth: number, text: string): void {
    this.lines.push({ offset, bytes: this.bytes.subarray(offset, end), depth, text })
  }

  /** The item at `at`; its line begins at `lineStart`, where its key stands. Gives where it ends. */
  private item(
    lineStart: number,
    at: number,
    end: number,
    depth: number,
    shape: Shape,
    before: string,
  ): number {
    if (depth > depthMax) throw new Lost("nested too deep", at)
    const head = this.head(at, end)
    const say = (to: number, form: string, value: DumpValue): void => {
      const meaning = shape.says?.(value) ?? null
      const named = shape.name === undefined ? "" : `${shape.name}: `
      this.line(lineStart, to, depth, `${named}${before}${meaning ?? form}`)
    }
    switch (head.major) {
      case 0:
      case 1: {
        const value = head.major === 0 ? head.argument : negate(head.argument)
        say(head.end, String(value), value)
        return head.end
      }
      case 2:
        return this.byteString(head, lineStart, end, depth, shape, before, say)
      case 3: {
        const to = this.contentEnd(head, at, end, "text")
        const text = readText(this.bytes.subarray(head.end, to))
        say(to, quote(text), text)
        return to
      }
      case 4: {
        say(head.end, `array of ${head.argument}`, null)
        let next = head.end
        for (let index = 0; index < head.argument; index++)
          next = this.item(next, next, end, depth + 1, shape.items?.(index) ?? {}, "")
        return next
      }
      case 5: {
        say(head.end, head.argument === 0 ? "an empty map" : `map of ${head.argument}`, null)
        let next = head.end
        for (let index = 0; index < head.argument; index++) next = this.member(next, end, depth + 1, shape)
        return next
      }
      case 6: {
        const tag = head.argument === 18 ? "tag 18 (COSE_Sign1), " : `tag ${head.argument}, `
        return this.item(lineStart, head.end, end, depth, shape, `${before}${tag}`)
      }
      default:
        return this.simple(head, at, end, say)
    }
  }

  private member(at: number, end: number, depth: number, map: Shape): number {
    const head = this.head(at, end)
    let key: number | string
    let next = head.end
    if (head.major <= 1 && typeof head.argument === "number")
      key = head.major === 0 ? head.argument : -1 - head.argument
    else if (head.major === 3) {
      next = this.contentEnd(head, at, end, "text")
      key = readText(this.bytes.subarray(head.end, next)) ?? "a text that is not UTF-8"
    } else {
      const after = this.item(at, at, end, depth, { name: "key" }, "")
      return this.item(after, after, end, depth, { name: "its value" }, "")
    }
    const shape = map.members?.(key) ?? {}
    // A key of ours is shown as it is.
    const shown = typeof key === "number" || /^[a-z]+$/.test(key) ? String(key) : quote(key)
    const name = shape.name === undefined ? shown : `${shown} ${shape.name}`
    return this.item(at, next, end, depth, { ...shape, name }, "")
  }

  private byteString(
    head: Head,
    lineStart: number,
    end: number,
    depth: number,
    shape: Shape,
    before: string,
    say: (to: number, form: string, value: DumpValue) => void,
  ): number {
    const to = this.contentEnd(head, lineStart, end, "byte string")
    const content = this.bytes.subarray(head.end, to)
    const inside = content.length === 0 ? null : (shape.inside?.(content) ?? null)
    if (inside === null) {
      say(to, `a byte string of ${content.length}`, content)
      return to
    }
    const named = shape.name === undefined ? "" : `${shape.name}: `
    this.line(lineStart, head.end, depth, `${named}${before}a byte string of ${content.length}`)
    this.whole(head.end, to, depth + 1, inside)
    return to
  }

  private simple(
    { low, argument, end: after }: Head,
    at: number,
    end: number,
    say: (to: number, form: string, value: DumpValue) => void,
  ): number {
    if (after > end) throw new Lost("the bytes end here", at)
    if (low >= 25 && low <= 27) {
      const value = low === 27 ? this.view.getFloat64(at + 1) : this.float(at, low)
      const shown = Object.is(value, -0) ? "-0" : String(value)
      say(after, `${shown}, a float of ${2 ** (low - 24)} bytes`, value)
    } else if (low === 20 || low === 21) say(after, String(low === 21), low === 21)
    else say(after, low === 22 ? "null" : `simple value ${argument}`, null)
    return after
  }

  private float(at: number, low: number): number {
    if (low === 26) return this.view.getFloat32(at + 1)
    const half = this.view.getUint16(at + 1)
    const exponent = (half >> 10) & 31
    const mantissa = half & 1023
    const special = mantissa === 0 ? Infinity : Number.NaN
    const finite = exponent === 0 ? mantissa * 2 ** -24 : (mantissa + 1024) * 2 ** (exponent - 25)
    return (exponent === 31 ? special : finite) * (half & 0x8000 ? -1 : 1)
  }

  private head(at: number, end: number): Head {
    if (at >= end) throw new Lost("the bytes end where an item was expected", at)
    const initial = this.bytes[at]!
    const [major, low] = [initial >> 5, initial & 31]
    if (low < 24) return { major, low, argument: low, end: at + 1 }
    if (low > 27) {
      if (low === 31) throw new Lost("a length without end", at)
      throw new Lost("a head that means nothing", at)
    }
    const size = 2 ** (low - 24)
    if (at + 1 + size > end) throw new Lost("the bytes end inside an item's head", at)
    const argument =
      size === 8
        ? this.view.getBigUint64(at + 1)
        : size === 4
          ? this.view.getUint32(at + 1)
          : size === 2
            ? this.view.getUint16(at + 1)
            : this.bytes[at + 1]!
    const isExact = typeof argument === "bigint" && argument <= BigInt(Number.MAX_SAFE_INTEGER)
    return { major, low, argument: isExact ? Number(argument) : argument, end: at + 1 + size }
  }

  private contentEnd({ argument, end: start }: Head, at: number, end: number, what: string): number {
    if (argument > end - start)
      throw new Lost(`a ${what} of ${argument} bytes, of which ${end - start} are here`, at)
    return start + Number(argument)
  }
}

/** Null where it is not UTF-8. */
function readText(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}

/** Quoted, so that no text passes for a number; what a terminal would not show is escaped. */
function quote(text: string | null): string {
  if (text === null) return "a text that is not UTF-8"
  return JSON.stringify(text).replaceAll(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, escape)
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
}

function negate(argument: number | bigint): number | bigint {
  return typeof argument === "number" ? -1 - argument : -1n - argument
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`
}

/** What a stream of bytes is in MQTT's terms (MQTT 3.1.1 §2.2), as far as whoever sends it must know what to wait for. */
export interface Frames {
  /** The stream ends inside a frame: the other side waits for the rest. */
  readonly isUnfinished: boolean
  /** A whole frame in it is a DISCONNECT: the sender hangs up by its own word. */
  readonly isLeaving: boolean
}

const disconnect = 14

export function readFrames(bytes: Uint8Array): Frames {
  let isLeaving = false
  let at = 0
  while (at < bytes.length) {
    const type = bytes[at]! >> 4
    let remaining = 0
    let size = 1
    for (; ; size++) {
      const byte = bytes[at + size]
      // A length of five bytes is malformed: the other side closes.
      if (size === 5) return { isUnfinished: false, isLeaving }
      if (byte === undefined) return { isUnfinished: true, isLeaving }
      remaining += (byte & 0x7f) << (7 * (size - 1))
      if (byte < 0x80) break
    }
    at += size + 1 + remaining
    if (at > bytes.length) return { isUnfinished: true, isLeaving }
    if (type === disconnect) isLeaving = true
  }
  return { isUnfinished: false, isLeaving }
}

/** The fixed header's bytes for a remaining length. */
export function encodeRemaining(remaining: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = remaining; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest > 127 ? (rest % 128) + 128 : rest)
    if (rest <= 127) return Uint8Array.from(bytes)
  }
}

/** The same frame, which says that its length is another. */
export function lieAboutLength(frame: Uint8Array, remaining: number): Uint8Array {
  let size = 1
  while ((frame[size] ?? 0) > 127) size++
  const body = frame.subarray(size + 1)
  const length = encodeRemaining(remaining)
  const lied = new Uint8Array(1 + length.length + body.length)
  lied[0] = frame[0] ?? 0
  lied.set(length, 1)
  lied.set(body, 1 + length.length)
  return lied
}

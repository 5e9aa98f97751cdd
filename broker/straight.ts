/** The way past aedes: a QoS 1 PUBLISH to the device's own topic, whole, needs nothing of what aedes would do with it. */
import type { FixedHeader } from "./frame.ts"

/** Where such messages go. */
export interface StraightWay {
  /** Of the device's statements, as it stands in a PUBLISH: with its two length bytes. */
  readonly topic: Uint8Array
  /** Called in order of arrival, with a view of the bytes that were read. Of the budget `bytes` are the callee's. */
  readonly take: (payload: Uint8Array, bytes: number, packetId: number) => void
}

/** An unfinished message of up to so many bytes is waited for, to go straight; a larger one goes through aedes in parts. */
export const straightSizeMax = 8 * 1024

/** QoS 1; DUP and RETAIN as they like, since neither means anything here (FORMAT §5). */
export function mayGoStraight({ firstByte }: FixedHeader): boolean {
  return (firstByte & 0xf6) === 0x32
}

export interface StraightPublish {
  /** Index of the payload's first byte. */
  readonly payloadAt: number
  readonly packetId: number
}

/** Reads the whole frame that begins at `at`; null where its topic is another or it has no packet id: aedes judges that. */
export function readStraight(
  bytes: Uint8Array,
  at: number,
  { size, remaining }: FixedHeader,
  topic: Uint8Array,
): StraightPublish | null {
  const start = at + size
  const idAt = start + topic.length
  if (idAt + 2 > start + remaining) return null
  for (let index = 0; index < topic.length; index++) {
    if (bytes[start + index] !== topic[index]) return null
  }
  const packetId = (bytes[idAt]! << 8) | bytes[idAt + 1]!
  // 0 is no packet id [MQTT-2.3.1-1].
  return packetId === 0 ? null : { payloadAt: idAt + 2, packetId }
}

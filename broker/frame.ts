/** MQTT control packet types in the upper half of the first byte (MQTT 3.1.1 §2.2.1). */
export const packetType = { connect: 1, publish: 3, subscribe: 8, pingreq: 12, disconnect: 14 } as const

/** The only first byte a CONNECT may have: its flags are reserved as 0 [MQTT-2.2.2-1]. */
export const connectFirstByte = 0x10

export interface FixedHeader {
  readonly firstByte: number
  /** Bytes of the fixed header itself, 2 to 5. */
  readonly size: number
  /** Bytes that follow: MQTT's remaining length. */
  readonly remaining: number
}

/**
 * The fixed header that starts at `at` (MQTT 3.1.1 §2.2): `short` if more bytes are needed to know, `malformed` if the
 * length has more than four bytes (§2.2.3).
 */
export function readFixedHeader(bytes: Uint8Array, at: number): FixedHeader | "short" | "malformed" {
  let remaining = 0
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + 1 + i]
    if (byte === undefined) return "short"
    remaining += (byte & 0x7f) << (7 * i)
    if (byte < 0x80) return { firstByte: bytes[at] ?? 0, size: 2 + i, remaining }
  }
  return "malformed"
}

export interface PublishShape {
  /** Topic and packet id, with the topic's two length bytes. */
  readonly variableSize: number
  readonly payloadSize: number
}

/** How a PUBLISH divides its remaining length (MQTT 3.1.1 §3.3.2); `short` and `malformed` as above. */
export function readPublishShape(
  bytes: Uint8Array,
  at: number,
  header: FixedHeader,
): PublishShape | "short" | "malformed" {
  const start = at + header.size
  const high = bytes[start]
  const low = bytes[start + 1]
  if (high === undefined || low === undefined) return "short"
  const variableSize = 2 + (high << 8) + low + ((header.firstByte & 0x06) === 0 ? 0 : 2)
  const payloadSize = header.remaining - variableSize
  if (payloadSize < 0) return "malformed"
  return start + variableSize > bytes.length ? "short" : { variableSize, payloadSize }
}

/** The same PUBLISH with an empty payload: topic and packet id are kept. */
export function emptyPublish(
  bytes: Uint8Array,
  at: number,
  header: FixedHeader,
  shape: PublishShape,
): Uint8Array {
  const length: number[] = []
  for (let rest = shape.variableSize; ; rest >>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    if (rest <= 0x7f) break
  }
  const start = at + header.size
  return Buffer.concat([
    Uint8Array.of(header.firstByte, ...length),
    bytes.subarray(start, start + shape.variableSize),
  ])
}

/**
 * The same SUBSCRIBE asking for QoS 0: receipts are sent at QoS 0 (FORMAT §5), and aedes grants what is asked.
 * What is malformed stays so, for the parser to judge.
 */
export function lowerRequestedQos(frame: Uint8Array, header: FixedHeader): Uint8Array {
  const lowered = Uint8Array.from(frame)
  let at = header.size + 2
  while (at + 1 < lowered.length) {
    at += 2 + ((lowered[at] ?? 0) << 8) + (lowered[at + 1] ?? 0)
    const qos = lowered[at]
    if (qos === 1 || qos === 2) lowered[at] = 0
    at += 1
  }
  return lowered
}

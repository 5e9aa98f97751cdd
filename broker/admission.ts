import type { RefusedReason } from "./counters.ts"
import { connectFirstByte, emptyPublish, packetType, readPublishShape } from "./frame.ts"
import type { FixedHeader } from "./frame.ts"
import { type BrokerLimits, controlSizeMax, statementSizeMax } from "./limits.ts"

/** How things stand on a connection when its next frame begins. */
export interface Traffic {
  connectSeen: boolean
  /** CONNACK went out. */
  isOpen: boolean
  /** The broker is closing. */
  isFinishing: boolean
  /** A DISCONNECT is held. */
  isLeaving: boolean
  /** Messages that went through and are not answered, and their bytes. */
  inFlight: number
  bytesInFlight: number
}

/** What else decides: all connections' bytes, and this one's buffers towards the peer and towards aedes. */
export interface Pressure {
  readonly isBudgetFull: boolean
  readonly isWriteBlocked: boolean
  readonly isReadBlocked: boolean
}

/** What the gate does about a frame. */
export type Admission =
  | { readonly kind: "pass" }
  | { readonly kind: "hold"; readonly until: "moved" | "budget" | "answered" }
  | { readonly kind: "short" } // more bytes are needed to know
  | { readonly kind: "pong" }
  | { readonly kind: "subscribe" } // the whole frame is here
  /** Pass `frame` in its place, once the last `skip` bytes of it were thrown away. */
  | { readonly kind: "discard"; readonly frame: Uint8Array; readonly skip: number }
  | { readonly kind: "refuse"; readonly reason: RefusedReason }

const pass = { kind: "pass" } as const
const hold = { kind: "hold", until: "moved" } as const
const short = { kind: "short" } as const
const malformed = { kind: "refuse", reason: "protocol" } as const

/** What a client may send behind its one CONNECT (MQTT 3.1.1 §2.2.1, [MQTT-3.1.0-2]). */
const clientTypes: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 8, 10, 12, 14])

/** Judges the frame that begins at `at`, by its fixed header (and, where it is a large PUBLISH, by its topic's length). */
export function judgeFrame(
  bytes: Uint8Array,
  at: number,
  header: FixedHeader | "short" | "malformed",
  limits: BrokerLimits,
  traffic: Traffic,
  pressure: Pressure,
): Admission {
  if (!traffic.connectSeen && bytes[at] !== connectFirstByte) return { kind: "refuse", reason: "not-mqtt" }
  if (header === "short") return short
  if (header === "malformed") return malformed
  const type = header.firstByte >> 4
  const sizeMax = type === packetType.publish ? limits.packetSizeMax : controlSizeMax
  if (header.remaining > sizeMax) return { kind: "refuse", reason: "packet-too-large" }
  if (!traffic.connectSeen) return pass
  if (!clientTypes.has(type)) return malformed
  if (!traffic.isOpen || traffic.isFinishing || pressure.isWriteBlocked) return hold
  switch (type) {
    case packetType.publish:
      if (traffic.inFlight >= limits.inFlightMax) return hold
      if (traffic.inFlight > 0 && traffic.bytesInFlight >= limits.connectionBytesInFlightMax) return hold
      if (pressure.isBudgetFull) return { kind: "hold", until: "budget" }
      return header.remaining <= statementSizeMax ? pass : judgeLarge(bytes, at, header)
    case packetType.subscribe: // it asks a question, so it is a message too
      if (traffic.inFlight >= limits.inFlightMax) return hold
      return at + header.size + header.remaining > bytes.length ? short : { kind: "subscribe" }
    case packetType.pingreq:
      return header.firstByte === packetType.pingreq << 4 && header.remaining === 0
        ? { kind: "pong" }
        : malformed
    case packetType.disconnect:
      return traffic.isLeaving || traffic.inFlight > 0 ? { kind: "hold", until: "answered" } : pass
    default:
      return pressure.isReadBlocked ? hold : pass
  }
}

/** A PUBLISH that may carry more than a statement may have: the topic's length tells. */
function judgeLarge(bytes: Uint8Array, at: number, header: FixedHeader): Admission {
  const shape = readPublishShape(bytes, at, header)
  if (shape === "short") return short
  if (shape === "malformed") return malformed
  if (shape.payloadSize <= statementSizeMax) return pass
  return { kind: "discard", frame: emptyPublish(bytes, at, header, shape), skip: shape.payloadSize }
}

/** A connection without sockets: what a device sends is judged in this process, in the order in which it was sent. */
import { FormatFault } from "../chain/cbor.ts"
import { decodeReceipt } from "../chain/receipt.ts"
import type { OpenLink } from "./connection.ts"
import type { VirtualClock } from "./scenario-clock.ts"

/** What judges, as the broker has it too. */
export interface VirtualPlace {
  submit(
    message:
      | { readonly kind: "statement"; readonly bytes: Uint8Array }
      | { readonly kind: "too-large"; readonly sizeBytes: number }
      | { readonly kind: "question" },
  ): Promise<
    | {
        readonly kind: "receipt"
        readonly receipt: Uint8Array
        readonly refused: boolean
        readonly closes?: true
      }
    | { readonly kind: "dropped" }
  >
  close(): void
}

/** FORMAT §1. */
const statementSizeMax = 65_535
/** FORMAT §5: above it a packet is not read, and the connection closes. */
const packetSizeMax = 256 * 1024

/**
 * As over MQTT: the receipt comes before the acknowledgement, a refusal closes the connection without one, and nothing
 * behind it is answered.
 *
 * @param openPlace opens a connection of a device at the judge
 */
export function makeVirtualLink(clock: VirtualClock, openPlace: (device: string) => VirtualPlace): OpenLink {
  return (deviceId, _service, _key, listener) => {
    const place = openPlace(deviceId)
    let isClosed = false
    const close = (reason: string | null): void => {
      if (isClosed) return
      isClosed = true
      place.close()
      listener.closed(reason)
    }
    const answer = async (
      message: Parameters<VirtualPlace["submit"]>[0],
      number: number | null,
    ): Promise<void> => {
      const given = await place.submit(message)
      if (isClosed) return
      if (given.kind === "dropped") {
        close("dropped")
        return
      }
      listener.receipt(given.receipt)
      if (given.refused || isFinal(given.receipt, number)) {
        close("refused")
        return
      }
      if (number !== null) listener.acknowledged(number)
      if (given.closes === true) close("its next key stands")
    }
    queueMicrotask(() => {
      if (!isClosed) listener.connected()
    })
    return {
      subscribe() {
        if (!isClosed) void clock.during(answer({ kind: "question" }, null))
      },
      publish(number, bytes) {
        if (isClosed) return
        if (bytes.length > packetSizeMax) {
          queueMicrotask(() => close("a packet too large"))
          return
        }
        const message =
          bytes.length > statementSizeMax
            ? ({ kind: "too-large", sizeBytes: bytes.length } as const)
            : ({ kind: "statement", bytes } as const)
        void clock.during(answer(message, number))
      },
      // Bytes that are no MQTT: a broker closes.
      write: () => close("no MQTT"),
      end: () => Promise.resolve(close(null)),
      cut: () => close(null),
    }
  }
}

/** Of a question: an unknown, revoked or suspended device is told so, and the connection closes. */
function isFinal(receipt: Uint8Array, number: number | null): boolean {
  if (number !== null) return false
  try {
    return decodeReceipt(receipt).code !== 0
  } catch (error) {
    if (error instanceof FormatFault) return false
    throw error
  }
}

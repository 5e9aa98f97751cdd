import { generate } from "mqtt-packet"
import { receiptsTopic, sealedTopic } from "./topic.ts"

/** The smallest read buffer in use among clients (FORMAT §5). */
export const receiptPacketSizeMax = 128

/**
 * The PUBLISH (QoS 0) that carries `receipt` to its device.
 *
 * @throws RangeError if the packet would be over 128 bytes: the receipt is ours, so that is our mistake
 */
export function encodeReceiptPacket(deviceId: string, receipt: Uint8Array): Uint8Array {
  const packet = encodePacket(receiptsTopic(deviceId), receipt)
  if (packet.length > receiptPacketSizeMax) {
    throw new RangeError(
      `receipt packet for device ${deviceId}: ${packet.length} bytes, at most ${receiptPacketSizeMax}`,
    )
  }
  return packet
}

/** The PUBLISH (QoS 0) that carries the answer to a device that asked for a sealed receipt: it has a buffer for it. */
export function encodeSealedPacket(deviceId: string, answer: Uint8Array): Uint8Array {
  return encodePacket(sealedTopic(deviceId), answer)
}

function encodePacket(topic: string, payload: Uint8Array): Uint8Array {
  return generate({
    cmd: "publish",
    topic,
    payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
    qos: 0,
    dup: false,
    retain: false,
  })
}

import { generate } from "mqtt-packet"
import { receiptsTopic } from "./topic.ts"

/** The smallest read buffer in use among clients (PROTOCOL §5). */
export const receiptPacketSizeMax = 128

/**
 * The PUBLISH (QoS 0) that carries `receipt` to its device.
 *
 * @throws RangeError if the packet would be over 128 bytes: the receipt is ours, so that is our mistake
 */
export function encodeReceiptPacket(deviceId: string, receipt: Uint8Array): Uint8Array {
  const packet = generate({
    cmd: "publish",
    topic: receiptsTopic(deviceId),
    payload: Buffer.from(receipt.buffer, receipt.byteOffset, receipt.byteLength),
    qos: 0,
    dup: false,
    retain: false,
  })
  if (packet.length > receiptPacketSizeMax) {
    throw new RangeError(
      `receipt packet for device ${deviceId}: ${packet.length} bytes, at most ${receiptPacketSizeMax}`,
    )
  }
  return packet
}

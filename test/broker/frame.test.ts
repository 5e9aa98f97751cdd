import * as fc from "fast-check"
import { generate, parser, type Packet, type QoS } from "mqtt-packet"
import { expect, test } from "vitest"
import {
  emptyPublish,
  lowerRequestedQos,
  readFixedHeader,
  readPublishShape,
  type FixedHeader,
} from "../../broker/frame.ts"

function headerOf(frame: Uint8Array): FixedHeader {
  const header = readFixedHeader(frame, 0)
  if (header === "short" || header === "malformed") throw new Error(header)
  return header
}

function parsed(frame: Uint8Array): Packet[] {
  const packets: Packet[] = []
  const incoming = parser()
  incoming.on("packet", (packet: Packet) => packets.push(packet))
  incoming.parse(Buffer.from(frame))
  return packets
}

test("a fixed header is read from two to five bytes, and more than four length bytes are malformed", () => {
  expect(readFixedHeader(Uint8Array.of(0xc0, 0), 0)).toEqual({ firstByte: 0xc0, size: 2, remaining: 0 })
  expect(readFixedHeader(Uint8Array.of(0x30, 0x7f), 0)).toEqual({ firstByte: 0x30, size: 2, remaining: 127 })
  expect(readFixedHeader(Uint8Array.of(9, 0x30, 0x80, 1), 1)).toEqual({
    firstByte: 0x30,
    size: 3,
    remaining: 128,
  })
  const largest = Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f)
  expect(readFixedHeader(largest, 0)).toEqual({ firstByte: 0x30, size: 5, remaining: 268_435_455 })
  for (let size = 0; size < 5; size++) expect(readFixedHeader(largest.subarray(0, size), 0)).toBe("short")
  expect(readFixedHeader(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff), 0)).toBe("malformed")
})

test("an emptied PUBLISH is the same PUBLISH without its payload", () => {
  const publish = fc.record({
    topic: fc.string({ minLength: 1, maxLength: 300 }),
    size: fc.integer({ min: 0, max: 3_000 }),
    qos: fc.constantFrom<QoS>(0, 1, 2),
    messageId: fc.integer({ min: 1, max: 65_535 }),
    dup: fc.boolean(),
  })
  fc.assert(
    fc.property(publish, ({ topic, size, qos, messageId, dup }) => {
      const frame = generate({
        cmd: "publish",
        topic,
        payload: Buffer.alloc(size),
        qos,
        messageId,
        dup,
        retain: false,
      })
      const header = headerOf(frame)
      const shape = readPublishShape(frame, 0, header)
      if (shape === "short" || shape === "malformed") throw new Error(shape)
      expect(shape.payloadSize).toBe(size)
      expect(header.size + shape.variableSize + shape.payloadSize).toBe(frame.length)
      const [whole] = parsed(frame)
      const [empty] = parsed(emptyPublish(frame, 0, header, shape))
      expect(empty).toEqual({ ...whole, payload: Buffer.alloc(0), length: shape.variableSize })
    }),
  )
})

test("a PUBLISH whose topic is not all there is short, and one whose topic is longer than itself is malformed", () => {
  const frame = generate({
    cmd: "publish",
    topic: "abc",
    payload: Buffer.alloc(9),
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  })
  const header = headerOf(frame)
  for (let size = header.size; size < header.size + 7; size++) {
    expect(readPublishShape(frame.subarray(0, size), 0, header)).toBe("short")
  }
  expect(
    readPublishShape(Uint8Array.of(0x30, 4, 0, 3, 0x61, 0x62), 0, { firstByte: 0x30, size: 2, remaining: 4 }),
  ).toBe("malformed")
})

test("a SUBSCRIBE asks for QoS 0 whatever it asked for, and what is malformed in it stays", () => {
  const subscriptions = fc.array(
    fc.record({ topic: fc.string({ minLength: 1, maxLength: 40 }), qos: fc.constantFrom<QoS>(0, 1, 2) }),
    { minLength: 1, maxLength: 10 },
  )
  fc.assert(
    fc.property(subscriptions, (asked) => {
      const frame = generate({ cmd: "subscribe", messageId: 7, subscriptions: asked })
      const lowered = lowerRequestedQos(frame, headerOf(frame))
      const expected = generate({
        cmd: "subscribe",
        messageId: 7,
        subscriptions: asked.map((each) => ({ ...each, qos: 0 })),
      })
      expect(Buffer.from(lowered)).toEqual(expected)
    }),
  )
  const malformed = Uint8Array.of(0x82, 6, 0, 1, 0, 1, 0x61, 3)
  expect(lowerRequestedQos(malformed, headerOf(malformed))).toEqual(malformed)
})

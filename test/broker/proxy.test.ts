import { connect as connectTls } from "node:tls"
import { generate } from "mqtt-packet"
import { expect, test } from "vitest"
import { headers, malformed } from "./proxy-bytes.ts"
import { acceptAll, ScriptedSubmit } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"
import { everyTransport, openSocket, portOf, serverCertificate } from "./transports.ts"

const proxied = { ...everyTransport, isProxied: true }
const connectPacket = generate({
  cmd: "connect",
  protocolId: "MQTT",
  protocolVersion: 4,
  clean: true,
  keepalive: 0,
  clientId: "k7",
})
const disconnectPacket = generate({ cmd: "disconnect" })
const connack = "20020000"
const small = ["v1 TCP4", "v1 UNKNOWN", "v2 TCP4", "v2 TCP6", "v2 LOCAL"]

/** Writes the parts, each in a segment of its own as far as the kernel lets it be; gives all that came back. */
async function converse(port: number, parts: readonly Uint8Array[]): Promise<string> {
  const { socket, closed } = await openSocket(port)
  const answer: Buffer[] = []
  socket.on("data", (chunk) => answer.push(chunk))
  for (const part of parts) await new Promise((resolve) => socket.write(part, () => setImmediate(resolve)))
  await closed
  return Buffer.concat(answer).toString("hex")
}

test.each(small)("%s in front of MQTT, cut at every byte", async (name) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, proxied)
  const whole = Buffer.concat([headers[name]!.bytes, connectPacket, disconnectPacket])
  for (let cut = 1; cut < whole.length; cut++) {
    const answer = await converse(portOf(stand, "mqtt"), [whole.subarray(0, cut), whole.subarray(cut)])
    expect({ cut, answer }).toEqual({ cut, answer: connack })
  }
  const bytes = [...whole].map((byte) => Uint8Array.of(byte))
  expect(await converse(portOf(stand, "mqtt"), bytes)).toBe(connack)
  expect(await converse(portOf(stand, "mqtt"), [whole])).toBe(connack)
  expect(stand.refusals).toEqual([])
})

test.each(small)("%s in front of a WebSocket, cut at every byte", async (name) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, proxied)
  const upgrade = `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`
  // Masked by zeros: a close frame and nothing before it.
  const whole = Buffer.concat([
    headers[name]!.bytes,
    Buffer.from(upgrade),
    Buffer.from("888000000000", "hex"),
  ])
  for (let cut = 1; cut < whole.length; cut += cut < headers[name]!.bytes.length + 3 ? 1 : 17) {
    const answer = await converse(portOf(stand, "ws"), [whole.subarray(0, cut), whole.subarray(cut)])
    expect(Buffer.from(answer, "hex").toString("latin1")).toMatch(/^HTTP\/1\.1 101 /)
  }
  expect(stand.refusals).toEqual([])
})

test.each(small)("%s in front of TLS, cut at every byte of the header", async (name) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, proxied)
  const { bytes } = headers[name]!
  for (let cut = 1; cut <= bytes.length; cut++) {
    const { socket } = await openSocket(portOf(stand, "mqtts"))
    socket.pause()
    await new Promise((resolve) => socket.write(bytes.subarray(0, cut), () => setImmediate(resolve)))
    // In one segment with the first bytes of the handshake, as far as the kernel does so.
    socket.cork()
    if (cut < bytes.length) socket.write(bytes.subarray(cut))
    const secure = connectTls({ socket, host: "127.0.0.1", ca: serverCertificate.pem })
    secure.on("error", () => {})
    secure.once("secureConnect", () => secure.write(Buffer.concat([connectPacket, disconnectPacket])))
    socket.uncork()
    const answer: Buffer[] = []
    secure.on("data", (chunk: Buffer) => answer.push(chunk))
    await new Promise((resolve) => secure.once("close", resolve))
    expect({ cut, answer: Buffer.concat(answer).toString("hex") }).toEqual({ cut, answer: connack })
  }
  expect(stand.refusals).toEqual([])
})

test.each(Object.entries(malformed))("%s closes the connection and is counted", async (_name, bytes) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, proxied)
  for (const parts of [[bytes], [...bytes].map((byte) => Uint8Array.of(byte))]) {
    expect(await converse(portOf(stand, "mqtt"), parts)).toBe("")
  }
  expect(stand.refusals).toEqual(["proxy-header", "proxy-header"])
  expect(stand.count.connected).toBe(0)
})

test("a header that does not come to its end is closed after the connect timeout", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), { connectMsMax: 150 }, proxied)
  const { socket, closed } = await openSocket(portOf(stand, "mqtt"))
  socket.write("PROXY TCP4 192.0.2.7")
  await closed
  expect(stand.refusals).toEqual(["connect-timeout"])
})

test("a header that ends in the middle is malformed; a balancer that only looks whether we are there is not", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, proxied)
  const looking = await openSocket(portOf(stand, "mqtt"))
  looking.socket.end()
  await looking.closed
  expect(stand.refusals).toEqual([])
  const cut = await openSocket(portOf(stand, "mqtt"))
  cut.socket.end("PROXY TCP4 192.0.2.7")
  await cut.closed
  expect(stand.refusals).toEqual(["proxy-header"])
})

test("behind a proxy the limits by address are about the header's address, and without the flag about the socket's", async () => {
  const limits = { connectionsPerAddressMax: 2 }
  const stand = await standBroker(new ScriptedSubmit(acceptAll), limits, proxied)
  const open = async (address: string) => {
    const opened = await openSocket(portOf(stand, "mqtt"))
    opened.socket.write(`PROXY TCP4 ${address} 198.51.100.1 1 1883\r\n`)
    return opened
  }
  const first = await open("192.0.2.7")
  await open("192.0.2.7")
  await (
    await open("192.0.2.7")
  ).closed
  expect(stand.refusals).toEqual(["too-many-from-address"])
  const other = await open("192.0.2.8")
  other.socket.write(Buffer.concat([connectPacket, disconnectPacket]))
  await other.closed
  expect(stand.count.connected).toBe(1)
  first.socket.destroy()
  await first.closed
  expect(stand.refusals).toEqual(["too-many-from-address"])

  const plain = await standBroker(new ScriptedSubmit(acceptAll), limits)
  const spoofed = await openSocket(plain.port)
  spoofed.socket.write("PROXY TCP4 192.0.2.7 198.51.100.1 1 1883\r\n")
  await spoofed.closed
  expect(plain.refusals).toEqual(["not-mqtt"])
})

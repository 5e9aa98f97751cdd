import { type IClientOptions, connectAsync } from "mqtt"
import { generate } from "mqtt-packet"
import { expect, test } from "vitest"
import { WebSocket } from "ws"
import { startBroker } from "../../broker/broker.ts"
import { type Transport, transports } from "../../broker/transport.ts"
import { makeServerCertificate } from "./certificate.ts"
import { acceptAll, ScriptedSubmit } from "./scripted-submit.ts"
import { type Stand, standBroker } from "./stand.ts"
import { everyTransport, openSocket, openTls, portOf, serverCertificate, tlsOf, urlOf } from "./transports.ts"

const stock: IClientOptions = { clientId: "k7", reconnectPeriod: 0, ca: serverCertificate.pem }
const connectPacket = generate({
  cmd: "connect",
  protocolId: "MQTT",
  protocolVersion: 4,
  clean: true,
  keepalive: 0,
  clientId: "k7",
})
const pingPacket = generate({ cmd: "pingreq" })

test.each(transports)("mqtt.js publishes over %s, hears its receipts, and leaves", async (transport) => {
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit, {}, everyTransport)
  const client = await connectAsync(urlOf(stand, transport), stock)
  const receipts: Uint8Array[] = []
  client.on("message", (_topic, payload) => receipts.push(payload))
  await client.subscribeAsync("v1/k7/receipts")
  const statement = Buffer.alloc(60_000, 7)
  await Promise.all(
    Array.from({ length: 150 }, () => client.publishAsync("v1/k7/statements", statement, { qos: 1 })),
  )
  expect(receipts.length).toBe(151)
  await client.endAsync()
  await stand.until(() => stand.count.disconnected === 1)
  expect(stand.refusals).toEqual([])
})

test.each(transports)(
  "over %s a refused statement's receipt arrives, and then the end",
  async (transport) => {
    const submit = new ScriptedSubmit(() => ({
      kind: "receipt",
      code: 20,
      receipt: Uint8Array.of(20),
      refused: true,
    }))
    const stand = await standBroker(submit, {}, everyTransport)
    const client = await connectAsync(urlOf(stand, transport), stock)
    const receipts: Uint8Array[] = []
    client.on("message", (_topic, payload) => receipts.push(new Uint8Array(payload)))
    const ended = new Promise<void>((resolve) => client.once("close", () => resolve()))
    const published = client
      .publishAsync("v1/k7/statements", "one", { qos: 1 })
      .catch(() => "not acknowledged")
    await ended
    expect(receipts).toEqual([Uint8Array.of(20)])
    await client.endAsync(true)
    expect(await published).toBe("not acknowledged")
  },
)

test.each(transports)("over %s a packet that declares too much is closed, and counted", async (transport) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const client = await connectAsync(urlOf(stand, transport), stock)
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()))
  client.publish("v1/k7/statements", Buffer.alloc(400_000), { qos: 1 }, () => {})
  await closed
  expect(stand.refusals).toEqual(["packet-too-large"])
  await client.endAsync(true)
})

test.each(transports)("over %s who says nothing is closed after the connect timeout", async (transport) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), { connectMsMax: 150 }, everyTransport)
  const { closed } = await openSocket(portOf(stand, transport))
  await closed
  expect(stand.refusals).toEqual(["connect-timeout"])
})

test.each(transports)("over %s who opens and closes without a word is not counted", async (transport) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const { socket, closed } = await openSocket(portOf(stand, transport))
  socket.end()
  await closed
  const client = await connectAsync(urlOf(stand, transport), stock)
  expect(stand.refusals).toEqual([])
  await client.endAsync()
})

test("connections in all are counted over all listeners together", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), { connectionsMax: 3 }, everyTransport)
  for (const transport of ["mqtt", "ws", "mqtts"] as const) await openSocket(portOf(stand, transport))
  const { closed } = await openSocket(portOf(stand, "wss"))
  await closed
  expect(stand.refusals).toEqual(["too-many-connections"])
})

test("a TLS handshake that drips is closed in time, while others are served", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), { tlsHandshakeMsMax: 400 }, everyTransport)
  const { socket, closed } = await openSocket(portOf(stand, "mqtts"))
  // The beginning of a record that promises 512 bytes, then a byte now and then.
  socket.write(Buffer.from("1603010200010001fc0303", "hex"))
  const drip = setInterval(() => socket.write(Buffer.of(0)), 50)
  const client = await connectAsync(urlOf(stand, "mqtts"), stock)
  await client.publishAsync("v1/k7/statements", "one", { qos: 1 })
  await closed
  clearInterval(drip)
  expect(stand.refusals).toEqual(["tls-timeout"])
  await client.publishAsync("v1/k7/statements", "two", { qos: 1 })
  await client.endAsync()
})

test.each(["mqtts", "wss"] as const)("MQTT in the clear to %s is a TLS fault", async (transport) => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const { socket, closed } = await openSocket(portOf(stand, transport))
  socket.write(connectPacket)
  await closed
  expect(stand.refusals).toEqual(["tls"])
})

test("TLS before 1.2 is not spoken", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const old = openTls(portOf(stand, "mqtts"), {
    maxVersion: "TLSv1.1",
    minVersion: "TLSv1.1",
    ciphers: "ALL@SECLEVEL=0",
  })
  await expect(old).rejects.toThrow(/alert|version/i)
})

test("a new certificate is for new connections; old ones stay, and a pair that does not fit changes nothing", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const old = await connectAsync(urlOf(stand, "mqtts"), stock)
  const next = makeServerCertificate()
  expect(() => stand.broker.setTls({ ...tlsOf(next), key: Buffer.from(serverCertificate.keyPem) })).toThrow(
    /key values mismatch/,
  )
  const before = await openTls(portOf(stand, "wss"))
  expect(before.getPeerX509Certificate()?.raw).toEqual(Buffer.from(serverCertificate.der))
  stand.broker.setTls(tlsOf(next))
  for (const transport of ["mqtts", "wss"] as const) {
    const socket = await openTls(portOf(stand, transport), { ca: next.pem })
    expect(socket.getPeerX509Certificate()?.raw).toEqual(Buffer.from(next.der))
    socket.destroy()
  }
  before.destroy()
  await old.publishAsync("v1/k7/statements", "one", { qos: 1 })
  await old.endAsync()
})

test("with CAs of its own, a listener takes only clients with a certificate of these", async () => {
  const ca = makeServerCertificate({ commonName: "Fleet CA", isCa: true, purposes: [2] })
  const device = makeServerCertificate({ commonName: "k7", issuer: ca, purposes: [2] })
  const tls = { ...tlsOf(serverCertificate), ca: Buffer.from(ca.pem) }
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, { ...everyTransport, tls })
  await expect(connectAsync(urlOf(stand, "mqtts"), stock)).rejects.toThrow(/alert|closed|reset/i)
  expect(stand.count.connected).toBe(0)
  await stand.until(() => stand.refusals.includes("tls"))
  const client = await connectAsync(urlOf(stand, "mqtts"), { ...stock, cert: device.pem, key: device.keyPem })
  await client.endAsync()
})

const websocketOf = (port: number, protocols: string[] = ["mqtt"]): WebSocket =>
  new WebSocket(`ws://127.0.0.1:${port}/mqtt`, protocols)

test("a WebSocket without the subprotocol mqtt is refused", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  for (const protocols of [[], ["mqttv3.1"], ["chat", "soap"]]) {
    const socket = websocketOf(portOf(stand, "ws"), protocols)
    await expect(
      new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)),
    ).rejects.toThrow("400")
  }
  expect(stand.refusals).toEqual(["websocket", "websocket", "websocket"])
})

test("HTTP that is no upgrade is told so, and what is no HTTP too", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  expect((await fetch(`http://127.0.0.1:${portOf(stand, "ws")}/mqtt`)).status).toBe(426)
  for (const text of ["not http at all\r\n\r\n", `GET / HTTP/1.1\r\nX: ${"x".repeat(9_000)}\r\n\r\n`]) {
    const { socket, closed } = await openSocket(portOf(stand, "ws"))
    socket.write(text)
    await closed
  }
  const upgrade =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
  const { socket, closed } = await openSocket(portOf(stand, "ws"))
  socket.write(upgrade) // without a key
  await closed
  expect(stand.refusals).toEqual(["websocket", "websocket", "websocket", "websocket"])
})

test("packets may share a WebSocket message, or be cut anywhere; text is refused", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const socket = websocketOf(portOf(stand, "ws"))
  const answers: Buffer[] = []
  const heard = (size: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (Buffer.concat(answers).length >= size) resolve()
      }
      socket.on("message", look)
      look()
    })
  socket.on("message", (bytes: Buffer) => answers.push(bytes))
  await new Promise((resolve) => socket.once("open", resolve))
  expect(socket.protocol).toBe("mqtt")
  const all = Buffer.concat([connectPacket, pingPacket, pingPacket])
  socket.send(all.subarray(0, 5))
  for (const byte of all.subarray(5, 12)) socket.send(Buffer.of(byte))
  socket.send(all.subarray(12))
  await heard(8)
  expect(Buffer.concat(answers).toString("hex")).toBe("20020000d000d000")
  const closed = new Promise((resolve) => socket.once("close", resolve))
  socket.send(pingPacket.toString("latin1"))
  await closed
  expect(Buffer.concat(answers).length).toBe(8)
  expect(stand.refusals).toEqual(["websocket"])
})

test("compression is not offered to those who ask for it", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const socket = new WebSocket(urlOf(stand, "ws"), ["mqtt"], { perMessageDeflate: true })
  await new Promise((resolve) => socket.once("open", resolve))
  expect(socket.extensions).toBe("")
  socket.terminate()
})

test("outside loopback plaintext and anonymous devices are refused unless they are allowed by name", async () => {
  const submit = new ScriptedSubmit(acceptAll)
  const login = { judge: () => Promise.resolve({ kind: "accepted" } as const), isRequired: true }
  const plain = [{ transport: "mqtt", host: "0.0.0.0", port: 0 }] as const
  const secure = [{ transport: "mqtts", host: "0.0.0.0", port: 0 }] as const
  const tls = tlsOf(serverCertificate)
  await expect(startBroker({ submit, listeners: plain, login })).rejects.toThrow("has no TLS")
  await expect(startBroker({ submit, listeners: secure, tls })).rejects.toThrow("demands no login")
  await expect(
    startBroker({ submit, listeners: secure, tls, login: { ...login, isRequired: false } }),
  ).rejects.toThrow("demands no login")
  await expect(startBroker({ submit, listeners: plain, isPlaintextAllowed: true })).rejects.toThrow(
    "demands no login",
  )
  await expect(startBroker({ submit, listeners: secure, login })).rejects.toThrow("needs a certificate")
  for (const allowed of [
    await startBroker({ submit, listeners: secure, tls, login }),
    await startBroker({ submit, listeners: plain, isPlaintextAllowed: true, isAnonymousAllowed: true }),
  ])
    await allowed.close()
})

test("closing ends those who have not come to the gate yet", async () => {
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, everyTransport)
  const early = await Promise.all(transports.map((transport) => openSocket(portOf(stand, transport))))
  await stand.broker.close()
  await Promise.all(early.map(({ closed }) => closed))
  expect(stand.refusals).toEqual([])
})

/** How an upgrade that a browser asks for from a page of `origin` ends; `host` is the name that it asks for. */
function upgradeFrom(
  stand: Stand,
  transport: Transport,
  origin: string | undefined,
  host?: string,
): Promise<string> {
  const socket = new WebSocket(urlOf(stand, transport), "mqtt", {
    ca: serverCertificate.pem,
    ...(origin === undefined ? {} : { origin }),
    ...(host === undefined ? {} : { headers: { host } }),
  })
  return new Promise((resolve) => {
    socket.on("open", () => {
      socket.close()
      resolve("open")
    })
    socket.on("unexpected-response", (_request, response) => {
      resolve(String(response.statusCode))
      response.destroy()
    })
    socket.on("error", () => {})
  })
}

test.each(["ws", "wss"] as const)(
  "field S9: over %s a web page connects only if it was named or is of this address",
  async (transport) => {
    const named = { ...everyTransport, webOrigins: ["https://app.example.org", "null"] }
    const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, named)
    const own = new URL(urlOf(stand, transport)).host
    const upgrade = (origin: string | undefined, host?: string) => upgradeFrom(stand, transport, origin, host)
    expect(await upgrade(undefined)).toBe("open")
    expect(await upgrade(`http://${own}`)).toBe("open")
    expect(await upgrade(`https://${own}`)).toBe("open")
    expect(await upgrade("https://app.example.org")).toBe("open")
    expect(await upgrade("null")).toBe("open")
    expect(stand.refusals).toEqual([])
    const foreign = [
      "https://evil.example",
      "https://app.example.org:8443",
      "http://app.example.org",
      "https://app.example.org.evil.example",
      "http://127.0.0.1",
      "http://127.0.0.1:1",
      "not an origin",
    ]
    for (const origin of foreign) expect([origin, await upgrade(origin)]).toEqual([origin, "403"])
    // A name of the web that was pointed at this machine.
    expect(await upgrade("http://evil.example:8083", "evil.example:8083")).toBe("403")
    expect(stand.refusals).toEqual([...foreign, ""].map(() => "websocket-origin"))
    expect(stand.events.find(({ kind }) => kind === "refused-connection")).toMatchObject({
      reason: "websocket-origin",
      detail:
        'a web page of "https://evil.example" may not connect: name it with --ws-origin if it is meant to',
    })
  },
)

import { once } from "node:events"
import { networkInterfaces } from "node:os"
import { type AddressInfo, type Socket, createServer } from "node:net"
import { type Packet, generate, parser } from "mqtt-packet"
import { expect, onTestFinished, test, vi } from "vitest"
import { startBroker } from "../../broker/broker.ts"
import { transports } from "../../broker/transport.ts"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import {
  Device,
  type LinkFailure,
  type Service,
  makeSigner,
  signNatively,
} from "../../devices-sim/connection.ts"
import { openLink } from "../../devices-sim/connection-mqtt.ts"
import { openWireLink } from "../../devices-sim/connection-wire.ts"
import { makeServerCertificate } from "../broker/certificate.ts"
import { everyTransport, serverCertificate, tlsOf } from "../broker/transports.ts"
import { ModelService } from "./device-service.ts"
import { hurried } from "./fleet-stand.ts"

const key = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(5))
const signer = makeSigner(key, signNatively)

test("a device by frames says what it has to over TCP, TLS, and by mqtt.js over WebSocket", async () => {
  const service = new ModelService(Date.UTC(2027, 0, 1))
  service.enrol("k7", key.publicKey)
  const broker = await startBroker({ submit: service, ...everyTransport })
  onTestFinished(() => broker.close())
  for (const { transport, port } of broker.listeners) {
    const before = service.headOf("k7").seq
    const at: Service = {
      url: `${transport}://127.0.0.1:${port}${transport.startsWith("ws") ? "/mqtt" : ""}`,
      ca: serverCertificate.pem,
    }
    const device = new Device({
      id: "k7",
      signer,
      service: at,
      rules: hurried,
      log: null,
      openLink: openWireLink,
    })
    await device.start()
    const said = Array.from({ length: 110 }, (_, index) =>
      device.publish({ content: "text/plain", payload: encodeUtf8(`${index}`) }),
    )
    const ends = await Promise.all(said)
    await device.stop()
    expect([transport, new Set(ends.map(({ kind }) => kind))]).toEqual([transport, new Set(["stored"])])
    expect(service.headOf("k7").seq).toBe(before + 110)
    expect(device.counters).toMatchObject({ sent: 110, acknowledged: 110, reconnects: 0 })
  }
})

test("field D13: the kit connects over every transport to an IPv6 address", async () => {
  const service = new ModelService(Date.UTC(2027, 0, 1))
  service.enrol("k7", key.publicKey)
  const certificate = makeServerCertificate()
  const isThere = networkInterfaces()["lo"]?.some(({ address }) => address === "::1") === true
  const host = isThere ? "::1" : "127.0.0.1"
  // A machine without IPv6 has nobody to connect to, which is another error than a URL that cannot be read.
  const nobody = { kind: "error", code: expect.stringMatching(/^E/), message: expect.anything() }
  const expected = isThere ? "connected" : nobody
  const listeners = transports.map((transport) => ({ transport, host, port: 0 }))
  const broker = await startBroker({ submit: service, listeners, tls: tlsOf(certificate) })
  onTestFinished(() => broker.close())
  for (const { transport, port } of broker.listeners) {
    for (const open of [openLink, openWireLink]) {
      const at = { url: `${transport}://[::1]:${port}/mqtt`, ca: certificate.pem, servername: "localhost" }
      const ended = await new Promise<string | LinkFailure>((resolve) => {
        const link = open(
          "k7",
          at,
          { signer, nowSeconds: 1 },
          {
            connected: () => {
              resolve("connected")
              link.cut()
            },
            receipt: () => {},
            acknowledged: () => {},
            closed: (_reason, failure) => resolve(failure!),
          },
        )
      })
      expect([transport, ended]).toEqual([transport, expected])
    }
  }
})

test("field D1: a device that is given no log writes on standard error", async () => {
  const written = vi.spyOn(process.stderr, "write").mockReturnValue(true)
  onTestFinished(() => written.mockRestore())
  const device = new Device({ id: "k7", signer, service: { url: "mqtt://127.0.0.1:1" }, rules: hurried })
  await expect(device.start({ timeoutMs: 200 })).rejects.toThrow(/not connected after 0\.2 s: no connection/)
  expect(written.mock.calls).toEqual([[expect.stringMatching(/^device k7: no connection to mqtt:.*\n$/)]])
  await device.stop()
})

/** What a link says of a server that does with a connection what the test wants. */
async function meet(serve: (socket: Socket) => void, service: Partial<Service> = {}): Promise<unknown[]> {
  const server = createServer(serve)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const told: unknown[] = []
  await new Promise<void>((resolve) => {
    const link = openWireLink(
      "k7",
      { url: `mqtt://127.0.0.1:${port}`, ...service },
      { signer, nowSeconds: 1 },
      {
        connected: () => {
          told.push("connected")
          link.subscribe()
        },
        receipt: () => told.push("receipt"),
        acknowledged: (number) => told.push(number),
        closed: (reason) => {
          told.push(reason)
          resolve()
        },
      },
    )
  })
  server.close()
  return told
}

function hear(socket: Socket, take: (packet: Packet) => void): void {
  const incoming = parser()
  incoming.on("packet", take)
  socket.on("data", (chunk) => incoming.parse(chunk))
}

const connack = (returnCode: number): Uint8Array => Uint8Array.of(0x20, 2, 0, returnCode)

function refuseSubscription(socket: Socket): void {
  socket.write(connack(0))
  hear(socket, ({ cmd, messageId = 0 }) => {
    if (cmd === "subscribe") socket.write(generate({ cmd: "suback", messageId, granted: [0x80] }))
  })
}

test("a login that is refused, no answer, no MQTT, and a subscription that is not granted end it, and say why", async () => {
  expect(await meet((socket) => void socket.write(connack(5)))).toEqual([
    "Connection refused: Not authorized",
  ])
  expect(await meet(() => {}, { connectMsMax: 20 })).toEqual(["no CONNACK in time"])
  expect(await meet((socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"))).toHaveLength(1)
  expect(await meet(refuseSubscription)).toEqual(["connected", "the subscription was not granted"])
})

test("a connection on which nothing is heard any more is given up at the second PINGREQ without an answer", async () => {
  const heard: string[] = []
  const silent = (socket: Socket): void => {
    socket.write(connack(0))
    hear(socket, ({ cmd }) => heard.push(cmd))
  }
  expect(await meet(silent, { keepaliveSeconds: 0.03 })).toEqual(["connected", "no answer to PINGREQ"])
  expect(heard).toEqual(["connect", "subscribe", "pingreq"])
})

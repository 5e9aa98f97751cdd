import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { formatVkey } from "../../chain/note.ts"
import { contentLost } from "../../chain/statement.ts"
import {
  type Alarm,
  Device,
  type DeviceOptions,
  type Service,
  makeFileOutbox,
  makeSigner,
  signNatively,
} from "../../devices-sim/connection.ts"
import { makeMemoryOutbox } from "../../devices-sim/outbox.ts"
import { type Stand, hurried, runOn, stand } from "./fleet-stand.ts"

const key = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(5))
const started: Device[] = []
const folders: string[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.stop()))
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

function device({ proxy, service }: Stand, options: Partial<DeviceOptions> = {}): Device {
  service.enrol("k7", key.publicKey)
  const made = new Device({
    id: "k7",
    signer: makeSigner(key, signNatively),
    service: { url: `mqtt://127.0.0.1:${proxy.port}` },
    rules: hurried,
    log: null,
    ...options,
  })
  started.push(made)
  return made
}

const say = (from: Device, text: string) => from.publish({ content: "text/plain", payload: encodeUtf8(text) })
const texts = ({ service }: Stand) =>
  service.payloadsOf("k7").map((payload) => new TextDecoder().decode(payload))
const numbers = (count: number) => Array.from({ length: count }, (_, index) => `${index}`)

test("what a device says is stored, and it learns the verdict", async () => {
  const stood = await stand()
  const k7 = device(stood)
  await k7.start()
  const delivery = await k7.publish([
    { kind: "number", name: "heart-rate", unit: "beat/min", times: [1_795_000_000], values: [72] },
  ])
  expect(delivery).toMatchObject({ kind: "stored", verdict: "accepted", via: "receipt", seq: 1 })
  expect(delivery.ackMs).toBeGreaterThan(0)
  const ahead = k7.publish({ content: "text/plain", payload: encodeUtf8("a") }, { iat: 4e9 })
  expect(await ahead).toMatchObject({ kind: "stored", verdict: "accepted-ahead", seq: 2 })
  const unread = k7.publish({ content: contentLost, payload: encodeUtf8("a") }, { subject: "k7/left" })
  expect(await unread).toMatchObject({ kind: "stored", verdict: "accepted-unread", seq: 3 })
  expect(k7.counters).toEqual({
    made: 3,
    sent: 3,
    acknowledged: 3,
    stored: 3,
    reconnects: 0,
    receipts: { head: 1, accepted: 1, "accepted-ahead": 1, "accepted-unread": 1 },
  })
})

test("what is said before the service is there is delivered when it is", async () => {
  const stood = await stand()
  await stood.proxy.kill()
  let attempts = 0
  const tried = new Promise<void>((resolve) => {
    void (async () => {
      const k7 = device(stood, { listener: { disconnected: () => (attempts += 1) > 5 && resolve() } })
      await k7.start()
      await Promise.all(numbers(30).map((text) => say(k7, text)))
    })()
  })
  await tried
  await stood.proxy.revive()
  await Promise.all(started.map((k7) => say(k7, "last")))
  expect(texts(stood)).toEqual([...numbers(30), "last"])
})

test("connections that die in the middle of whatever lose nothing and repeat nothing", async () => {
  const stood = await stand()
  const k7 = device(stood)
  await k7.start()
  // About 200 bytes a statement: somewhere in CONNECT, SUBSCRIBE, the first statements, and later ones.
  for (const dieAfterBytes of [5, 30, 80, 300, 1_000, 4_000, 7_777, 15_000, 20_000]) {
    stood.proxy.dieAfterBytes = dieAfterBytes
    stood.proxy.cut()
    const before = stood.service.headOf("k7").seq
    const deliveries = await Promise.all(numbers(120).map((text) => say(k7, text)))
    expect(deliveries.every(({ kind }) => kind === "stored")).toBe(true)
    expect(texts(stood).slice(before)).toEqual(numbers(120))
  }
  expect(k7.counters.reconnects).toBeGreaterThan(8)
  expect(stood.service.countOf("fork")).toBe(0)
})

test("a service that is killed and started again, again and again, gets everything of every device once", async () => {
  const stood = await stand()
  const killings: Promise<void>[] = []
  let kills = 0
  let isDown = false
  const restart = async () => {
    isDown = true
    await stood.proxy.kill()
    await stood.proxy.revive()
    isDown = false
  }
  let killAt = 25
  const report = await runOn(stood, {
    devices: 6,
    statements: 60,
    clock: (() => {
      let nowMs = 0
      return () => (nowMs += 1_000)
    })(),
    onProgress: ({ answered }) => {
      if (answered < killAt || isDown) return
      killAt = answered + 40
      kills += 1
      killings.push(restart())
    },
  })
  await Promise.all(killings)
  expect(report.faults).toEqual([])
  expect(kills).toBeGreaterThan(3)
  expect(report.all).toMatchObject({ made: 360, stored: 360 })
  expect(report.all.reconnects).toBeGreaterThan(6)
  expect(["fork", "gap", "broken"].map((verdict) => stood.service.countOf(verdict as "fork"))).toEqual([
    0, 0, 0,
  ])
})

test("a refusal is mended without anybody's help", async () => {
  const stood = await stand()
  const k7 = device(stood)
  await k7.start()
  await say(k7, "first")
  stood.service.force("malformed", "broken", "gap")
  const deliveries = await Promise.all(numbers(5).map((text) => say(k7, text)))
  expect(deliveries.map(({ kind }) => kind)).toEqual(["stored", "stored", "stored", "stored", "stored"])
  expect(texts(stood)).toEqual(["first", ...numbers(5)])
  expect(k7.counters.reconnects).toBe(3)
})

test("a fork halts the device, and what it still has to say is kept", async () => {
  const stood = await stand()
  const alarms: Alarm[] = []
  const k7 = device(stood, { listener: { alarm: (alarm) => alarms.push(alarm) } })
  await k7.start()
  await say(k7, "first")
  stood.service.force("fork")
  const deliveries = await Promise.all(["a", "b"].map((text) => say(k7, text)))
  expect(deliveries).toMatchObject([{ kind: "refused", verdict: "fork" }, { kind: "kept" }])
  expect(alarms).toEqual([{ kind: "fork", seq: 2 }])
  expect(k7.isHalted).toBe(true)
  expect(await say(k7, "c")).toMatchObject({ kind: "kept" })
  expect(k7.waiting).toBe(3)
})

test("a device that is enrolled later delivers what it kept", async () => {
  const stood = await stand()
  let refused = 0
  const k7 = device(stood, {
    listener: {
      alarm: () => {
        refused += 1
        if (refused === 3) stood.service.enrol("k7", key.publicKey)
      },
    },
  })
  stood.service.devices.delete("k7")
  await k7.start()
  expect(await say(k7, "a")).toMatchObject({ kind: "stored", seq: 1 })
  expect(refused).toBe(3)
})

test("a process that dies and starts again with its outbox delivers what it had taken", async () => {
  const stood = await stand()
  const folder = await mkdtemp(join(tmpdir(), "tidemark-device-"))
  folders.push(folder)
  const outbox = () => makeFileOutbox({ path: join(folder, "k7.outbox"), deviceId: "k7" })
  const first = device(stood, { outbox: outbox() })
  await first.start()
  await say(first, "a")
  await stood.proxy.kill()
  const kept = ["b", "c"].map((text) => say(first, text))
  await first.stop()
  expect(await Promise.all(kept)).toEqual([
    { kind: "kept", reason: "the device was stopped", ackMs: null },
    { kind: "kept", reason: "the device was stopped", ackMs: null },
  ])
  await stood.proxy.revive()
  const second = device(stood, { outbox: outbox() })
  await second.start()
  expect(await say(second, "d")).toMatchObject({ kind: "stored", seq: 4 })
  expect(texts(stood)).toEqual(["a", "b", "c", "d"])
  expect(second.waiting).toBe(0)
})

test("what cannot be written to the outbox is not published, and whoever said it is told", async () => {
  const stood = await stand()
  const outbox = makeMemoryOutbox()
  const failures: unknown[] = []
  const k7 = device(stood, {
    outbox: { ...outbox, append: () => Promise.reject(new Error("the disk is full")) },
    listener: { failed: (error) => failures.push(error) },
  })
  await k7.start()
  await expect(say(k7, "a")).rejects.toThrow("the disk is full")
  await expect(say(k7, "b")).rejects.toThrow("the disk is full")
  expect(failures).toHaveLength(1)
  expect(texts(stood)).toEqual([])
})

test("behind another's broker only a receipt lets a device forget", async () => {
  const stood = await stand()
  const forgotten: number[] = []
  const outbox = makeMemoryOutbox()
  const k7 = device(stood, {
    isPubackTrusted: false,
    outbox: {
      ...outbox,
      forget: (upTo, acceptedSeq) => {
        forgotten.push(upTo)
        return outbox.forget(upTo, acceptedSeq)
      },
    },
  })
  await k7.start()
  expect(await say(k7, "a")).toMatchObject({ kind: "stored", via: "receipt" })
  expect(forgotten).toEqual([1])
})

test("a device says what its id must be, and wants to be started before it is spoken to", async () => {
  const stood = await stand()
  expect(() => device(stood, { id: "a b" })).toThrow("a device id must match")
  await expect(say(device(stood), "a")).rejects.toThrow("start() comes before publish()")
  const k7 = device(stood)
  await k7.start()
  await expect(k7.publish([])).rejects.toThrow("these series make no pack")
  expect(await k7.publish({ content: "text/plain", payload: new Uint8Array(65_536) })).toMatchObject({
    kind: "refused",
    verdict: "too-large",
  })
})

test("field D1: a device says by default why it has no connection, and start and publish can wait for a time", async () => {
  const stood = await stand()
  await stood.proxy.kill()
  const lines: string[] = []
  const k7 = device(stood, { log: (line) => lines.push(line) })
  const refused = /nothing listens there \(ECONNREFUSED\)/
  await expect(k7.start({ timeoutMs: 200 })).rejects.toThrow(refused)
  expect(lines).toEqual([
    expect.stringMatching(/^device k7: no connection to mqtt:\/\/127\.0\.0\.1:\d+: nothing/),
  ])
  expect(
    await k7.publish({ content: "text/plain", payload: encodeUtf8("a") }, { timeoutMs: 50 }),
  ).toMatchObject({ kind: "kept", reason: expect.stringMatching(refused) })
  await expect(k7.askSealed()).rejects.toThrow(refused)
  await stood.proxy.revive()
  // What was kept is delivered by itself, in its order, and once.
  expect(await say(k7, "b")).toMatchObject({ kind: "stored", seq: 2 })
  expect(texts(stood)).toEqual(["a", "b"])
  await k7.start({ timeoutMs: 10_000 })
  expect(lines.slice(1)).toEqual([expect.stringMatching(/^device k7: all is well again at mqtt:/)])
})

test("field D1: a device that is not enrolled says so once, and start rejects with it", async () => {
  const stood = await stand()
  const lines: string[] = []
  const k7 = device(stood, { log: (line) => lines.push(line) })
  stood.service.devices.delete("k7")
  await expect(k7.start({ timeoutMs: 300 })).rejects.toThrow(
    /the device is not enrolled, or with another key/,
  )
  expect(k7.counters.reconnects).toBeGreaterThan(1)
  expect(lines).toEqual([expect.stringContaining("tidemark device enroll k7 --key KEY.pem")])
  stood.service.enrol("k7", key.publicKey)
  expect(await say(k7, "a")).toMatchObject({ kind: "stored", seq: 1 })
})

test("field D1: what a device mends by itself, or the service only marks, is said too", async () => {
  const stood = await stand()
  const lines: string[] = []
  const k7 = device(stood, { log: (line) => lines.push(line) })
  await k7.start({ timeoutMs: 10_000 })
  stood.service.force("bad-signature")
  await say(k7, "a")
  await k7.publish({ content: "text/plain", payload: encodeUtf8("b") }, { iat: 4e9 })
  await k7.publish({ content: "text/plain", payload: encodeUtf8("c") }, { iat: 4e9 })
  await k7.publish({ content: "text/plain", payload: new Uint8Array(65_536) })
  expect(lines).toEqual([
    expect.stringMatching(/^device k7: statement 1 was refused as bad-signature/),
    expect.stringMatching(/^device k7: statement 2 is stored, and its time is over 300 s ahead/),
    expect.stringMatching(/^device k7: a statement will not be stored \(too-large\)/),
  ])
})

test("field D1: a service that cannot be meant is a mistake that names the option", async () => {
  const stood = await stand()
  for (const [service, words] of [
    [{ url: "127.0.0.1:1883" }, "service.url must be mqtt://HOST:PORT"],
    [{ url: "https://example.org" }, "and is https://example.org"],
    [{ url: "mqtts://example.org", ca: "ca.pem" }, "service.ca must be PEM, not the name of a file"],
  ] as const)
    expect(() => device(stood, { service })).toThrow(words)
})

test("field D9: an outbox of the devices in other languages is named, and not read", async () => {
  const stood = await stand()
  const folder = await mkdtemp(join(tmpdir(), "tidemark-device-"))
  folders.push(folder)
  const k7 = device(stood, { outbox: makeFileOutbox({ path: folder, deviceId: "k7" }) })
  await expect(k7.start()).rejects.toThrow(`${folder} is a folder, and this outbox is a file`)
})

const logVkey = formatVkey({ name: "tidemark.example/log", publicKey: key.publicKey })

test("with an outbox that remembers no log, a service that lost what it acknowledged gets nothing signed", async () => {
  const stood = await stand()
  stood.service.binding = { logVkey, version: 2 }
  const outbox = makeMemoryOutbox()
  delete outbox.bind
  const first = device(stood, { logVkey, outbox })
  await first.start()
  expect(await say(first, "a")).toMatchObject({ kind: "stored", seq: 1 })
  await first.stop()
  stood.service.devices.get("k7")!.chain.length = 0
  const alarmed = await new Promise<Alarm>((alarm) => {
    void device(stood, { logVkey, outbox, listener: { alarm } }).start()
  })
  expect(alarmed).toEqual({ kind: "service-lost-statements", acceptedSeq: 1, headSeq: 0 })
})

test("a login by JWT is for the log of logVkey where it does not say which", async () => {
  const stood = await stand()
  const service = { url: `mqtt://127.0.0.1:${stood.proxy.port}`, jwt: {} }
  const origin = await new Promise((resolve) => {
    const openLink = (_id: string, { jwt }: Service) => {
      resolve(jwt?.origin)
      return {
        subscribe: () => {},
        publish: () => {},
        write: () => {},
        end: () => Promise.resolve(),
        cut: () => {},
      }
    }
    void device(stood, { logVkey, service, openLink }).start()
  })
  expect(origin).toBe("tidemark.example/log")
  expect(() => device(stood, { service })).toThrow("service.jwt wants the log's origin")
})

import { type KeyObject, createPrivateKey } from "node:crypto"
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type IClientOptions, connectAsync } from "mqtt"
import { pino } from "pino"
import { afterAll, beforeAll, expect, test } from "vitest"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { encodeUtf8, formatBase64url } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { algorithmEd25519, algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { formatJwk } from "../../chain/keyfile.ts"
import { type Service, startService } from "../../cli/service.ts"
import { Device, makeSigner } from "../../devices-sim/connection.ts"
import { makeJwt } from "../../devices-sim/jwt.ts"
import { locks } from "../../ingest/database/pool.ts"
import { type RegistryChange, changeRegistry, enrolDevices, readDevices } from "../../ingest/registry.ts"
import { createToken, revokeToken } from "../../ingest/token.ts"
import { makeCertificate, makeServerCertificate } from "../broker/certificate.ts"
import { openTestDatabase } from "../ingest/postgres.ts"
import { TestDevice, spineTemplate, testOrigin } from "../ingest/stand.ts"
import { makeFolder, removeFolders, tidemark } from "./command.ts"

const secure = ["mqtts", "wss"] as const
const all = ["mqtt", "ws", ...secure] as const
const server = makeServerCertificate()
const lines: string[] = []
const closers: (() => Promise<unknown>)[] = []
let folder: string
let service: Service

beforeAll(async () => {
  const database = await openTestDatabase({ template: spineTemplate })
  closers.push(() => database.close())
  folder = await mkdtemp(join(tmpdir(), "tidemark-connecting-"))
  closers.push(() => rm(folder, { recursive: true, force: true }))
  const tls = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") }
  await writeFile(tls.cert, server.pem)
  await writeFile(tls.key, server.keyPem)
  const before = process.env["DATABASE_URL"]
  process.env["DATABASE_URL"] = database.url
  service = await startService({
    dataFolder: join(folder, "data"),
    origin: testOrigin,
    host: "127.0.0.1",
    mqtt: 0,
    connecting: { ports: { ws: 0, mqtts: 0, wss: 0 }, tls, logins: "required" },
    http: 0,
    schedule: null,
    log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    say: () => {},
  })
  if (before === undefined) delete process.env["DATABASE_URL"]
  else process.env["DATABASE_URL"] = before
  closers.push(() => service.close())
})
afterAll(async () => {
  for (const close of closers.toReversed()) await close()
  await removeFolders()
})

const urlOf = (transport: (typeof all)[number]): string =>
  `${transport}://127.0.0.1:${service.ports[transport]}`

async function enrol(id: string, algorithm = algorithmEd25519): Promise<TestDevice> {
  const device = new TestDevice(id, algorithm, service.keys.binding)
  const [result] = await enrolDevices(service.database.pool, service.keys, [
    { device: id, key: device.key.publicKey },
  ])
  expect(result?.kind).toBe("enrolled")
  return device
}

function keyObjectOf({ key }: TestDevice): KeyObject {
  const jwk = { ...(JSON.parse(formatJwk(key.publicKey)) as object), d: formatBase64url(key.secret) }
  return createPrivateKey({ key: jwk, format: "jwk" })
}

const jwtOf = ({ id, key }: TestDevice): string =>
  makeJwt(id, testOrigin, makeSigner(key), Math.floor(Date.now() / 1000))

/** `maxVersion` is one of TLS, which mqtt.js hands on and does not name. */
type StockOptions = IClientOptions & { readonly maxVersion?: "TLSv1.2" | "TLSv1.3" }

async function publish(device: TestDevice, url: string, options: StockOptions): Promise<void> {
  const client = await connectAsync(url, {
    clientId: device.id,
    reconnectPeriod: 0,
    ca: server.pem,
    ...options,
  })
  const statement = device.sign()
  await client.publishAsync(`v1/${device.id}/statements`, Buffer.from(statement.bytes), { qos: 1 })
  device.seq = statement.seq
  device.entry = sha256(statement.bytes)
  await client.endAsync()
}

async function metric(name: string): Promise<number | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${service.http}/metrics`)).text()
  const line = text.split("\n").find((each) => each.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}
const refusedAs = (reason: string): string => `tidemark_mqtt_connections_refused_total{reason="${reason}"}`

test.each(all)(
  "over %s a stock client logs in by JWT, and by token, and is acknowledged",
  async (transport) => {
    const device = await enrol(`stock-${transport}`, transport === "ws" ? algorithmEsp256 : algorithmEd25519)
    const { id: username } = device
    await publish(device, urlOf(transport), { username, password: jwtOf(device) })
    const made = await createToken(service.database.pool, accessKeyOf(service.keys), username, null)
    if (made.kind !== "created") throw new Error(made.kind)
    await publish(device, urlOf(transport), { username, password: made.token })
    // Neither is in a line of the log, nor in a metric.
    const metrics = await (await fetch(`http://127.0.0.1:${service.http}/metrics`)).text()
    for (const text of [lines.join(""), metrics]) {
      expect(text).not.toContain(made.token.slice(4))
      expect(text).not.toContain("eyJ")
    }
  },
)

test.each(secure)(
  "over %s a stock client logs in by a certificate of its enrolled key",
  async (transport) => {
    for (const algorithm of [algorithmEd25519, algorithmEsp256]) {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const device = await enrol(`cert-${transport}-${-algorithm}-${maxVersion.at(-1)}`, algorithm)
        const { pem: cert, keyPem: key } = makeCertificate({
          commonName: device.id,
          privateKey: keyObjectOf(device),
        })
        await publish(device, urlOf(transport), { cert, key, maxVersion })
        await publish(device, urlOf(transport), { cert, key, maxVersion })
        expect(device.seq).toBe(2)
      }
    }
  },
)

test("a device with a certificate of a registered CA is enrolled at its first connect", async () => {
  const { database, keys } = service
  const ca = makeCertificate({ commonName: "Fleet CA", isCa: true })
  const between = makeCertificate({ commonName: "Line 4", issuer: ca, isCa: true, pathLength: 0 })
  const device = new TestDevice("made-by-ca", algorithmEd25519, service.keys.binding)
  const own = makeCertificate({ commonName: device.id, issuer: between, privateKey: keyObjectOf(device) })
  const shown = { cert: `${own.pem}${between.pem}`, key: own.keyPem }
  await expect(publish(device, urlOf("mqtts"), shown)).rejects.toThrow(/Not authorized/)
  expect(await metric(refusedAs("certificate-untrusted"))).toBe(1)
  const [trusted] = await changeRegistry(database.pool, keys, [
    { action: "trust-ca", device: "fleet", caDigest: sha256(ca.der), certificate: ca.der },
  ])
  expect(trusted?.kind).toBe("changed")
  await publish(device, urlOf("mqtts"), shown)
  await publish(device, urlOf("wss"), shown)
  const record = (await readDevices(database.pool, [device.id])).get(device.id)
  expect(record?.caDigest).toEqual(sha256(ca.der))
})

test("a good login of one device does not take over another one's connection", async () => {
  const [victim, thief] = [await enrol("victim"), await enrol("thief")]
  const client = await connectAsync(urlOf("mqtt"), {
    clientId: "victim",
    username: "victim",
    password: jwtOf(victim),
  })
  const takeOver = (options: IClientOptions) =>
    connectAsync(urlOf("mqtt"), { clientId: "victim", reconnectPeriod: 0, ...options })
  await expect(takeOver({ username: "thief", password: jwtOf(thief) })).rejects.toThrow(/Not authorized/)
  await expect(takeOver({ username: "victim", password: jwtOf(thief) })).rejects.toThrow(/Not authorized/)
  await expect(takeOver({})).rejects.toThrow(/Not authorized/)
  expect(client.connected).toBe(true)
  await client.publishAsync("v1/victim/statements", Buffer.from(victim.sign().bytes), { qos: 1 })
  expect(await metric(refusedAs("login-username"))).toBe(1)
  expect(await metric(refusedAs("jwt-subject"))).toBe(1)
  await client.endAsync()
})

test("field S4: a revoked key logs in by JWT in a loop and takes nothing over", async () => {
  const stolen = await enrol("stolen")
  await changed({ action: "revoke", device: "stolen", lastGoodSeq: 0 })
  const next = makePrivateKey(algorithmEd25519, sha256(encodeUtf8("what replaces the stolen one")))
  await changed({ action: "rotate", device: "stolen", key: next.publicKey, firstSeq: 1 })
  const honest = new TestDevice("stolen", algorithmEd25519, service.keys.binding, next)
  const client = await connectAsync(urlOf("mqtt"), {
    clientId: "stolen",
    username: "stolen",
    password: jwtOf(honest),
    reconnectPeriod: 0,
  })
  let closes = 0
  client.on("close", () => (closes += 1))
  const before = (await metric(refusedAs("jwt-key-revoked"))) ?? 0
  const thief = { clientId: "stolen", username: "stolen", password: jwtOf(stolen), reconnectPeriod: 0 }
  for (let tries = 1; tries <= 10; tries++) {
    await expect(connectAsync(urlOf("mqtt"), thief)).rejects.toThrow(/Not authorized/)
    // Each of the honest device's statements is acknowledged, on its one connection.
    await client.publishAsync("v1/stolen/statements", Buffer.from(honest.next().bytes), { qos: 1 })
  }
  expect(closes).toBe(0)
  expect(await metric(refusedAs("jwt-key-revoked"))).toBe(before + 10)
  await client.endAsync()
})

const endings: readonly [string, string, (id: string, tokenId: string) => Promise<unknown>][] = [
  ["revocation", "of its device", (id) => changed({ action: "revoke", device: id })],
  ["revocation", "of its keys", (id) => changed({ action: "revoke", device: id, lastGoodSeq: 1 })],
  ["suspension", "of its device", (id) => changed({ action: "suspend", device: id })],
  ["revocation", "of its token", (id, token) => revokeToken(service.database.pool, id, token)],
]

async function changed(said: RegistryChange): Promise<void> {
  const [result] = await changeRegistry(service.database.pool, service.keys, [said])
  expect(result?.kind).toBe("changed")
}

test.each(endings)(
  "field S4: the %s %s ends a connection that stands at its next statement, which is not acknowledged",
  async (_what, _ofWhat, end) => {
    const device = await enrol(`standing-${endings.findIndex(([, , each]) => each === end)}`)
    const made = await createToken(service.database.pool, accessKeyOf(service.keys), device.id, null)
    if (made.kind !== "created") throw new Error(made.kind)
    const client = await connectAsync(urlOf("mqtt"), {
      clientId: device.id,
      username: device.id,
      password: made.token,
      reconnectPeriod: 0,
    })
    const topic = `v1/${device.id}/statements`
    await client.publishAsync(topic, Buffer.from(device.next().bytes), { qos: 1 })
    await end(device.id, made.id)
    const closed = new Promise<void>((resolve) => client.once("close", () => resolve()))
    const published = client
      .publishAsync(topic, Buffer.from(device.next().bytes), { qos: 1 })
      .catch(() => "not acknowledged")
    await closed
    await client.endAsync(true)
    expect(await published).toBe("not acknowledged")
    const { rows } = await service.database.pool.query<{ seq: number }>(
      "select seq from chain_heads where device_id = $1",
      [device.id],
    )
    expect(rows[0]!.seq).toBe(1)
  },
)

test("field S4: a device that a CA enrolled keeps its connection when the CA is distrusted, and no other comes by it", async () => {
  const ca = makeCertificate({ commonName: "Passing CA", isCa: true })
  await changed({ action: "trust-ca", device: "passing", certificate: ca.der })
  const certified = (id: string) => {
    const device = new TestDevice(id, algorithmEd25519, service.keys.binding)
    const { pem: cert, keyPem: key } = makeCertificate({
      commonName: id,
      issuer: ca,
      privateKey: keyObjectOf(device),
    })
    return { device, options: { clientId: id, cert, key, ca: server.pem, reconnectPeriod: 0 } }
  }
  const first = certified("passing-1")
  const client = await connectAsync(urlOf("mqtts"), first.options)
  await changed({ action: "distrust-ca", device: "passing" })
  await client.publishAsync("v1/passing-1/statements", Buffer.from(first.device.next().bytes), { qos: 1 })
  await expect(connectAsync(urlOf("mqtts"), certified("passing-2").options)).rejects.toThrow(/Not authorized/)
  await client.endAsync()
})

test("while a block is made, enrolments by certificate wait, and no login waits behind them", async () => {
  const ca = makeCertificate({ commonName: "Line CA", isCa: true })
  await changed({ action: "trust-ca", device: "line", certificate: ca.der })
  const device = await enrol("beside-a-seal")
  const sealing = await service.database.pool.connect()
  await sealing.query("begin")
  await sealing.query("select pg_advisory_xact_lock($1)", [locks.seal])
  const enrolled: string[] = []
  const enrolling = Array.from({ length: 8 }, async (_, index) => {
    const id = `line-${index}`
    const { pem: cert, keyPem: key } = makeCertificate({ commonName: id, issuer: ca })
    const client = await connectAsync(urlOf("mqtts"), {
      clientId: id,
      cert,
      key,
      ca: server.pem,
      reconnectPeriod: 0,
    })
    enrolled.push(id)
    await client.endAsync()
  })
  try {
    // One of them waits for the block, and the others behind it.
    const waiting = "select from pg_locks where locktype = 'advisory' and not granted"
    while ((await service.database.pool.query(waiting)).rowCount === 0)
      await new Promise((resolve) => setImmediate(resolve))
    for (let logins = 0; logins < 5; logins++) {
      const client = await connectAsync(urlOf("mqtt"), {
        clientId: device.id,
        username: device.id,
        password: jwtOf(device),
        reconnectPeriod: 0,
      })
      await client.endAsync()
    }
    expect(enrolled).toEqual([])
  } finally {
    await sealing.query("rollback")
    sealing.release()
  }
  await Promise.all(enrolling)
  expect(enrolled).toHaveLength(8)
})

test.each(all)("the device kit logs in over %s by a fresh JWT for each connection", async (transport) => {
  const { id, key } = await enrol(`kit-${transport}`)
  const device = new Device({
    id,
    signer: makeSigner(key),
    service: { url: urlOf(transport), ca: server.pem, jwt: { origin: testOrigin } },
  })
  await device.start()
  const series = [
    { kind: "number", name: "heart-rate", unit: "beat/min", times: [1_795_000_000], values: [72] },
  ] as const
  expect(await device.publish(series)).toMatchObject({ kind: "stored" })
  await device.stop()
})

test("a new certificate is taken when the files change, and a broken pair is not; its end is a metric", async () => {
  const name = "tidemark_tls_certificate_not_after_timestamp_seconds"
  const first = await metric(name)
  expect(Math.abs(first! - (Date.now() / 1000 + 3_600))).toBeLessThan(600)
  const next = makeServerCertificate({ notAfter: new Date("2099-01-01T00:00:00Z") })
  await writeFile(join(folder, "new.pem"), next.pem)
  await rename(join(folder, "new.pem"), join(folder, "cert.pem"))
  await service.reloadTls() // the key is still the old one
  expect(lines.join("")).toContain("the new certificate is refused; the old one stays")
  expect(lines.join("")).toContain("key.pem cannot be used together")
  expect(await metric(name)).toBe(first)
  await writeFile(join(folder, "key.pem"), next.keyPem)
  while ((await metric(name)) !== 4_070_908_800) await new Promise((resolve) => setImmediate(resolve))
  const device = await enrol("after")
  await publish(device, urlOf("mqtts"), { ca: next.pem, username: "after", password: jwtOf(device) })
  expect(lines.join("")).not.toContain("PRIVATE KEY")
})

test.each([
  [["--host", "0.0.0.0"], "--allow-plaintext"],
  [["--host", "0.0.0.0", "--allow-plaintext", "--logins", "optional"], "--allow-anonymous"],
  [["--mqtts", "0"], "--mqtts needs --tls-cert and --tls-key"],
  [["--tls-cert", "a.pem"], "--tls-cert and --tls-key belong together"],
  [["--logins", "sometimes"], "Allowed choices are required, optional, none"],
])("up %j is a usage fault that says how", async (args, message) => {
  const data = await makeFolder()
  const { code, stderr } = await tidemark(["up", "--data", data, "--mqtt", "0", "--http", "0", ...args])
  expect({ code, isSaid: stderr.includes(message), stderr }).toMatchObject({ code: 2, isSaid: true })
})

test("a fleet logs in by JWT, and a token is printed once", async () => {
  const data = await makeFolder()
  const run = await tidemark([
    "simulate",
    "--data",
    data,
    "-c",
    "3",
    "--statements",
    "2",
    "--login",
    "jwt",
    "--json",
  ])
  expect(run.code).toBe(0)
  const made = await tidemark(["device", "token", "create", "sim-1-0001", "--expires", "90d", "--data", data])
  expect(made.stdout).toMatch(/^tmt_[A-Za-z0-9_-]{43}\n$/)
  const listed = await tidemark(["device", "token", "list", "sim-1-0001", "--json", "--data", data])
  const { token } = JSON.parse(listed.stdout) as { token: string }
  expect(made.stderr).toContain(`token ${token} of device sim-1-0001`)
  expect((await tidemark(["device", "token", "revoke", "sim-1-0001", token, "--data", data])).code).toBe(0)
  expect((await tidemark(["device", "token", "revoke", "sim-1-0001", token, "--data", data])).code).toBe(1)
})

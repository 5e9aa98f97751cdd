import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { type Algorithm, algorithmEd25519, algorithmEsp256, makePrivateKey } from "../../chain/key.ts"
import { openWireLink } from "../../devices-sim/connection-wire.ts"
import { makeSigner, signNatively } from "../../devices-sim/device-sign.ts"
import type { Account } from "../../devices-sim/fault-account.ts"
import { FaultyDevice, type Operator } from "../../devices-sim/fault-device.ts"
import { type Fault, disconnectSteps, planFaults } from "../../devices-sim/fault.ts"
import { openNetwork } from "../../devices-sim/network-proxy.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { changeRegistry, enrolDevices } from "../../ingest/registry.ts"
import { type ServiceStand, openServiceStand } from "../ingest/service-stand.ts"
import { hurried } from "./fleet-stand.ts"

let stand: ServiceStand

beforeAll(async () => {
  stand = await openServiceStand({ service: { limits: { connectsPerSecondMax: 10_000 } } })
})

afterAll(() => stand.close())

const operator: Operator = {
  revoke: (device) => change({ action: "revoke", device }),
  suspend: (device) => change({ action: "suspend", device }),
  resume: (device) => change({ action: "resume", device }),
}

async function change(what: Parameters<typeof changeRegistry>[2][number]): Promise<void> {
  const [result] = await changeRegistry(stand.pool, stand.service.keys, [what])
  if (result?.kind !== "changed") throw new Error(`${what.action} was refused`)
}

const statements = 9
let deviceCount = 0

interface Run {
  readonly device: FaultyDevice
  readonly accounts: readonly Account[]
  readonly alarms: readonly string[]
  readonly stored: number
}

/** A device of its own, with these faults at places of the seed, until everything that it had to say has its end. */
async function run(
  faults: readonly Fault[],
  algorithm: Algorithm,
  seed = "seed",
  count = statements,
  id = `faulty-${++deviceCount}`,
  port = stand.service.mqtt,
): Promise<Run> {
  const random = makeRandom(seed).fork(id)
  const key = makePrivateKey(algorithm, random.fork("key").bytes(32))
  await enrolDevices(stand.pool, stand.service.keys, [{ device: id, key: key.publicKey }])
  const alarms: string[] = []
  const device = new FaultyDevice({
    id,
    signer: makeSigner(key, signNatively),
    service: { url: `mqtt://127.0.0.1:${port}` },
    origin: stand.service.keys.origin,
    openLink: openWireLink,
    rules: hurried,
    giveUpMs: 50,
    random,
    operator,
    faults: planFaults(
      random.fork("plan"),
      faults.map((fault) => ({ fault })),
      { statements: count, algorithm },
    ),
    listener: {
      alarm: (alarm) => alarms.push(alarm.kind),
      failed: (error) => alarms.push(String(error)),
    },
  })
  await device.start()
  const said: Promise<Account>[] = []
  for (let place = 1; place <= count; place++) {
    const startsAt = 1_767_225_600 + 60 * place
    const times = [startsAt, startsAt + 1]
    said.push(
      device.publish([{ kind: "number", name: "heart-rate", unit: "beat/min", times, values: [60, 61] }], {
        iat: startsAt + 1,
      }),
    )
    // Some at once, some one after the other.
    if (place % 4 === 0) await said.at(-1)
  }
  const accounts = await Promise.all(said)
  await device.settle(10_000)
  await device.stop()
  const { rows } = await stand.pool.query<{ count: number }>(
    "select count(*) as count from entries where device_id = $1",
    [id],
  )
  return { device, accounts, alarms, stored: rows[0]!.count }
}

/** What the service says that it judged, by verdict. */
async function countVerdicts(): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const [name, value] of await stand.metrics()) {
    const verdict = /^tidemark_verdicts_total\{verdict="(.+)"\}$/.exec(name)?.[1]
    if (verdict !== undefined) counts.set(verdict, value)
  }
  return counts
}

const harmless: readonly Fault[] = [
  { kind: "drop" },
  { kind: "duplicate" },
  { kind: "reorder" },
  { kind: "delay", delayMs: 30 },
  { kind: "truncate" },
  { kind: "flip-bit" },
  { kind: "wrong-key", as: "stranger" },
  { kind: "wrong-key", as: "impostor" },
  { kind: "wrong-device" },
  { kind: "replay" },
  { kind: "gap", skip: 1 },
  { kind: "gap", skip: 1_000_000 },
  { kind: "broken-link" },
  { kind: "fork" },
  { kind: "clone" },
  { kind: "unreadable" },
  { kind: "clock", offsetSeconds: 20 * 365 * 86_400, statements: 3 },
  { kind: "clock", offsetSeconds: -86_400, statements: 2 },
  { kind: "oversized", sizeBytes: 65_536 },
  { kind: "oversized", sizeBytes: 300_000 },
  { kind: "garbage", as: "statement" },
  { kind: "garbage", as: "packet" },
  { kind: "lost-memory" },
  { kind: "rotate" },
  { kind: "suspend", forMs: 20 },
  ...disconnectSteps.map((step) => ({ kind: "disconnect", step }) as const),
]
/** Where the key's algorithm makes a difference. */
const elliptic: readonly Fault[] = [
  { kind: "high-s" },
  { kind: "flip-bit" },
  { kind: "wrong-key", as: "stranger" },
  { kind: "wrong-key", as: "impostor" },
  { kind: "fork" },
  { kind: "duplicate" },
  { kind: "rotate" },
]

const endsOf = (accounts: readonly Account[]): unknown[] => [
  ...new Set(accounts.map(({ delivery }) => delivery?.kind)),
]

/** The verdict of such a fault is that of a statement of the device's own. */
const isOfStatement = ({ kind }: Fault): boolean => kind === "unreadable" || kind === "clock"

test.each([
  ["Ed25519", algorithmEd25519, harmless],
  ["P-256", algorithmEsp256, elliptic],
] as const)(
  "each fault gets the verdict that it must, and each statement is stored all the same: %s",
  async (_, algorithm, faults) => {
    const before = await countVerdicts()
    const runs = await Promise.all(faults.map((fault) => run([fault], algorithm)))
    for (const [index, { device, accounts, alarms, stored }] of runs.entries()) {
      const fault = faults[index]!
      const [finding] = device.findings
      expect({
        fault,
        result: finding?.result,
        surprises: device.surprises,
        alarms,
        ends: endsOf(accounts),
        stored,
      }).toEqual({
        fault,
        result: "met",
        surprises: [],
        alarms: [],
        ends: ["stored"],
        // A request for the next key is a statement too.
        stored: statements + (fault.kind === "rotate" ? 1 : 0),
      })
    }
    // What left twice was sent twice.
    const duplicated = runs[faults.findIndex(({ kind }) => kind === "duplicate")]!
    expect(duplicated.device.counters.sent).toBe(statements + 1)
    // The service's own counters say the same.
    const expected = new Map<string, number>()
    const add = (verdict: string, count: number): unknown =>
      expected.set(verdict, (expected.get(verdict) ?? 0) + count)
    for (const { accounts } of runs)
      for (const {
        expected: [verdict],
      } of accounts)
        add(verdict!, 1)
    for (const { device } of runs) {
      for (const { verdict, fault } of device.findings)
        if (verdict !== null && !isOfStatement(fault) && fault.kind !== "suspend") add(verdict, 1)
    }
    const after = await countVerdicts()
    const grown = [...after].map(([verdict, count]) => [verdict, count - (before.get(verdict) ?? 0)] as const)
    expect(new Map(grown.filter(([, count]) => count > 0))).toEqual(expected)
  },
)

test("what is late does not overtake what is later still", async () => {
  const late: Fault = { kind: "delay", delayMs: 15 }
  const { device, accounts, alarms } = await run([late, late, late, late, late], algorithmEd25519)
  expect(device.findings.map(({ result, tries }) => [result, tries])).toEqual(
    device.findings.map(() => ["met", 1]),
  )
  expect([device.surprises, alarms, endsOf(accounts)]).toEqual([[], [], ["stored"]])
})

test("a device that is revoked stops, what was acknowledged stays, and nothing behind it is taken", async () => {
  const { device, accounts, alarms, stored } = await run(
    [{ kind: "revoke" }],
    algorithmEd25519,
    "seed",
    statements,
    "revoked-2",
  )
  expect(device.findings).toMatchObject([{ place: 2, result: "met", verdict: "revoked" }])
  expect([device.surprises, alarms]).toEqual([[], []])
  // What is acknowledged comes before what is not, and behind the revocation nothing is.
  const known = accounts.filter(({ delivery }) => delivery?.kind === "stored").length
  expect(endsOf(accounts.slice(known))).toEqual(["kept"])
  expect(stored).toBeGreaterThanOrEqual(known)
  expect(stored).toBeLessThan(statements)
})

test("a device that loses its outbox says so of what had no answer, and goes on from its head, never called a fork", async () => {
  const runs = await Promise.all(
    ["a", "b", "c", "d"].map((seed) =>
      run([{ kind: "lost-outbox" }, { kind: "disconnect", step: "published" }], algorithmEd25519, seed),
    ),
  )
  for (const { device, accounts, alarms, stored } of runs) {
    expect(device.findings.map(({ result }) => result)).toEqual(["met", "met"])
    expect([device.surprises, alarms]).toEqual([[], []])
    const gone = accounts.filter(({ delivery }) => delivery?.kind === "gone")
    const kept = accounts.filter(({ delivery }) => delivery?.kind === "stored")
    expect(gone.length + kept.length).toBe(statements)
    // Of what is gone the service may have had some in time.
    expect(stored).toBeGreaterThanOrEqual(kept.length)
    expect(stored).toBeLessThanOrEqual(statements)
  }
  expect(runs.some(({ accounts }) => accounts.some(({ delivery }) => delivery?.kind === "gone"))).toBe(true)
})

test("many faults to one device: each has its own answer, and the chain is whole", async () => {
  const many = [
    ...elliptic,
    { kind: "lost-memory" },
    { kind: "clone" },
    { kind: "drop" },
    { kind: "gap", skip: 2 },
  ] as const
  const { device, accounts, alarms } = await run(many, algorithmEsp256, "many", 24)
  expect(device.findings.filter(({ result }) => result !== "met")).toEqual([])
  expect([device.surprises, alarms, endsOf(accounts)]).toEqual([[], [], ["stored"]])
})

test("behind a network that delays, slices, cuts and resets, faults get no other verdicts, and nothing is lost", async () => {
  const startedAtMs = performance.now()
  const network = await openNetwork({
    host: "127.0.0.1",
    port: stand.service.mqtt,
    rules: [
      { toxic: { kind: "latency", latencyMs: 4, jitterMs: 4 }, stream: "upstream", toxicity: 0.5 },
      { toxic: { kind: "latency", latencyMs: 4, jitterMs: 4 }, toxicity: 0.5 },
      {
        toxic: { kind: "slicer", averageSizeBytes: 50, sizeVariationBytes: 40, delayUs: 200 },
        toxicity: 0.5,
      },
      { toxic: { kind: "limit_data", bytes: 900 }, stream: "upstream", toxicity: 0.3 },
      { toxic: { kind: "limit_data", bytes: 70 }, toxicity: 0.3 },
      { toxic: { kind: "reset_peer", timeoutMs: 25 }, toxicity: 0.3 },
    ],
    random: makeRandom("network"),
    now: () => performance.now() - startedAtMs,
  })
  onTestFinished(() => network.close())
  const faults: readonly Fault[] = [
    { kind: "duplicate" },
    { kind: "gap", skip: 3 },
    { kind: "fork" },
    { kind: "lost-memory" },
  ]
  const runs = await Promise.all(
    Array.from({ length: 6 }, (_, index) =>
      run(faults, algorithmEd25519, "network", statements, `behind-${index}`, network.port),
    ),
  )
  for (const { device, accounts, alarms, stored } of runs) {
    expect(device.findings.filter(({ result }) => result === "unmet")).toEqual([])
    expect([device.surprises, alarms, endsOf(accounts), stored]).toEqual([[], [], ["stored"], statements])
  }
  expect(network.counts.connections).toBeGreaterThan(24)
})

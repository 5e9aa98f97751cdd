/** The ten promises, asked of a world that has come to rest: what must be, and what must never be. */
import { equalBytes, formatHex } from "../../../chain/bytes.ts"
import { Frontier, hashLeaf } from "../../../chain/merkle.ts"
import { type PrivateKey, kidOf } from "../../../chain/key.ts"
import { checkSignature } from "../../../chain/signature.ts"
import { contentLost, contentRegistry, decodeStatement, signedBytesOf } from "../../../chain/statement.ts"
import { type Verdict, isRefusal, verdictCodes } from "../../../chain/verdict.ts"
import { digestKeyOf } from "../../../ingest/log-keys.ts"
import { hmacNative, sha256Native, verifyNative } from "../../../ingest/native.ts"
import { audit } from "../../../verify/audit.ts"
import { auditSourceOf } from "./audit-source.ts"
import type { SimulatedDevice } from "./device.ts"
import type { Trouble } from "./plan.ts"
import type { Entry } from "./tables.ts"
import { checkEvidence } from "./evidence.ts"
import { type World, origin } from "./world.ts"

export async function checkPromises(world: World): Promise<void> {
  checkAcknowledged(world)
  for (const device of world.devices) checkDelivered(world, device)
  checkSigned(world)
  checkOrder(world)
  for (const device of world.devices) checkNotAccused(world, device)
  checkForks(world)
  checkNotStalled(world)
  checkSealed(world)
  checkPublished(world)
  checkClocks(world)
  await checkAudit(world)
  await checkEvidence(world)
  await checkCounted(world)
}

function entriesOf({ store }: World): Entry[] {
  return [...store.tables.entries.rows.values()].toSorted((a, b) => a.id - b.id)
}

/** 1. An acknowledged statement is never lost. */
function checkAcknowledged(world: World): void {
  const stored = new Set(entriesOf(world).map(({ entry }) => formatHex(entry)))
  for (const entry of world.truth.acknowledged)
    world.truth.demand(1, stored.has(entry), `the acknowledged statement ${entry} is gone`)
}

/** 1, the other half: what an honest device had to say is stored, once, and in the order in which it was said. */
function checkDelivered(world: World, device: SimulatedDevice): void {
  const { truth, store } = world
  if (world.isExcused(device)) return
  const stored: { readonly payload: string; readonly iat: number }[] = []
  let lost = 0
  for (const { device: chain, id } of entriesOf(world)) {
    if (chain !== device.id) continue
    const decoded = decodeStatement(store.tables.statements.rows.get(`${id}`)!.bytes)
    if (decoded.kind !== "statement") continue
    const { content, payload, iat } = decoded.statement
    if (content === contentLost) lost += 1
    if (content !== contentLost && content !== contentRegistry)
      stored.push({ payload: formatHex(payload), iat })
  }
  // A device whose key is in two hands takes the other's statements for its own, and is excused.
  truth.demand(1, device.falseBeliefs === 0, `${device.id} believes that something is stored which was not`)
  const said = device.said.map(nameOf)
  const names = stored.map(nameOf)
  truth.demand(1, new Set(names).size === names.length, `something that ${device.id} said is stored twice`)
  const known = new Set(said)
  truth.demand(
    2,
    names.every((name) => known.has(name)),
    `${device.id} is said to have said what it did not`,
  )
  const order = said.filter((name) => names.includes(name))
  truth.demand(3, order.join() === names.join(), `what ${device.id} said is stored in another order`)
  // Without durable storage a loss of power takes what was not acknowledged; a damaged one may be given up as lost.
  if (!device.traits.isDurable || lost > 0) return
  truth.demand(
    1,
    names.length === said.length,
    `${device.id} said ${said.length} things, and ${names.length} are stored`,
  )
}

function nameOf({ payload, iat }: { readonly payload: string; readonly iat: number }): string {
  return `${iat} ${payload}`
}

/** 2. Nothing enters unsigned: every row is by a key that was enrolled for it, by the one law, and was published by its holder. */
function checkSigned(world: World): void {
  const { truth, store, operator } = world
  const keys = new Map<string, readonly PrivateKey[]>()
  for (const { id, keys: own } of world.devices) keys.set(id, [...own, ...(operator!.keys.get(id) ?? [])])
  for (const { id, key } of world.rogues) keys.set(id, [key])
  for (const { device, seq, id, entry } of entriesOf(world)) {
    if (device === origin) continue
    const { bytes } = store.tables.statements.rows.get(`${id}`)!
    const name = `statement ${seq} of ${device}`
    truth.demand(2, truth.made.has(formatHex(entry)), `${name} was never published by a holder of its key`)
    const decoded = decodeStatement(bytes)
    if (decoded.kind !== "statement") {
      truth.demand(2, false, `${name} is no statement`)
      continue
    }
    const { statement } = decoded
    const key = [...(keys.get(device) ?? []), ...world.clones.flatMap((clone) => clone.keys)].find(
      ({ publicKey }) => equalBytes(kidOf(publicKey), statement.kid),
    )
    const law =
      key === undefined
        ? "bad"
        : checkSignature(
            key.publicKey,
            statement.algorithm,
            signedBytesOf(statement),
            statement.signature,
            verifyNative,
          )
    truth.demand(2, law === "good", `${name} has a signature that is ${law}`)
    truth.demand(2, equalBytes(sha256Native(bytes), entry), `${name} is not stored as it was published`)
  }
}

/** What an honest device hears, whatever breaks: never that it did something wrong. */
const blameless: readonly Verdict[] = ["head", "accepted", "accepted-unread", "accepted-ahead"]

/** What else it may hear, and only where one of these is the reason. */
const reasons: Readonly<Partial<Record<Verdict, readonly Trouble[]>>> = {
  // It sends nothing twice that its head covers: somebody else does.
  duplicate: ["repeat", "scramble", "stranger"],
  // A device that rotates tries both keys where the answer was lost.
  "unknown-key": ["late-enrolment", "rotation", "operator-rotation", "corrupt"],
  revoked: ["revoke"],
  suspended: ["suspend"],
  malformed: ["corrupt"],
  "wrong-device": ["corrupt"],
  "bad-signature": ["corrupt"],
  "high-s": ["corrupt"],
  gap: ["scramble", "corrupt"],
  broken: ["scramble", "corrupt", "repeat"],
}

const alarms: Readonly<Record<string, readonly Trouble[]>> = {
  contradiction: ["corrupt", "scramble"],
  // It asked for its next key while the operator gave it one; or its power went before it had asked.
  "rotation-refused": ["operator-rotation", "revoke", "device-power-loss"],
}

/** 4. An honest device is never accused. */
function checkNotAccused(world: World, device: SimulatedDevice): void {
  const { truth, plan } = world
  if (world.isCloned(device.id)) return
  const { troubles } = plan
  for (const [verdict, count] of device.heard) {
    const isGood = blameless.includes(verdict) || reasons[verdict]?.some((trouble) => troubles.has(trouble))
    truth.demand(4, isGood === true, `the honest ${device.id} was told ${verdict} ${count} times`)
  }
  // Somebody who replays what was never stored makes two histories of a device that forgot that it had said it.
  const isReplayed = troubles.has("stranger") && !device.traits.isDurable
  const forks = [...world.store.tables.forks.rows.values()].filter((fork) => fork.device === device.id)
  truth.demand(4, isReplayed || forks.length === 0, `a fork of the honest ${device.id} is kept`)
  for (const { kind } of device.alarms) {
    const isGood = kind === "waiting" || alarms[kind]?.some((trouble) => troubles.has(trouble))
    truth.demand(4, isGood === true, `the honest ${device.id} raised the alarm ${kind}`)
  }
}

/** 3. A device has one history: in the order of the log each statement stands on the one before. */
function checkOrder(world: World): void {
  const heads = new Map<string, number>()
  for (const { device, seq } of entriesOf(world)) {
    const before = heads.get(device) ?? 0
    world.truth.demand(
      3,
      seq === before + 1,
      `in the log statement ${seq} of ${device} stands behind ${before}`,
    )
    heads.set(device, seq)
  }
}

/** Where database and service work, nobody waits: not for a bad neighbour, and not for a seal. */
const answerMsMax = 1_500
const weather: readonly Trouble[] = [
  "database-cut",
  "lost-answer",
  "database-fails",
  "database-slow",
  "database-stop",
  "unstorable",
  "kill",
  "machine-power-loss",
  "old-backup",
]

/** 4, the other half: one bad device never stalls another. */
function checkNotStalled({ truth, plan, processes }: World): void {
  if (weather.some((trouble) => plan.troubles.has(trouble))) return
  for (const { waitedMsMax, options } of processes)
    truth.demand(
      4,
      waitedMsMax < answerMsMax,
      `a message waited ${Math.round(waitedMsMax)} ms for ${options.name}`,
    )
}

/** 3 and 4: a fork that is kept is one: two statements by one key for one place. And each refusal as one is kept. */
function checkForks(world: World): void {
  const { truth, store } = world
  const forks = [...store.tables.forks.rows.values()]
  for (const { device, seq, stored, other } of forks) {
    const [a, b] = [decodeStatement(stored), decodeStatement(other)]
    const isFork =
      a.kind === "statement" &&
      b.kind === "statement" &&
      a.statement.seq === seq &&
      b.statement.seq === seq &&
      equalBytes(a.statement.kid, b.statement.kid) &&
      equalBytes(a.statement.prev, b.statement.prev) &&
      !equalBytes(signedBytesOf(a.statement), signedBytesOf(b.statement))
    truth.demand(4, isFork, `what is kept as a fork of ${device} at ${seq} is none`)
  }
  const accused = [...truth.refused.keys()]
    .filter((key) => key.endsWith(" fork"))
    .map((key) => key.split(" ")[0])
  for (const device of new Set(accused)) {
    truth.see("fork kept")
    truth.demand(
      9,
      forks.some((fork) => fork.device === device),
      `${device} was refused as a fork, and no evidence is kept`,
    )
  }
}

/** 5. Every accepted statement is sealed, once; 6. and what was published once is still what the log says. */
function checkSealed(world: World): void {
  const { truth, store, witnessing } = world
  const entries = entriesOf(world)
  const runs = [...store.tables.leafRuns.rows.values()].toSorted((a, b) => a.firstLeaf - b.firstLeaf)
  const ids = runs.flatMap(({ firstId, count }) =>
    Array.from({ length: count }, (_, place) => firstId + place),
  )
  truth.demand(
    5,
    ids.join() === entries.map(({ id }) => id).join(),
    "leaves are not the statements in their order",
  )
  const tree = new Frontier(sha256Native)
  const published = witnessing.listPublished()
  let compared = 0
  for (const { entry } of entries) {
    tree.append(hashLeaf(entry, sha256Native))
    const root = published.get(tree.size)
    if (root === undefined) continue
    compared += 1
    truth.demand(
      6,
      root === formatHex(tree.root()),
      `the log of ${tree.size} leaves is not the one that was published`,
    )
  }
  truth.demand(6, compared === published.size, "a size was published at which no log is")
  truth.demand(5, published.has(tree.size) || entries.length === 0, "the last block is not published")
}

/** 8. What is published is the checkpoint, whose content was looked at when it came, and nothing beside it. */
function checkPublished({ truth, disk }: World): void {
  // And what a kill left of writing it.
  const known = /^\/data\/log\/checkpoint(?:\.[0-9a-f]{16}\.new)?$/
  for (const name of disk.list("/data/log")) truth.demand(8, known.test(name), `${name} is published`)
}

/** 10. Three clocks are kept: blocks tile time, and none ends before what is in it, whatever the clock was set to. */
function checkClocks(world: World): void {
  const { truth, store } = world
  const entries = entriesOf(world)
  const { sealEveryMs, troubles } = world.plan
  const slotOf = (ms: number): number => Math.floor(ms / sealEveryMs)
  const { size: blocks } = store.tables.blocks.rows
  let last: { readonly toMs: number; readonly manifestId: number } | null = null
  for (const block of [...store.tables.blocks.rows.values()].toSorted((a, b) => a.height - b.height)) {
    const { height, fromMs, toMs, manifestId } = block
    const after = last?.manifestId ?? 0
    // Two sealers, one block for each slot; the last one was asked for.
    const isOfOwnSlot =
      last === null ||
      height === blocks - 1 ||
      troubles.has("database-clock") ||
      slotOf(toMs) > slotOf(last.toMs)
    truth.demand(5, isOfOwnSlot, `blocks ${height - 1} and ${height} are of one slot`)
    truth.demand(
      10,
      last === null || fromMs === last.toMs,
      `block ${height} does not begin where the last one ended`,
    )
    for (const { id, receivedAtMs, device, seq } of entries)
      truth.demand(
        10,
        id <= after || id > manifestId || receivedAtMs <= toMs,
        `block ${height} ends before statement ${seq} of ${device}, which is in it, has arrived`,
      )
    last = block
  }
}

/** 6, 7 and 10: everything computed again from what was signed. */
async function checkAudit(world: World): Promise<void> {
  const { truth, keys, store, disk } = world
  const result = await audit({
    source: auditSourceOf(store.tables),
    logKey: { name: origin, publicKey: keys!.log.publicKey },
    headsSecret: keys!.headsSecret,
    digestKey: digestKeyOf(keys!),
    published: disk.read("/data/log/checkpoint"),
    sha256: sha256Native,
    hmac: hmacNative,
    verify: verifyNative,
  })
  const first = result.kind === "failed" ? result.findings[0] : undefined
  truth.demand(6, result.kind === "passed", `the audit finds that ${JSON.stringify(first)}`)
  truth.demand(5, result.kind !== "passed" || result.unsealed === 0, "something is stored and not sealed")
}

/** 9. Every refusal has a reason and is counted. */
async function checkCounted(world: World): Promise<void> {
  const { truth, store, processes, plan } = world
  for (const process of processes) await process.compareMetrics()
  const rows = [...store.tables.refusals.rows.values()]
  const codes = new Map<number, number>()
  for (const { code, count } of rows) codes.set(code, (codes.get(code) ?? 0) + count)
  // A retry after a lost answer, or a process that died before it answered, has counted what nobody heard.
  const isExact = ![
    "kill",
    "machine-power-loss",
    "lost-answer",
    "database-cut",
    "database-stop",
    "old-backup",
  ].some((trouble) => plan.troubles.has(trouble as never))
  for (const [verdict, code] of Object.entries(verdictCodes)) {
    if (!isRefusal(verdict as Verdict)) continue
    const answered = processes.reduce((sum, { answers }) => sum + (answers.get(verdict as Verdict) ?? 0), 0)
    const counted = codes.get(code) ?? 0
    truth.demand(
      9,
      isExact ? counted === answered : counted >= answered,
      `${verdict} was answered ${answered} times, and the database counts ${counted}`,
    )
  }
}

/**
 * One group commit: one transaction for what many devices sent. It locks the heads, judges, and copies only what won.
 * Nothing is answered before it has committed.
 */
import type { PoolClient } from "pg"
import { type DeviceRecord, applyRegistry } from "../chain/device.ts"
import { type ChainBinding, firstPrevOf } from "../chain/genesis.ts"
import { type Hash, parseHash } from "../chain/hash.ts"
import { findRequestFault, rotationOf } from "../chain/key-request.ts"
import {
  type ChainState,
  type DeviceStatus,
  type StoredPlace,
  judgeLink,
  noHead,
  verdictOfNext,
} from "../chain/link.ts"
import { type Payload, isAhead, ruleOfRefusedSeries } from "../chain/payload.ts"
import type { Head } from "../chain/receipt.ts"
import { type Registry, encodeRegistry } from "../chain/registry.ts"
import { countPackReadings } from "../chain/senml.ts"
import { contentRegistry } from "../chain/statement.ts"
import { type Verdict, verdictCodes } from "../chain/verdict.ts"
import type { Checked, SignedCandidate } from "./candidate.ts"
import type { IngestKeys } from "./log-keys.ts"
import { sha256Native, verifyNative } from "./native.ts"
import { OperatorChain, beginUnderSeal, tryLockOperator } from "./operator.ts"
import { isSameRegistry } from "./registry.ts"
import { updateDevices } from "./registry-rows.ts"
import { type StoredStatement, insertStatements, takeIds } from "./storage.ts"

/** A connection in front of the fence. */
export interface PlaceState {
  readonly device: string
  /** The device's epoch as this connection took it; null before its first committed message and for unknown devices. */
  epoch: number | null
  /** Refused, fenced off or closed: what else it sent is dropped. */
  isStopped: boolean
}

/** A message on its way through a group. */
export interface GroupItem {
  readonly place: PlaceState
  readonly checked: Checked
  /** The record by which it was checked; null: not enrolled. */
  readonly record: DeviceRecord | null
  /** Set before a COMMIT whose answer may get lost: a retry that finds its own row answers this, not duplicate. */
  decided: Verdict | null
  /** The database would not take its series (never seen): it is stored unread. */
  isUnreadable: boolean
}

/** What a message gets once its group has committed. */
export type Outcome =
  | {
      readonly kind: "verdict"
      readonly verdict: Verdict
      readonly rule: string
      readonly seq: number | null
      /** After the verdict. */
      readonly head: Head
      readonly nowMs: number
      readonly readings: number
      /** Stands behind `head` of an unknown, revoked or suspended device: the connection closes. */
      readonly closes: boolean
      /** Its next key stands: the connection closes behind the acknowledgement. */
      readonly isRotated: boolean
    }
  | { readonly kind: "dropped" }
  /** The registry changed since the check: check again, and judge in the next group. */
  | { readonly kind: "stale" }
  /** Asks for a key while the operator's chain is held by a seal: nobody else waits for that, so it comes again. */
  | { readonly kind: "postponed" }

interface Chain {
  readonly device: string
  readonly isEnrolled: boolean
  readonly status: DeviceStatus
  registry: Uint8Array | null
  readonly before: Head
  readonly epochBefore: number
  head: Head
  epoch: number
  /** Rows by seq: looked up before, and added while judging. */
  readonly stored: Map<number, StoredPlace>
}

/** Rows of code 1 to 4 with what each was judged from. */
interface Accepted {
  readonly item: GroupItem
  readonly signed: SignedCandidate
  readonly code: 1 | 3 | 4
  readonly fault: string | null
}

/** A request that is granted: the operator's rotation commits with it. */
interface Rotation {
  readonly record: DeviceRecord
  readonly request: Registry
  /** Of the request. */
  readonly entry: Hash
  readonly seq: number
}

const forksPerDeviceMax = 16

/** What the registry of a chain is while its rotation is not signed yet: no record is the same. */
const registryInTheMaking = new Uint8Array(0)

/**
 * Judges and stores a group in one transaction, and gives each item's outcome in order. Rejects with what the database
 * said, having changed nothing that it knows of: the caller splits or retries. After a rejection of COMMIT itself the
 * rows may stand all the same; `decided` is for that case.
 */
export async function commitGroup(
  client: PoolClient,
  items: readonly GroupItem[],
  keys: IngestKeys,
): Promise<Outcome[]> {
  await beginUnderSeal(client)
  // The operator's chain before the devices' heads, as everybody does; and only where somebody asks for a key.
  const isAsked = items.some(isRequest)
  const operatorHead = isAsked ? await tryLockOperator(client, keys.origin) : null
  const operator = operatorHead === null ? null : new OperatorChain(keys, operatorHead)
  const { chains, nowMs } = await lockChains(client, items)
  await lookUpStored(client, chains, items)
  const group = new Judgement(chains, nowMs, keys, operator !== null)
  const outcomes = items.map((item) => group.judge(item))
  await store(client, group, nowMs, operator)
  // From here on a lost answer leaves it open whether the rows stand.
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.kind === "verdict") items[index]!.decided = outcome.verdict
  }
  await client.query("commit")
  for (const item of items) settlePlace(item.place, group)
  return outcomes
}

/** A registry statement by a device, which may be a request for its next key. */
function isRequest({ checked, isUnreadable }: GroupItem): boolean {
  return checked.kind === "signed" && checked.signed.payload.kind === "registry" && !isUnreadable
}

/**
 * Locks the heads in order of device id: in arbitrary order two groups waited for each other in 57 of 80 runs. And reads
 * the database's clock, which the seal lock must precede.
 */
async function lockChains(
  client: PoolClient,
  items: readonly GroupItem[],
): Promise<{ readonly chains: Map<string, Chain>; readonly nowMs: number }> {
  const devices = [...new Set(items.map(({ place }) => place.device))]
  const { rows: heads } = await client.query<{
    device_id: string
    seq: number
    entry: Uint8Array
    epoch: number
  }>(
    "select device_id, seq, entry, epoch from chain_heads where device_id = any($1) order by device_id for update",
    [devices],
  )
  // A query of its own, with a snapshot from after the locks: joined to the one above, a suspension that it waited for
  // would be seen by its epoch and not by its status.
  const { rows: standings } = await client.query<{
    now_ms: number
    device_id: string | null
    status: DeviceStatus
    registry: Uint8Array
  }>(
    `select now_ms, device_id, status, registry
     from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms) as clock
     left join devices on device_id = any($1)`,
    [devices],
  )
  const standingOf = new Map(standings.map((row) => [row.device_id, row]))
  const chains = new Map<string, Chain>()
  for (const row of heads) {
    // The operator's chain is no device's.
    const standing = standingOf.get(row.device_id)
    if (standing === undefined) continue
    const before = { seq: row.seq, entry: parseHash(row.entry) }
    chains.set(row.device_id, {
      device: row.device_id,
      isEnrolled: true,
      status: standing.status,
      registry: standing.registry,
      before,
      epochBefore: row.epoch,
      head: before,
      epoch: row.epoch,
      // What follows the head in this group is linked to it. Its digest is read where a statement comes for its own place.
      stored: new Map([[before.seq, { entry: before.entry, signedDigest: new Uint8Array(0) }]]),
    })
  }
  for (const device of devices) {
    if (chains.has(device)) continue
    const unknown = { device, isEnrolled: false, status: "active", registry: null, before: noHead } as const
    chains.set(device, { ...unknown, epochBefore: 0, head: noHead, epoch: 0, stored: new Map() })
  }
  // One row at least: where none of them is enrolled, it has the clock alone.
  return { chains, nowMs: standings[0]!.now_ms }
}

/** Reads what is stored at the places that are not the next one: for duplicates, forks and broken links. */
async function lookUpStored(
  client: PoolClient,
  chains: ReadonlyMap<string, Chain>,
  items: readonly GroupItem[],
): Promise<void> {
  const devices: string[] = []
  const seqs: number[] = []
  for (const { place, checked } of items) {
    if (checked.kind !== "signed") continue
    const chain = chains.get(place.device)!
    const { seq } = checked.signed.statement
    if (seq > chain.before.seq) continue
    devices.push(place.device, place.device)
    seqs.push(seq, seq - 1)
  }
  if (devices.length === 0) return
  const { rows } = await client.query<{
    device_id: string
    seq: number
    entry: Uint8Array
    signed_digest: Uint8Array
  }>(
    `select e.device_id, e.seq, e.entry, e.signed_digest
     from (select distinct * from unnest($1::text[], $2::bigint[]) as w(device_id, seq)) w join entries e using (device_id, seq)`,
    [devices, seqs],
  )
  for (const row of rows) {
    const place = { entry: parseHash(row.entry), signedDigest: row.signed_digest }
    chains.get(row.device_id)!.stored.set(row.seq, place)
  }
}

/** The fold over a group's items, in order of arrival. */
class Judgement {
  readonly chains: ReadonlyMap<string, Chain>
  readonly accepted: Accepted[] = []
  readonly refusals = new Map<string, { readonly device: string; readonly code: number; count: number }>()
  readonly forks: { readonly device: string; readonly seq: number; readonly other: Uint8Array }[] = []
  /** Places as this group leaves them, if it commits. */
  readonly epochs = new Map<PlaceState, number>()
  readonly stopped = new Set<PlaceState>()
  readonly rotations: Rotation[] = []
  private readonly stale = new Set<PlaceState>()
  private readonly postponed = new Set<PlaceState>()
  private readonly nowMs: number
  private readonly origin: string
  private readonly binding: ChainBinding
  private readonly isOperatorLocked: boolean

  constructor(
    chains: ReadonlyMap<string, Chain>,
    nowMs: number,
    { origin, binding }: Pick<IngestKeys, "origin" | "binding">,
    isOperatorLocked: boolean,
  ) {
    this.chains = chains
    this.nowMs = nowMs
    this.origin = origin
    this.binding = binding
    this.isOperatorLocked = isOperatorLocked
  }

  judge(item: GroupItem): Outcome {
    const { place, checked } = item
    if (place.isStopped || this.stopped.has(place)) return { kind: "dropped" }
    const chain = this.chains.get(place.device)!
    // Behind one that is checked again nothing may be judged before it.
    if (this.stale.has(place)) return { kind: "stale" }
    if (this.postponed.has(place)) return { kind: "postponed" }
    if (checked.kind !== "question" && !isSameRegistry(item.record, chain.registry)) {
      this.stale.add(place)
      return { kind: "stale" }
    }
    if (!this.passFence(place, chain)) {
      this.stopped.add(place)
      return { kind: "dropped" }
    }
    if (checked.kind === "question") return this.answerQuestion(place, chain)
    if (checked.kind === "refused")
      return this.refuse(item, chain, checked.verdict, checked.rule, checked.seq)
    return this.judgeSigned(item, chain, checked.signed)
  }

  /** A head is given only when nothing older of that device can still be committed (FORMAT §5, fence). */
  private passFence(place: PlaceState, chain: Chain): boolean {
    if (!chain.isEnrolled) return true
    const epoch = this.epochs.get(place) ?? place.epoch
    if (epoch === null) {
      chain.epoch += 1
      this.epochs.set(place, chain.epoch)
      return true
    }
    return epoch === chain.epoch
  }

  private answerQuestion(place: PlaceState, chain: Chain): Outcome {
    const verdict = !chain.isEnrolled
      ? "unknown-key"
      : chain.status === "active"
        ? "head"
        : chain.status === "revoked"
          ? "revoked"
          : "suspended"
    const closes = verdict !== "head"
    if (closes) this.stopped.add(place)
    return this.outcome(chain, verdict, "an answer to a question", null, 0, closes)
  }

  private judgeSigned(item: GroupItem, chain: Chain, signed: SignedCandidate): Outcome {
    const { statement, entry, signedDigest, isRevokedBeyond } = signed
    const { seq, prev } = statement
    const state: ChainState = {
      status: chain.status,
      head: chain.head,
      firstPrev: () => firstPrevOf(this.binding, chain.device, sha256Native),
      stored: (at) => chain.stored.get(at) ?? null,
    }
    const link = judgeLink({ seq, prev, entry, signedDigest, isRevokedBeyond }, state)
    if (link.kind === "next") {
      if (isRequest(item) && !this.isOperatorLocked) {
        this.postponed.add(item.place)
        return { kind: "postponed" }
      }
      return this.accept(item, chain, signed)
    }
    if (link.kind === "duplicate") {
      // Its own row, from a COMMIT whose answer was lost.
      const { decided } = item
      const isOwn = decided === "accepted" || decided === "accepted-unread" || decided === "accepted-ahead"
      return this.outcome(chain, isOwn ? decided : "duplicate", link.rule, seq, 0, false)
    }
    if (link.kind === "fork") this.forks.push({ device: chain.device, seq, other: statement.bytes })
    return this.refuse(item, chain, link.kind, link.rule, seq)
  }

  private accept(item: GroupItem, chain: Chain, signed: SignedCandidate): Outcome {
    const { statement, entry, signedDigest } = signed
    const payload = this.readPayload(item, signed)
    const isUnread = payload.kind === "unread"
    const verdict = verdictOfNext(isUnread, isAhead(statement.iat, payload, this.nowMs))
    const code = verdictCodes[verdict] as 1 | 3 | 4
    const fault = isUnread ? `${payload.rule} (at byte ${payload.offset} of the payload)` : null
    this.accepted.push({ item, signed, code, fault })
    chain.head = { seq: statement.seq, entry }
    chain.stored.set(statement.seq, { entry, signedDigest })
    const readings = payload.kind === "readings" ? countPackReadings(payload.series) : 0
    const outcome = this.outcome(chain, verdict, fault ?? "", statement.seq, readings, false)
    if (payload.kind !== "registry") return outcome
    const { seq } = statement
    this.rotations.push({ record: item.record!, request: payload.registry, entry, seq })
    // The fence, as for every registry statement: what else came, was checked by the old key.
    chain.epoch += 1
    chain.registry = registryInTheMaking
    return { ...outcome, isRotated: true }
  }

  /** A request for a key that breaks a rule is accepted, unread, and the old key goes on (FORMAT §7). */
  private readPayload(item: GroupItem, { payload, statement, entry }: SignedCandidate): Payload {
    if (item.isUnreadable) return { kind: "unread", rule: ruleOfRefusedSeries, offset: 0 }
    if (payload.kind !== "registry") return payload
    const place = { origin: this.origin, seq: statement.seq, entry, verify: verifyNative }
    const rule = findRequestFault(item.record!, payload.registry, place)
    return rule === null ? payload : { kind: "unread", rule, offset: 0 }
  }

  private refuse(item: GroupItem, chain: Chain, verdict: Verdict, rule: string, seq: number | null): Outcome {
    this.stopped.add(item.place)
    const device = chain.isEnrolled ? chain.device : ""
    const key = `${verdict} ${device}`
    const counted = this.refusals.get(key) ?? { device, code: verdictCodes[verdict], count: 0 }
    counted.count += 1
    this.refusals.set(key, counted)
    return this.outcome(chain, verdict, rule, seq, 0, true)
  }

  private outcome(
    chain: Chain,
    verdict: Verdict,
    rule: string,
    seq: number | null,
    readings: number,
    closes: boolean,
  ): Outcome & { readonly kind: "verdict" } {
    const { head } = chain
    const { nowMs } = this
    return { kind: "verdict", verdict, rule, seq, head, nowMs, readings, closes, isRotated: false }
  }
}

async function store(
  client: PoolClient,
  group: Judgement,
  nowMs: number,
  operator: OperatorChain | null,
): Promise<void> {
  const { accepted, rotations } = group
  if (accepted.length > 0) {
    const ids = await takeIds(client, accepted.length + rotations.length)
    const statements = accepted.map(({ item, signed, code, fault }, index): StoredStatement => {
      const { payload, statement } = signed
      return {
        id: ids[index]!,
        chain: statement.iss,
        seq: statement.seq,
        entry: signed.entry,
        receivedAtMs: nowMs,
        signedDigest: signed.signedDigest,
        code,
        fault,
        bytes: statement.bytes,
        series: payload.kind === "readings" && !item.isUnreadable ? payload.series : [],
      }
    })
    await insertStatements(client, statements)
    if (operator !== null) await rotate(client, rotations, operator, ids.slice(accepted.length), nowMs)
  }
  await moveHeads(client, [...group.chains.values()])
  await countRefusals(client, [...group.refusals.values()])
  await keepForks(client, group)
}

/** Signs the operator's rotations behind the requests that they answer, and writes the keys. */
async function rotate(
  client: PoolClient,
  rotations: readonly Rotation[],
  operator: OperatorChain,
  ids: readonly number[],
  receivedAtMs: number,
): Promise<void> {
  if (rotations.length === 0) return
  const records = rotations.map(({ record, request, entry, seq }, index) => {
    const registry = rotationOf(record, request, entry)
    const payload = encodeRegistry(registry)
    const place = { id: ids[index]!, sub: record.device, content: contentRegistry, receivedAtMs }
    const applied = applyRegistry(record, registry, {
      origin: operator.origin,
      entry: operator.sign({ ...place, payload }),
      headSeq: seq,
      request: { entry, registry: request },
      verify: verifyNative,
    })
    if (applied.kind === "refused")
      throw new Error(`a request was granted against the rules: ${applied.rule}`)
    return applied.record
  })
  await operator.store(client)
  await updateDevices(client, records)
}

/** The compare-and-swap: it must move exactly the heads that were locked, from exactly where they were. */
async function moveHeads(client: PoolClient, chains: readonly Chain[]): Promise<void> {
  const moved = chains.filter(
    ({ head, before, epoch, epochBefore }) => head !== before || epoch !== epochBefore,
  )
  if (moved.length === 0) return
  const { rowCount } = await client.query(
    `update chain_heads h set seq = n.seq, entry = n.entry, epoch = n.epoch
     from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[])
       as n(device_id, seq_before, entry_before, seq, entry, epoch)
     where h.device_id = n.device_id and h.seq = n.seq_before and h.entry = n.entry_before`,
    [
      moved.map(({ device }) => device),
      moved.map(({ before }) => before.seq),
      moved.map(({ before }) => before.entry),
      moved.map(({ head }) => head.seq),
      moved.map(({ head }) => head.entry),
      moved.map(({ epoch }) => epoch),
    ],
  )
  if (rowCount !== moved.length)
    throw new Error(`${rowCount} of ${moved.length} heads moved under their locks`)
}

async function countRefusals(
  client: PoolClient,
  refusals: readonly { readonly device: string; readonly code: number; readonly count: number }[],
): Promise<void> {
  if (refusals.length === 0) return
  await client.query(
    `insert into refusals (device_id, code, count, last_at)
     select device_id, code, count, now() from unnest($1::text[], $2::int[], $3::bigint[]) as n(device_id, code, count)
     order by device_id, code
     on conflict (device_id, code) do update set count = refusals.count + excluded.count, last_at = excluded.last_at`,
    [
      refusals.map(({ device }) => device),
      refusals.map(({ code }) => code),
      refusals.map(({ count }) => count),
    ],
  )
}

/** The first pair per seq is kept, at most 16 per device. */
async function keepForks(client: PoolClient, group: Judgement): Promise<void> {
  for (const { device, seq, other } of group.forks) {
    await client.query(
      `insert into forks (device_id, seq, stored, other, found_at)
       select $1, $2, s.bytes, $3, now() from entries e join statements s using (id, received_at)
       where e.device_id = $1 and e.seq = $2 and (select count(*) from forks where device_id = $1) < $4
       on conflict do nothing`,
      [device, seq, other, forksPerDeviceMax],
    )
  }
}

function settlePlace(place: PlaceState, group: Judgement): void {
  place.epoch = group.epochs.get(place) ?? place.epoch
  if (group.stopped.has(place)) place.isStopped = true
}

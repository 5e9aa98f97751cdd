/** The registry's rows: `devices`, `device_keys`, `certificate_authorities`, and the epochs of the fence. */
import type { Pool, PoolClient } from "pg"
import type { AuthorityRecord } from "../chain/authority.ts"
import type { DeviceRecord, EnrolledKey, KeyIntroduction } from "../chain/device.ts"
import { type ChainBinding, firstPrevOf } from "../chain/genesis.ts"
import { parseHash } from "../chain/hash.ts"
import { decodeEnrolledKey, encodeCoseKey } from "../chain/key.ts"
import type { DeviceStatus } from "../chain/link.ts"
import { sha256Native } from "./native.ts"

interface DeviceRow {
  readonly device_id: string
  readonly status: DeviceStatus
  readonly registry: Uint8Array
  readonly attributes: Record<string, string>
  readonly ca_digest: Uint8Array | null
  readonly keys: readonly {
    readonly kid: string
    readonly cose_key: string
    readonly first_seq: number
    readonly last_seq: number | null
    readonly ended_by: "rotation" | "revocation" | null
    readonly possession_proven: boolean
    readonly introduced_by: KeyIntroduction
  }[]
}

/** The records of these devices, or of all, by id; those that are not enrolled are missing. */
export async function readDevices(
  client: Pool | PoolClient,
  devices: readonly string[] | null,
): Promise<Map<string, DeviceRecord>> {
  const { rows } = await client.query<DeviceRow>(
    `select d.device_id, d.status, d.registry, d.attributes, d.ca_digest,
            coalesce((select json_agg(json_build_object('kid', encode(k.kid, 'hex'), 'cose_key', encode(k.cose_key, 'hex'),
              'first_seq', k.first_seq, 'last_seq', k.last_seq, 'ended_by', k.ended_by,
              'possession_proven', k.possession_proven, 'introduced_by', k.introduced_by)
              order by k.first_seq, k.last_seq nulls last)
              from device_keys k where k.device_id = d.device_id), '[]') as keys
     from devices d where $1::text[] is null or d.device_id = any($1) order by d.device_id`,
    [devices],
  )
  return new Map(rows.map((row) => [row.device_id, recordOf(row)]))
}

function recordOf(row: DeviceRow): DeviceRecord {
  const keys = row.keys.map((key): EnrolledKey => ({
    kid: Uint8Array.from(Buffer.from(key.kid, "hex")),
    key: decodeEnrolledKey(Uint8Array.from(Buffer.from(key.cose_key, "hex"))),
    firstSeq: key.first_seq,
    lastSeq: key.last_seq,
    endedBy: key.ended_by,
    isPossessionProven: key.possession_proven,
    introducedBy: key.introduced_by,
  }))
  const { device_id: device, status } = row
  return {
    device,
    status,
    keys,
    registry: parseHash(row.registry),
    attributes: new Map(Object.entries(row.attributes)),
    caDigest: row.ca_digest === null ? null : parseHash(row.ca_digest),
  }
}

/** Heads and epochs of these chains, locked in order of device id. Lock the operator's chain before. */
export async function lockHeads(
  client: PoolClient,
  devices: readonly string[],
): Promise<Map<string, { readonly seq: number }>> {
  const { rows } = await client.query<{ device_id: string; seq: number }>(
    "select device_id, seq from chain_heads where device_id = any($1) order by device_id for update",
    [devices],
  )
  return new Map(rows.map(({ device_id: device, seq }) => [device, { seq }]))
}

/** Rows of devices that were not enrolled before: four queries, however many they are. */
export async function insertDevices(
  client: PoolClient,
  binding: ChainBinding,
  records: readonly DeviceRecord[],
): Promise<void> {
  if (records.length === 0) return
  await client.query(
    "insert into chain_heads (device_id, seq, entry) select device_id, 0, entry from unnest($1::text[], $2::bytea[]) as n(device_id, entry)",
    [
      records.map(({ device }) => device),
      records.map(({ device }) => firstPrevOf(binding, device, sha256Native)),
    ],
  )
  await client.query(
    `insert into devices (device_id, status, registry, attributes, ca_digest)
     select * from unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::bytea[])`,
    [
      records.map(({ device }) => device),
      records.map(({ status }) => status),
      records.map(({ registry }) => registry),
      records.map(({ attributes }) => JSON.stringify(Object.fromEntries(attributes))),
      records.map(({ caDigest }) => caDigest),
    ],
  )
  await writeKeys(client, records)
}

/** Rows of devices as a registry statement left them. Their heads must be locked. */
export async function updateDevices(client: PoolClient, records: readonly DeviceRecord[]): Promise<void> {
  if (records.length === 0) return
  await client.query(
    `update devices d set status = n.status, registry = n.registry
     from unnest($1::text[], $2::text[], $3::bytea[]) as n(device_id, status, registry) where d.device_id = n.device_id`,
    [
      records.map(({ device }) => device),
      records.map(({ status }) => status),
      records.map(({ registry }) => registry),
    ],
  )
  await writeKeys(client, records)
}

async function writeKeys(client: PoolClient, records: readonly DeviceRecord[]): Promise<void> {
  const keys = records.flatMap(({ device, keys: all }) => all.map((key) => ({ device, key })))
  // Ends first: while an old key has none, no other may stand at its first seq.
  await client.query(
    `update device_keys k set last_seq = n.last_seq, ended_by = n.ended_by
     from unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[]) as n(device_id, kid, last_seq, ended_by)
     where k.device_id = n.device_id and k.kid = n.kid and k.last_seq is distinct from n.last_seq`,
    [
      keys.map(({ device }) => device),
      keys.map(({ key }) => key.kid),
      keys.map(({ key }) => key.lastSeq),
      keys.map(({ key }) => key.endedBy),
    ],
  )
  await client.query(
    `insert into device_keys (device_id, kid, cose_key, first_seq, last_seq, ended_by, possession_proven, introduced_by)
     select * from unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], $7::boolean[], $8::text[])
     on conflict (device_id, kid) do nothing`,
    [
      keys.map(({ device }) => device),
      keys.map(({ key }) => key.kid),
      keys.map(({ key }) => encodeCoseKey(key.key)),
      keys.map(({ key }) => key.firstSeq),
      keys.map(({ key }) => key.lastSeq),
      keys.map(({ key }) => key.endedBy),
      keys.map(({ key }) => key.isPossessionProven),
      keys.map(({ key }) => key.introducedBy),
    ],
  )
}

/** The fence: connections from before a registry statement are closed, and nothing of them is judged (FORMAT §5). */
export async function raiseEpochs(client: PoolClient, devices: readonly string[]): Promise<void> {
  if (devices.length === 0) return
  await client.query("update chain_heads set epoch = epoch + 1 where device_id = any($1)", [devices])
}

/** Ends all tokens of devices that were revoked, or whose keys were: who had the key may have had the token as well. */
export async function endTokens(client: PoolClient, devices: readonly string[]): Promise<void> {
  if (devices.length === 0) return
  await client.query("delete from login_tokens where device_id = any($1)", [devices])
}

/** All that were ever trusted, by name. */
export async function readAuthorities(client: Pool | PoolClient): Promise<Map<string, AuthorityRecord>> {
  const { rows } = await client.query<{
    name: string
    digest: Uint8Array
    trusted: boolean
    registry: Uint8Array
  }>("select name, digest, trusted, registry from certificate_authorities order by name")
  return new Map(
    rows.map(({ name, digest, trusted, registry }) => [
      name,
      { name, digest: parseHash(digest), isTrusted: trusted, registry: parseHash(registry) },
    ]),
  )
}

/** @param certificate in DER; null where it is the one that is stored */
export async function writeAuthority(
  client: PoolClient,
  { name, digest, isTrusted, registry }: AuthorityRecord,
  certificate: Uint8Array | null,
): Promise<void> {
  await client.query(
    certificate === null
      ? "update certificate_authorities set digest = $2, trusted = $3, registry = $4 where name = $1"
      : `insert into certificate_authorities (name, digest, trusted, registry, certificate) values ($1, $2, $3, $4, $5)
         on conflict (name) do update set digest = excluded.digest, trusted = excluded.trusted,
           registry = excluded.registry, certificate = excluded.certificate`,
    certificate === null
      ? [name, digest, isTrusted, registry]
      : [name, digest, isTrusted, registry, certificate],
  )
}

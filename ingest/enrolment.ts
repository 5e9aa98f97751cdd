/** Enrolments as an operator gives them, compared with what is enrolled already: the same list may be given again. */
import type { Pool } from "pg"
import { formatHex } from "../chain/bytes.ts"
import { type DeviceRecord, findOpenKey } from "../chain/device.ts"
import { type PublicKey, encodeCoseKey, equalKeys } from "../chain/key.ts"
import { showText } from "../chain/shown-text.ts"
import { type Enrolment, readDevices } from "./registry.ts"

export type ComparedEnrolment =
  /** The device is not enrolled. `others` have this key already: each of them could sign for the other. */
  | { readonly kind: "new"; readonly others: readonly string[] }
  /** All that it says is so. */
  | { readonly kind: "known" }
  /** The device is enrolled, and this says something else; or it was revoked. */
  | { readonly kind: "differs"; readonly rule: string }

/** Compares each with the registry, in the same order. Two of one list are not compared with each other. */
export async function compareEnrolments(
  pool: Pool,
  enrolments: readonly Enrolment[],
): Promise<ComparedEnrolment[]> {
  if (enrolments.length === 0) return []
  const records = await readDevices(
    pool,
    enrolments.map(({ device }) => device),
  )
  const owners = await readOwners(
    pool,
    enrolments.map(({ key }) => key),
  )
  return enrolments.map((enrolment): ComparedEnrolment => {
    const record = records.get(enrolment.device)
    if (record === undefined) return { kind: "new", others: owners.get(nameOf(enrolment.key)) ?? [] }
    const rule = findDifference(record, enrolment)
    return rule === null ? { kind: "known" } : { kind: "differs", rule }
  })
}

const nameOf = (key: PublicKey): string => formatHex(encodeCoseKey(key))

/** Devices by the keys that they have or had. */
async function readOwners(pool: Pool, keys: readonly PublicKey[]): Promise<Map<string, string[]>> {
  const { rows } = await pool.query<{ key: string; devices: string[] }>(
    `select encode(cose_key, 'hex') as key, array_agg(device_id order by device_id) as devices
     from device_keys where cose_key = any($1) group by cose_key`,
    [keys.map((key) => encodeCoseKey(key))],
  )
  return new Map(rows.map(({ key, devices }) => [key, devices]))
}

function findDifference(record: DeviceRecord, { device, key, proof, attributes }: Enrolment): string | null {
  if (record.status === "revoked")
    return `device ${device} was revoked for good: enrol what replaces it under another id`
  if (findOpenKey(record) === null)
    return `device ${device} is enrolled, and a revocation ended its keys: give it the next one with tidemark device rotate ${device} --key FILE`
  const enrolled = record.keys.find((other) => equalKeys(other.key, key))
  if (enrolled === undefined)
    return `device ${device} is enrolled already, with another key: tidemark device rotate ${device} --key FILE gives it its next one`
  if (enrolled.endedBy === "revocation")
    return `device ${device} is enrolled, and a revocation ended this key: it stands no more`
  if (proof !== undefined && !enrolled.isPossessionProven)
    return `device ${device} is enrolled already, without a proof of possession, and none can be added: a rotation can have one`
  for (const [name, value] of attributes ?? []) {
    const had = record.attributes.get(name)
    if (had !== value)
      return `device ${device} is enrolled already, ${had === undefined ? `without ${name}` : `with ${name} ${showText(had)}`} and not with ${showText(value)}: what an enrolment says stays`
  }
  return null
}

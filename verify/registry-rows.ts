/**
 * Rows that repeat the chains as they now stand (`chain_heads`, `devices`, `device_keys`, `certificate_authorities`)
 * beside the chains themselves.
 */
import { equalBytes, formatHex } from "../chain/bytes.ts"
import { type Sha256, sha256 } from "../chain/hash.ts"
import type { EnrolledKey } from "../chain/device.ts"
import { encodeCoseKey } from "../chain/key.ts"
import type { Chains } from "./chains.ts"
import type { Findings } from "./finding.ts"
import type { AuditSource, AuthorityRow, ChainHeadRow, DeviceKeyRow, DeviceRow } from "./source.ts"

export async function auditRegistryRows(
  source: AuditSource,
  chains: Chains,
  findings: Findings,
  hash: Sha256 = sha256,
): Promise<void> {
  for (const [device, { head, request }] of chains.devices) {
    if (request !== null)
      findings.add(
        "statements",
        "bytes",
        `statement ${head.seq} of device ${device}`,
        "asks for the device's next key, and no rotation by the operator answers it",
      )
  }
  await auditAuthorities(source.authorities(), chains, findings, hash)
  await auditDevices(source.devices(), chains, findings)
  await auditDeviceKeys(source.deviceKeys(), chains, findings)
  await auditChainHeads(source.chainHeads(), chains, findings)
}

async function auditDevices(
  rows: AsyncIterable<DeviceRow>,
  chains: Chains,
  findings: Findings,
): Promise<void> {
  const left = new Set(chains.devices.keys())
  for await (const row of rows) {
    const name = `device ${row.deviceId}`
    const record = chains.devices.get(row.deviceId)?.record
    if (record == null || !left.delete(row.deviceId)) {
      findings.add("devices", null, name, "was never enrolled by the operator")
      continue
    }
    if (row.status !== record.status)
      findings.add(
        "devices",
        "status",
        name,
        `is ${row.status}, and the operator's chain says ${record.status}`,
      )
    if (!equalBytes(row.registry, record.registry))
      findings.add("devices", "registry", name, "is not the last registry statement about the device")
    if (!isSameAttributes(row.attributes, record.attributes))
      findings.add("devices", "attributes", name, "differs from the signed enrolment")
    const { caDigest } = record
    const isSameAuthority =
      row.caDigest === null || caDigest === null
        ? row.caDigest === caDigest
        : equalBytes(row.caDigest, caDigest)
    if (!isSameAuthority) findings.add("devices", "ca_digest", name, "differs from the signed enrolment")
  }
  for (const device of left)
    findings.add("devices", null, `device ${device}`, "is missing: the operator enrolled it")
}

function isSameAttributes(json: string, signed: ReadonlyMap<string, string>): boolean {
  const stored: unknown = JSON.parse(json)
  if (typeof stored !== "object" || stored === null || Array.isArray(stored)) return false
  const entries = Object.entries(stored)
  return entries.length === signed.size && entries.every(([name, value]) => signed.get(name) === value)
}

async function auditDeviceKeys(
  rows: AsyncIterable<DeviceKeyRow>,
  chains: Chains,
  findings: Findings,
): Promise<void> {
  const left = new Map<string, EnrolledKey>()
  for (const [device, { record }] of chains.devices) {
    for (const key of record?.keys ?? []) left.set(nameKey(device, key.kid), key)
  }
  const strays: DeviceKeyRow[] = []
  for await (const row of rows) {
    const name = nameKey(row.deviceId, row.kid)
    const key = left.get(name)
    if (key === undefined || !left.delete(name)) strays.push(row)
    else auditDeviceKey(row, key, name, findings)
  }
  for (const row of strays) {
    const name = nameKey(row.deviceId, row.kid)
    const same = [...left].find(
      ([other, key]) =>
        equalBytes(encodeCoseKey(key.key), row.coseKey) && other.endsWith(` of device ${row.deviceId}`),
    )
    if (same !== undefined) left.delete(same[0])
    if (same !== undefined)
      findings.add(
        "device_keys",
        "kid",
        same[0],
        `is stored as ${formatHex(row.kid)}, which is not the key's thumbprint`,
      )
    else findings.add("device_keys", null, name, "was never enrolled by the operator")
  }
  for (const name of left.keys())
    findings.add("device_keys", null, name, "is missing: the operator enrolled it")
}

/** A kid is public: it stands in every statement. */
function nameKey(device: string, kid: Uint8Array): string {
  return `key ${formatHex(kid)} of device ${device}`
}

function auditDeviceKey(row: DeviceKeyRow, key: EnrolledKey, name: string, findings: Findings): void {
  const say = (column: string): void =>
    findings.add("device_keys", column, name, "differs from what the operator's chain says")
  if (!equalBytes(row.coseKey, encodeCoseKey(key.key))) say("cose_key")
  if (row.firstSeq !== key.firstSeq) say("first_seq")
  if (row.lastSeq !== key.lastSeq) say("last_seq")
  if (row.endedBy !== key.endedBy) say("ended_by")
  if (row.isPossessionProven !== key.isPossessionProven) say("possession_proven")
  if (row.introducedBy !== key.introducedBy) say("introduced_by")
}

async function auditAuthorities(
  rows: AsyncIterable<AuthorityRow>,
  { authorities }: Chains,
  findings: Findings,
  hash: Sha256,
): Promise<void> {
  const left = new Set(authorities.keys())
  for await (const row of rows) {
    const name = `CA ${row.name}`
    const say = (column: string | null, rule: string): void =>
      findings.add("certificate_authorities", column, name, rule)
    const record = authorities.get(row.name)
    if (record === undefined || !left.delete(row.name)) {
      say(null, "was never trusted by the operator")
      continue
    }
    const differs = "differs from what the operator's chain says"
    if (!equalBytes(row.digest, record.digest)) say("digest", differs)
    if (!equalBytes(hash(row.certificate), record.digest))
      say("certificate", "is not the certificate that the operator trusted")
    if (row.isTrusted !== record.isTrusted) say("trusted", differs)
    if (!equalBytes(row.registry, record.registry))
      say("registry", "is not the last registry statement about the CA")
  }
  for (const name of left)
    findings.add("certificate_authorities", null, `CA ${name}`, "is missing: the operator trusted it")
}

async function auditChainHeads(
  rows: AsyncIterable<ChainHeadRow>,
  chains: Chains,
  findings: Findings,
): Promise<void> {
  const left = new Set([chains.origin, ...chains.devices.keys()])
  const nameHead = (device: string): string =>
    device === chains.origin ? "head of the operator" : `head of device ${device}`
  for await (const row of rows) {
    const chain = chains.find(row.deviceId)
    if (chain === null || !left.delete(row.deviceId)) {
      findings.add("chain_heads", null, nameHead(row.deviceId), "is of a device that was never enrolled")
      continue
    }
    const { seq, entry } = chain.head
    if (row.seq !== seq)
      findings.add("chain_heads", "seq", nameHead(row.deviceId), `is not ${seq}, the last of its chain`)
    if (!equalBytes(row.entry, entry))
      findings.add("chain_heads", "entry", nameHead(row.deviceId), "is not the last entry of its chain")
  }
  for (const device of left) findings.add("chain_heads", null, nameHead(device), "is missing")
}

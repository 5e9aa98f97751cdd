/** Makes a simulated fleet known to the service: on the operator's own machine, by the log's keys. */
import type { Pool } from "pg"
import { type PublicKey, equalKeys } from "../chain/key.ts"
import type { LogKeys } from "../ingest/log-keys.ts"
import { changeRegistry, enrolDevices, readDevices } from "../ingest/registry.ts"
import type { Operator } from "../devices-sim/fault-device.ts"
import { CommandFault } from "./fault.ts"

/** So many in a transaction: the operator's chain is held meanwhile, and a seal waits for it. */
const batchSize = 1_000

/**
 * Enrols what is new; a device of this seed that is enrolled with its own key goes on from its head.
 *
 * @returns ids that were known before
 */
export async function enrolKnown(
  pool: Pool,
  keys: LogKeys,
  fleet: readonly { readonly id: string; readonly publicKey: PublicKey }[],
): Promise<ReadonlySet<string>> {
  const known = await readDevices(
    pool,
    fleet.map(({ id }) => id),
  )
  for (const { id, publicKey } of fleet) {
    const record = known.get(id)
    if (record === undefined) continue
    if (record.status !== "active")
      throw new CommandFault(`device ${id} is ${record.status}`, "use another --seed, or another --data")
    const standing = record.keys.find(({ lastSeq }) => lastSeq === null)
    if (standing === undefined || !equalKeys(standing.key, publicKey))
      throw new CommandFault(
        `device ${id} is enrolled with another key`,
        "use another --seed, or another --data",
      )
  }
  const fresh = fleet.filter(({ id }) => !known.has(id))
  for (let at = 0; at < fresh.length; at += batchSize) {
    const batch = fresh.slice(at, at + batchSize).map(({ id, publicKey }) => ({ device: id, key: publicKey }))
    for (const result of await enrolDevices(pool, keys, batch))
      if (result.kind === "refused")
        throw new CommandFault(`${result.device} was not enrolled: ${result.rule}`)
  }
  return new Set(known.keys())
}

/** What an operator does to single devices while a fleet runs. */
export function makeOperator(pool: Pool, keys: LogKeys): Operator {
  const change =
    (action: "revoke" | "suspend" | "resume") =>
    async (device: string): Promise<void> => {
      const [result] = await changeRegistry(pool, keys, [{ action, device, reason: "simulated" }])
      if (result?.kind === "refused")
        throw new CommandFault(`${action} of ${device} was refused: ${result.rule}`)
    }
  return { revoke: change("revoke"), suspend: change("suspend"), resume: change("resume") }
}

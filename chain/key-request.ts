/** A device asks for its next key on its own chain (FORMAT §7, "A device asks for its next key"). */
import { type DeviceRecord, applyRegistry } from "./device.ts"
import { type Hash, zeroHash } from "./hash.ts"
import { type Registry, listMembers } from "./registry.ts"
import type { VerifyEquation } from "./signature.ts"

/** Where a request falls: a statement of the device that links and verifies. */
export interface RequestPlace {
  readonly origin: string
  readonly seq: number
  readonly entry: Hash
  readonly verify?: VerifyEquation
}

/** 1, 2, 4, 5 and 7; not 3, since a device cannot know that entry. */
const requestMembers = "1, 2, 4, 5, 7"

/**
 * The rule that a registry statement by a device breaks, or null: then the operator's rotation is committed with it.
 * With a rule it is accepted, unread, and the old key goes on.
 */
export function findRequestFault(
  record: DeviceRecord,
  registry: Registry,
  place: RequestPlace,
): string | null {
  if (registry.action !== "rotate") return `a device asks for nothing but rotate, not for ${registry.action}`
  const members = listMembers(registry).join(", ")
  if (members !== requestMembers) return `a request has the members ${requestMembers}, not ${members}`
  if (registry.device !== record.device) return "2 is not the device that asks"
  if (registry.firstSeq !== place.seq + 1) return `5 is not ${place.seq + 1}, the seq behind the request`
  const { origin, seq, entry, verify } = place
  const applied = applyRegistry(record, rotationOf(record, registry, entry), {
    origin,
    entry: zeroHash,
    headSeq: seq,
    request: { entry, registry },
    ...(verify === undefined ? {} : { verify }),
  })
  return applied.kind === "refused" ? applied.rule : null
}

/** The operator's rotation that answers a request; `entry` is the request's. */
export function rotationOf(record: DeviceRecord, request: Registry, entry: Hash): Registry {
  return { ...request, previous: record.registry, request: entry }
}

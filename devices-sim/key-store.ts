/** Which keys a device has: what must outlive a loss of power while it rotates. */
import { type Signer, makeSpeaker } from "./device-sign.ts"
import type { DeviceContext, Effect, Rotation } from "./device-state.ts"
import { type OutboxEntry, isRequest } from "./outbox.ts"

export interface DeviceKeys {
  readonly current: Signer
  /** A second key while a rotation is not decided. */
  readonly rotation: (Omit<Rotation, "other"> & { readonly other: Signer }) | null
}

/** For keys that a process may read, `makeFileKeyStore`; a secure element has one of its own. */
export interface KeyStore {
  /** Null where nothing was saved yet: then the device's own `signer` is its key. */
  load(): Promise<DeviceKeys | null>
  /** Resolves when a loss of power keeps it. */
  save(keys: DeviceKeys): Promise<void>
}

export function makeMemoryKeyStore(): KeyStore {
  let saved: DeviceKeys | null = null
  return {
    load: () => Promise.resolve(saved),
    save(keys) {
      saved = keys
      return Promise.resolve()
    },
  }
}

export function keysOf({ speaker, rotation }: Effect & { readonly kind: "keys" }): DeviceKeys {
  const { signer: current } = speaker
  return { current, rotation: rotation === null ? null : { ...rotation, other: rotation.other.signer } }
}

/**
 * Who speaks after a start. Where the request is not in the outbox, the power was lost before it was stored there, or the
 * outbox was lost, perhaps after it had gone out and was granted: the old key is tried first, and the next one if the
 * service does not know that one any more. To leave the next key would leave such a device without any.
 */
export function wakeKeys(
  id: string,
  keys: DeviceKeys | null,
  entries: readonly OutboxEntry[],
): Partial<Pick<DeviceContext, "speaker" | "rotation">> {
  if (keys === null) return {}
  const speaker = makeSpeaker(id, keys.current)
  const { rotation } = keys
  if (rotation === null) return { speaker, rotation: null }
  const isUnasked = rotation.stage === "asked" && !entries.some(isRequest)
  const stage = isUnasked ? "undecided" : rotation.stage
  return { speaker, rotation: { ...rotation, stage, other: makeSpeaker(id, rotation.other) } }
}

/** Which keys a device has: what must outlive a loss of power while it rotates. */
import { type Signer, makeSpeaker } from "./device-sign.ts"
import { isRequest } from "./device-rotation.ts"
import type { DeviceContext, Effect, Rotation } from "./device-state.ts"
import type { OutboxEntry } from "./outbox.ts"

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

/** Who speaks after a start. A key for which nothing was asked yet was lost with the power, and is left. */
export function wakeKeys(
  id: string,
  keys: DeviceKeys | null,
  entries: readonly OutboxEntry[],
): Partial<Pick<DeviceContext, "speaker" | "rotation">> {
  if (keys === null) return {}
  const speaker = makeSpeaker(id, keys.current)
  const { rotation } = keys
  if (rotation === null || (rotation.stage === "asked" && !entries.some(isRequest)))
    return { speaker, rotation: null }
  return { speaker, rotation: { ...rotation, other: makeSpeaker(id, rotation.other) } }
}

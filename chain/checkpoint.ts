/** C2SP tlog-checkpoint: origin, size and root of the log, as the text of a signed note. */
import { formatBase64, parseBase64 } from "./bytes.ts"
import { type Hash, parseHash } from "./hash.ts"
import type { PrivateKey } from "./key.ts"
import { formatNote, signNote } from "./note.ts"

export interface Checkpoint {
  readonly origin: string
  /** Leaves. */
  readonly size: number
  readonly root: Hash
}

/** `origin\nsize\nroot\n`, without extension lines: this log has none. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${formatBase64(root)}\n`
}

/** Takes exactly what `formatCheckpoint` makes; null for anything else. */
export function parseCheckpoint(text: string): Checkpoint | null {
  const extended = parseExtendedCheckpoint(text)
  if (extended === null || extended.extensions.length > 0) return null
  const { origin, size, root } = extended
  return { origin, size, root }
}

export interface ExtendedCheckpoint extends Checkpoint {
  /** Opaque lines behind the root, none of them empty. A witness covers them and says nothing about them. */
  readonly extensions: readonly string[]
}

/** The same for any log's checkpoint, which may have extension lines; sizes end at 2^53 - 1 here. */
export function parseExtendedCheckpoint(text: string): ExtendedCheckpoint | null {
  const lines = text.split("\n")
  const [origin, sizeText, rootText, ...rest] = lines
  const extensions = rest.slice(0, -1)
  if (origin === undefined || origin === "" || sizeText === undefined || rootText === undefined) return null
  if (rest.at(-1) !== "" || extensions.includes("")) return null
  if (!/^(0|[1-9][0-9]{0,15})$/.test(sizeText)) return null
  const size = Number(sizeText)
  const root = parseBase64(rootText)
  if (!Number.isSafeInteger(size) || root?.length !== 32) return null
  return { origin, size, root: parseHash(root), extensions }
}

/** The checkpoint as published. Ed25519 is deterministic: the same size and root give the same bytes. */
export function signCheckpoint(checkpoint: Checkpoint, key: PrivateKey): string {
  return formatNote(signNote(formatCheckpoint(checkpoint), checkpoint.origin, key))
}

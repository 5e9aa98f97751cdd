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
  const [origin, sizeText, rootText, end, ...rest] = text.split("\n")
  if (origin === undefined || origin === "" || sizeText === undefined || rootText === undefined) return null
  if (end !== "" || rest.length > 0 || !/^(0|[1-9][0-9]{0,15})$/.test(sizeText)) return null
  const size = Number(sizeText)
  const root = parseBase64(rootText)
  if (!Number.isSafeInteger(size) || root?.length !== 32) return null
  return { origin, size, root: parseHash(root) }
}

/** The checkpoint as published. Ed25519 is deterministic: the same size and root give the same bytes. */
export function signCheckpoint(checkpoint: Checkpoint, key: PrivateKey): string {
  return formatNote(signNote(formatCheckpoint(checkpoint), checkpoint.origin, key))
}

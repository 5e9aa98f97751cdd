/** What an answer speaks of: the last sealed block that it knows, and the checkpoint over it. */
import { formatBase64 } from "../chain/bytes.ts"
import { formatMs } from "./instant.ts"

export interface AsOf {
  readonly height: number
  /** Leaves of the checkpoint's tree, the block's manifest included. */
  readonly treeSize: number
  readonly root: Uint8Array
  /** `to` of the block: everything that had arrived by then is sealed. Unix ms. */
  readonly sealedToMs: number
  /** The statement that is sealed last. */
  readonly statementMax: number
}

export interface AsOfJson {
  readonly height: number
  readonly treeSize: number
  readonly root: string
  readonly sealedTo: string
}

export function describeAsOf(asOf: AsOf | null): AsOfJson | null {
  if (asOf === null) return null
  const { height, treeSize, root, sealedToMs } = asOf
  return { height, treeSize, root: formatBase64(root), sealedTo: formatMs(sealedToMs) }
}

/** `<height> <treeSize> <root>`, or `none` where nothing is sealed yet. */
export function formatAsOf(asOf: AsOf | null): string {
  return asOf === null ? "none" : `${asOf.height} ${asOf.treeSize} ${formatBase64(asOf.root)}`
}

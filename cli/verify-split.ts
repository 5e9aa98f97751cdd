/** `tidemark verify FILE` of a split view: has a log that the reader knows signed two histories? */
import { isSplitView, splitViewSizeMax } from "../chain/split-view.ts"
import { joinBytes } from "../chain/bytes.ts"
import { verifyNative } from "../ingest/native.ts"
import { type SplitResult, verifySplitView } from "../verify/split-view.ts"
import { UsageFault } from "./fault.ts"
import { type TrustOptions, readPieces, readTrust } from "./verify-evidence.ts"

/** The file where it says that it is a split view, and no more of it than one may have; null where it is another. */
export async function readSplitView(path: string): Promise<Uint8Array | null> {
  let file: Uint8Array = new Uint8Array(0)
  for await (const piece of readPieces(path)) {
    file = joinBytes(file, piece)
    if (!isSplitView(file)) return null
    if (file.length > splitViewSizeMax) break
  }
  return isSplitView(file) ? file : null
}

export async function verifySplitViewFile(file: Uint8Array, options: TrustOptions): Promise<SplitResult> {
  if (options.deviceKey !== undefined || options.since !== undefined)
    throw new UsageFault("--device-key and --since are for evidence, and this is a split view")
  const { policy } = await readTrust(options)
  return verifySplitView(file, policy, verifyNative)
}

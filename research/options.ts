/** What each part of the API, a plugin, is given. */
import type { Sha256 } from "../chain/hash.ts"
import type { Desk } from "./desk.ts"
import type { Guard } from "./guard.ts"
import type { PublishedLog } from "./log-published.ts"

export interface ResearchOptions {
  readonly desk: Desk
  readonly guard: Guard
  /** What proofs are of: never a tree that has not left the house. */
  readonly published: PublishedLog
  /** Of this software, for what it writes. */
  readonly version: string
  /** The blind of a device's place in a block's heads map: evidence of the device shows it, and nothing else may. */
  readonly blindOf: (height: number, device: string) => Uint8Array
  /** Native. */
  readonly sha256: Sha256
}

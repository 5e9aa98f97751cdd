/** What the operator does to devices while they speak. */
import { type PrivateKey, makePrivateKey } from "../../../chain/key.ts"
import { proveKey } from "../../../chain/registry.ts"
import type { Random } from "../../../devices-sim/random.ts"
import type { LogKeys } from "../../../ingest/log-keys.ts"
import { type ChangeResult, type RegistryChange, changeRegistry } from "../../../ingest/registry.ts"
import type { SimulatedPool } from "./pool.ts"
import { isFromStorm } from "./service.ts"
import type { Truth } from "./truth.ts"

/** Standing of a device by what the operator did: what a device may still be expected to deliver. */
export interface Standing {
  isEnrolled: boolean
  isSuspended: boolean
  /** Revoked, or its key replaced by one that it does not have: no more is demanded of it. */
  isEnded: boolean
}

export class Operator {
  readonly standings = new Map<string, Standing>()
  /** Keys that the operator introduced, by device. */
  readonly keys = new Map<string, PrivateKey[]>()
  /** Busy with a backup. */
  isAway = false
  private readonly pool: SimulatedPool
  private readonly log: LogKeys
  private readonly random: Random
  private readonly truth: Truth

  constructor(pool: SimulatedPool, log: LogKeys, random: Random, truth: Truth) {
    this.pool = pool
    this.log = log
    this.random = random
    this.truth = truth
  }

  standingOf(device: string): Standing {
    let standing = this.standings.get(device)
    if (standing === undefined)
      this.standings.set(device, (standing = { isEnrolled: false, isSuspended: false, isEnded: false }))
    return standing
  }

  async enrol(device: string, key: PrivateKey): Promise<void> {
    if ((await this.change({ action: "enrol", device, key: key.publicKey, firstSeq: 1 })) !== null)
      this.standingOf(device).isEnrolled = true
  }

  async suspend(device: string): Promise<void> {
    if ((await this.change({ action: "suspend", device })) !== null)
      this.standingOf(device).isSuspended = true
  }

  async resume(device: string): Promise<void> {
    if ((await this.change({ action: "resume", device })) !== null)
      this.standingOf(device).isSuspended = false
  }

  async revoke(device: string, headSeq: number): Promise<void> {
    const lastGoodSeq = this.random.float() < 0.5 ? {} : { lastGoodSeq: this.random.int(0, headSeq) }
    this.standingOf(device).isEnded = true
    await this.change({ action: "revoke", device, ...lastGoodSeq })
  }

  /** By a key that the device never gets. */
  async rotate(device: string, old: PrivateKey, headSeq: number): Promise<void> {
    const next = makePrivateKey(old.publicKey.algorithm, this.random.bytes(32))
    const firstSeq = headSeq + this.random.int(1, 4)
    const { origin } = this.log
    this.standingOf(device).isEnded = true
    await this.change({
      action: "rotate",
      device,
      key: next.publicKey,
      firstSeq,
      proofOfNew: proveKey(next, origin, device, firstSeq, next.publicKey),
      proofOfOld: proveKey(old, origin, device, firstSeq, next.publicKey),
    })
  }

  /** Null where the rules forbid it, or where the database did not take it: then nothing happened. */
  private async change(change: RegistryChange): Promise<ChangeResult | null> {
    if (this.isAway) return null
    const [result] = await changeRegistry(this.pool.asPool, this.log, [change]).catch((error: unknown) => {
      // Whether it was committed or not, nobody knows: whoever comes next looks.
      this.truth.demand(
        0,
        isFromStorm(error as Error),
        `a change of the registry failed: ${(error as Error).message}`,
      )
      return []
    })
    const isChanged = result?.kind === "changed"
    this.truth.see(`operator ${change.action} ${isChanged ? "done" : "refused"}`)
    return isChanged ? result : null
  }
}

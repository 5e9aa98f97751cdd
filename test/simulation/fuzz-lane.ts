/** Plays cases one after the other, each until it is answered or its connection closed. */
import { formatHex, joinBytes } from "../../chain/bytes.ts"
import { type ChainBinding, emptyHeadOf } from "../../chain/genesis.ts"
import type { Head } from "../../chain/receipt.ts"
import { type FuzzCase, kindOf, makeCase } from "./fuzz-case.ts"
import { FuzzConnection, type FuzzHeard, probeId } from "./fuzz-connection.ts"
import { readFrames } from "./fuzz-frames.ts"
import { type SoakDevice, connectFrame, publishFrame, subscribeFrame } from "./soak-device.ts"

export interface FuzzWorld {
  readonly seed: number
  readonly port: number
  readonly binding: ChainBinding
  readonly devices: readonly SoakDevice[]
  readonly heard: FuzzHeard
  /** First bytes that are no CONNECT's. */
  strangers: number
  /** Cases that were answered, and cases whose connection closed. */
  answered: number
  closed: number
  readonly faults: string[]
}

const disconnectFrame = Uint8Array.of(0xe0, 0x00)
/** A case that hangs so long is a fault. */
const caseMsMax = 30_000

export class FuzzLane {
  readonly #world: FuzzWorld
  readonly #open = new Map<SoakDevice, FuzzConnection>()
  /** As they were told last; not known where a connection closed without a word. */
  readonly #heads = new Map<SoakDevice, Head>()
  readonly #numbers: Iterable<number>
  #current: FuzzCase | null = null
  #connection: FuzzConnection | null = null

  constructor(world: FuzzWorld, numbers: Iterable<number>) {
    this.#world = world
    this.#numbers = numbers
  }

  async run(onCase: () => void): Promise<void> {
    for (const number of this.#numbers) {
      if (this.#world.faults.length > 0) break
      const watchdog = setTimeout(() => this.#giveUp("was neither answered nor closed"), caseMsMax)
      const isAnswered =
        kindOf(this.#world.seed, number) === "connect"
          ? await this.#playConnect(number)
          : await this.#playBehindConnect(number)
      clearTimeout(watchdog)
      if (isAnswered) this.#world.answered += 1
      else this.#world.closed += 1
      if (this.#connection?.fault != null) this.#giveUp(this.#connection.fault)
      onCase()
    }
    for (const connection of this.#open.values()) await connection.close()
  }

  async #playConnect(number: number): Promise<boolean> {
    const { seed, port, devices, heard } = this.#world
    const one = makeCase(seed, number, devices, this.#empty(devices[number % devices.length]!))
    const connection = this.#begin(one, new FuzzConnection(port, heard))
    if (one.bytes[0] !== 0x10) this.#world.strangers += 1
    const { isUnfinished, isLeaving } = readFrames(one.bytes)
    if (isLeaving) connection.markLeft()
    connection.send(one.bytes)
    if (isUnfinished) connection.finish()
    await connection.until(() => connection.connack !== null || connection.isClosed)
    if (connection.connack === 0 && !isUnfinished) {
      connection.markLeft()
      connection.send(disconnectFrame)
    }
    await connection.until(() => connection.isClosed)
    return connection.connack !== null
  }

  async #playBehindConnect(number: number): Promise<boolean> {
    const { seed, port, devices, heard } = this.#world
    const device = devices[number % devices.length]!
    const kept = this.#open.get(device)
    const connection = kept !== undefined && !kept.isClosed ? kept : new FuzzConnection(port, heard)
    const hello = connection === kept ? [] : [connectFrame(device.id), subscribeFrame(device.id)]
    // The first time nothing is stored, and later the head is known: but for a connection that closed without a word.
    let head = this.#open.has(device) ? this.#heads.get(device) : this.#empty(device)
    if (head === undefined) {
      connection.send(...hello.splice(0))
      await connection.until(() => connection.receipts > 0 || connection.isClosed)
      head = connection.head ?? this.#empty(device)
    }
    this.#open.set(device, connection)
    const one = makeCase(seed, number, devices, head)
    this.#begin(one, connection)
    const probe = publishFrame(device.id, new Uint8Array(0), probeId)
    const { isUnfinished, isLeaving } = readFrames(joinBytes(one.bytes, probe))
    const probesBefore = connection.probes
    if (isLeaving) connection.markLeft()
    connection.send(...hello, one.bytes, probe)
    if (isUnfinished) connection.finish()
    await connection.until(() => connection.isClosed || (!isUnfinished && connection.probes > probesBefore))
    const isAnswered = connection.probes > probesBefore || connection.head !== null
    if (connection.head !== null && (!connection.isClosed || connection.hasRefusal))
      this.#heads.set(device, connection.head)
    else this.#heads.delete(device)
    return isAnswered && (!connection.isClosed || connection.hasRefusal)
  }

  #empty({ id }: SoakDevice): Head {
    return emptyHeadOf(this.#world.binding, id)
  }

  #begin(one: FuzzCase, connection: FuzzConnection): FuzzConnection {
    this.#current = one
    this.#connection = connection
    return connection
  }

  #giveUp(why: string): void {
    const { seed, faults } = this.#world
    const { number, kind, what, bytes } = this.#current ?? {
      number: -1,
      kind: "",
      what: "",
      bytes: new Uint8Array(0),
    }
    faults.push(
      `case ${number} (${kind}, ${what}) ${why}; again: npm run soak:fuzz -- --seed ${seed} --from ${number} --count 1; ` +
        `its first bytes: ${formatHex(bytes.subarray(0, 400))}`,
    )
    void this.#connection?.close()
  }
}

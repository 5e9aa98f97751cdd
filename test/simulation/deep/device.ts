/** A device of the simulator on the simulated network: its power, its clock, its durable storage. */
import { formatHex } from "../../../chain/bytes.ts"
import { type PrivateKey, makePrivateKey } from "../../../chain/key.ts"
import { encodePack } from "../../../chain/senml.ts"
import { contentSenml } from "../../../chain/statement.ts"
import { type Verdict, parseVerdictCode } from "../../../chain/verdict.ts"
import {
  type Delivery,
  Device,
  type Link,
  type LinkListener,
  makeSigner,
  signNatively,
} from "../../../devices-sim/connection.ts"
import type { Alarm } from "../../../devices-sim/device-state.ts"
import type { DeviceKeys, KeyStore } from "../../../devices-sim/key-store.ts"
import { type Outbox, type OutboxEntry, OutboxIndex } from "../../../devices-sim/outbox.ts"
import type { Random } from "../../../devices-sim/random.ts"
import type { Clock } from "./clock.ts"
import type { Listening, Network, Wire } from "./network.ts"
import { unstorableMetric } from "./queries-chain.ts"
import type { Truth } from "./truth.ts"

export interface DeviceTraits {
  /** Where it was configured with the log; otherwise it goes by the head that it is told. */
  readonly logVkey?: string
  readonly id: string
  readonly key: PrivateKey
  /** Its outbox outlives a loss of power. */
  readonly isDurable: boolean
  /** Ahead of the true time, in seconds. */
  readonly clockAheadSeconds: number
  /** One content in so many cannot be read, or not be stored; 0: none. */
  readonly unreadEvery: number
  readonly unstorableEvery: number
}

export interface DeviceWorld {
  readonly clock: Clock
  readonly network: Network
  readonly truth: Truth
  readonly origin: string
  /** Unix ms. */
  readonly trueTimeMs: () => number
  /** Whether a statement with this payload is committed. */
  readonly isStored: (device: string, payload: Uint8Array) => boolean
  /** The process that a new connection reaches. */
  readonly balance: () => Listening
  /** What a device said in another log, under the same key. */
  readonly saidElsewhere: (device: string) => readonly Uint8Array[]
}

/** A content that a device had to say, as it was in the outbox. */
export interface Said {
  readonly payload: string
  readonly iat: number
}

export class SimulatedDevice {
  readonly traits: DeviceTraits
  readonly alarms: Alarm[] = []
  /** Contents of which it was told that they are stored, and they were not. */
  falseBeliefs = 0
  /** Receipts, by verdict. */
  readonly heard = new Map<Verdict, number>()
  /** What was ever durably in the outbox, in order: this has to be stored, once and in this order. */
  readonly said: Said[] = []
  /** Keys that the device made for itself, the first one first. */
  readonly keys: PrivateKey[]
  private readonly world: DeviceWorld
  private readonly random: Random
  private power: Power
  private device: Device
  private count = 0
  private readonly knownNumbers = new Set<string>()

  constructor(traits: DeviceTraits, world: DeviceWorld, random: Random) {
    this.traits = traits
    this.world = world
    this.random = random
    this.keys = [traits.key]
    this.power = new Power(world.clock, random)
    this.device = this.make()
  }

  get id(): string {
    return this.traits.id
  }

  get isAtRest(): boolean {
    return this.device.head !== null && this.device.waiting === 0
  }

  get isHalted(): boolean {
    return this.device.isHalted
  }

  get hasPower(): boolean {
    return this.power.isOn
  }

  switchOn(): void {
    void this.device.start()
  }

  say(): void {
    if (!this.power.isOn) return
    this.count += 1
    const { traits, random, count } = this
    const { id, unreadEvery, unstorableEvery } = traits
    const startsAt = this.nowSeconds() - 60
    const isUnstorable = unstorableEvery > 0 && count % unstorableEvery === 0
    const name = isUnstorable ? unstorableMetric : random.pick(["heart-rate", "temperature", "steps"])
    const times = Array.from({ length: random.int(1, 4) }, (_, place) => startsAt + place)
    const values = times.map(() => count)
    const payload = encodePack([{ kind: "number", name: `${id}/${name}`, unit: "beat/min", times, values }])
    const isUnread = unreadEvery > 0 && count % unreadEvery === 0
    const content = isUnread || random.float() > 0.1 ? contentSenml : "text/plain"
    // A byte behind the end is a fault inside the payload: accepted, unread.
    const said = isUnread ? Uint8Array.from([...payload, 0]) : payload
    void this.follow(said, this.device.publish({ content, payload: said }))
  }

  /** What the device believes of a content must be so when it begins to believe it. */
  private async follow(payload: Uint8Array, publishing: Promise<Delivery>): Promise<void> {
    const { truth, isStored } = this.world
    // Not while it still reads its outbox: then nothing was said.
    const delivery = await publishing.catch(() => null)
    if (delivery === null) return
    truth.see(`content ${delivery.kind}`)
    if (delivery.kind === "stored" && !isStored(this.id, payload)) this.falseBeliefs += 1
  }

  rotate(): void {
    if (!this.power.isOn) return
    const { algorithm } = this.traits.key.publicKey
    const next = makePrivateKey(algorithm, this.random.bytes(32))
    this.keys.push(next)
    this.world.truth.see("rotation begun")
    void this.device.rotate(makeSigner(next, signNatively)).then(
      (result) => this.world.truth.see(`rotation ${result}`),
      () => {},
    )
  }

  losePower(offMs: number): void {
    if (!this.power.isOn) return
    this.world.truth.see("device lost its power")
    this.power.fail()
    this.world.clock.after(offMs, () => {
      this.power = this.power.restore(this.traits.isDurable)
      this.device = this.make()
      this.switchOn()
    })
  }

  /** A second device with the same key and none of the memory. */
  clone(): SimulatedDevice {
    return new SimulatedDevice(this.traits, this.world, this.random.fork("clone"))
  }

  private nowSeconds(): number {
    return Math.floor(this.world.trueTimeMs() / 1000) + this.traits.clockAheadSeconds
  }

  private make(): Device {
    const { traits, world, random, power } = this
    const { clock, truth } = world
    const whilePowered = (work: () => void) => () => {
      if (power.isOn) work()
    }
    return new Device({
      id: traits.id,
      signer: makeSigner(traits.key, signNatively),
      origin: world.origin,
      ...(traits.logVkey === undefined ? {} : { logVkey: traits.logVkey }),
      service: { url: "mqtt://simulated" },
      outbox: power.outbox((entries) => this.remember(entries)),
      keyStore: power.keyStore(),
      clock: () => 1_000 * traits.clockAheadSeconds + world.trueTimeMs(),
      random: () => random.float(),
      timer: (delayMs, run) => clock.after(delayMs, whilePowered(run)),
      openLink: (_id, _service, _key, listener) => this.connect(listener),
      log: null,
      listener: {
        alarm: (alarm) => {
          truth.see(`alarm ${alarm.kind}`)
          this.alarms.push(alarm)
        },
        receipt: ({ code }) => {
          const verdict = parseVerdictCode(code)
          if (verdict !== null) this.heard.set(verdict, (this.heard.get(verdict) ?? 0) + 1)
        },
      },
    })
  }

  private connect(listener: LinkListener): Link {
    const { network, truth, balance } = this.world
    const { power } = this
    const whilePowered =
      <Values extends readonly unknown[]>(work: (...values: Values) => void) =>
      (...values: Values) => {
        if (power.isOn) work(...values)
      }
    const wire: Wire = network.open(this.id, balance(), {
      connected: whilePowered(() => listener.connected()),
      receipt: whilePowered((payload: Uint8Array) => listener.receipt(payload)),
      acknowledged: whilePowered((number: number) => listener.acknowledged(number)),
      closed: whilePowered((reason: string) => listener.closed(reason)),
    })
    power.onFail.push(() => wire.cut())
    return {
      subscribe: whilePowered(() => wire.subscribe()),
      publish: whilePowered((number: number, bytes: Uint8Array) => {
        truth.publish(bytes)
        this.haveAccident(() => wire.cut())
        wire.send({ message: { kind: "statement", bytes }, number })
      }),
      // Bytes that are no publish: nobody here sends them.
      write: () => {},
      end: () => {
        wire.cut()
        return Promise.resolve()
      },
      cut: whilePowered(() => wire.cut()),
    }
  }

  /** What goes wrong goes wrong while something is on its way. */
  private haveAccident(cut: () => void): void {
    const { network, clock } = this.world
    const { random, power } = this
    if (random.float() > 0.1) return
    clock.after(random.float() * 10, () => {
      if (!power.isOn) return
      if (network.has("device-power-loss") && random.float() < 0.5) this.losePower(random.float() * 2_000)
      else if (network.has("cut")) cut()
    })
  }

  private remember(entries: readonly OutboxEntry[]): void {
    for (const { content, payload, iat } of entries) {
      if (content !== contentSenml && content !== "text/plain") continue
      const said = { payload: formatHex(payload), iat }
      const key = `${iat} ${said.payload}`
      if (this.knownNumbers.has(key)) continue
      this.knownNumbers.add(key)
      this.said.push(said)
    }
  }
}

/** From switching on to the next loss of power, and what storage there is. */
class Power {
  isOn = true
  readonly onFail: (() => void)[] = []
  private readonly clock: Clock
  private readonly random: Random
  private readonly index: OutboxIndex
  private readonly saved: { keys: DeviceKeys | null }

  constructor(
    clock: Clock,
    random: Random,
    index = new OutboxIndex(),
    saved: { keys: DeviceKeys | null } = { keys: null },
  ) {
    this.clock = clock
    this.random = random
    this.index = index
    this.saved = saved
  }

  fail(): void {
    this.isOn = false
    for (const work of this.onFail.splice(0)) work()
  }

  /** The next one, with what storage has kept: of a device whose outbox is not durable the keys alone. */
  restore(isDurable: boolean): Power {
    return new Power(this.clock, this.random, isDurable ? this.index : new OutboxIndex(), this.saved)
  }

  outbox(stored: (entries: readonly OutboxEntry[]) => void): Outbox {
    return {
      load: () => this.onStorage(() => this.index.content()),
      append: (entries) =>
        this.onStorage(
          () => {
            for (const entry of entries) this.index.put(entry)
            stored(entries)
          },
          // Cut off in the middle, the first of them stand.
          () => {
            const some = entries.slice(0, this.random.int(0, entries.length))
            for (const entry of some) this.index.put(entry)
            stored(some)
          },
        ),
      forget: (upTo, acceptedSeq) => this.onStorage(() => this.index.forget(upTo, acceptedSeq)),
      close: () => Promise.resolve(),
    }
  }

  keyStore(): KeyStore {
    return {
      load: () => this.onStorage(() => this.saved.keys),
      save: (keys) => this.onStorage(() => void (this.saved.keys = keys)),
    }
  }

  private async onStorage<T>(work: () => T, workCutOff?: () => void): Promise<T> {
    await this.clock.wait(this.random.float() * 2)
    if (this.isOn) return work()
    workCutOff?.()
    return new Promise<T>(() => {})
  }
}

/** A whole system on one seed: devices, network, service, database, disk, operator, and everything that may go wrong. */
import {
  type Algorithm,
  type PrivateKey,
  algorithmEd25519,
  algorithmEsp256,
  makePrivateKey,
} from "../../../chain/key.ts"
import { equalBytes } from "../../../chain/bytes.ts"
import { decodeStatement } from "../../../chain/statement.ts"
import { type Random, makeRandom } from "../../../devices-sim/random.ts"
import { initLog } from "../../../ingest/log.ts"
import type { LogKeys } from "../../../ingest/log-keys.ts"
import { Clock, settle } from "./clock.ts"
import { SimulatedDevice, type DeviceWorld } from "./device.ts"
import { Disk } from "./disk.ts"
import { type Listening, Network } from "./network.ts"
import { Operator } from "./operator.ts"
import { type Plan, type Trouble, drawPlan } from "./plan.ts"
import { type QueryFault, SimulatedPool } from "./pool.ts"
import { chainCopies, chainQueries } from "./queries-chain.ts"
import { registryQueries } from "./queries-registry.ts"
import { sealCopies, sealQueries } from "./queries-seal.ts"
import { saidElsewhere } from "./other-log.ts"
import { Rogue, actAsStranger } from "./rogue.ts"
import { MemoryServer } from "./server.ts"
import { ServiceProcess } from "./service.ts"
import { Store } from "./store.ts"
import { Truth } from "./truth.ts"
import { Witnessing } from "./witnessing.ts"

export const origin = "tidemark.invalid/deep"

/** When it all begins, Unix ms: in 2026. */
const beginMs = 1_795_000_000_000
/** In calm everything comes to rest long before: devices wait for minutes at the most. */
const calmMsMax = 60 * 60_000

/** Turns of the event loop in which nothing happens. */
const idleMax = 1_000_000

/** Of the database's clock: this is what it may be set by, in ms. */
const clockJumpMsMax = 10 * 60_000

export class World {
  readonly clock = new Clock()
  readonly random: Random
  readonly plan: Plan
  readonly truth = new Truth()
  readonly store: Store
  readonly server: MemoryServer
  readonly disk: Disk
  readonly network: Network
  readonly devices: SimulatedDevice[] = []
  readonly clones: SimulatedDevice[] = []
  readonly rogues: Rogue[] = []
  /** Every process that there was. */
  readonly processes: ServiceProcess[] = []
  readonly witnessing: Witnessing
  operator: Operator | null = null
  keys: LogKeys | null = null
  /** In the place of each service: the process that runs now. */
  private readonly running: ServiceProcess[] = []
  private readonly operatorPool: SimulatedPool
  private databaseClockOffsetMs = 0
  private processCount = 0
  private isInTrouble = false
  /** Somebody restores backups: nobody else does anything to service and database. */
  private isRestoring = false
  private readonly faultRandom: Random

  /** @param without troubles that are switched off, whatever the seed says */
  constructor(seed: string | number, without: readonly Trouble[] = []) {
    this.random = makeRandom(`deep ${seed}`)
    const plan = drawPlan(this.random.fork("plan"))
    this.plan = { ...plan, troubles: new Set([...plan.troubles].filter((one) => !without.includes(one))) }
    this.faultRandom = this.random.fork("query faults")
    const { clock, truth } = this
    this.store = new Store(
      { ...chainQueries, ...registryQueries, ...sealQueries },
      { ...chainCopies, ...sealCopies },
      () => this.databaseClockMs(),
    )
    this.server = new MemoryServer(this.store, clock, (error) => (clock.fatal ??= error))
    this.disk = new Disk(clock, this.random.fork("disk"))
    this.network = new Network(clock, this.random.fork("network"), this.plan)
    this.witnessing = new Witnessing(this.store, truth)
    this.disk.onName = (path, text, isLeft) => this.witnessing.seePublished(path, text, isLeft)
    this.operatorPool = new SimulatedPool({
      ...this.poolOptions(),
      clock,
      random: this.random.fork("operator's pool"),
      connectionsMax: 4,
    })
  }

  has(trouble: Trouble): boolean {
    return this.isInTrouble && !this.isRestoring && this.plan.troubles.has(trouble)
  }

  private databaseClockMs(): number {
    return Math.floor(beginMs + this.clock.nowMs + this.databaseClockOffsetMs)
  }

  private poolOptions() {
    return {
      server: this.server,
      drawFault: () => this.drawQueryFault(),
      drawDelayMs: () => this.drawDelayMs(),
      onMisuse: (what: string) => this.truth.demand(0, false, what),
    }
  }

  /** A server that now and then takes seconds: one process waits, and another is quicker. */
  private drawDelayMs(): number {
    const random = this.faultRandom
    return this.has("database-slow") && random.float() < 0.02 ? random.float() * 3_000 : 0
  }

  private drawQueryFault(): QueryFault {
    const random = this.faultRandom
    if (random.float() * this.plan.queriesPerFault >= 1) return null
    const kinds: QueryFault[] = []
    if (this.has("database-cut")) kinds.push("cut-before")
    if (this.has("lost-answer")) kinds.push("cut-after")
    if (this.has("database-fails")) kinds.push("fails")
    if (kinds.length === 0) return null
    const fault = random.pick(kinds)
    this.truth.see(`query ${fault}`)
    return fault
  }

  /** Goes through a whole life, and ends with everything at rest and sealed. */
  async live(): Promise<void> {
    await this.begin()
    this.isInTrouble = true
    this.causeTrouble()
    await this.clock.runUntil(() => false, this.plan.troubledMs + this.clock.nowMs)
    await this.calmDown()
    await this.sealAll()
    this.disk.onName = null
  }

  private async begin(): Promise<void> {
    const { random, plan, disk } = this
    const mount = disk.mount("setup")
    this.keys = await this.await(
      initLog(this.operatorPool.asPool, "/deep/setup/data", origin, (size) => random.bytes(size)),
    )
    mount.isAlive = false
    this.operator = new Operator(this.operatorPool, this.keys, random.fork("operator"), this.truth)
    for (let number = 0; number < plan.services; number++) this.startService(number)
    for (let number = 0; number < plan.devices; number++) {
      const algorithm = number < plan.p256 ? algorithmEsp256 : algorithmEd25519
      const traits = {
        id: `k${number}`,
        ...(number % 2 === 0 ? { logVkey: this.keys.binding.logVkey } : {}),
        key: this.makeKey(algorithm),
        isDurable: !(plan.troubles.has("forgetful") && number % 2 === 1),
        clockAheadSeconds: plan.troubles.has("device-clock") && number % 3 === 0 ? 3_600 : 0,
        unreadEvery: plan.troubles.has("unread") ? 3 : 0,
        unstorableEvery: plan.troubles.has("unstorable") ? 4 : 0,
      }
      const device = new SimulatedDevice(traits, this.deviceWorld(), random.fork(traits.id))
      this.devices.push(device)
      const isLate = plan.troubles.has("late-enrolment") && number === plan.devices - 1
      if (isLate) this.clock.after(random.float() * plan.troubledMs, () => void this.enrolAgain(device))
      else await this.await(this.operator.enrol(device.id, traits.key))
      device.switchOn()
      this.scheduleSaying(device)
    }
    if (plan.troubles.has("rogue")) {
      const rogue = new Rogue(
        "rogue",
        this.makeKey(algorithmEd25519),
        this.deviceWorld(),
        random.fork("rogue"),
      )
      this.rogues.push(rogue)
      await this.await(this.operator.enrol(rogue.id, rogue.key))
    }
  }

  private makeKey(algorithm: Algorithm): PrivateKey {
    return makePrivateKey(algorithm, this.random.bytes(32))
  }

  private deviceWorld(): DeviceWorld {
    return {
      clock: this.clock,
      network: this.network,
      truth: this.truth,
      origin,
      trueTimeMs: () => Math.floor(beginMs + this.clock.nowMs),
      isStored: (device, payload) => this.isStored(device, payload),
      balance: () => this.balance(),
      saidElsewhere: (device) =>
        saidElsewhere(device, this.devices.find(({ id }) => id === device)!.traits.key),
    }
  }

  private isStored(device: string, payload: Uint8Array): boolean {
    // The database that is looked at is the wrong one.
    if (this.isRestoring) return true
    const { entries, statements } = this.store.tables
    for (const { id, device: chain } of entries.rows.values()) {
      if (chain !== device) continue
      const decoded = decodeStatement(statements.rows.get(`${id}`)!.bytes)
      if (decoded.kind === "statement" && equalBytes(decoded.statement.payload, payload)) return true
    }
    return false
  }

  /** A load balancer that knows nothing. */
  private balance(): Listening {
    return this.running[this.random.int(0, this.running.length - 1)]!
  }

  private scheduleSaying(device: SimulatedDevice): void {
    const { plan, clock, random } = this
    let left = plan.saidMax
    const again = (): void => {
      if (!this.isInTrouble && left < plan.saidMax) return
      device.say()
      // Sometimes much at once, as after a night without a network.
      if (random.float() < 0.1)
        for (let more = random.int(1, 8); more > 0 && left > 1; more--, left--) device.say()
      left -= 1
      if (left > 0) clock.after(random.float() * 2 * plan.sayEveryMs, again)
    }
    clock.after(random.float() * plan.sayEveryMs, again)
  }

  /** Goes on with everything until this is done. */
  private async await<T>(work: Promise<T>): Promise<T> {
    const progress = { isDone: false, idle: 0 }
    const watched = work.finally(() => (progress.isDone = true))
    watched.catch(() => {})
    while (!progress.isDone) {
      if (await this.clock.step()) continue
      // The names of migrations are read from the real disk.
      await settle()
      progress.idle += 1
      if (progress.idle > idleMax) throw new Error("it waits for something that never comes")
    }
    return watched
  }

  // The service

  private startService(place: number): void {
    const { clock, random, plan, truth, disk } = this
    this.processCount += 1
    const name = `service-${this.processCount}`
    const service = new ServiceProcess({
      name,
      clock,
      random: random.fork(name),
      plan,
      truth,
      disk,
      pool: this.poolOptions(),
      databaseClockMs: () => this.databaseClockMs(),
      isCommitted: (device, seq, entry) => {
        const row = this.store.tables.entries.rows.get(`${device} ${seq}`)
        return row !== undefined && (entry === null || equalBytes(row.entry, entry))
      },
      mayFail: () => this.has("seal-fails") && random.float() < 0.15,
    })
    this.running[place] = service
    this.processes.push(service)
    const watch = async (): Promise<void> => {
      const outcome = await service.start()
      if (!service.isAlive) return
      if (outcome === "started") this.scheduleSeals(service)
      // Whoever watches over it starts it again, unless a person has to look.
      else if (service.refusedToStart === null) {
        service.die(false)
        clock.after(1_500, () => {
          if (this.running[place] === service) this.startService(place)
        })
      }
    }
    void watch()
  }

  private scheduleSeals(service: ServiceProcess): void {
    const { sealEveryMs } = this.plan
    const again = (): void => {
      if (!service.isAlive) return
      const slotMs = Math.floor((beginMs + this.clock.nowMs) / sealEveryMs) * sealEveryMs
      if (this.isInTrouble) service.sealSlot(slotMs)
      this.clock.after(slotMs + sealEveryMs - beginMs - this.clock.nowMs + this.random.float() * 5, again)
    }
    again()
  }

  private kill(place: number, isSilent: boolean, downMs: number): void {
    const service = this.running[place]!
    if (!service.isAlive) return
    if (service.isSealing) this.truth.see("killed while sealing")
    service.die(isSilent)
    this.clock.after(downMs, () => {
      if (this.running[place] === service) this.startService(place)
    })
  }

  // Trouble

  private causeTrouble(): void {
    const { random, truth } = this
    const somebody = (): SimulatedDevice => random.pick(this.devices)
    this.every("cut", () => {
      for (const wire of new Set(this.network.wires)) {
        if (random.float() < 0.5) continue
        if (random.float() < 0.5) wire.cut()
        else wire.endThere()
      }
    })
    this.every("half-open", () => {
      for (const wire of this.network.wires) if (random.float() < 0.4) wire.goSilent()
    })
    this.every("device-power-loss", () => somebody().losePower(random.float() * 5_000))
    this.every("rotation", () => {
      const device = somebody()
      if (device.keys.length < 3) device.rotate()
    })
    this.once("clone", () => {
      const clone = somebody().clone()
      this.clones.push(clone)
      truth.see("cloned")
      clone.switchOn()
      this.scheduleSaying(clone)
    })
    this.every("rogue", () => this.rogues[0]!.act())
    this.every("stranger", () =>
      actAsStranger(
        this.deviceWorld(),
        this.devices.map(({ id }) => id),
        random.fork(`stranger ${this.clock.steps}`),
      ),
    )
    this.every("suspend", () => {
      const { id } = somebody()
      void this.operator!.suspend(id)
      this.clock.after(random.float() * 20_000, () => void this.operator!.resume(id))
    })
    this.once("revoke", () => {
      const { id } = somebody()
      void this.operator!.revoke(id, this.headSeqOf(id))
    })
    this.once("operator-rotation", () => {
      const device = somebody()
      void this.operator!.rotate(device.id, device.traits.key, this.headSeqOf(device.id))
    })
    this.every("kill", () => {
      truth.see("killed")
      this.kill(random.int(0, this.running.length - 1), false, random.float() * 2_000)
    })
    this.every("machine-power-loss", () => {
      truth.see("machine lost its power")
      const downMs = random.float() * 4_000
      for (const place of this.running.keys()) this.kill(place, true, downMs)
      this.disk.losePower()
    })
    this.every("database-stop", () => {
      if (!this.server.isUp) return
      truth.see("database stopped")
      this.stopDatabase()
      this.clock.after(random.float() * 6_000, () => (this.server.isUp = true))
    })
    this.every("database-cut", () => {
      random.pick(this.running).pool.cutAll()
    })
    this.every("database-clock", () => {
      truth.see("database's clock set")
      this.store.clockSettings += 1
      this.databaseClockOffsetMs = (random.float() * 2 - 1) * clockJumpMsMax
    })
    this.once("old-backup", () => this.tryOldBackup())
  }

  private headSeqOf(device: string): number {
    return this.store.tables.heads.rows.get(device)?.seq ?? 0
  }

  private stopDatabase(): void {
    this.server.stop()
    for (const { pool } of this.running) pool.cutAll()
    this.operatorPool.cutAll()
  }

  private every(trouble: Trouble, cause: () => void): void {
    if (!this.plan.troubles.has(trouble)) return
    const { clock, random, plan } = this
    const again = (): void => {
      if (!this.isInTrouble) return
      if (!this.isRestoring) cause()
      clock.after(plan.troubleEveryMs * 2 * random.float(), again)
    }
    clock.after(plan.troubleEveryMs * random.float(), again)
  }

  private once(trouble: Trouble, cause: () => void): void {
    if (!this.plan.troubles.has(trouble)) return
    this.clock.after(this.plan.troubledMs * (0.1 + 0.7 * this.random.float()), () => {
      if (this.isInTrouble && !this.isRestoring) cause()
    })
  }

  /** Somebody restores an old backup: a service that has published more must not start on it. */
  private tryOldBackup(): void {
    const { store, random, clock, truth } = this
    const restoreOld = store.backUp()
    // A block that it holds and nobody has published yet is no block that it lacks.
    const sizeThen = Math.max(0, ...[...store.tables.checkpoints.rows.values()].map(({ size }) => size))
    clock.after(random.float() * 10_000, () => {
      if (!this.isInTrouble || this.witnessing.publishedSize <= sizeThen) return
      truth.see("old backup restored")
      this.isRestoring = true
      this.operator!.isAway = true
      for (const service of this.running) service.die(false)
      this.stopDatabase()
      const restoreNewest = store.backUp()
      restoreOld()
      this.server.isUp = true
      this.running.length = 0
      this.startService(0)
      const refusing = this.running[0]!
      clock.after(5_000, () => {
        truth.demand(
          6,
          refusing.refusedToStart !== null,
          "a service started on a database that is behind what it has published",
        )
        refusing.die(false)
        this.stopDatabase()
        restoreNewest()
        this.server.isUp = true
        this.isRestoring = false
        this.operator!.isAway = false
        for (let place = 0; place < this.plan.services; place++) this.startService(place)
      })
    })
  }

  // Calm

  private async calmDown(): Promise<void> {
    const { clock, network, truth } = this
    // What was begun ends, before anything is demanded.
    await clock.runUntil(() => false, clock.nowMs + 25_000)
    this.isInTrouble = false
    network.isCalm = true
    // What was lost inside a connection that lives is not sent again in it.
    if (this.plan.troubles.has("scramble")) for (const wire of new Set(network.wires)) wire.cut()
    this.server.isUp = true
    for (const device of this.devices) await this.settleStanding(device)
    const isAtRest = (): boolean =>
      this.running.every((service) => service.isListening) &&
      this.devices.every((device) => this.isExcused(device) || (device.hasPower && device.isAtRest))
    const rested = await clock.runUntil(isAtRest, clock.nowMs + calmMsMax)
    for (const device of this.devices) {
      const isAtEnd = this.isExcused(device) || device.isAtRest
      truth.demand(4, isAtEnd, `${device.id} never came to rest, though nothing went wrong any more`)
    }
    if (!rested)
      for (const service of this.running)
        truth.demand(
          0,
          service.isListening,
          `${service.options.name} does not run, though nothing went wrong any more`,
        )
    await clock.runUntil(() => false, clock.nowMs + 5_000)
  }

  /** Suspended devices are resumed, and those that were to be enrolled are. */
  private async settleStanding(device: SimulatedDevice): Promise<void> {
    const row = (): { readonly status: string } | undefined => this.store.tables.devices.rows.get(device.id)
    if (row() === undefined) await this.await(this.operator!.enrol(device.id, device.traits.key))
    if (row()?.status === "suspended") await this.await(this.operator!.resume(device.id))
  }

  private async enrolAgain(device: SimulatedDevice): Promise<void> {
    await this.operator!.enrol(device.id, device.traits.key)
  }

  /** Nothing is demanded of it: its key is in two hands, or the operator has ended it. */
  isExcused(device: SimulatedDevice): boolean {
    return this.isCloned(device.id) || this.operator!.standingOf(device.id).isEnded || device.isHalted
  }

  isCloned(id: string): boolean {
    return this.clones.some((clone) => clone.id === id)
  }

  private async sealAll(): Promise<void> {
    const { clock } = this
    for (const clone of this.clones) clone.losePower(Infinity)
    const service = this.running[0]!
    const untilMs = clock.nowMs + 60_000
    await clock.runUntil(() => !service.isSealing, untilMs)
    service.sealSlot(undefined)
    await clock.runUntil(() => !service.isSealing, untilMs)
  }
}

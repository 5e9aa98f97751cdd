/** A fleet that publishes to a service: what every load of the bench is made of. */
import { join } from "node:path"
import { Fleet, writeMessages } from "./fleet.ts"
import type { GeneratorRequest, Published } from "./generator.ts"
import { readFamilySeconds, readProcessSeconds } from "./processor-time.ts"
import type { Pack } from "./readings.ts"
import type { RunningUp } from "./command.ts"
import type { BenchService } from "./service.ts"
import { sumOf, timeProcesses } from "./stopwatch.ts"
import { Worker } from "./worker.ts"

export interface Load {
  readonly readings: number
  readonly statements: number
}

export interface Pace {
  /** Messages of a device that wait for their answer. */
  readonly window: number
  /** Statements of all; null: as fast as they are answered. */
  readonly perSecond: number | null
}

export interface IngestSpent {
  readonly published: Published
  readonly service: number | null
  readonly postgres: number | null
  readonly generator: number | null
}

const daySeconds = 86_400

export class IngestStand {
  readonly service: BenchService
  readonly fleet: Fleet
  readonly generator = new Worker<GeneratorRequest>("generator.ts")
  #files = 0

  private constructor(service: BenchService, fleet: Fleet) {
    this.service = service
    this.fleet = fleet
  }

  /**
   * Enrols the fleet.
   *
   * @param nowS Unix seconds: readings begin a month before it, so that none lies ahead
   */
  static async open(
    service: BenchService,
    {
      name,
      devices,
      seed,
      nowS,
    }: { readonly name: string; readonly devices: number; readonly seed: number; readonly nowS: number },
  ): Promise<IngestStand> {
    const fleet = new Fleet(name, devices, seed, nowS - 30 * daySeconds)
    await service.enrol(fleet)
    return new IngestStand(service, fleet)
  }

  /** A file's path that the next but one call gives again. */
  nextPath(name: string): string {
    this.#files += 1
    return join(this.service.folder, `${name}-${this.#files % 4}`)
  }

  /** Signs the next statements into a file. */
  prepare(load: Load): string {
    return this.sign(this.fleet.packs(load.statements, load.readings))
  }

  sign(packs: Iterable<Pack & { readonly from: number }>): string {
    const path = this.nextPath("signed")
    writeMessages(path, this.fleet.sign(packs))
    return path
  }

  /** Sends a file's statements to processes that take them, device by device in turn. */
  async ingest(
    path: string,
    { window, perSecond }: Pace,
    takers: readonly RunningUp[],
  ): Promise<IngestSpent> {
    const ports = takers.map(({ mqtt }) => mqtt)
    const sent = await this.connect(path, "v1/{device}/statements", ports)
    const clocks = {
      service: () => sumOf(...takers.map(({ pid }) => readProcessSeconds(pid))),
      postgres: () => readFamilySeconds(this.service.postmaster),
      generator: () => readProcessSeconds(this.generator.pid),
    }
    await this.service.settle()
    const { result, seconds } = await timeProcesses(clocks, async () => {
      const published = await this.generator.ask<Published>({ kind: "publish", window, perSecond })
      await this.service.settle()
      return published
    })
    await this.generator.ask({ kind: "disconnect" })
    if (result.acknowledged !== sent)
      throw new Error(`${result.acknowledged} of ${sent} statements were acknowledged`)
    return { published: result, ...seconds }
  }

  async connect(path: string, topic: string, ports: readonly number[]): Promise<number> {
    const devices = this.fleet.devices.map(({ id }) => id)
    const sent = await this.generator.ask<number>({ kind: "load", path, devices, topic })
    await this.generator.ask({ kind: "connect", ports })
    return sent
  }

  async close(): Promise<void> {
    await this.generator.end()
  }
}

import type { Command } from "commander"
import { findOriginFault } from "../chain/policy.ts"
import { checkSchedule } from "../ingest/schedule.ts"
import { UsageFault } from "./fault.ts"
import {
  type HttpOptions,
  type ListeningOptions,
  addHttpOptions,
  addListeningOptions,
  addressesOf,
  announce,
  callersOf,
  formatHttp,
  readConnecting,
  reloadAtHangUp,
} from "./listening.ts"
import { addCommand, dataOption, witnessesOption } from "./option.ts"
import { makeLogger, print } from "./output.ts"
import { readWitnessFile } from "./parts/witnesses.ts"
import { startService } from "./service.ts"
import { waitForSignal } from "./signal.ts"

interface UpOptions extends ListeningOptions, HttpOptions {
  readonly data: string
  readonly origin?: string
  readonly seal: string
  readonly witnesses?: string
}

export function addUp(program: Command): void {
  const up = addCommand(
    program,
    "up",
    "run the service: broker, ingest, sealing; on an empty data folder it makes a log first",
  )
    .addOption(dataOption())
    .option("--origin <origin>", "the name of a new log, a host and a path such as example.org/log")
  addListeningOptions(up)
  addHttpOptions(up, "/healthz, /readyz, /metrics, /v1/receipts", 8080)
    .option("--seal <cron>", "when to seal, five fields of cron in UTC", "0 * * * *")
    .addOption(witnessesOption())
    .action(runUp)
}

async function runUp(options: UpOptions, command: Command): Promise<void> {
  checkSchedule(options.seal)
  const connecting = readConnecting(options, command)
  if (options.origin !== undefined) {
    const fault = findOriginFault(options.origin)
    if (fault !== null) throw new UsageFault(`--origin ${options.origin}: ${fault}`)
  }
  const witnesses = options.witnesses === undefined ? undefined : await readWitnessFile(options.witnesses)
  const log = makeLogger()
  const stopping = waitForSignal()
  const { data: dataFolder, origin, host, http: httpPort, httpHost, seal: schedule, limit: limits } = options
  const service = await startService({
    dataFolder,
    ...(origin === undefined ? {} : { origin }),
    host,
    mqtt: connecting.ports.mqtt ?? null,
    connecting,
    http: httpPort,
    ...(httpHost === undefined ? {} : { httpHost }),
    callers: callersOf(options),
    schedule,
    ...(witnesses === undefined ? {} : { witnesses }),
    limits,
    log,
    say: (line) => log.info(line),
  })
  reloadAtHangUp(connecting, service)
  const opened = addressesOf(host, service.ports)
  const http = formatHttp({ host: service.httpHost, port: service.http })
  announce(log, service.keys.origin, opened, { http, seal: schedule })
  if (process.stdout.isTTY) {
    print(
      `\n  Tidemark is up. Devices publish to ${opened.map(({ transport, address }) => `${transport}://${address}`).join(", ")}; ${http}/metrics counts.`,
    )
    print(
      `  Try:  tidemark simulate --data ${dataFolder}    tidemark verify --data ${dataFolder}    Ctrl-C stops.\n`,
    )
  }
  log.info({ signal: await stopping }, "stopping")
  await service.close()
  log.info("stopped: everything acknowledged is on disk")
}

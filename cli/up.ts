import type { Command } from "commander"
import { once } from "node:events"
import type { BrokerLimits } from "../broker/limits.ts"
import { print } from "./output.ts"
import { addLimitHelp, limitOption } from "./limit.ts"
import { addCommand, dataOption, parseLoopback, parsePort } from "./option.ts"
import { ignoreBrokenPipe, makeLogger } from "./output.ts"
import { startService } from "./service.ts"
import { checkSchedule } from "../ingest/schedule.ts"
import { findOriginFault } from "../chain/policy.ts"
import { UsageFault } from "./fault.ts"

interface UpOptions {
  readonly data: string
  readonly origin?: string
  readonly host: string
  readonly mqtt: number
  readonly http: number
  readonly seal: string
  readonly limit: Partial<BrokerLimits>
}

export function addUp(program: Command): void {
  const up = addCommand(
    program,
    "up",
    "run the service: broker, ingest, sealing; on an empty data folder it makes a log first",
  )
    .addOption(dataOption())
    .option("--origin <origin>", "the name of a new log, a host and a path such as example.org/log")
    .option(
      "--host <host>",
      "where to listen; a loopback address in this version",
      parseLoopback,
      "127.0.0.1",
    )
    .option("--mqtt <port>", "0 takes a free one", parsePort, 1883)
    .option("--http <port>", "/healthz, /readyz, /metrics, /v1/receipts; 0 takes a free one", parsePort, 8080)
    .option("--seal <cron>", "when to seal, five fields of cron in UTC", "0 * * * *")
    .addOption(limitOption())
    .action(runUp)
  addLimitHelp(up)
}

async function runUp(options: UpOptions): Promise<void> {
  checkSchedule(options.seal)
  if (options.origin !== undefined) {
    const fault = findOriginFault(options.origin)
    if (fault !== null) throw new UsageFault(`--origin ${options.origin}: ${fault}`)
  }
  ignoreBrokenPipe()
  const log = makeLogger()
  const stopping = waitForSignal()
  const { data: dataFolder, origin, host, mqtt, http, seal: schedule, limit: limits } = options
  const service = await startService({
    dataFolder,
    ...(origin === undefined ? {} : { origin }),
    host,
    mqtt,
    http,
    schedule,
    limits,
    log,
    say: (line) => log.info(line),
  })
  log.info(
    {
      origin: service.keys.origin,
      mqtt: `${host}:${service.mqtt}`,
      http: `http://${host}:${service.http}`,
      seal: schedule,
    },
    "ready",
  )
  if (process.stdout.isTTY) {
    print(
      `\n  Tidemark is up. Devices publish to mqtt://${host}:${service.mqtt}; http://${host}:${service.http}/metrics counts.`,
    )
    print(
      `  Try:  tidemark simulate --data ${dataFolder}    tidemark verify --data ${dataFolder}    Ctrl-C stops.\n`,
    )
  }
  log.info({ signal: await stopping }, "stopping")
  await service.close()
  log.info("stopped: everything acknowledged is on disk")
}

/** The first SIGINT or SIGTERM; a second one ends the process at once. */
export async function waitForSignal(): Promise<string> {
  const controller = new AbortController()
  const { signal } = controller
  const name = await Promise.race(
    (["SIGINT", "SIGTERM"] as const).map(async (one) => {
      await once(process, one, { signal })
      return one
    }),
  )
  controller.abort()
  for (const one of ["SIGINT", "SIGTERM"] as const) process.once(one, () => process.exit(130))
  return name
}

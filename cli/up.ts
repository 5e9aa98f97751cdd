import { type Command, Option } from "commander"
import { once } from "node:events"
import { isLoopback } from "../broker/address.ts"
import type { BrokerLimits } from "../broker/limits.ts"
import { transports } from "../broker/transport.ts"
import { type Connecting, type Logins, clockSkewSecondsDefault, findConnectingFault } from "./connecting.ts"
import { print } from "./output.ts"
import { addLimitHelp, limitOption } from "./limit.ts"
import { addCommand, dataOption, parseCount, parseHost, parsePort } from "./option.ts"
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
  readonly mqtts?: number
  readonly ws?: number
  readonly wss?: number
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsCa?: string
  readonly logins?: Logins
  readonly clockSkew: number
  readonly proxyProtocol: boolean
  readonly allowPlaintext: boolean
  readonly allowAnonymous: boolean
  readonly http: number
  readonly httpHost?: string
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
    .option("--host <host>", "where devices connect", parseHost, "127.0.0.1")
    .option("--mqtt <port>", "MQTT over plain TCP; 0 takes a free one", parsePort, 1883)
    .option("--mqtts <port>", "MQTT over TLS, usually 8883; not opened by default", parsePort)
    .option("--ws <port>", "MQTT over WebSocket, usually 8083; not opened by default", parsePort)
    .option("--wss <port>", "MQTT over WebSocket and TLS, usually 8084; not opened by default", parsePort)
    .option("--tls-cert <file>", "the service's certificate with its chain, PEM; read again when it changes")
    .option("--tls-key <file>", "its key, PEM")
    .option("--tls-ca <file>", "demand a certificate of one of these CAs in every TLS handshake, PEM")
    .addOption(
      new Option("--logins <rule>", "who has to log in (default: none on loopback, else required)").choices([
        "required",
        "optional",
        "none",
      ]),
    )
    .option(
      "--clock-skew <seconds>",
      "how far a clock may be off in a login by JWT",
      parseCount(0, 3_600),
      clockSkewSecondsDefault,
    )
    .option("--proxy-protocol", "every connection begins with a PROXY header of version 1 or 2", false)
    .option("--allow-plaintext", "listen without TLS outside loopback too", false)
    .option("--allow-anonymous", "listen without required logins outside loopback too", false)
    .option("--http <port>", "/healthz, /readyz, /metrics, /v1/receipts; 0 takes a free one", parsePort, 8080)
    .option(
      "--http-host <host>",
      "where HTTP listens (default: --host if that is loopback, else 127.0.0.1)",
      parseHost,
    )
    .option("--seal <cron>", "when to seal, five fields of cron in UTC", "0 * * * *")
    .addOption(limitOption())
    .action(runUp)
  addLimitHelp(up)
}

/** What the options say of listeners and logins. Throws a UsageFault where they may not be like that. */
function readConnecting(options: UpOptions, isMqttNamed: boolean): Connecting {
  const { host, mqtt, mqtts, ws, wss, tlsCert: cert, tlsKey: key, tlsCa: ca } = options
  if ((cert === undefined) !== (key === undefined))
    throw new UsageFault("--tls-cert and --tls-key belong together")
  if (ca !== undefined && cert === undefined) throw new UsageFault("--tls-ca needs --tls-cert and --tls-key")
  const others = { mqtts: mqtts ?? null, ws: ws ?? null, wss: wss ?? null }
  // Plain TCP is open by default only where it stays on this machine.
  const isMqttMeant =
    isMqttNamed ||
    isLoopback(host) ||
    options.allowPlaintext ||
    Object.values(others).every((port) => port === null)
  const connecting: Connecting = {
    host,
    ports: { mqtt: isMqttMeant ? mqtt : null, ...others },
    ...(cert === undefined || key === undefined
      ? {}
      : { tls: { cert, key, ...(ca === undefined ? {} : { ca }) } }),
    ...(options.logins === undefined ? {} : { logins: options.logins }),
    clockSkewSeconds: options.clockSkew,
    isProxied: options.proxyProtocol,
    isPlaintextAllowed: options.allowPlaintext,
    isAnonymousAllowed: options.allowAnonymous,
  }
  const fault = findConnectingFault(connecting)
  if (fault !== null) throw new UsageFault(fault)
  return connecting
}

async function runUp(options: UpOptions, command: Command): Promise<void> {
  checkSchedule(options.seal)
  const connecting = readConnecting(options, command.getOptionValueSource("mqtt") !== "default")
  if (options.origin !== undefined) {
    const fault = findOriginFault(options.origin)
    if (fault !== null) throw new UsageFault(`--origin ${options.origin}: ${fault}`)
  }
  ignoreBrokenPipe()
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
    schedule,
    limits,
    log,
    say: (line) => log.info(line),
  })
  // What a terminal that closes sends, daemons take as: read your files again.
  if (connecting.tls !== undefined) process.on("SIGHUP", () => void service.reloadTls())
  const shownHost = host.includes(":") ? `[${host}]` : host
  const opened = transports.flatMap((transport) => {
    const port = service.ports[transport]
    return port === undefined ? [] : [{ transport, address: `${shownHost}:${port}` }]
  })
  const http = `http://${service.httpHost.includes(":") ? `[${service.httpHost}]` : service.httpHost}:${service.http}`
  log.info(
    {
      origin: service.keys.origin,
      ...Object.fromEntries(opened.map(({ transport, address }) => [transport, address])),
      http,
      seal: schedule,
    },
    "ready",
  )
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

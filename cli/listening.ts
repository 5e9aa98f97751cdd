/** Options of the processes that devices connect to, and what those say when they are ready. */
import { type Command, InvalidArgumentError, Option } from "commander"
import type { Logger } from "pino"
import { isLoopback } from "../broker/address.ts"
import type { BrokerLimits } from "../broker/limits.ts"
import { type Transport, transports } from "../broker/transport.ts"
import { Callers, type CallersOptions } from "../research/locality.ts"
import { type Connecting, type Logins, clockSkewSecondsDefault, findConnectingFault } from "./connecting.ts"
import { UsageFault } from "./fault.ts"
import { addLimitHelp, limitOption } from "./limit.ts"
import { parseCount, parseHost, parsePort } from "./option.ts"

export interface ListeningOptions {
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
  readonly wsOrigin?: readonly string[]
  readonly limit: Partial<BrokerLimits>
}

export interface HttpOptions {
  readonly http: number
  readonly httpHost?: string
  readonly trustedProxy: readonly string[]
  readonly cors: readonly string[]
  readonly publicUrl?: string
}

export function addListeningOptions(command: Command): Command {
  addLimitHelp(command)
  return command
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
    .option(
      "--ws-origin <origin>",
      "a web page's origin, such as https://app.example.org, that may connect over WebSocket; as often as needed",
      addWebOrigin,
    )
    .addOption(limitOption())
}

/** As browsers write it (RFC 6454 §6.2), or `null`, which is what they say of a page from a file. */
function addWebOrigin(text: string, before: readonly string[] = []): readonly string[] {
  const origin = text === "null" ? "null" : URL.canParse(text) ? new URL(text).origin : null
  if (origin === null || text.replace(/\/$/, "") !== origin)
    throw new InvalidArgumentError(
      "It must be a scheme, a host and at most a port, such as https://app.example.org.",
    )
  return [...before, origin]
}

/** @param portDefault 0: a free one, which the log's line "ready" names */
export function addHttpOptions(command: Command, shown: string, portDefault: number): Command {
  return command
    .option("--http <port>", `${shown}; 0 takes a free one`, parsePort, portDefault)
    .option(
      "--http-host <host>",
      "where HTTP listens (default: --host if that is loopback, else 127.0.0.1)",
      parseHost,
    )
    .option(
      "--trusted-proxy <address>",
      "a proxy in front of HTTP whose X-Forwarded headers are believed, such as 127.0.0.1 or 10.0.0.0/8; as often as needed",
      addProxy,
      [],
    )
    .option(
      "--cors <origin>",
      "pages of this origin may ask, such as https://notebook.example; as often as needed",
      addOrigin,
      [],
    )
    .option(
      "--public-url <url>",
      "where others reach HTTP, such as https://data.example.org: links in answers begin with it",
      parseUrl,
    )
}

function parseUrl(text: string): string {
  addCaller({ publicUrl: text }, text, [])
  return text
}

function addProxy(text: string, before: readonly string[]): readonly string[] {
  return addCaller({ proxies: [text] }, text, before)
}

function addOrigin(text: string, before: readonly string[]): readonly string[] {
  return addCaller({ origins: [text] }, text, before)
}

function addCaller(options: CallersOptions, text: string, before: readonly string[]): readonly string[] {
  try {
    void new Callers(options)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
  return [...before, text]
}

/** Who may ask over HTTP, for `startHttp`. */
export function callersOf({
  trustedProxy,
  cors,
  publicUrl,
}: Pick<HttpOptions, "trustedProxy" | "cors" | "publicUrl">): CallersOptions {
  return { proxies: trustedProxy, origins: cors, ...(publicUrl === undefined ? {} : { publicUrl }) }
}

/** What the options say of listeners and logins. Throws a UsageFault where they may not be like that. */
export function readConnecting(options: ListeningOptions, command: Command): Connecting {
  const { host, mqtt, mqtts, ws, wss, tlsCert: cert, tlsKey: key, tlsCa: ca } = options
  if ((cert === undefined) !== (key === undefined))
    throw new UsageFault("--tls-cert and --tls-key belong together")
  if (ca !== undefined && cert === undefined) throw new UsageFault("--tls-ca needs --tls-cert and --tls-key")
  const others = { mqtts: mqtts ?? null, ws: ws ?? null, wss: wss ?? null }
  // Plain TCP is open by default only where it stays on this machine.
  const isMqttMeant =
    command.getOptionValueSource("mqtt") !== "default" ||
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
    ...(options.wsOrigin === undefined ? {} : { webOrigins: options.wsOrigin }),
  }
  const fault = findConnectingFault(connecting)
  if (fault !== null) throw new UsageFault(fault)
  return connecting
}

/** What a terminal that closes sends, daemons take as: read your files again. */
export function reloadAtHangUp(connecting: Connecting, part: { reloadTls(): Promise<void> }): void {
  if (connecting.tls !== undefined) process.on("SIGHUP", () => void part.reloadTls())
}

/** `mqtt` with `127.0.0.1:1883`, for each that was opened. */
export function addressesOf(
  host: string,
  ports: Readonly<Partial<Record<Transport, number>>>,
): { readonly transport: Transport; readonly address: string }[] {
  return transports.flatMap((transport) => {
    const port = ports[transport]
    return port === undefined ? [] : [{ transport, address: `${bracketed(host)}:${port}` }]
  })
}

export function formatHttp({ host, port }: { readonly host: string; readonly port: number }): string {
  return `http://${bracketed(host)}:${port}`
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host
}

/** The line that says where a process is reached. */
export function announce(
  log: Logger,
  origin: string,
  opened: readonly { readonly transport: Transport; readonly address: string }[],
  rest: Readonly<Record<string, string>>,
): void {
  const addresses = Object.fromEntries(opened.map(({ transport, address }) => [transport, address]))
  log.info({ origin, ...addresses, ...rest }, "ready")
}

/** Where a simulated fleet goes: the service that runs on a data folder, or one that is named. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { connect } from "node:net"
import { transports } from "../broker/transport.ts"
import { CommandFault } from "./fault.ts"
import { parsePort } from "./option.ts"
import { type Receiving, reachable } from "./running.ts"

export interface TargetOptions {
  readonly data: string
  readonly host?: string
  readonly mqtt?: number
  readonly url?: string
  readonly tlsCa?: string
  readonly login?: "jwt"
}

export function addTargetOptions(command: Command): Command {
  return command
    .option("-h, --host <host>", "the broker's address (default: of the service that runs on --data)")
    .option("-p, --mqtt <port>", "the broker's port (default: likewise)", parsePort)
    .option(
      "--url <url>",
      "in place of both: mqtt://, mqtts://, ws:// or wss:// with host and port",
      parseUrl,
    )
    .option("--tls-ca <file>", "CAs that the service's certificate may be of, PEM")
    .addOption(
      new Option(
        "--login <how>",
        "how the devices log in (default: as the service that runs on --data wants it)",
      ).choices(["jwt"]),
    )
}

/** Where listeners are by custom and by IANA's register. */
const usualPorts: Readonly<Record<string, number>> = { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 }

/** A URL of a listener, with its port. */
export function parseUrl(text: string): string {
  const [, transport, rest] = /^(mqtts?|wss?):\/\/([^/?#]+.*)$/.exec(text) ?? []
  const usual = transport === undefined ? undefined : usualPorts[transport]
  // A URL of http keeps its port where that is not 80.
  const parsed = rest === undefined || !URL.canParse(`http://${rest}`) ? null : new URL(`http://${rest}`)
  if (usual === undefined || parsed === null || parsed.username !== "")
    throw new InvalidArgumentError(
      "It must be such as mqtts://example.org:8883, with mqtt, mqtts, ws or wss.",
    )
  const port = /:[0-9]+$/.test(rest!.split("/")[0]!) ? parsed.port || "80" : String(usual)
  return `${transport}://${parsed.hostname}:${port}${parsed.pathname === "/" ? "" : parsed.pathname}`
}

/** Where a fleet is to go; null where no service runs. */
export function findUrl({ url, host, mqtt, data }: TargetOptions, running: Receiving | null): string | null {
  if (url !== undefined) return url
  const named = host?.includes(":") === true ? `[${host}]` : host
  const address = named ?? (running === null ? "127.0.0.1" : reachable(running.host))
  if (mqtt !== undefined) return `mqtt://${address}:${mqtt}`
  if (running === null) return host === undefined ? null : `mqtt://${address}:${usualPorts["mqtt"]}`
  const transport = transports.find((each) => running[each] !== undefined)
  if (transport === undefined) throw new CommandFault(`the service on ${data} has no listener`)
  return `${transport}://${address}:${running[transport]}`
}

/** A device waits for a service that went away; for one that never was, a person would wait without end. */
export async function checkListening(url: string): Promise<void> {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[(.*)\]$/, "$1")
  const socket = connect({ host, port: Number(port), timeout: 5_000 })
  try {
    await new Promise<void>((connected, reject) => {
      socket.once("connect", () => connected())
      socket.once("error", reject)
      socket.once("timeout", () => reject(new Error("no answer in 5 s")))
    })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === "ECONNREFUSED" ? "nobody listens there" : message
    throw new CommandFault(
      `no broker was reached on ${host}:${port}: ${why}`,
      "start tidemark up first, or leave --host and --mqtt out: then simulate starts a service of its own",
      { cause: error },
    )
  } finally {
    socket.destroy()
  }
}

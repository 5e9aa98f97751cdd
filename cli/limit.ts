/** `--limit name=value`: the broker's limits under the names that the table in docs/operate.md has. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { type BrokerLimits, limitsDefault } from "../broker/limits.ts"

export interface LimitOption {
  readonly name: string
  readonly min: number
  readonly max: number
  /** What happens at the limit. */
  readonly says: string
}

const hourMs = 3_600_000

/** A PUBLISH of the largest statement: topic with its length (66), packet id (2) and 65,535 bytes. */
const packetOfLargestStatement = 65_603

/** Every limit has a name here: a new one that is left out does not compile. */
export const limitOptions: Readonly<Record<keyof BrokerLimits, LimitOption>> = {
  connectionsMax: { name: "connections", min: 1, max: 1_000_000, says: "sockets in all; more are closed" },
  connectionsPerAddressMax: {
    name: "connections-per-address",
    min: 1,
    max: 1_000_000,
    says: "sockets of one address; more are closed",
  },
  addressConnectsPerSecondMax: {
    name: "address-connects-per-second",
    min: 1,
    max: 100_000,
    says: "new sockets of one address; more are closed",
  },
  addressConnectBurstMax: {
    name: "address-connect-burst",
    min: 1,
    max: 1_000_000,
    says: "new sockets of one address at once, before the rate counts",
  },
  tlsHandshakeMsMax: {
    name: "tls-handshake-ms",
    min: 100,
    max: hourMs,
    says: "a TLS handshake that takes longer is closed",
  },
  connectsPerSecondMax: {
    name: "connects-per-second",
    min: 1,
    max: 1_000,
    says: "connects of one device; more wait for their turn",
  },
  connectMsMax: {
    name: "connect-ms",
    min: 100,
    max: hourMs,
    says: "from the socket's opening to CONNACK; then it is closed",
  },
  packetSizeMax: {
    name: "packet-bytes",
    min: packetOfLargestStatement,
    max: 268_435_455,
    says: "a PUBLISH that declares more is closed before it is read",
  },
  inFlightMax: {
    name: "in-flight",
    min: 1,
    max: 10_000,
    says: "unanswered messages of one connection; more are not read",
  },
  connectionBytesInFlightMax: {
    name: "connection-bytes-in-flight",
    min: 1,
    max: 2 ** 40,
    says: "unanswered bytes of one connection; more are not read",
  },
  bytesInFlightMax: {
    name: "bytes-in-flight",
    min: 65_536,
    max: 2 ** 40,
    says: "unanswered bytes of all connections; more are not read",
  },
  writeStallMsMax: {
    name: "write-stall-ms",
    min: 100,
    max: hourMs,
    says: "a peer that takes nothing for so long is closed",
  },
  lingerMsMax: {
    name: "linger-ms",
    min: 10,
    max: 60_000,
    says: "so long a last receipt has to arrive before its socket is closed",
  },
  drainMsMax: { name: "drain-ms", min: 0, max: hourMs, says: "at the end answers are waited for so long" },
}

const entries = Object.entries(limitOptions) as [keyof BrokerLimits, LimitOption][]

/** Repeatable; the last value of a name counts. */
export function limitOption(): Option {
  return new Option("--limit <name=value>", "change a limit; may be given again, see below")
    .argParser(collectLimit)
    .default({}, "see below")
}

export function addLimitHelp(command: Command): Command {
  const lines = entries.map(
    ([field, { name, says }]) => `  ${name.padEnd(28)} ${String(limitsDefault[field]).padStart(9)}  ${says}`,
  )
  return command.addHelpText("after", `\nLimits and their defaults:\n${lines.join("\n")}`)
}

function collectLimit(text: string, before: unknown): Partial<BrokerLimits> {
  const [name, digits, ...rest] = text.split("=")
  const found = entries.find(([, option]) => option.name === name)
  if (found === undefined) {
    const names = entries.map(([, option]) => option.name).join(", ")
    throw new InvalidArgumentError(`There is no limit of this name; there are ${names}.`)
  }
  const [field, { min, max }] = found
  const value = Number(digits)
  if (digits === undefined || rest.length > 0 || !/^[0-9]+$/.test(digits) || value < min || value > max)
    throw new InvalidArgumentError(`${name} must be a whole number from ${min} to ${max}.`)
  return { ...(before as Partial<BrokerLimits>), [field]: value }
}

/** `tidemark key`: who may read over HTTP, which devices, and whether in bulk. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { devicePattern } from "../chain/statement.ts"
import {
  type KeyReach,
  type KeyScope,
  createKey,
  keyNamePattern,
  listKeys,
  revokeKey,
} from "../research/key.ts"
import { accessKeyOf } from "../ingest/log-keys.ts"
import { withLog } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, parseExpiry } from "./option.ts"
import { print, say } from "./output.ts"
import { formatTable } from "./table.ts"

interface CreateOptions {
  readonly data: string
  readonly devices?: readonly string[]
  readonly attribute?: Readonly<Record<string, string>>
  readonly scope: KeyScope
  readonly expires: (nowMs: number) => number | null
}

/** A key that is forgotten somewhere ends by itself. */
const expiryDefault = "90d"

export function addKey(program: Command): void {
  const key = addCommand(program, "key", "API keys of researchers: who may read what over HTTP")
  addCommand(key, "create", "make a key; it is printed once and kept as a hash only")
    .argument("<name>", "for whom it is, such as anna@example.org", parseName)
    .option("--devices <ids>", "only these devices, separated by commas", parseDevices)
    .option(
      "--attribute <name=value>",
      "only devices with this attribute, such as make=X; as often as needed",
      addAttribute,
    )
    .addOption(
      new Option("--scope <scope>", "read: pages of JSON; export: bulk formats and evidence too")
        .choices(["read", "export"])
        .default("read"),
    )
    .addOption(
      new Option("--expires <when>", "after 30m, 12h or 90d, at an ISO time, or never")
        .argParser((text) => (text === "never" ? () => null : parseExpiry(text)))
        .default(parseExpiry(expiryDefault), expiryDefault),
    )
    .addOption(dataOption())
    .action(create)
  addCommand(key, "list", "all keys, without what they are")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(list)
  addCommand(key, "revoke", "no more answers for a key; one that is under way goes on")
    .argument("<name>", "its name, or its id as list shows it")
    .addOption(dataOption())
    .action(revoke)
}

function parseName(text: string): string {
  if (keyNamePattern.test(text)) return text
  throw new InvalidArgumentError(`A key's name must match ${keyNamePattern.source}.`)
}

function parseDevices(text: string): readonly string[] {
  const devices = text.split(",").map((device) => device.trim())
  const fault = devices.find((device) => !devicePattern.test(device))
  if (fault === undefined) return devices
  throw new InvalidArgumentError(`A device id must match ${devicePattern.source}.`)
}

function addAttribute(text: string, before: unknown): Readonly<Record<string, string>> {
  const [, name, value] = /^([^=]+)=(.*)$/.exec(text) ?? []
  if (name === undefined || value === undefined)
    throw new InvalidArgumentError("It must be a name, = and a value, such as make=X.")
  return { ...(before as Readonly<Record<string, string>> | undefined), [name]: value }
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const { devices = null, attribute: attributes = null, scope, expires } = options
  if (devices !== null && attributes !== null)
    throw new UsageFault("--devices names them, --attribute finds them: give one of the two")
  const expiresMs = expires(Date.now())
  const made = await withLog(options.data, ({ pool, keys }) =>
    createKey(pool, accessKeyOf(keys), { name, scope, devices, attributes, expiresMs }),
  )
  if (made.kind === "unknown-device")
    throw new CommandFault(
      `device ${made.device} is not enrolled`,
      "tidemark device list shows those that are",
    )
  if (made.kind === "name-taken") {
    throw new CommandFault(
      `there is a key ${name} already, or was`,
      "take another name: records of reads say who read by it",
    )
  }
  // Only the key goes to standard output: a script takes it from there.
  print(made.key)
  const until = expiresMs === null ? "without an end" : `until ${new Date(expiresMs).toISOString()}`
  say(`key ${name} (${made.id}) for ${describeReach({ devices, attributes })}, scope ${scope}, ${until}`)
  say("it is not shown again; send it as  Authorization: Bearer <key>")
  say("from now on readers on this machine need a key too")
}

function describeReach({ devices, attributes }: KeyReach): string {
  if (devices !== null) return devices.join(", ")
  if (attributes === null) return "all devices"
  return `devices with ${Object.entries(attributes)
    .map(([name, value]) => `${name}=${value}`)
    .join(" and ")}`
}

function iso(unixMs: number | null): string | null {
  return unixMs === null ? null : new Date(unixMs).toISOString()
}

async function list({ data, json }: { readonly data: string; readonly json: boolean }): Promise<void> {
  const keys = await withLog(data, ({ pool }) => listKeys(pool))
  const rows = keys.map((key) => ({
    id: key.id,
    name: key.name,
    scope: key.scope,
    devices: key.devices,
    attributes: key.attributes,
    created: iso(key.createdMs),
    expires: iso(key.expiresMs),
    revoked: iso(key.revokedMs),
  }))
  if (json) for (const row of rows) print(JSON.stringify(row))
  else if (rows.length === 0) {
    print("no key: readers on this machine need none, others are refused; tidemark key create makes one")
  } else {
    print(
      formatTable(
        ["id", "name", "scope", "reaches", "created (UTC)", "expires (UTC)", "revoked (UTC)"],
        rows.map((row) => [
          row.id,
          row.name,
          row.scope,
          describeReach(row),
          row.created ?? "",
          row.expires ?? "never",
          row.revoked ?? "-",
        ]),
      ),
    )
  }
}

async function revoke(name: string, { data }: { readonly data: string }): Promise<void> {
  if (!(await withLog(data, ({ pool, keys }) => revokeKey(pool, accessKeyOf(keys), name))))
    throw new CommandFault(`no key ${name} stands`, "tidemark key list shows those that do")
  print(`revoked  key ${name}`)
}

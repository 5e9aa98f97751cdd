/** `tidemark device token`: static tokens, for devices that cannot make a JWT. */
import type { Command } from "commander"
import { accessKeyOf } from "../ingest/log-keys.ts"
import { createToken, listTokens, revokeToken, tokensMax } from "../ingest/token.ts"
import { type OpenedLog, openExistingLog } from "./data-folder.ts"
import { CommandFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, parseExpiry } from "./option.ts"
import { print, say } from "./output.ts"
import { formatTable } from "./table.ts"

interface DataOptions {
  readonly data: string
}

const knownHint = "tidemark device list shows those that are"

export function addToken(device: Command): void {
  const token = addCommand(device, "token", "passwords of devices that cannot make a JWT")
  addCommand(token, "create", "make a token; it is printed once and kept as a hash only")
    .argument("<id>", "the device")
    .option("--expires <when>", "after 30m, 12h or 90d, or at an ISO time; never by default", parseExpiry)
    .addOption(dataOption())
    .action((id: string, options: DataOptions & { expires?: ReturnType<typeof parseExpiry> }) =>
      create(id, options.expires?.(Date.now()) ?? null, options.data),
    )
  addCommand(token, "list", "a device's tokens by their ids")
    .argument("<id>", "the device")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action((id: string, options: DataOptions & { json: boolean }) => list(id, options))
  addCommand(
    token,
    "revoke",
    "no more logins by a token; a connection of the device ends at its next statement or question",
  )
    .argument("<id>", "the device")
    .argument("<token>", "the token's id, as list shows it")
    .addOption(dataOption())
    .action((id: string, tokenId: string, options: DataOptions) => revoke(id, tokenId, options))
}

async function withLog<T>(dataFolder: string, work: (log: OpenedLog) => Promise<T>): Promise<T> {
  const log = await openExistingLog(dataFolder)
  try {
    return await work(log)
  } finally {
    await log.close()
  }
}

async function create(id: string, expiresMs: number | null, data: string): Promise<void> {
  const made = await withLog(data, ({ pool, keys }) => createToken(pool, accessKeyOf(keys), id, expiresMs))
  if (made.kind === "unknown-device") throw new CommandFault(`device ${id} is not enrolled`, knownHint)
  if (made.kind === "revoked-device")
    throw new CommandFault(
      `device ${id} was revoked for good, and nothing logs it in any more`,
      "enrol what replaces it under another id: tidemark device enroll NEW-ID --key FILE",
    )
  if (made.kind === "too-many") {
    throw new CommandFault(
      `device ${id} has ${tokensMax} tokens already`,
      "revoke one that is not used: tidemark device token revoke",
    )
  }
  // Only the token goes to standard output: a script takes it from there.
  print(made.token)
  const until = expiresMs === null ? "without an end" : `until ${new Date(expiresMs).toISOString()}`
  say(`token ${made.id} of device ${id}, ${until}; it is not shown again`)
  say(`log in with user name ${id} and the token as password`)
}

async function list(id: string, { data, json }: DataOptions & { json: boolean }): Promise<void> {
  const tokens = (await withLog(data, ({ pool }) => listTokens(pool, id))).map((token) => ({
    token: token.id,
    created: new Date(token.createdMs).toISOString(),
    expires: token.expiresMs === null ? null : new Date(token.expiresMs).toISOString(),
  }))
  if (json) for (const token of tokens) print(JSON.stringify(token))
  else if (tokens.length === 0) print(`device ${id} has no token: tidemark device token create ${id}`)
  else {
    print(
      formatTable(
        ["token", "created (UTC)", "expires (UTC)"],
        tokens.map(({ token, created, expires }) => [token, created, expires ?? "never"]),
      ),
    )
  }
}

async function revoke(id: string, tokenId: string, { data }: DataOptions): Promise<void> {
  if (!(await withLog(data, ({ pool }) => revokeToken(pool, id, tokenId))))
    throw new CommandFault(
      `device ${id} has no token ${tokenId}`,
      `tidemark device token list ${id} shows those that it has`,
    )
  print(`revoked  token ${tokenId} of device ${id}`)
}

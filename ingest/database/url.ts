/**
 * DATABASE_URL: what is wrong with one, in words, and what we take from one. No message holds a part of it that could be
 * of the password.
 */
import { readFileSync } from "node:fs"
import type { GivenSetting, PoolSettings } from "./settings.ts"

export class DatabaseUrlFault extends Error {
  override readonly name = "DatabaseUrlFault"
  /** The right form. */
  readonly hint: string

  constructor(rule: string, hint: string) {
    super(rule)
    this.hint = hint
  }
}

export interface DatabaseUrl {
  /** For `pg`, without what we set ourselves. */
  readonly connectionString: string
  readonly settings: PoolSettings
}

const form = "postgres://user:password@host:5432/database"
const escapes = "write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25 and a space as %20"

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

/** Taken by `pg`. */
const usedParameters = words("host port user password sslmode sslrootcert sslcert sslkey ssl")
/** Known to `pg` or to other clients, and harmless here. */
const otherParameters = words(`
  application_name fallback_application_name connect_timeout sslnegotiation uselibpqcompat channel_binding
  target_session_attrs gssencmode keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout
  sslcrl pgbouncer connection_limit pool_timeout`)
/** What we set ourselves, whatever is said here: they would be parameters of the start, which poolers refuse. */
const ownParameters = words(`
  options client_encoding encoding statement_timeout lock_timeout query_timeout idle_in_transaction_session_timeout`)
const sslModes = words("disable no-verify allow prefer require verify-ca verify-full")

/** @throws DatabaseUrlFault */
export function readDatabaseUrl(given: string): DatabaseUrl {
  const text = given.trim()
  // A folder with the server's socket, as `pg` takes it.
  if (text.startsWith("/") || text.startsWith("socket:"))
    return { connectionString: text, settings: { schemaPath: null, others: [] } }
  checkForm(text)
  checkPunctuation(text)
  const url = parse(text)
  checkHost(url)
  checkParameters(url)
  const settings = readOptions(url.searchParams.get("options") ?? "")
  for (const name of ownParameters) url.searchParams.delete(name)
  // What `pg` does with these three already, said without its warning.
  if (["prefer", "require", "verify-ca"].includes(url.searchParams.get("sslmode") ?? ""))
    if (url.searchParams.get("uselibpqcompat") !== "true") url.searchParams.set("sslmode", "verify-full")
  // The CAs that come with Node, which is what is used without it.
  if (url.searchParams.get("sslrootcert") === "system") url.searchParams.delete("sslrootcert")
  return { connectionString: url.href, settings }
}

/**
 * The same URL, and all sessions by it with this search_path.
 *
 * @throws DatabaseUrlFault also where there is nothing to add
 */
export function withSchemaPath(given: string, schemaPath: string | undefined): string {
  readDatabaseUrl(given)
  if (schemaPath === undefined) return given
  const url = new URL(given)
  const escaped = schemaPath.replaceAll(/[\\\s]/g, "\\$&")
  url.searchParams.set("options", `${url.searchParams.get("options") ?? ""} -c search_path=${escaped}`.trim())
  return url.href
}

/** The host in a URL that was read before; empty for a socket. */
export function hostOf(given: string): string {
  return URL.canParse(given) ? new URL(given).hostname : ""
}

function checkForm(text: string): void {
  if (/^["'].*["']$/s.test(text))
    throw new DatabaseUrlFault("it is in quotes, which are part of it here", `write ${form} without quotes`)
  if (/^jdbc:/i.test(text))
    throw new DatabaseUrlFault(
      "it is a URL of JDBC",
      `leave jdbc: out, and write user and password before the host: ${form}`,
    )
  if (/^[a-z_]+\s*=/i.test(text))
    throw new DatabaseUrlFault(
      "it is in the keyword form of libpq (host=… dbname=…)",
      `write it as a URL: ${form}`,
    )
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) throw new DatabaseUrlFault("it is no URL", `write ${form}`)
  if (scheme !== "postgres" && scheme !== "postgresql")
    throw new DatabaseUrlFault(`its scheme is ${scheme}`, `Tidemark keeps its log in Postgres: write ${form}`)
}

/** Characters that end the password where they stand, so that the rest of it would be taken for a host or a path. */
function checkPunctuation(text: string): void {
  const rest = text.slice(text.indexOf("://") + 3)
  const [, authority = "", path = "", query = ""] = /^([^/?#]*)(\/[^?#]*)?(.*)$/s.exec(rest) ?? []
  const isSplit =
    path.includes("@") || (query.includes("@") && !authority.includes("@")) || query.startsWith("#")
  const isInParameter = query.startsWith("?") && /[@/]/.test(query.split(/[=&]/)[0] ?? "")
  if (isSplit || isInParameter || query.includes("#"))
    throw new DatabaseUrlFault("a character in its user or password ends it too early", escapes)
  const userInfo = authority.includes("@") ? authority.slice(0, authority.lastIndexOf("@")) : ""
  if (/%(?![0-9a-f]{2})/i.test(userInfo))
    throw new DatabaseUrlFault("a % in its user or password begins no code of two hex digits", escapes)
  if (/\s/.test(userInfo)) throw new DatabaseUrlFault("its user or password has a space", escapes)
  if (authority.slice(authority.lastIndexOf("@") + 1).includes(","))
    throw new DatabaseUrlFault(
      "it names several hosts",
      "name one: the primary, or a balancer that leads to it",
    )
}

function parse(text: string): URL {
  // An empty host with a user before it is none for `URL`, and `pg` would take this machine.
  if (/^[a-z]+:\/\/([^/?#]*@)?(:\d*)?([/?#]|$)/i.test(text) && !/[?&]host=/.test(text)) throw missingHost()
  try {
    return new URL(text.replace(/^([a-z]+:\/\/)([^/?#]*@)(?=[/?#]|$)/i, "$1$2localhost"))
  } catch {
    throw new DatabaseUrlFault("its host or port cannot be read", `write ${form}; in a password ${escapes}`)
  }
}

function missingHost(): DatabaseUrlFault {
  return new DatabaseUrlFault(
    "it names no host",
    `write ${form}, with localhost for this machine, or ?host=/folder for a server's socket`,
  )
}

function checkHost({ searchParams, hostname }: URL): void {
  if (hostname === "" && (searchParams.get("host") ?? "") === "") throw missingHost()
}

function checkParameters({ searchParams }: URL): void {
  const known = [...usedParameters, ...otherParameters, ...ownParameters]
  for (const name of searchParams.keys()) {
    if (known.includes(name)) continue
    if (name === "schema" || name === "currentSchema")
      throw new DatabaseUrlFault(
        `its parameter ${name} is of another client`,
        "write ?options=-c%20search_path%3Dname for the schema of the log's tables",
      )
    const meant = known.find((one) => lettersOf(one) === lettersOf(name))
    // The name itself may be of a password.
    throw new DatabaseUrlFault(
      "a parameter behind its ? is not known",
      meant === undefined ? `known are ${known.join(", ")}; in a password ${escapes}` : `write ${meant}`,
    )
  }
  const mode = searchParams.get("sslmode")
  if (mode !== null && !sslModes.includes(mode))
    throw new DatabaseUrlFault("its sslmode is not known", `write one of ${sslModes.join(", ")}`)
  for (const name of ["sslrootcert", "sslcert", "sslkey"]) {
    const path = searchParams.get(name)
    if (path === null || path === "system") continue
    try {
      readFileSync(path)
    } catch (error) {
      throw new DatabaseUrlFault(
        `the file of its ${name} cannot be read: ${(error as NodeJS.ErrnoException).code}`,
        `name a file in PEM that this process may read: ?sslmode=verify-full&${name}=/folder/file.pem`,
      )
    }
  }
}

/** Of `ssl_mode` and `SSLMode` the same. */
function lettersOf(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z]/g, "")
}

/** `-c name=value` and `--name=value`, a backslash before what is to stay (PostgreSQL manual, "options"). */
function readOptions(text: string): PoolSettings {
  const others: GivenSetting[] = []
  let schemaPath: string | null = null
  const said = [...text.matchAll(/(?:\\.|[^\s\\])+/gs)].map(([word]) => word.replaceAll(/\\(.)/gs, "$1"))
  for (let at = 0; at < said.length; at++) {
    const word = said[at]!
    const setting = word === "-c" ? said[(at += 1)] : /^(?:-c|--)(.+)$/s.exec(word)?.[1]
    const [, name, value] = /^([a-z_][a-z0-9_.-]*)=(.*)$/is.exec(setting ?? "") ?? []
    if (name === undefined || value === undefined)
      throw new DatabaseUrlFault(
        "its options cannot be read",
        "write ?options=-c%20name%3Dvalue, and -c%20 again before each further one",
      )
    if (name.toLowerCase() === "search_path") schemaPath = value
    else others.push({ name: name.replaceAll("-", "_"), value })
  }
  return { schemaPath, others }
}

/** What a failed connection means for the URL; null where it says nothing of it. */
export function hintOfConnection(error: unknown): string | null {
  const { code, message } = error as { readonly code?: unknown; readonly message?: string }
  switch (code) {
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return "the server's certificate is by a CA that this machine does not know: add ?sslmode=verify-full&sslrootcert=/folder/ca.pem with that CA's certificate"
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "the server's certificate is for another name: write the host by that name"
    case "CERT_HAS_EXPIRED":
      return "the server's certificate has expired: give it a new one"
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `no machine has that name: write ${form}; in a password ${escapes}`
    case "28P01":
      return `the server refused this user's password: in a password ${escapes}`
    case "28000":
      return "the server lets this user in from elsewhere, or only with TLS: see its pg_hba.conf, and add ?sslmode=verify-full"
    case "3D000":
      return "make the database first: create database … encoding 'UTF8'"
    case "53300":
      return "the role, the database or the server has no connection left: allow more"
    default:
      return message?.includes("does not support SSL") === true
        ? "the server has no TLS: give it a certificate, or write sslmode=disable where the network is yours"
        : null
  }
}

/** What a server's settings mean for the promises and for the speed. */
import type { ServerFacts, StoreFacts } from "../../ingest/database/examination.ts"
import { findConnectionFault } from "../../ingest/database/connections.ts"
import { formatSettingFault } from "../../ingest/database/settings.ts"
import { type Finding, type Opinion, formatBytes, make, megabyte } from "./finding.ts"
import type { MachineFacts } from "./machine.ts"

const zfs = 0x2fc12fc1
/** Connections of a `tidemark up`: ten, five for logins and receipts, thirteen for researchers and the log. */
const upConnectionsMax = 28
/** And some of a command for a moment. */
const connectionsWanted = 33

export function diagnoseServer(
  machine: MachineFacts,
  server: ServerFacts,
  store: StoreFacts | null,
): Finding[] {
  const { settings, clock } = server
  const of = (name: string): string => settings.get(name) ?? "unknown"
  const setting = (name: string, opinion: (value: string) => Opinion): Finding =>
    make("server", name, of(name), opinion(of(name)))
  const whose = machine.isEmbedded ? "embedded" : "given by DATABASE_URL"
  return [
    make(
      "server",
      "PostgreSQL",
      `${server.version}, ${whose}, database ${server.database}, ${formatBytes(server.databaseBytes)}`,
      server.versionNumber < 150_000
        ? ["danger", "this version of Tidemark is tested on 15 to 18: use a newer server"]
        : server.isStandby
          ? ["danger", "this server is a standby and takes no statements: name the primary"]
          : null,
    ),
    ...(store === null && !server.mayCreate
      ? [
          make("server", "role", server.role, [
            "danger",
            `it may not make tables here: grant create on schema public to ${server.role}, or make it the database's owner`,
          ]),
        ]
      : []),
    make(
      "server",
      "encoding",
      server.encoding,
      server.encoding === "UTF8" ? null : ["danger", "texts of devices are UTF-8: make the database with it"],
    ),
    setting("fsync", (value) =>
      value === "on"
        ? null
        : [
            "danger",
            "a power failure loses what was acknowledged (promise 1): turn it on; up refuses this server",
          ],
    ),
    setting("full_page_writes", (value) => diagnoseFullPages(machine, server, value)),
    setting("synchronous_commit", (value) =>
      value === "off" || value === "local"
        ? ["danger", "our sessions ask for on and do not get it: an acknowledgement would not mean on disk"]
        : null,
    ),
    ...diagnoseSettings(server),
    setting("data_checksums", (value) =>
      value === "on"
        ? null
        : [
            "better",
            "Postgres then notices a page that its disk changed: pg_checksums --enable, with the server stopped",
          ],
    ),
    setting("wal_level", () => null),
    diagnoseConnections(server),
    ...diagnoseRoom(server),
    setting("shared_buffers", (value) => {
      const bytes = parseSize(value)
      return bytes !== null && bytes < 256 * megabyte
        ? ["better", "256 MB or more, up to a quarter of the memory: the indexes of new statements fit then"]
        : null
    }),
    setting("max_wal_size", (value) => {
      const bytes = parseSize(value)
      return bytes !== null && bytes < 2048 * megabyte
        ? [
            "better",
            "2 GB or more: under load checkpoints come so often else that most of what is written is whole pages",
          ]
        : null
    }),
    setting("checkpoint_timeout", () => null),
    setting("checkpoint_completion_target", (value) =>
      Number(value) < 0.7
        ? ["better", "0.9, the default: a checkpoint that is written in a rush holds up acknowledgements"]
        : null,
    ),
    setting("autovacuum", (value) =>
      value === "on"
        ? null
        : ["better", "on: the rows of chain_heads change with every group, and grow without it"],
    ),
    diagnoseServerLog(server),
    ...(machine.isServerRemote
      ? [
          make(
            "server",
            "connection",
            server.isEncrypted ? "encrypted" : "in clear",
            server.isEncrypted
              ? null
              : [
                  "danger",
                  "health data crosses the network in clear: add sslmode=verify-full to DATABASE_URL",
                ],
          ),
        ]
      : []),
    make("server", "clock", formatClock(clock), diagnoseClock(clock)),
    diagnoseTimescale(server, store),
  ]
}

function diagnoseFullPages(machine: MachineFacts, { dataDirectory }: ServerFacts, value: string): Opinion {
  if (value === "on") return null
  const disk = machine.disks.find(({ path }) => path === dataDirectory)
  // ZFS writes a page whole or not at all.
  if (disk?.fileSystem === zfs) return null
  return [
    "danger",
    "a power failure can tear a page, and what was acknowledged in it is lost (promise 1): turn it on, unless the file system never tears one, as ZFS",
  ]
}

/** The settings of our own sessions, which may be taken from us by what only a superuser changes. */
function diagnoseSettings({ settingFaults, isPooled }: ServerFacts): Finding[] {
  const way = isPooled
    ? "set in each transaction, since a pooler is in between"
    : "set at the start of each session"
  if (settingFaults.length === 0) return [make("server", "session settings", way, null)]
  return settingFaults.map((fault) =>
    make("server", fault.name, fault.value, [
      "danger",
      `${formatSettingFault(fault)}; take it back where it was set: alter role … reset ${fault.name} or alter database … reset ${fault.name}`,
    ]),
  )
}

/** The share for a `tidemark up`, whose own connections must not run out. */
function diagnoseRoom({ connectionRoom, isPooled }: ServerFacts): Finding[] {
  const fault = findConnectionFault(connectionRoom, upConnectionsMax)
  // A pooler shares the server's connections among ours.
  if (fault === null || isPooled) return []
  return [
    make("server", "connection limit", `${connectionRoom.limit}, of the ${connectionRoom.by}`, [
      "danger",
      fault,
    ]),
  ]
}

function diagnoseConnections({ settings, connectionsUsed }: ServerFacts): Finding {
  const most = Number(settings.get("max_connections"))
  const reserved = Number(settings.get("superuser_reserved_connections") ?? 3)
  const left = most - reserved - connectionsUsed
  const value = `${most}, ${connectionsUsed} in use`
  return make(
    "server",
    "max_connections",
    value,
    left >= connectionsWanted
      ? null
      : [
          "better",
          `${left} are left; an up takes up to 28, an ingest 14, a seal 4, a research 17, a command some: allow ${connectionsWanted} more than others use`,
        ],
  )
}

/** A line of the server's log must never hold a reading: the texts of statements and the context of a failed COPY do. */
function diagnoseServerLog({ settings }: ServerFacts): Finding {
  const faults: string[] = []
  if (settings.get("log_statement") === "all" || settings.get("log_statement") === "mod")
    faults.push("log_statement = none")
  if (settings.get("log_min_duration_statement") !== "-1") faults.push("log_min_duration_statement = -1")
  if (!["fatal", "panic", "log"].includes(settings.get("log_min_error_statement") ?? ""))
    faults.push("log_min_error_statement = panic")
  if (settings.get("log_error_verbosity") !== "terse") faults.push("log_error_verbosity = terse")
  return make(
    "server",
    "server's log",
    faults.length === 0 ? "without readings" : "may hold readings",
    faults.length === 0
      ? null
      : [
          "better",
          `of a failed statement it shows the values: ${faults.join(", ")} (alter role … set will do)`,
        ],
  )
}

function diagnoseClock({ aheadMs, withinMs }: ServerFacts["clock"]): Opinion {
  const off = Math.max(0, Math.abs(aheadMs) - withinMs)
  const advice = "arrivals and blocks go by the server's clock, logins by this machine's: let both follow NTP"
  if (off > 60_000) return ["danger", `devices that log in with a JWT are refused: ${advice}`]
  return off > 1_000 ? ["better", advice] : null
}

function formatClock({ aheadMs, withinMs }: ServerFacts["clock"]): string {
  const off = Math.round(aheadMs)
  if (Math.abs(aheadMs) <= Math.max(withinMs, 1)) return "the same as this machine's"
  return `${Math.abs(off)} ms ${off > 0 ? "ahead of" : "behind"} this machine's (± ${Math.ceil(withinMs)})`
}

function diagnoseTimescale({ timescale }: ServerFacts, store: StoreFacts | null): Finding {
  const { installed, available, isLoaded } = timescale
  const has = store?.hasHypertables ?? false
  if (installed === null && available === null)
    return make("server", "TimescaleDB", "not offered: plain partitions by week", null)
  const version = installed ?? available!
  if (has) return make("server", "TimescaleDB", `${version}, in use`, null)
  if (store !== null)
    return make(
      "server",
      "TimescaleDB",
      `${version} is offered, and this log is older: plain partitions`,
      null,
    )
  if (installed === null && !isLoaded)
    return make("server", "TimescaleDB", `${version} is there, and not loaded`, [
      "better",
      "shared_preload_libraries = 'timescaledb' before the log is made: it cannot be changed afterwards",
    ])
  return make("server", "TimescaleDB", `${version} will be used by a new log`, null)
}

/** `256MB` as Postgres shows it; null where it is none. */
function parseSize(text: string): number | null {
  const [, digits, unit] = /^(\d+)(B|kB|MB|GB|TB)$/.exec(text) ?? []
  if (digits === undefined || unit === undefined) return null
  return Number(digits) * 1024 ** ["B", "kB", "MB", "GB", "TB"].indexOf(unit)
}

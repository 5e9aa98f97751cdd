import { expect, test } from "vitest"
import { diagnose } from "../../cli/diagnosis/diagnose.ts"
import type { MachineFacts } from "../../cli/diagnosis/machine.ts"
import type { ServerFacts, StoreFacts } from "../../ingest/database/examination.ts"

const gigabyte = 1024 ** 3
const hourMs = 3_600_000

const machine: MachineFacts = {
  node: "v20.20.0",
  cpus: 2,
  memoryBytes: 8 * gigabyte,
  sodiumMissing: null,
  disks: [{ path: "/data", freeBytes: 60 * gigabyte, totalBytes: 100 * gigabyte, fileSystem: 0xef53 }],
  folderMode: 0o40700,
  keys: [
    { name: "keys", mode: 0o40700 },
    { name: "operator.key", mode: 0o100600 },
  ],
  mismatch: null,
  running: [],
  isEmbedded: false,
  isServerRemote: false,
}

const settings: Readonly<Record<string, string>> = {
  fsync: "on",
  full_page_writes: "on",
  synchronous_commit: "on",
  wal_level: "replica",
  max_connections: "100",
  superuser_reserved_connections: "3",
  shared_buffers: "1GB",
  max_wal_size: "4GB",
  checkpoint_timeout: "15min",
  checkpoint_completion_target: "0.9",
  autovacuum: "on",
  data_checksums: "on",
  log_statement: "none",
  log_min_duration_statement: "-1",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse",
}

const server: ServerFacts = {
  version: "17.2",
  versionNumber: 170_002,
  database: "tidemark",
  encoding: "UTF8",
  role: "tidemark",
  mayCreate: true,
  isStandby: false,
  isEncrypted: false,
  databaseBytes: gigabyte,
  connectionsUsed: 12,
  connectionRoom: { limit: 97, by: "max_connections" },
  isPooled: false,
  settingFaults: [],
  dataDirectory: "/data",
  settings: new Map(Object.entries(settings)),
  timescale: { installed: null, available: null, isLoaded: false },
  clock: { aheadMs: 3, withinMs: 1 },
}

const store: StoreFacts = {
  origin: "example.org/log",
  protocolVersion: 2,
  migrationsMissing: 0,
  hasHypertables: false,
  weeksAhead: 9,
  defaultBytes: 0,
  schema: { faults: [], remarks: [] },
  unguarded: [],
  lastBlock: { height: 7, leaves: 1_000, endedMsAgo: hourMs / 2 },
  unsealedMsAgo: hourMs / 3,
  sessions: 10,
}

interface Changes {
  readonly machine?: Partial<MachineFacts>
  readonly server?: Partial<ServerFacts>
  readonly setting?: readonly [string, string]
  readonly store?: Partial<StoreFacts> | null
}

/** What is not fine, as grade and name. */
function complaints(changes: Changes = {}): string[] {
  const changed = new Map(server.settings)
  if (changes.setting !== undefined) changed.set(...changes.setting)
  const findings = diagnose(
    { ...machine, ...changes.machine },
    { ...server, settings: changed, ...changes.server },
    changes.store === null ? null : { ...store, ...changes.store },
  )
  // Whatever is not fine says what to do, and the rest does not.
  for (const { grade, advice } of findings) expect(advice === null).toBe(grade === "fine")
  return findings.flatMap(({ grade, name }) => (grade === "fine" ? [] : [`${grade} ${name}`]))
}

test("of a machine, a server and a log that are as they should be nothing is said but what they are", () => {
  expect(complaints()).toEqual([])
  expect(complaints({ store: null })).toEqual([])
})

const zfs = 0x2fc12fc1

test.each<[string, Changes, string[]]>([
  ["a server without fsync", { setting: ["fsync", "off"] }, ["danger fsync"]],
  ["pages that may be torn", { setting: ["full_page_writes", "off"] }, ["danger full_page_writes"]],
  [
    "a file system that tears none",
    { setting: ["full_page_writes", "off"], machine: { disks: [{ ...machine.disks[0]!, fileSystem: zfs }] } },
    [],
  ],
  ["commits that do not wait", { setting: ["synchronous_commit", "off"] }, ["danger synchronous_commit"]],
  ["another encoding", { server: { encoding: "SQL_ASCII" } }, ["danger encoding"]],
  ["a standby", { server: { isStandby: true } }, ["danger PostgreSQL"]],
  ["a server of before 15", { server: { versionNumber: 140_010 } }, ["danger PostgreSQL"]],
  [
    "a role that may make nothing, before there is a log",
    { server: { mayCreate: false }, store: null },
    ["danger role"],
  ],
  ["the same once there is one", { server: { mayCreate: false } }, []],
  ["a remote server in clear", { machine: { isServerRemote: true } }, ["danger connection"]],
  ["a remote server by TLS", { machine: { isServerRemote: true }, server: { isEncrypted: true } }, []],
  [
    "a setting that others hold",
    { server: { settingFaults: [{ name: "row_security", value: "on", wanted: "off", why: "" }] } },
    ["danger row_security"],
  ],
  [
    "a role with few connections",
    { server: { connectionRoom: { limit: 6, by: "role" } } },
    ["danger connection limit"],
  ],
  [
    "the same through a pooler, which shares them",
    { server: { connectionRoom: { limit: 6, by: "role" }, isPooled: true } },
    [],
  ],
  [
    "a view that somebody replaced",
    {
      store: {
        schema: { faults: [{ of: "readings", what: "view readings", rule: "is missing" }], remarks: [] },
      },
    },
    ["danger schema"],
  ],
  ["few connections", { setting: ["max_connections", "40"] }, ["better max_connections"]],
  ["small buffers", { setting: ["shared_buffers", "128MB"] }, ["better shared_buffers"]],
  ["frequent checkpoints", { setting: ["max_wal_size", "1GB"] }, ["better max_wal_size"]],
  ["a log of every statement", { setting: ["log_statement", "all"] }, ["better server's log"]],
  ["a log of slow statements", { setting: ["log_min_duration_statement", "250ms"] }, ["better server's log"]],
  ["a clock 5 s ahead", { server: { clock: { aheadMs: 5_000, withinMs: 2 } } }, ["better clock"]],
  ["a clock 2 min behind", { server: { clock: { aheadMs: -120_000, withinMs: 2 } } }, ["danger clock"]],
  ["a clock that a slow answer hides", { server: { clock: { aheadMs: 5_000, withinMs: 4_500 } } }, []],
  [
    "TimescaleDB that is not loaded, before there is a log",
    { server: { timescale: { installed: null, available: "2.22.0", isLoaded: false } }, store: null },
    ["better TimescaleDB"],
  ],
  [
    "TimescaleDB under a log that is older",
    { server: { timescale: { installed: "2.22.0", available: "2.22.0", isLoaded: true } } },
    [],
  ],
  [
    "field S15: a data folder that others may write",
    { machine: { folderMode: 0o40777 } },
    ["danger data folder"],
  ],
  [
    "field S15: a data folder that its group may write",
    { machine: { folderMode: 0o40770 } },
    ["danger data folder"],
  ],
  ["a data folder that its group may pass", { machine: { folderMode: 0o40710 } }, []],
  [
    "keys that others may read",
    { machine: { keys: [{ name: "log.key", mode: 0o100640 }] } },
    ["danger key files"],
  ],
  [
    "keys of another log",
    { machine: { mismatch: "the keys are of another log" } },
    ["danger keys and database"],
  ],
  ["no libsodium", { machine: { sodiumMissing: "no build" } }, ["better signatures"]],
  [
    "a disk with 5 % left",
    { machine: { disks: [{ ...machine.disks[0]!, freeBytes: 5 * gigabyte }] } },
    ["better disk"],
  ],
  [
    "a disk with 100 MB left",
    { machine: { disks: [{ ...machine.disks[0]!, freeBytes: gigabyte / 10 }] } },
    ["danger disk"],
  ],
  ["a log of protocol version 1", { store: { protocolVersion: 1 } }, ["better chains"]],
  ["an older schema", { store: { migrationsMissing: 2 } }, ["better schema"]],
  ["a seal that is late", { store: { unsealedMsAgo: 3 * hourMs } }, ["better not sealed"]],
  ["no seal for two days", { store: { unsealedMsAgo: 48 * hourMs } }, ["danger not sealed"]],
  ["no seal, and nothing to seal", { store: { unsealedMsAgo: null, lastBlock: null } }, []],
  ["partitions that end with this week", { store: { weeksAhead: 1 } }, ["better partitions"]],
  ["rows without a partition", { store: { defaultBytes: 8_192 } }, ["better default partition"]],
  ["hypertables, which have no partitions", { store: { hasHypertables: true, weeksAhead: 0 } }, []],
  ["a guard that is off", { store: { unguarded: ["series"] } }, ["danger guards"]],
])("%s is graded", (_, changes, expected) => {
  expect(complaints(changes)).toEqual(expected)
})

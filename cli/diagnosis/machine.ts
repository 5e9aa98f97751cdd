/** What this machine is to the log: disks, keys, libsodium. */
import {
  type FileMode,
  findOpenKeys,
  formatMode,
  isFolderOpen,
  openFolderAdvice,
  openKeysAdvice,
} from "../folder-modes.ts"
import { type Finding, formatBytes, make, megabyte } from "./finding.ts"

export interface Disk {
  readonly path: string
  readonly freeBytes: number
  readonly totalBytes: number
  /** As statfs(2) has it. */
  readonly fileSystem: number
}

export interface MachineFacts {
  readonly node: string
  readonly cpus: number
  readonly memoryBytes: number
  /** Why libsodium is not in use; null where it is. */
  readonly sodiumMissing: string | null
  /** Of the data folder, and of the server's files where those are on this machine. */
  readonly disks: readonly Disk[]
  /** The data folder's own; null where there is none. */
  readonly folderMode: number | null
  /** Modes of the log's keys, and of their folder under its name; null where there is no such folder. */
  readonly keys: readonly FileMode[] | null
  /** What keys and database say of each other: null where they belong together, or where one of them has nothing. */
  readonly mismatch: string | null
  /** The kinds of processes that run on this folder. */
  readonly running: readonly string[]
  /** Postgres is ours, and shares this machine. */
  readonly isEmbedded: boolean
  /** Another machine's, by its name. */
  readonly isServerRemote: boolean
}

export function diagnoseMachine(machine: MachineFacts): Finding[] {
  const { node, cpus, memoryBytes, sodiumMissing, disks, folderMode, keys, mismatch, running } = machine
  const findings = [
    make("machine", "Node", `${node}, ${cpus} CPUs, ${formatBytes(memoryBytes)} of memory`, null),
    make(
      "machine",
      "signatures",
      sodiumMissing === null ? "libsodium" : "node:crypto",
      sodiumMissing === null
        ? null
        : [
            "better",
            `libsodium has no build for this platform (${sodiumMissing}): Ed25519 is verified at half the speed`,
          ],
    ),
    ...disks.map((disk) => diagnoseDisk(disk)),
  ]
  if (folderMode !== null) findings.push(diagnoseFolder(folderMode))
  if (keys !== null) findings.push(diagnoseKeys(keys))
  if (mismatch !== null)
    findings.push(make("machine", "keys and database", "do not belong together", ["danger", mismatch]))
  if (running.length > 0) findings.push(make("machine", "running", running.join(", "), null))
  return findings
}

function diagnoseDisk({ path, freeBytes, totalBytes }: Disk): Finding {
  const share = Math.round((100 * freeBytes) / totalBytes)
  const value = `${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)} (${path})`
  const advice = "a full disk stops ingest until there is room; nothing that was acknowledged is lost"
  if (freeBytes < 1024 * megabyte) return make("machine", "disk", value, ["danger", `nearly full: ${advice}`])
  return make("machine", "disk", value, share < 10 ? ["better", `${share} % are left: ${advice}`] : null)
}

function diagnoseFolder(mode: number): Finding {
  const opinion = isFolderOpen(mode) ? (["danger", openFolderAdvice] as const) : null
  return make("machine", "data folder", `mode ${formatMode(mode)}`, opinion)
}

function diagnoseKeys(keys: readonly FileMode[]): Finding {
  const open = findOpenKeys(keys)
  if (open.length === 0) return make("machine", "key files", `${keys.length} for their owner only`, null)
  const named = open.map(({ name, mode }) => `${name} ${formatMode(mode)}`).join(", ")
  return make("machine", "key files", named, ["danger", openKeysAdvice])
}

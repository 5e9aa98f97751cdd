import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** A running process, as far as the system lets us see it. */
export interface RunningProcess {
  readonly pid: number
  readonly parentPid: number
  /** Its arguments joined by spaces, or the title that Postgres gives its children. Empty for a zombie. */
  readonly command: string
  /** The folder that it works in. Unknown without /proc, and for root in a container without CAP_SYS_PTRACE. */
  readonly folder: string | undefined
}

/** What marks a process as one of this cluster's. */
export interface ClusterMarks {
  /** The real path of the data directory, which every process of a Postgres works in. */
  readonly cluster: string
  /** The `cluster_name` that the server was given: it stands in the title of every child. */
  readonly clusterName: string
}

const hasProc = process.platform === "linux"

/** The process of this id; undefined when there is none, or only its zombie (kill(pid, 0) would still find that). */
export function readProcess(pid: number): RunningProcess | undefined {
  if (hasProc) return readProcFolder(pid)
  return listByPs(["-p", String(pid)])[0]
}

/** All processes that we may see. Empty on Windows. */
export function listProcesses(): readonly RunningProcess[] {
  if (!hasProc) return listByPs(["-ax"])
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readProcFolder(Number(name)))
    .filter((found) => found !== undefined)
}

/** Whether the process is a Postgres and works for this cluster: as postmaster or as a child. */
export function isOfCluster(found: RunningProcess, marks: ClusterMarks): boolean {
  // The title of a child, or a path that ends in the program's name: a shell that stands in the folder is neither.
  if (!/^(postgres:|(\S.*[/\\]bin[/\\])?postgres(\.exe)?( |$))/.test(found.command)) return false
  if (found.folder !== undefined) return found.folder === marks.cluster
  return found.command.includes(marks.clusterName) || found.command.includes(`-D ${marks.cluster}`)
}

/** Whether it is the parent of them all. Children carry titles as `postgres: name: checkpointer`. */
export function isPostmaster(found: RunningProcess, marks: ClusterMarks): boolean {
  return isOfCluster(found, marks) && !found.command.startsWith("postgres:")
}

/** Children whose postmaster died before them. They end by themselves, unless they are busy or stopped. */
export function findOrphans(
  processes: readonly RunningProcess[],
  marks: ClusterMarks,
): readonly RunningProcess[] {
  const members = processes.filter((found) => isOfCluster(found, marks))
  const postmasters = new Set(members.filter((found) => isPostmaster(found, marks)).map(({ pid }) => pid))
  return members.filter(({ pid, parentPid }) => !postmasters.has(pid) && !postmasters.has(parentPid))
}

/** A name for one life of a process, `<pid>-<start>`: the id alone is given again to others. */
export function nameProcess(pid: number): string | undefined {
  const start = hasProc ? procStat(pid)?.[19] : startByPs(pid)
  return start === undefined ? undefined : `${pid}-${start}`
}

/** Whether the process that `nameProcess` named still lives. */
export function isNamedProcessAlive(name: string): boolean {
  const pid = Number(name.split("-")[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  if (process.platform === "win32") return isPidTaken(pid)
  return nameProcess(pid) === name
}

/** Whether any process has this id. */
export function isPidTaken(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** The fields of /proc/<pid>/stat after the name, which may hold blanks and brackets: state, ppid, ... */
function procStat(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields
  } catch {
    return undefined
  }
}

function readProcFolder(pid: number): RunningProcess | undefined {
  const stat = procStat(pid)
  if (stat === undefined) return undefined
  let command = ""
  let folder: string | undefined
  try {
    command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/\0+/g, " ").trim()
    folder = readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    // Gone meanwhile, a kernel thread, or not ours to see.
  }
  return { pid, parentPid: Number(stat[1]), command, folder }
}

function listByPs(which: readonly string[]): readonly RunningProcess[] {
  if (process.platform === "win32") return []
  return runPs([...which, "-ww", "-o", "pid=,ppid=,state=,command="]).flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line)
    if (match === null || match[3]?.startsWith("Z") === true) return []
    return [
      { pid: Number(match[1]), parentPid: Number(match[2]), command: match[4] ?? "", folder: undefined },
    ]
  })
}

function startByPs(pid: number): string | undefined {
  if (process.platform === "win32") return "0"
  const started = Date.parse(runPs(["-p", String(pid), "-o", "lstart="])[0] ?? "")
  return Number.isNaN(started) ? undefined : String(started)
}

function runPs(args: readonly string[]): readonly string[] {
  try {
    const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" }
    return execFileSync("ps", args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "ignore"] }).split(
      "\n",
    )
  } catch {
    return []
  }
}

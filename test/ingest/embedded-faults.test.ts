import { expect, test } from "vitest"
import { readStartFailure } from "../../ingest/database/embedded/fault.ts"
import {
  findOrphans,
  isNamedProcessAlive,
  isOfCluster,
  isPostmaster,
  nameProcess,
  type RunningProcess,
} from "../../ingest/database/embedded/processes.ts"

const at = "2026-11-23 01:50:41.654 UTC [15069] "
const lastLines: readonly (readonly [string, string])[] = [
  [`${at}FATAL:  could not extend file "base/1/2691": No space left on device`, "disk"],
  [`${at}FATAL:  could not write lock file "postmaster.pid": No space left on device`, "disk"],
  [`${at}FATAL:  could not create lock file "postmaster.pid": Read-only file system`, "disk"],
  [`initdb: error: could not create directory "x": Permission denied`, "disk"],
  [`${at}FATAL:  could not open file "global/pg_control": Permission denied`, "disk"],
  [`${at}FATAL:  incorrect checksum in control file`, "corrupt"],
  [`${at}PANIC:  could not locate a valid checkpoint record at 0/15B5C50`, "corrupt"],
  [`${at}FATAL:  database files are incompatible with server`, "foreign"],
  [`initdb: error: could not look up effective user ID 65529: user does not exist`, "account"],
  [`${at}FATAL:  could not create any TCP/IP sockets`, "port-taken"],
  [`${at}FATAL:  lock file "postmaster.pid" already exists`, "already-running"],
  [`${at}FATAL:  lock file "postmaster.pid" is empty`, "broken-lock"],
  [`${at}FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use`, "shared-memory"],
  [`${at}FATAL:  something that no table knows`, "start"],
  ["", "start"],
]

test.each(lastLines)("the last line of a log says why the server gave up: %s", (line, reason) => {
  const failure = readStartFailure(`${at}LOG:  starting PostgreSQL 18.4\n${line}\n`)
  expect(failure.kind === "fault" ? failure.fault : failure.kind).toBe(reason)
})

test("what a server remarks on while it recovers is not taken for damage", () => {
  const log = `${at}LOG:  could not open file "x"\n${at}LOG:  invalid checkpoint record\n${at}FATAL:  odd`
  expect(readStartFailure(log)).toEqual({ kind: "fault", fault: "start" })
})

const marks = { cluster: "/srv/data/postgres/cluster", clusterName: "tidemark-00112233" }
const postmaster: RunningProcess = {
  pid: 10,
  parentPid: 1,
  command: `/opt/bin/postgres -D ${marks.cluster} -p 20000 -c cluster_name=${marks.clusterName}`,
  folder: marks.cluster,
}
const child = (pid: number, parentPid: number): RunningProcess => ({
  pid,
  parentPid,
  command: `postgres: ${marks.clusterName}: checkpointer`,
  folder: marks.cluster,
})

test("a process is of a cluster by its folder, and where that is hidden by its name", () => {
  for (const found of [postmaster, child(11, 10)]) {
    expect(isOfCluster(found, marks)).toBe(true)
    expect(isOfCluster({ ...found, folder: undefined }, marks)).toBe(true)
    expect(isOfCluster({ ...found, folder: "/srv/copy/postgres/cluster" }, marks)).toBe(false)
    expect(isOfCluster({ ...found, command: "" }, marks)).toBe(false)
  }
  expect(isPostmaster(postmaster, marks)).toBe(true)
  expect(isPostmaster(child(11, 10), marks)).toBe(false)
})

test("a shell or an editor that stands in the cluster's folder is not of it", () => {
  for (const command of ["bash", "vi postgres: notes", "sleep 600", "less /var/log/postgres -D x"]) {
    expect(isOfCluster({ ...postmaster, command }, marks)).toBe(false)
  }
})

test("only children without a living postmaster are orphans", () => {
  const other = { ...child(30, 1), folder: "/srv/other/cluster" }
  expect(findOrphans([postmaster, child(11, 10), child(12, 10), other], marks)).toEqual([])
  expect(findOrphans([child(11, 1), postmaster, child(12, 10), other], marks)).toEqual([child(11, 1)])
  expect(findOrphans([child(11, 10), child(12, 10)], marks)).toHaveLength(2)
})

test("the name of a process is of one life only", () => {
  const name = nameProcess(process.pid)
  expect(name).toBeDefined()
  expect(isNamedProcessAlive(name ?? "")).toBe(true)
  expect(isNamedProcessAlive(`${process.pid}-1`)).toBe(false)
  expect(isNamedProcessAlive("")).toBe(false)
  expect(nameProcess(2 ** 22 + 1)).toBeUndefined()
})

/** Runs a scenario against a service and says whether it passed. */
import { setMaxListeners } from "node:events"
import { dirname, resolve } from "node:path"
import type { RunOutcome } from "../devices-sim/run-judge.ts"
import { runScenario } from "../devices-sim/scenario-run.ts"
import type { Service } from "../devices-sim/connection.ts"
import type { Recording } from "../devices-sim/recording/recording.ts"
import { writeUp, writeUpNotRun } from "../devices-sim/report-run.ts"
import { formatRunText } from "../devices-sim/report-text.ts"
import type { RunReport } from "../devices-sim/run-report.ts"
import type { Scenario } from "../devices-sim/scenario.ts"
import { makeWallClock } from "../devices-sim/scenario-clock.ts"
import { type HttpViewOptions, ServiceViewError, openHttpView } from "../devices-sim/service-view.ts"
import { EmbeddedDatabaseError } from "../ingest/database/embedded/fault.ts"
import { LogMismatch } from "../ingest/log.ts"
import { LogRolledBack, LogSealedElsewhere, claimPublication } from "../ingest/publication.ts"
import { seal } from "../ingest/seal.ts"
import { programName } from "./command-line.ts"
import { type OpenedLog, openExistingLog } from "./data-folder.ts"
import { explainGoneDatabase } from "./database-fault.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { readNamedFile } from "./option.ts"
import { print } from "./output.ts"
import { type Receiving, type Running, awaitReceiving, httpOf, listRunning } from "./running.ts"
import { auditStored, tamperWith } from "./simulate-audit.ts"
import { enrolKnown, makeOperator } from "./simulate-enrol.ts"
import { OwnService } from "./simulate-host.ts"
import { LiveView } from "./simulate-live.ts"
import { proveByEvidence } from "./simulate-proof.ts"
import { readRecordings } from "./recording-options.ts"
import { type ReportTarget, writeReports } from "./simulate-report.ts"
import { checkNeeds, checkTamperRights } from "./simulate-needs.ts"
import type { NamedScenario, RunBase, RunOptions } from "./simulate-options.ts"
import { checkListening, findUrl } from "./simulate-target.ts"
import { runVirtually } from "./simulate-virtual.ts"
import { version } from "./version.ts"

/** In k6's manner. */
export type RunExitCode = 0 | 1 | 2 | 3 | 130 | 143

export interface RunSettings {
  readonly reports: readonly ReportTarget[]
  /** Whether a folder was named: else a service of our own has a throw-away one. */
  readonly isDataNamed: boolean
}

export async function runScenarioCommand(
  { given, path, scenario: written }: NamedScenario,
  options: RunOptions,
  settings: RunSettings,
): Promise<RunExitCode> {
  const scenario: Scenario = {
    ...written,
    seed: options.seed ?? written.seed,
    speed: options.speed ?? written.speed,
  }
  const repeat = repeatOf(given, scenario, options)
  const startedAt = new Date().toISOString()
  const view = new LiveView()
  const controller = new AbortController()
  const hurry = new AbortController()
  setMaxListeners(0, controller.signal, hurry.signal)
  let stoppedBy: NodeJS.Signals | null = null
  const interrupt = (signal: NodeJS.Signals): void => {
    if (hurry.signal.aborted) process.exit(exitCodeOfSignal(signal))
    if (stoppedBy !== null) {
      view.say("the report is made of what is known; once more ends without it")
      hurry.abort()
      return
    }
    stoppedBy = signal
    view.say("stopping: verdicts are waited for 5 s; once more ends at once")
    controller.abort()
  }
  process.on("SIGINT", interrupt)
  process.on("SIGTERM", interrupt)
  const facts = { repeat, isVirtual: options.virtual, startedAt, version }
  try {
    const recordings = await openRecordings(scenario, path, (line) => view.say(line))
    view.say(`${scenario.name}, seed ${scenario.seed}: ${scenario.about}`)
    let before: Parameters<LiveView["show"]>[1] = null
    const base: RunBase = {
      scenario,
      recordings,
      signal: controller.signal,
      hurry: hurry.signal,
      stallMs: options.stall * 1000,
      say: (line) => view.say(line),
      onSample: (sample, progress) => {
        view.show(sample, before, progress)
        before = sample
      },
      cost: () => {
        const { user, system } = process.cpuUsage()
        return { cpuSeconds: (user + system) / 1e6, memoryBytes: process.memoryUsage.rss() }
      },
    }
    const outcome = options.virtual
      ? await runVirtually(base, { data: settings.isDataNamed ? options.data : null })
      : await runForReal(base, options, settings)
    view.clear()
    const report = writeUp(scenario, outcome, facts)
    print(options.json ? JSON.stringify(report) : formatRunText(report))
    await writeReports(report, settings.reports)
    return stoppedBy === null ? exitCodeOf(report) : exitCodeOfSignal(stoppedBy)
  } catch (error) {
    view.clear()
    const fault = asCouldNotRun(error, repeat)
    if (fault instanceof CommandFault && fault.exitCode === 3)
      await writeReports(writeUpNotRun(scenario, (error as Error).message, facts), settings.reports)
    throw fault
  } finally {
    process.off("SIGINT", interrupt)
    process.off("SIGTERM", interrupt)
  }
}

function exitCodeOf({ verdict }: RunReport): RunExitCode {
  return verdict === "passed" ? 0 : 1
}

/** As shells count: 128 and the signal's number. */
function exitCodeOfSignal(signal: NodeJS.Signals): 130 | 143 {
  return signal === "SIGTERM" ? 143 : 130
}

/** The command that does the same once more. */
function repeatOf(given: string, { seed, speed }: Scenario, { virtual }: RunOptions): string {
  const name = /^[A-Za-z0-9_./-]+$/.test(given) ? given : `'${given.replaceAll("'", `'\\''`)}'`
  const paces = virtual ? " --virtual" : speed === 1 ? "" : ` --speed ${speed}`
  return `${programName()} simulate run ${name} --seed ${seed}${paces}`
}

/** What kept a run from being one: exit code 3, and how to try again. */
function asCouldNotRun(error: unknown, repeat: string): unknown {
  if (error instanceof UsageFault || error instanceof RangeError) return error
  const gone = explainGoneDatabase(error)
  if (gone !== null) return asCouldNotRun(gone, repeat)
  const isForeseen = [
    CommandFault,
    ServiceViewError,
    EmbeddedDatabaseError,
    LogMismatch,
    LogRolledBack,
    LogSealedElsewhere,
  ].some((kind) => error instanceof kind)
  if (!isForeseen) return error
  const { message } = error as Error
  const hint = error instanceof CommandFault ? error.hint : null
  return new CommandFault(`the scenario could not run: ${message}`, hint ?? `try again: ${repeat}`, {
    cause: error,
    exitCode: 3,
  })
}

/** Faults of all groups come at once. */
async function openRecordings(
  { groups }: Scenario,
  scenarioPath: string,
  tell: (line: string) => void,
): Promise<ReadonlyMap<string, readonly Recording[]>> {
  const opened = new Map<string, readonly Recording[]>()
  const faults: string[] = []
  for (const { name, source } of groups) {
    if (source.kind !== "recordings") continue
    const paths = source.paths.map((path) => resolve(dirname(scenarioPath), path))
    const { recordings, fault } = await readRecordings(paths, source.options, tell)
    if (fault !== null) faults.push(`in the group ${name}, ${fault}`)
    opened.set(name, recordings)
  }
  if (faults.length > 0) {
    const members =
      "in a scenario, --dates, --timezone, --rate, --metric and --start are members of the group"
    throw new UsageFault([...faults, members].join("\n"))
  }
  return opened
}

/** Against a service that runs, or one that is started for this. */
async function runForReal(base: RunBase, options: RunOptions, settings: RunSettings): Promise<RunOutcome> {
  const isNamed = options.mqtt !== undefined || options.url !== undefined || options.host !== undefined
  const isKilled = base.scenario.serviceFaults.length > 0
  const isDatabaseGiven = (process.env["DATABASE_URL"] ?? "") !== ""
  checkNeeds(base.scenario, { isServiceNamed: isNamed, isDatabaseGiven })
  const receiving = isNamed ? null : await awaitReceiving(options.data, (line) => base.say?.(line))
  if (isNamed || (receiving !== null && !isKilled)) return runAgainst(base, options, receiving, null)
  if (receiving !== null && settings.isDataNamed) {
    throw new CommandFault(
      `this scenario kills the service, and the one on ${options.data} (process ${receiving.pid}) was not started by it`,
      "leave --data out: then it starts one of its own in a throw-away folder",
    )
  }
  const dataFolder = settings.isDataNamed ? options.data : null
  base.say?.(
    dataFolder === null
      ? "starting a service of its own in a throw-away folder"
      : `no service runs on ${dataFolder}: starting one for this run`,
  )
  const own = await OwnService.start(dataFolder)
  try {
    const { running } = own
    return await runAgainst(base, { ...options, data: own.dataFolder }, running as Receiving, own)
  } finally {
    await own.close()
  }
}

async function runAgainst(
  base: RunBase,
  options: RunOptions,
  receiving: Receiving | null,
  host: OwnService | null,
): Promise<RunOutcome> {
  const url = findUrl(options, receiving)
  if (url === null) throw new CommandFault(`no service runs on ${options.data}`)
  await checkListening(url)
  const http = await findHttp(options)
  const ca = options.tlsCa === undefined ? null : await readNamedFile(options.tlsCa, "the file of CAs")
  const log = await openExistingLog(options.data)
  const isLoginWanted = options.login === "jwt" || (receiving !== null && receiving.logins !== "none")
  const service: Service = {
    url,
    ...(ca === null ? {} : { ca }),
    ...(isLoginWanted ? { jwt: { origin: log.keys.origin } } : {}),
  }
  try {
    await checkTamperRights(base.scenario, log.pool)
    return await runScenario({
      ...base,
      service,
      clock: makeWallClock(base.scenario.speed),
      view: openHttpView({ ...http, findKey: async () => (await findHttp(options)).key }),
      host,
      origin: log.keys.origin,
      operator: makeOperator(log.pool, log.keys),
      enrol: (devices) => enrolKnown(log.pool, log.keys, devices),
      seal: () => sealNow(log, options.data),
      audit: () => auditStored({ ...log, dataFolder: options.data }),
      tamper: (kind, devices) => tamperWith({ ...log, dataFolder: options.data }, kind, devices),
      // Asked again: a service that was killed in between has another token.
      prove: async (id) => proveByEvidence(await findHttp(options), id, log.keys),
    })
  } finally {
    await log.close()
  }
}

async function sealNow({ pool, keys }: OpenedLog, dataFolder: string): Promise<void> {
  await claimPublication(pool, dataFolder)
  await seal({ pool, keys, dataFolder })
}

type HttpPlace = Pick<HttpViewOptions, "api" | "metrics" | "key">

/** Where the API and the counters are. */
async function findHttp({ http, key, data }: RunOptions): Promise<HttpPlace> {
  const access = key === undefined ? {} : { key }
  if (http !== undefined) {
    if (!URL.canParse(http) || !/^https?:/.test(http))
      throw new UsageFault(`--http ${http}: it must be such as http://127.0.0.1:8080`)
    const base = http.replace(/\/+$/, "")
    return { api: base, metrics: [base], ...access }
  }
  const running = await listRunning(data)
  const api = running.find(({ kind }) => kind === "up" || kind === "research")
  const judging: readonly Running[] = running.filter(({ kind }) => kind === "up" || kind === "ingest")
  if (api === undefined)
    throw new CommandFault(
      `no service with an API runs on ${data}, so nobody can say what is stored`,
      "start tidemark up or tidemark research, or name its address with --http",
    )
  const { operatorToken } = api
  const own = operatorToken === undefined ? {} : { key: operatorToken }
  return { api: httpOf(api), metrics: judging.map(httpOf), ...own, ...access }
}

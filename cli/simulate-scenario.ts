/** `tidemark simulate list | show NAME | schema | run FILE or NAME`. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { readdir } from "node:fs/promises"
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import type { Scenario } from "../devices-sim/scenario.ts"
import { stallMsDefault } from "../devices-sim/stall.ts"
import { parseScenario, readScenarioSchema } from "../devices-sim/scenario-file.ts"
import { formatScenarioFault } from "../devices-sim/scenario-place.ts"
import { UsageFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption, parseCount } from "./option.ts"
import { count, print } from "./output.ts"
import { type ReportTarget, parseReports } from "./simulate-report.ts"
import { runScenarioCommand } from "./simulate-run.ts"
import type { NamedScenario, RunOptions } from "./simulate-options.ts"
import { addTargetOptions } from "./simulate-target.ts"
import { formatTable } from "./table.ts"

/** Files that come with Tidemark. */
const builtInFolder = fileURLToPath(new URL("../devices-sim/scenarios/", import.meta.url))

export function addScenarios(simulate: Command): void {
  addCommand(simulate, "list", "the scenarios that come with Tidemark")
    .addOption(jsonOption())
    .action(async ({ json }: { json: boolean }) => {
      const scenarios = (await builtInNames()).map((name) => readScenario(name).scenario)
      print(json ? JSON.stringify(scenarios.map(describe)) : formatList(scenarios))
    })
  addCommand(simulate, "show", "a scenario's file, to read or to start one of your own from")
    .argument("<name>", "one of `simulate list`")
    .action((name: string) => {
      process.stdout.write(readFileSync(findBuiltIn(name) ?? unknown(name), "utf8"))
    })
  addCommand(simulate, "schema", "the JSON Schema of scenario files, for editors").action(() => {
    process.stdout.write(readScenarioSchema())
  })
  const run = addCommand(
    simulate,
    "run",
    "run a scenario; exit code 0: passed, 1: a threshold or the truth failed, or it stalled, 2: usage, 3: it could not run, 130: stopped by Ctrl-C; the report is written whenever it ends",
  ).argument("<scenario>", "a file, or one of `simulate list`")
  addTargetOptions(run)
    .option("--http <url>", "of the service's API and metrics (default: of the service that runs on --data)")
    .addOption(new Option("--key <key>", "for the API, where it asks for one").env("TIDEMARK_KEY"))
    .option("--seed <number>", "in place of the scenario's", parseCount(0, 2 ** 32 - 1))
    .option("--speed <factor>", "scenario time per wall time, in place of the scenario's", parseSpeed)
    .option(
      "--stall <seconds>",
      "end the run, with its report, when no statement is answered for so long and no device is connected (five times as long where some are)",
      parseCount(1, 86_400),
      stallMsDefault / 1000,
    )
    .option(
      "--virtual",
      "no sockets and no waiting: the service's clock is the scenario's, and the same seed gives the same blocks",
      false,
    )
    .addOption(
      new Option(
        "--report <kind file...>",
        "json, junit or html, and the file to write; may be given again",
      ).default([]),
    )
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(async (given: string, options: RunOptions, command: Command) => {
      const reports: readonly ReportTarget[] = parseReports(options.report)
      const named = readScenario(given)
      // The folder that was named is one to be found again; without one a throw-away folder is good enough.
      const isDataNamed = (command.getOptionValueSource("data") ?? "default") !== "default"
      process.exitCode = await runScenarioCommand(named, options, { reports, isDataNamed })
    })
}

function parseSpeed(text: string): number {
  const speed = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || speed <= 0 || speed > 1_000_000)
    throw new InvalidArgumentError("It must be a number above 0, at most 1000000.")
  return speed
}

/** By their names, in the order in which one would try them. */
async function builtInNames(): Promise<string[]> {
  const names = (await readdir(builtInFolder))
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
  return names.toSorted((a, b) => place(a) - place(b) || a.localeCompare(b))
}

function place(name: string): number {
  return order.includes(name) ? order.indexOf(name) : order.length
}

const order: readonly string[] = [
  "smoke",
  "steady",
  "reconnect-storm",
  "offline-backlog",
  "lossy-network",
  "clock-chaos",
  "clone",
  "key-rotation",
  "power-loss",
  "bad-neighbours",
  "ecg-ward",
  "tamper",
]

function findBuiltIn(name: string): string | null {
  const path = join(builtInFolder, `${name}.yaml`)
  return /^[a-z0-9-]+$/.test(name) && existsSync(path) ? path : null
}

function unknown(name: string): never {
  throw new UsageFault(`there is no scenario ${name}: \`tidemark simulate list\` names those that there are`)
}

/** A built-in one by its name, or a file. Every fault of a file is said, with its line and column. */
export function readScenario(given: string): NamedScenario {
  const path = findBuiltIn(given) ?? resolve(given)
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === "ENOENT" && /^[a-z0-9-]+$/.test(given)) unknown(given)
    const why = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : message
    throw new UsageFault(`the scenario ${given} cannot be read: ${why}`)
  }
  const parsed = parseScenario(text)
  if (parsed.kind === "faulty")
    throw new UsageFault(
      `${given} is no scenario:\n${parsed.faults.map((fault) => `  ${formatScenarioFault(given, fault)}`).join("\n")}`,
    )
  return { given, path, scenario: parsed.scenario }
}

function describe({ name, about, seed, speed, groups }: Scenario) {
  return { name, about, seed, speed, devices: groups.reduce((sum, { devices }) => sum + devices, 0) }
}

function formatList(scenarios: readonly Scenario[]): string {
  const rows = scenarios.map((scenario) => {
    const { name, about, devices } = describe(scenario)
    return [name, devices, about]
  })
  const table = formatTable(["scenario", "devices", "what it is about"], rows)
  return `${table}\n\n${count(rows.length, "scenario")}. tidemark simulate run NAME runs one, tidemark simulate show NAME prints its file.`
}

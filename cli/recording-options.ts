/** How recordings are named and read on the command line: the same options for `simulate` and `demo`. */
import { resolve } from "node:path"
import { type Command, InvalidArgumentError, Option } from "commander"
import { openRecordings } from "../devices-sim/recording/open.ts"
import type { Recording, RecordingOptions } from "../devices-sim/recording/recording.ts"
import { dateOrders, type DateOrder } from "../devices-sim/recording/written-time.ts"
import { isZoneName, zoneRule } from "../devices-sim/recording/zone.ts"
import { absoluteTimeMin } from "../chain/senml.ts"
import { parseInstant } from "./option.ts"

/** As commander gives them. */
export interface GivenRecordingOptions {
  readonly recording: readonly string[]
  readonly dates?: DateOrder
  readonly timezone?: string
  readonly rate?: number
  readonly metric?: string
  readonly start?: number
}

export function addRecordingOptions(command: Command, about: string): Command {
  return command
    .addOption(new Option("--recording <path...>", about).default([]))
    .addOption(
      new Option(
        "--dates <order>",
        "of recordings whose dates do not say it: day, month, year in this order",
      ).choices([...dateOrders]),
    )
    .option(
      "--timezone <zone>",
      "that the device's clock kept, for recordings with local times: a name such as Europe/Berlin",
      parseZone,
    )
    .option("--rate <hz>", "samples a second of a recording of one column", parseRate)
    .option("--metric <name>", "of a recording of one signal that does not say what it is", parseMetric)
    .option("--start <time>", "when a recording begins that only says how long after its start", parseStart)
}

export function recordingOptionsOf({
  dates,
  timezone,
  rate,
  metric,
  start,
}: GivenRecordingOptions): RecordingOptions {
  return {
    ...(dates === undefined ? {} : { dates }),
    ...(timezone === undefined ? {} : { timezone }),
    ...(rate === undefined ? {} : { rateHz: rate }),
    ...(metric === undefined ? {} : { metric }),
    ...(start === undefined ? {} : { startsAt: start }),
  }
}

/**
 * All recordings at `paths`, or a text that names every fault of every one: then nothing is replayed, so that a run is
 * never half of what was asked for.
 *
 * @param tell takes a line for each thing that a user should know of a recording
 */
export async function readRecordings(
  paths: readonly string[],
  options: RecordingOptions,
  tell: (line: string) => void,
): Promise<{ readonly recordings: readonly Recording[]; readonly fault: string | null }> {
  const { recordings, faults, remarks } = await openRecordings(
    paths.map((path) => resolve(path)),
    options,
  )
  if (faults.length > 0) {
    const [first] = faults
    const only = faults.length === 1 && recordings.length === 0
    const fault = only
      ? `the recording cannot be replayed: ${first?.error.message}`
      : `${faults.length} of ${faults.length + recordings.length} recordings cannot be replayed, so none is:${faults.map(({ error }) => `\n  ${error.message}`).join("")}`
    return { recordings: [], fault }
  }
  for (const { path, recording } of recordings)
    for (const remark of recording.remarks) tell(`${path}: ${remark}`)
  for (const remark of remarks) tell(remark)
  return { recordings: recordings.map(({ recording }) => recording), fault: null }
}

function parseZone(text: string): string {
  if (isZoneName(text)) return text
  throw new InvalidArgumentError(`${zoneRule[0]?.toUpperCase()}${zoneRule.slice(1)}.`)
}

const rateMax = 1_000_000

function parseRate(text: string): number {
  const rate = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && rate > 0 && rate <= rateMax) return rate
  throw new InvalidArgumentError("It must be samples a second, above 0, such as 100 or 117.3.")
}

function parseMetric(text: string): string {
  if (/^[a-z][a-z0-9-]{0,62}$/.test(text)) return text
  throw new InvalidArgumentError(
    "It must be a metric's name, such as heart-rate: lower case, digits and hyphens.",
  )
}

function parseStart(text: string): number {
  const seconds = parseInstant(text)
  if (seconds >= absoluteTimeMin) return seconds
  throw new InvalidArgumentError(
    "It must be 1978-07-04T21:24:16Z or later, as SenML has absolute times from there.",
  )
}

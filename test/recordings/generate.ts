/**
 * Recordings in vendors' formats, with the oddities of real ones. All of it is invented and comes from a seed:
 * `npx tsx test/recordings/generate.ts` writes it, and a test compares what is committed with what it would write.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { makeRandom } from "../../devices-sim/random.ts"
import { dexcomExport, libreViewExport, libreViewMmolExport } from "./glucose.ts"
import {
  ecgLeads,
  ecgWithHole,
  ppgColumn,
  ppgDatetime,
  ppgTimer,
  ppgTimerWithHoles,
  wfdbFiles,
} from "./waveforms.ts"
import { empaticaMembers, empaticaPartialMembers, garminAcceleration, garminEvents } from "./wristbands.ts"

export const recordingsFolder = fileURLToPath(new URL(".", import.meta.url))

/** The bytes of each file by its path in the folder, `/` between its parts. */
export function generateRecordings(): Map<string, Uint8Array> {
  const random = makeRandom("tidemark recordings 1")
  const files: Record<string, string | Uint8Array> = {
    "garmin/data.csv": garminEvents(random.fork("garmin")),
    "garmin/acc.csv": garminAcceleration(random.fork("garmin")),
    ...within("empatica-e4", empaticaMembers(random.fork("e4"))),
    ...within("empatica-e4-partial", empaticaPartialMembers(random.fork("e4 partial"))),
    "dexcom-clarity/export.csv": dexcomExport(random.fork("dexcom")),
    "freestyle-libreview/mg-dl.csv": libreViewExport(random.fork("libre")),
    "freestyle-libreview/mmol-l.csv": libreViewMmolExport(random.fork("libre mmol")),
    "ppg/timer.csv": ppgTimer(random.fork("timer")),
    "ppg/timer-holes.csv": ppgTimerWithHoles(random.fork("timer holes")),
    "ppg/datetime.csv": ppgDatetime(random.fork("datetime")),
    "ppg/column.csv": ppgColumn(random.fork("column")),
    "ecg-csv/two-leads.csv": ecgLeads(random.fork("ecg")),
    "ecg-csv/hole.csv": ecgWithHole(random.fork("ecg hole")),
    ...within("wfdb", wfdbFiles(random.fork("wfdb"))),
  }
  const encoder = new TextEncoder()
  return new Map(
    Object.entries(files).map(([path, content]) => [
      path,
      typeof content === "string" ? encoder.encode(content) : content,
    ]),
  )
}

function within<Content>(folder: string, files: Record<string, Content>): Record<string, Content> {
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [`${folder}/${name}`, content]))
}

function writeRecordings(): void {
  for (const [path, bytes] of generateRecordings()) {
    const file = join(recordingsFolder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, bytes)
  }
}

const isCommand = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href
if (isCommand) writeRecordings()

/** `--report json|junit|html FILE`. */
import { writeFile } from "node:fs/promises"
import { formatRunHtml } from "../devices-sim/report-html.ts"
import { formatRunJunit } from "../devices-sim/report-junit.ts"
import type { RunReport } from "../devices-sim/run-report.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { say } from "./output.ts"

const formats = {
  json: (report: RunReport): string => `${JSON.stringify(report, null, 2)}\n`,
  junit: formatRunJunit,
  html: formatRunHtml,
} as const

export interface ReportTarget {
  readonly kind: keyof typeof formats
  readonly path: string
}

/** `json out.json junit out.xml`, or `json=out.json`. */
export function parseReports(given: readonly string[]): ReportTarget[] {
  const words = given.flatMap((word) => {
    const [, kind, path] = /^(json|junit|html)=(.+)$/.exec(word) ?? []
    return kind === undefined || path === undefined ? [word] : [kind, path]
  })
  const targets: ReportTarget[] = []
  for (let at = 0; at < words.length; at += 2) {
    const [kind, path] = [words[at]!, words[at + 1]]
    if (!Object.hasOwn(formats, kind))
      throw new UsageFault(
        `--report ${kind}: it must be json, junit or html, and a file; the scenario's name stands before --report`,
      )
    if (path === undefined) throw new UsageFault(`--report ${kind}: the file to write is missing`)
    targets.push({ kind: kind as ReportTarget["kind"], path })
  }
  return targets
}

export async function writeReports(report: RunReport, targets: readonly ReportTarget[]): Promise<void> {
  for (const { kind, path } of targets) {
    try {
      await writeFile(path, formats[kind](report))
    } catch (error) {
      throw new CommandFault(`the report ${path} cannot be written: ${(error as Error).message}`, null, {
        cause: error,
      })
    }
    say(`report: ${path}`)
  }
}

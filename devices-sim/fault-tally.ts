/** What came of all planned faults of a run, by what they are. */
import type { Fault, FaultFinding } from "./fault.ts"
import { type FaultTally, namedMax } from "./run-report.ts"

/** A kind, with what makes a difference to what must come of it: `disconnect at puback`. */
export function nameFault(fault: Fault): string {
  switch (fault.kind) {
    case "disconnect":
      return `disconnect at ${fault.step}`
    case "wrong-key":
      return `wrong-key as ${fault.as}`
    case "garbage":
      return `garbage as ${fault.as}`
    case "clock":
      return `clock ${fault.offsetSeconds < 0 ? "late" : "ahead"} by ${formatSeconds(Math.abs(fault.offsetSeconds))}`
    case "oversized":
      return `oversized, ${fault.sizeBytes} bytes`
    default:
      return fault.kind
  }
}

function formatSeconds(seconds: number): string {
  const days = seconds / 86_400
  return days >= 1 ? `${Math.round(days)} d` : `${seconds} s`
}

export function tallyFaults(findings: readonly FaultFinding[]): FaultTally[] {
  const byName = new Map<string, FaultFinding[]>()
  for (const finding of findings) {
    const name = nameFault(finding.fault)
    byName.set(name, [...(byName.get(name) ?? []), finding])
  }
  return [...byName].map(([kind, found]) => {
    const count = (result: FaultFinding["result"]): number =>
      found.filter((one) => one.result === result).length
    return {
      kind,
      planned: found.length,
      met: count("met"),
      unmet: count("unmet"),
      skipped: count("skipped"),
      expected: [...new Set(found.flatMap(({ expected }) => expected.verdicts))],
      details: found
        .filter(({ result }) => result === "unmet")
        .slice(0, namedMax)
        .map(describeFinding),
    }
  })
}

/** What was answered otherwise; and kinds that never happened, since then the run has not tried them. */
export function faultsAgainst(findings: readonly FaultFinding[], isCut: boolean): string[] {
  const never = tallyFaults(findings)
    .filter(({ met, unmet }) => !isCut && met + unmet === 0)
    .map(({ kind, planned }) => `${kind}: none of ${planned} came to happen`)
  return [...findings.filter(({ result }) => result === "unmet").map(describeFinding), ...never]
}

function describeFinding({ device, place, detail, expected, verdict, fault }: FaultFinding): string {
  const must = expected.verdicts.length === 0 ? "no verdict" : expected.verdicts.join(" or ")
  return `${device}, statement ${place}, ${nameFault(fault)}: ${detail}; ${must} must answer it, and ${verdict ?? "nothing"} did`
}

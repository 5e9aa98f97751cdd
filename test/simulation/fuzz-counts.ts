/** What the service counted, what the clients heard and what the database holds: they must add up. */
import { setTimeout as wait } from "node:timers/promises"
import { statementVerdicts, verdictCodes } from "../../chain/verdict.ts"
import type { FuzzWorld } from "./fuzz-lane.ts"
import type { HonestDevice } from "./honest-device.ts"
import type { SoakHost } from "./soak-host.ts"

export interface FuzzCounts {
  readonly verdicts: ReadonlyMap<string, number>
  readonly refusedConnections: ReadonlyMap<string, number>
  readonly stored: number
  readonly faults: readonly string[]
}

const settleMsMax = 30_000
/** SUBSCRIBE, the case and the probe: what a connection may have in flight when it is reset. */
const unheardPerConnectionMax = 4

/** Asks until every connection is gone and every message judged, then compares. */
export async function findCountFaults(
  host: SoakHost,
  { heard, strangers }: FuzzWorld,
  honest: readonly HonestDevice[],
): Promise<FuzzCounts> {
  const endsAt = performance.now() + settleMsMax
  let metrics = await host.metrics()
  let before = -1
  while (performance.now() < endsAt) {
    const now =
      sumOf(metrics, "tidemark_statements_received_total") + sumOf(metrics, "tidemark_questions_total")
    if (sumOf(metrics, "tidemark_mqtt_connections") === 0 && now === before) break
    before = now
    await wait(250)
    metrics = await host.metrics()
  }
  const faults: string[] = []
  const demand = (isSo: boolean, what: string): void => {
    if (!isSo) faults.push(`counters: ${what}`)
  }
  const verdicts = labelled(metrics, "tidemark_verdicts_total", "verdict")
  const refusedConnections = labelled(metrics, "tidemark_mqtt_connections_refused_total", "reason")
  const received = sumOf(metrics, "tidemark_statements_received_total")
  const questions = sumOf(metrics, "tidemark_questions_total")
  const dropped = sumOf(metrics, "tidemark_messages_dropped_total")
  const unanswered = sumOf(metrics, "tidemark_mqtt_unanswered_total")
  demand(sumOf(metrics, "tidemark_mqtt_connections") === 0, "not every connection is gone")
  demand(received === sum(verdicts), `received ${received}, but the verdicts are ${sum(verdicts)}`)

  // Each message that was submitted was heard, or its connection closed before.
  const receipts = sum(heard.receipts) + honest.reduce((all, one) => all + one.receipts, 0)
  const told = received + questions + dropped - unanswered
  const unheardMax = heard.silent * unheardPerConnectionMax
  demand(
    told >= receipts && told <= receipts + unheardMax,
    `${received} judged, ${questions} questions and ${dropped} dropped, ${unanswered} of them unanswered, but ${receipts} receipts were heard`,
  )

  const refused = sum(refusedConnections)
  const silent = heard.silent + sum(heard.connacks)
  demand(
    refused >= silent && refused <= silent + heard.left,
    `${refused} connections were refused; ${silent} saw it, and ${heard.left} had hung up`,
  )
  const reason = (name: string): number => refusedConnections.get(name) ?? 0
  const connack = (code: number): number => heard.connacks.get(code) ?? 0
  demand(
    reason("not-mqtt") === strangers,
    `not-mqtt is ${reason("not-mqtt")}, but ${strangers} began with no CONNECT`,
  )
  demand(reason("protocol-version") === connack(1), `protocol-version and CONNACK 1 differ`)
  demand(reason("identifier") === connack(2), `identifier and CONNACK 2 differ`)
  for (const never of ["too-many-connections", "slow-reader", "connect-timeout"])
    demand(reason(never) === 0, `${reason(never)} connections were refused as ${never}`)

  const { stored, refused: refusedStored } = await host.count()
  const accepted = ["accepted", "accepted-unread", "accepted-ahead"].map((name) => verdicts.get(name) ?? 0)
  const acceptedCount = accepted.reduce((all, one) => all + one, 0)
  demand(stored === acceptedCount, `${acceptedCount} were accepted, but ${stored} are stored`)
  for (const verdict of statementVerdicts) {
    const code = verdictCodes[verdict]
    const [counted, heardCount] = [verdicts.get(verdict) ?? 0, heard.receipts.get(code) ?? 0]
    if (code < 10) continue
    demand(
      counted === (refusedStored.get(code) ?? 0),
      `${verdict}: ${counted}, but the database counts ${refusedStored.get(code) ?? 0}`,
    )
    demand(heardCount <= counted + questions, `${verdict}: ${counted}, but ${heardCount} heard it`)
  }
  return { verdicts, refusedConnections, stored, faults }
}

function labelled(metrics: ReadonlyMap<string, number>, name: string, label: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const [key, value] of metrics) {
    const match = new RegExp(`^${name}\\{${label}="([^"]*)"\\}$`).exec(key)
    if (match !== null && value > 0) found.set(match[1]!, value)
  }
  return found
}

function sumOf(metrics: ReadonlyMap<string, number>, name: string): number {
  let all = 0
  for (const [key, value] of metrics) if (key === name || key.startsWith(`${name}{`)) all += value
  return all
}

function sum(counts: ReadonlyMap<unknown, number>): number {
  return [...counts.values()].reduce((all, one) => all + one, 0)
}

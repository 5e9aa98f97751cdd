/** How the log in a database stands: sealing, partitions, guards. */
import type { ServerFacts, StoreFacts } from "../../ingest/database/examination.ts"
import { type Finding, type Opinion, formatBytes, make } from "./finding.ts"

const hourMs = 3_600_000

export function diagnoseStore(store: StoreFacts, server: ServerFacts): Finding[] {
  const { lastBlock, unsealedMsAgo, weeksAhead, defaultBytes, unguarded } = store
  const findings = [
    make(
      "log",
      "log",
      `${store.origin}, ${lastBlock?.leaves.toLocaleString("en-US") ?? 0} leaves sealed`,
      null,
    ),
    make(
      "log",
      "chains",
      store.protocolVersion === 1
        ? "not bound to this log (protocol version 1)"
        : `bound to this log (protocol version ${store.protocolVersion})`,
      store.protocolVersion === 1
        ? [
            "better",
            "a device's statements for another log of version 1 can be played into this one, and take the places of its own: give a device a key of its own for each log, or begin a new log",
          ]
        : null,
    ),
    make(
      "log",
      "schema",
      store.migrationsMissing === 0 ? "of this version" : `${store.migrationsMissing} migrations behind`,
      store.migrationsMissing === 0
        ? null
        : ["better", "the next start brings it up to date: make a backup before"],
    ),
    make("log", "last block", formatBlock(lastBlock), null),
    make(
      "log",
      "not sealed",
      unsealedMsAgo === null ? "nothing" : `since ${formatAge(unsealedMsAgo)}`,
      diagnoseLag(unsealedMsAgo),
    ),
  ]
  if (!store.hasHypertables) {
    findings.push(
      make(
        "log",
        "partitions",
        `made for ${weeksAhead} weeks from this one on`,
        weeksAhead > 1
          ? null
          : [
              "better",
              "nothing is refused, and rows go to the default partition: a seal makes them, so let one run",
            ],
      ),
    )
    if (defaultBytes > 0)
      findings.push(
        make("log", "default partition", formatBytes(defaultBytes), [
          "better",
          "rows of weeks that had no partition: a seal gives them their own once the week is over, up to 512 MB a table",
        ]),
      )
  }
  for (const { what, rule } of store.schema?.faults ?? [])
    // Below, with what mends it.
    if (!unguarded.some((table) => what === `trigger ${table}.only_added`))
      findings.push(
        make("log", "schema", `${what} ${rule}`, [
          "danger",
          "somebody changed what this version made: take it back, or compare with a fresh log's, and run tidemark verify",
        ]),
      )
  for (const remark of store.schema?.remarks ?? []) findings.push(make("log", "schema", remark, null))
  if (unguarded.length > 0)
    findings.push(
      make("log", "guards", `off on ${unguarded.join(", ")}`, [
        "danger",
        "nothing keeps rows of evidence from being changed by mistake (promise 6): alter table … enable trigger only_added, and run tidemark verify",
      ]),
    )
  const others = server.connectionsUsed - store.sessions - 1
  findings.push(
    make(
      "log",
      "sessions",
      `${store.sessions} of Tidemark, ${Math.max(0, others)} of others on the server`,
      null,
    ),
  )
  return findings
}

function diagnoseLag(unsealedMsAgo: number | null): Opinion {
  if (unsealedMsAgo === null || unsealedMsAgo < 2 * hourMs) return null
  const advice = "run tidemark up or tidemark seal --schedule, and look at its log"
  return unsealedMsAgo > 24 * hourMs
    ? ["danger", `nothing seals (promise 5): ${advice}`]
    : ["better", `no seal has run for a while: ${advice}`]
}

function formatBlock(block: StoreFacts["lastBlock"]): string {
  return block === null ? "none yet" : `${block.height}, which ended ${formatAge(block.endedMsAgo)} ago`
}

function formatAge(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000))
  if (minutes < 1) return "less than a minute"
  if (minutes < 120) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`
}

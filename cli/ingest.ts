import type { Command } from "commander"
import { ingestSecrets } from "../ingest/log-keys.ts"
import { LogRolledBack } from "../ingest/publication.ts"
import { loginsOf } from "./connecting.ts"
import {
  type HttpOptions,
  type ListeningOptions,
  addHttpOptions,
  addListeningOptions,
  addressesOf,
  announce,
  callersOf,
  formatHttp,
  readConnecting,
  reloadAtHangUp,
} from "./listening.ts"
import { addCommand, dataOption } from "./option.ts"
import { makeLogger } from "./output.ts"
import { openBase } from "./parts/base.ts"
import { compose } from "./parts/composition.ts"
import { openGuard } from "./parts/guard.ts"
import { httpHostOf, startHttp } from "./parts/http.ts"
import { startIngest } from "./parts/ingest.ts"
import { announcePresence } from "./parts/presence.ts"
import { followPublished } from "./parts/published.ts"
import { waitForSignal } from "./signal.ts"

interface IngestOptions extends ListeningOptions, HttpOptions {
  readonly data: string
}

export function addIngest(program: Command): void {
  const ingest = addCommand(
    program,
    "ingest",
    "take statements, and nothing else: as many of these beside each other as you like, on one database; needs origin, operator.key and heads.key of the log's keys",
  ).addOption(dataOption())
  addListeningOptions(ingest)
  addHttpOptions(ingest, "/healthz, /readyz, /metrics, /v1/receipts", 0).action(runIngest)
}

async function runIngest(options: IngestOptions, command: Command): Promise<void> {
  const connecting = readConnecting(options, command)
  const log = makeLogger()
  const stopping = waitForSignal()
  const { data: dataFolder, host, limit: limits } = options
  await compose(async (parts) => {
    const base = parts.add(
      await openBase({ dataFolder, log }, { command: "ingest", needed: ingestSecrets, connections: 6 }),
    )
    const { guard, operatorToken } = parts.add(openGuard(base))
    const ingest = parts.add(await startIngest(base, { connecting, limits, guard }))
    const http = parts.add(
      await startHttp(base, {
        host: httpHostOf(host, options.httpHost),
        port: options.http,
        ...callersOf(options),
        plugins: [ingest.plugin],
      }),
    )
    const { rolledBack } = parts.add(await followPublished(base))
    const { origin } = base.keys
    const logins = loginsOf(connecting)
    const running = { kind: "ingest", host, ...ingest.ports, logins, origin, operatorToken } as const
    parts.add(await announcePresence(dataFolder, running, http))
    reloadAtHangUp(connecting, ingest)
    announce(log, origin, addressesOf(host, ingest.ports), { http: formatHttp(http) })
    const why = await Promise.race([stopping, rolledBack])
    if (why instanceof LogRolledBack) throw why
    log.info({ signal: why }, "stopping")
    await parts.close()
  })
  log.info("stopped: everything acknowledged is on disk")
}

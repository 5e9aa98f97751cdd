import type { Command } from "commander"
import { researchSecrets } from "../ingest/log-keys.ts"
import { type HttpOptions, addHttpOptions, announce, callersOf, formatHttp } from "./listening.ts"
import { addCommand, dataOption } from "./option.ts"
import { makeLogger } from "./output.ts"
import { openBase } from "./parts/base.ts"
import { compose } from "./parts/composition.ts"
import { openGuard } from "./parts/guard.ts"
import { httpHostOf, startHttp } from "./parts/http.ts"
import { makePage } from "./parts/page.ts"
import { announcePresence } from "./parts/presence.ts"
import { openResearch } from "./parts/research.ts"
import { waitForSignal } from "./signal.ts"

interface ResearchOptions extends HttpOptions {
  readonly data: string
}

export function addResearch(program: Command): void {
  const research = addCommand(
    program,
    "research",
    "answer researchers over HTTP, and nothing else: as many of these as you like; needs origin and heads.key of the log's keys",
  ).addOption(dataOption())
  addHttpOptions(research, "the page, the API, /healthz, /readyz, /metrics", 8080).action(runResearch)
}

async function runResearch(options: ResearchOptions): Promise<void> {
  const { data: dataFolder, http: port, httpHost } = options
  const log = makeLogger()
  const stopping = waitForSignal()
  await compose(async (parts) => {
    const base = parts.add(
      await openBase({ dataFolder, log }, { command: "research", needed: researchSecrets, connections: 4 }),
    )
    const { guard, operatorToken } = parts.add(openGuard(base))
    const research = parts.add(openResearch(base, guard))
    const host = httpHostOf("127.0.0.1", httpHost)
    const plugins = [research.plugin, makePage(base)]
    const http = parts.add(await startHttp(base, { host, port, plugins, ...callersOf(options) }))
    const { origin } = base.keys
    parts.add(await announcePresence(dataFolder, { kind: "research", host, origin, operatorToken }, http))
    announce(log, origin, [], { http: formatHttp(http) })
    log.info({ signal: await stopping }, "stopping")
    await parts.close()
  })
  log.info("stopped")
}

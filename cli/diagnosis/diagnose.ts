/** What `tidemark doctor` thinks of what it found. Pure: facts in, findings out. */
import type { ServerFacts, StoreFacts } from "../../ingest/database/examination.ts"
import type { Finding } from "./finding.ts"
import { type MachineFacts, diagnoseMachine } from "./machine.ts"
import { diagnoseServer } from "./server.ts"
import { diagnoseStore } from "./store.ts"

export function diagnose(
  machine: MachineFacts,
  server: ServerFacts,
  store: StoreFacts | null,
): readonly Finding[] {
  return [
    ...diagnoseMachine(machine),
    ...diagnoseServer(machine, server, store),
    ...(store === null ? [] : diagnoseStore(store, server)),
  ]
}

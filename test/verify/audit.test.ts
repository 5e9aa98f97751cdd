import { afterAll, beforeAll, expect, test } from "vitest"
import { inTransaction } from "../../ingest/database/pool.ts"
import { type AuditResult, formatAudit } from "../../verify/audit.ts"
import type { Stand } from "../ingest/stand.ts"
import { auditThrough, openWholeLog, readPublishedNote } from "./log.ts"

let stand: Stand
beforeAll(async () => {
  stand = await openWholeLog()
})
afterAll(() => stand.close())

test("a healthy log passes, with its numbers", async () => {
  const published = await readPublishedNote(stand.dataFolder)
  const result = await inTransaction(stand.pool, (client) => auditThrough(client, stand.keys, published))
  expect(result).toMatchObject({
    kind: "passed",
    statements: 18,
    readings: 67,
    blocks: 3,
    devices: 5,
    treeSize: 28,
    unsealed: 2,
    remarks: [],
  } satisfies Partial<AuditResult>)
  expect(formatAudit(result)).toMatch(/^18 statements of 5 devices with 67 readings.*verify passed$/s)
})

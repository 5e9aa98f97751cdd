import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Stand, openStand, send } from "../ingest/stand.ts"
import { encodePack } from "../../chain/senml.ts"
import { repository } from "../cli/program.ts"

const noon = 1_769_860_800
let stand: Stand

interface Dashboard {
  readonly panels: readonly {
    readonly title: string
    readonly targets: readonly { readonly rawSql: string }[]
  }[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] }
}

const dashboard = JSON.parse(
  readFileSync(join(repository, "examples", "grafana", "dashboards", "device.json"), "utf8"),
) as Dashboard
const queries = [
  ...dashboard.templating.list.map(({ name, query }) => [name, query] as const),
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ rawSql }) => [title, rawSql] as const)),
]

/** As Grafana fills in its macros (PostgreSQL data source) and the dashboard's variables. */
function fill(sql: string): string {
  return sql
    .replaceAll("$__timeFrom()", "'2026-01-31T00:00:00Z'")
    .replaceAll("$__timeTo()", "'2026-02-01T00:00:00Z'")
    .replaceAll("$__interval", "5m")
    .replaceAll("$device", "k7")
    .replaceAll("$metric", "heart-rate")
}

beforeAll(async () => {
  stand = await openStand()
  const device = await stand.enrol("k7")
  const place = stand.intake.open("k7")
  const times = [0, 60, 120, 3_600, 3_660].map((after) => noon + after)
  const values = [60, 61, 62, 70, 71]
  await send(
    place,
    device.next({
      payload: encodePack([{ kind: "number", name: "heart-rate", unit: "beat/min", times, values }]),
    }),
  )
  await send(place, device.sign({ seq: 9 }))
  await stand.seal()
})
afterAll(() => stand.close())

test("the dashboard has its queries, and no macro that is not filled in here", () => {
  expect(queries).toHaveLength(7)
  expect(queries.filter(([, sql]) => fill(sql).includes("$"))).toEqual([])
})

test.each(queries)("the query of %s gives rows to the role researcher", async (_title, sql) => {
  const client = await stand.pool.connect()
  try {
    await client.query("begin")
    await client.query("set local role researcher")
    const { rows } = await client.query<Record<string, unknown>>(fill(sql))
    expect(rows.length).toBeGreaterThan(0)
  } finally {
    await client.query("rollback")
    client.release()
  }
})

import { randomBytes } from "node:crypto"
import type { Pool } from "pg"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import {
  compareCatalogue,
  examineSchema,
  readCatalogue,
  readExpectedLines,
} from "../../ingest/database/catalogue.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type TestDatabase, openTestDatabase } from "./postgres.ts"
import { spineTemplate } from "./stand.ts"

let database: TestDatabase
let pool: Pool
const stranger = `tidemark_test_${randomBytes(6).toString("hex")}`

beforeAll(async () => {
  database = await openTestDatabase({ template: spineTemplate })
  pool = openPool(database.url, 2)
  await pool.query(`create role ${stranger}`)
})

afterAll(async () => {
  await pool.query(`drop owned by ${stranger}; drop role ${stranger}`)
  await pool.end()
  await database.close()
})

it("schema.txt is what the migrations make; vitest -u writes it again after a new one", async () => {
  const { lines } = await readCatalogue(pool)
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("../../ingest/database/schema.txt")
})

/** What is found after this, which is then taken back. */
async function examineAfter(sql: string) {
  const client = await pool.connect()
  try {
    await client.query(`begin; ${sql.replaceAll("stranger", stranger)}`)
    const { faults, remarks } = await examineSchema(client)
    return {
      faults: faults.map(({ what, rule }) => `${what} ${rule}`.replaceAll(stranger, "stranger")),
      remarks,
    }
  } finally {
    await client.query("rollback")
    client.release()
  }
}

describe("field S10: what an owner of the database changed in the schema is found by name", () => {
  it("nothing of it in a fresh log", async () => {
    expect(await examineSchema(pool)).toEqual({ faults: [], remarks: [] })
  })

  it.each([
    ["a trigger is gone", "drop trigger only_added on accesses", ["trigger accesses.only_added is missing"]],
    [
      "a trigger is off",
      "alter table entries disable trigger all",
      ["trigger entries.only_added is not the one of this version"],
    ],
    [
      "a trigger changes what is stored",
      "create function lie() returns trigger language plpgsql as 'begin return new; end'; create trigger lie before insert on entries for each row execute function lie()",
      ["trigger entries.lie is not of this version"],
    ],
    [
      "a trigger on one partition",
      "create function lie() returns trigger language plpgsql as 'begin return new; end'; create trigger lie before insert on series_default for each row execute function lie()",
      ["trigger series_default.lie is not of this version"],
    ],
    [
      "a view shows other devices",
      "create or replace view research_refusals as select device_id as device, code, count * 2 as count, last_at from refusals",
      ["view research_refusals is not the one of this version"],
    ],
    [
      "a function answers otherwise",
      "create or replace function leaf_of(id bigint) returns bigint language sql stable parallel safe as 'select 1::bigint'",
      ["function leaf_of(id bigint) is not the one of this version"],
    ],
    [
      "a function of the same name",
      "create function leaf_of(id integer) returns bigint language sql as 'select 1::bigint'",
      ["function leaf_of(id integer) is not of this version"],
    ],
    [
      "a function with its owner's rights",
      "alter function device_time(float8) security definer",
      ["function device_time(seconds double precision) is not the one of this version"],
    ],
    [
      "a constraint is gone",
      "alter table entries drop constraint entries_device_id_seq_key",
      ["constraint entries UNIQUE (device_id, seq) is missing"],
    ],
    [
      "a constraint more",
      "alter table api_keys add constraint all_may check (scope = 'export')",
      ["constraint api_keys CHECK ((scope = 'export'::text)) is not of this version"],
    ],
    [
      "a column is another one",
      "alter table forks alter column other type text using ''",
      ["column forks.other is not the one of this version"],
    ],
    [
      "a column more",
      "alter table devices add column shown boolean default true",
      ["column devices.shown is not of this version"],
    ],
    [
      "an index is gone",
      "drop index entries_entry",
      [expect.stringMatching(/^index entries USING brin .* is missing$/)],
    ],
    [
      "a rule",
      "create rule hide as on insert to accesses do instead nothing",
      ["rule accesses is not of this version"],
    ],
    [
      "a policy",
      "create policy hide on entries using (false); alter table entries enable row level security, force row level security",
      ["table entries is not the one of this version", "policy entries.hide is not of this version"],
    ],
    [
      "a sequence that goes back",
      "alter sequence statement_ids increment -1",
      ["sequence statement_ids is not the one of this version"],
    ],
    [
      "a right to change",
      "grant update (seq) on chain_heads to stranger; grant delete on forks to public",
      [
        "table forks may be changed by PUBLIC (DELETE)",
        "column chain_heads.seq may be changed by stranger (UPDATE)",
      ],
    ],
    [
      "a right to make things",
      "grant create on schema public to stranger",
      ["schema public may be changed by stranger (CREATE)"],
    ],
  ])("%s", async (_, sql, faults) => {
    expect((await examineAfter(sql)).faults).toEqual(faults)
  })

  it("what others keep next to it, what they may read and an operator's index are remarks", async () => {
    const { faults, remarks } = await examineAfter(`
      create table theirs (id bigint primary key); grant all on theirs to stranger; create view v as select 1;
      create index on accesses (route); grant select on api_keys to stranger; select grant_research('stranger')`)
    expect(faults).toEqual([])
    expect(remarks).toEqual([
      expect.stringMatching(
        /^next to the log's own things are 4 of others: .*index accesses.*, table theirs, view v$/,
      ),
      `table api_keys may be read by ${stranger} (SELECT)`,
    ])
  })

  it("what TimescaleDB makes otherwise is no fault", async () => {
    const expected = await readExpectedLines()
    const lines = expected.filter((line) => !line.startsWith("partitioned "))
    expect(lines.length).toBe(expected.length - 2)
    expect(compareCatalogue({ lines, grants: [], hasHypertables: true }, expected).faults).toEqual([])
    expect(compareCatalogue({ lines, grants: [], hasHypertables: false }, expected).faults).toHaveLength(2)
  })
})

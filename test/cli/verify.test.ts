import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Client } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, tidemark } from "./command.ts"

let data: string
let url: string

beforeAll(async () => {
  data = await makeFolder()
  const fleet = ["--devices", "2", "--statements", "3", "--readings", "5"]
  await run(["simulate", ...fleet, "--data", data])
  await run(["seal", "--data", data])
  url = (await holdDatabase(data)).url
})
afterAll(removeFolders)

const verify = (...args: string[]) => tidemark(["verify", "--data", data, ...args])

/** As an owner of the database would: past the triggers that refuse a change. */
async function change(sql: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`begin; set local session_replication_role = replica; ${sql}; commit`)
  } finally {
    await client.end()
  }
}

test("verify passes over what was signed, and says how much that is", async () => {
  const { code, stdout } = await verify()
  expect(code).toBe(0)
  expect(stdout).toContain("6 statements of 2 devices with 30 readings")
  expect(stdout).toMatch(/verify passed\n$/)
  const json = await verify("--json")
  expect(json.code).toBe(0)
  expect(parseLines(json.stdout)).toMatchObject([
    { kind: "passed", statements: 6, readings: 30, blocks: 1, devices: 2, unsealed: 0 },
  ])
})

test("field S10: verify and doctor name a dropped trigger, a replaced view and a right that somebody was given", async () => {
  await change(`drop trigger only_added on access_ends; grant insert on api_keys to public;
    create or replace view research_refusals as select device_id as device, code, 0::bigint as count, last_at from refusals`)
  const { code, stdout } = await verify()
  expect(code).toBe(1)
  expect(stdout).toContain("trigger access_ends.only_added is missing (table access_ends)")
  expect(stdout).toContain("view research_refusals is not the one of this version")
  expect(stdout).toContain("table api_keys may be changed by PUBLIC (INSERT)")
  expect(stdout).toMatch(/verify failed/)
  const doctor = await tidemark(["doctor", "--data", data])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(/DANGER {2}schema +trigger access_ends.only_added is missing/)
  await change(`revoke insert on api_keys from public;
    create trigger only_added before update or delete or truncate on access_ends for each statement execute function refuse_change();
    create or replace view research_refusals as select device_id as device, code, count, last_at from refusals`)
  expect((await verify()).code).toBe(0)
})

test.each([
  [
    "a bit of a statement's payload",
    "update statements set bytes = set_byte(bytes, octet_length(bytes) - 67, get_byte(bytes, octet_length(bytes) - 67) # 1)",
    "e.seq = 2",
    "statements",
  ],
  ["a reading", "update series set numbers[1] = numbers[1] + 1", "e.seq = 3", "series"],
  [
    "an arrival",
    "update entries set received_at = received_at - interval '1 second'",
    "e.seq = 1",
    "entries",
  ],
])(
  "verify names the row of %s that somebody changed, and passes when it is back",
  async (_, update, place, table) => {
    const keep = `create table kept as select * from ${table}`
    const key = table === "series" ? "statement_id" : "id"
    const where = `where ${key} = (select e.id from entries e where device_id like 'sim-%' and ${place} order by id limit 1)`
    await change(`${keep}; ${update} ${where}`)
    const { code, stdout, stderr } = await verify()
    expect(code).toBe(1)
    expect(stdout).toMatch(new RegExp(`sim-\\S+.*\\(table ${table}\\)`))
    expect(stdout).toMatch(/verify failed/)
    expect(stderr).not.toContain("passed")
    const [json] = parseLines((await verify("--json")).stdout)
    expect(json?.["kind"]).toBe("failed")

    await change(`delete from ${table}; insert into ${table} select * from kept; drop table kept`)
    expect((await verify()).code).toBe(0)
  },
)

test("an audit goes on where the last one ended, but not where somebody else says that it did", async () => {
  expect((await verify()).code).toBe(0)
  const again = await verify("--continue", "--json")
  expect(again.code).toBe(0)
  expect(parseLines(again.stdout)).toMatchObject([
    { kind: "passed", statements: 6, blocks: 1, range: { from: 1, behind: { height: 0, statements: 6 } } },
  ])
  const path = join(data, "audited")
  await writeFile(path, (await readFile(path, "utf8")).replace("\n0\n", "\n7\n"))
  const forged = await verify("--continue")
  expect(forged.code).toBe(1)
  expect(forged.stderr).toContain("audited was not written by an audit of this log")
  expect((await verify("--continue", "--blocks", "0")).code).toBe(2)
})

test("verify fails where the published checkpoint is of another log, or missing", async () => {
  const path = join(data, "log", "checkpoint")
  await writeFile(path, "example.org/other\n1\nAAAA\n\n")
  const forged = await verify()
  expect(forged.code).toBe(1)
  expect(forged.stdout).toContain("checkpoint")
  await rm(path)
  const missing = await verify()
  // Nothing was published, as far as this folder knows: a remark, or a fault, but never silence.
  expect(`${missing.stdout}${missing.stderr}`).toContain("checkpoint")
})

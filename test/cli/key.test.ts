import { afterAll, beforeAll, expect, test } from "vitest"
import { nameSome } from "../../cli/access.ts"
import { holdDatabase, makeFolder, parseLines, removeFolders, run, tidemark } from "./command.ts"

let data: string

beforeAll(async () => {
  data = await makeFolder()
  await run(["log", "init", "--origin", "example.org/keys", "--data", data])
  await holdDatabase(data)
})
afterAll(removeFolders)

const key = (...args: string[]) => tidemark(["key", ...args, "--data", data])

test("a key is printed once, listed without what it is, and revoked by its name", async () => {
  const made = await key(
    "create",
    "anna@example.org",
    "--scope",
    "export",
    "--attribute",
    "make=X",
    "--expires",
    "90d",
  )
  expect(made).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^tmk_[0-9a-f]{8}_[\w-]{43}\n$/) as string,
  })
  expect(made.stderr).toContain("for devices with make=X, scope export, until ")
  const listed = await key("list", "--json")
  expect(parseLines(listed.stdout)).toMatchObject([
    { name: "anna@example.org", scope: "export", devices: null, attributes: { make: "X" }, revoked: null },
  ])
  expect(listed.stdout).not.toContain(made.stdout.trim().slice(13))
  expect(await key("revoke", "anna@example.org")).toMatchObject({ code: 0 })
  expect(await key("revoke", "anna@example.org")).toMatchObject({ code: 1, stdout: "" })
  expect(await key("create", "anna@example.org")).toMatchObject({ code: 1, stdout: "" })
  const reads = await tidemark(["access", "list", "--data", data])
  expect(reads).toMatchObject({ code: 0, stdout: "nothing was read yet\n" })
})

test("a read of many devices names a few of them in its cell", () => {
  expect(nameSome([])).toBe("")
  expect(nameSome(["a", "b", "c"])).toBe("a,b,c")
  expect(nameSome(["a", "b", "c", "d"])).toBe("a,b,c and 1 more")
  expect(nameSome(Array.from({ length: 1_003 }, (_, index) => `k${index}`))).toBe("k0,k1,k2 and 1,000 more")
})

test.each([
  [["create", "a b"], 2, "name"],
  [["create", "x", "--scope", "all"], 2, "--scope"],
  [["create", "x", "--devices", "k7,k 8"], 2, "--devices"],
  [["create", "x", "--devices", "k7", "--attribute", "make=X"], 2, "--attribute"],
  [["create", "x", "--devices", "nobody"], 1, "nobody"],
  [["create", "x", "--expires", "soon"], 2, "--expires"],
])("key %j is refused and makes none", async (args, code, named) => {
  const refused = await key(...args)
  expect(refused).toMatchObject({ code, stdout: "" })
  expect(refused.stderr).toContain(named)
})

test("field Q4: a key ends after 90 days where nothing is said, and never only where that is said", async () => {
  const before = Date.now()
  expect((await key("create", "plain")).stderr).toContain("scope read, until ")
  expect((await key("create", "standing", "--expires", "never")).stderr).toContain("without an end")
  const rows = parseLines((await key("list", "--json")).stdout) as { name: string; expires: string | null }[]
  const days = (Date.parse(rows.find(({ name }) => name === "plain")!.expires!) - before) / 86_400_000
  expect(days).toBeCloseTo(90, 1)
  expect(rows.find(({ name }) => name === "standing")!.expires).toBe(null)
})

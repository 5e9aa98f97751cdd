import { afterAll, beforeAll, expect, test } from "vitest"
import { accessKeyOf } from "../../ingest/log-keys.ts"
import { formatHex, parseBase64, parseHex } from "../../chain/bytes.ts"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { parseHash } from "../../chain/hash.ts"
import { encodeCoseKey } from "../../chain/key.ts"
import { checkInclusion, hashLeaf } from "../../chain/merkle.ts"
import { parseNote, parseVkey, verifyNote } from "../../chain/note.ts"
import { checkSignature } from "../../chain/signature.ts"
import { decodeStatement, entryOf, signedBytesOf } from "../../chain/statement.ts"
import { createKey, revokeKey } from "../../research/key.ts"
import { openWholeLog } from "../verify/log.ts"
import { type ResearchStand, openResearchOn } from "./research-stand.ts"

interface OperatorItem {
  readonly seq: number
  readonly entry: string
  readonly kind: string
  readonly action?: string
  readonly device?: string
  readonly height?: number
  readonly leafIndex: number | null
  readonly path: readonly string[] | null
  readonly bytes: string
}

interface OperatorPage {
  readonly checkpoint: string
  readonly items: readonly OperatorItem[]
  readonly complete: boolean
  readonly next: string | null
}

let whole: ResearchStand

beforeAll(async () => {
  whole = await openResearchOn(await openWholeLog())
})
afterAll(() => whole.close())

const ask = (path: string) => whole.get<OperatorPage>(path)

async function readAll(query: string): Promise<OperatorItem[]> {
  const items: OperatorItem[] = []
  for (let cursor = ""; ;) {
    const page = await ask(`/v1/operator?limit=4${query}${cursor}`)
    items.push(...page.items)
    if (page.complete) return items
    cursor = `&cursor=${page.next}`
  }
}

test("the whole chain is there in order, by pages, and each statement is signed, hashed and proven by what the answer holds", async () => {
  const items = await readAll("")
  expect(items.map(({ seq }) => seq)).toEqual(items.map((_, place) => place + 1))
  expect((await readAll("&order=desc")).map(({ seq }) => seq)).toEqual(
    items.map(({ seq }) => seq).toReversed(),
  )
  const { checkpoint, items: page } = await ask("/v1/operator?limit=1000")
  expect(page).toEqual(items)
  const note = parseNote(checkpoint)!
  const { origin, size, root } = parseCheckpoint(note.text)!
  const [policy] = page as [OperatorItem & { logVkey: string; operatorKey: string; receiptKey: string }]
  expect(verifyNote(note, [parseVkey(policy.logVkey)!])).toHaveLength(1)
  expect(policy).toMatchObject({
    kind: "policy",
    leafIndex: 0,
    receiptKey: formatHex(encodeCoseKey(whole.keys.receipt.publicKey)),
  })
  for (const { entry, bytes, path, leafIndex } of page) {
    const decoded = decodeStatement(parseBase64(bytes)!, origin)
    if (decoded.kind !== "statement") throw new Error("no statement")
    const { statement } = decoded
    expect(formatHex(entryOf(statement.bytes))).toBe(entry)
    const { publicKey } = whole.keys.operator
    expect(checkSignature(publicKey, -19, signedBytesOf(statement), statement.signature)).toBe("good")
    const nodes = path!.map((node) => parseHash(parseBase64(node)!))
    const leaf = hashLeaf(parseHash(parseHex(entry)!))
    expect(checkInclusion(leaf, leafIndex!, size, nodes, root)).toBe(true)
  }
})

test("it is asked by kind, and by device from the last registry statement back", async () => {
  const items = await readAll("")
  for (const kind of ["policy", "registry", "block"])
    expect(await readAll(`&kind=${kind}`)).toEqual(items.filter((item) => item.kind === kind))
  const blocks = items.filter(({ kind }) => kind === "block")
  expect(blocks.map(({ height }) => height)).toEqual(blocks.map((_, place) => place))
  const ofK3 = await readAll("&device=k3")
  expect(ofK3).toEqual(items.filter(({ device }) => device === "k3"))
  expect(ofK3.map(({ action }) => action)).toEqual(["enrol", "rotate", "revoke"])
  expect(await readAll("&device=k3&order=desc")).toEqual(ofK3.toReversed())
  expect(await whole.refused("/v1/operator?device=k3&kind=block")).toMatchObject({ parameter: "kind" })
  expect(await whole.refused("/v1/operator?device=nobody")).toMatchObject({ status: 404 })
  expect(await whole.refused("/v1/operator?kind=lost")).toMatchObject({ parameter: "kind" })
})

test("a key for some devices is shown what was said about those, and what concerns all", async () => {
  const items = await readAll("")
  const made = await createKey(whole.pool, accessKeyOf(whole.keys), {
    name: "k1-only",
    scope: "read",
    devices: ["k1"],
    attributes: null,
    expiresMs: null,
  })
  if (made.kind !== "created") throw new Error(made.kind)
  const response = await whole.app.inject({
    url: "/v1/operator?limit=1000",
    headers: { host: "127.0.0.1", authorization: `Bearer ${made.key}` },
  })
  expect(response.json<OperatorPage>().items).toEqual(
    items.filter(({ device }) => device === undefined || device === "k1"),
  )
  await revokeKey(whole.pool, accessKeyOf(whole.keys), "k1-only")
})

test("a registry that was changed in the database behind the operator's chain is no statement of it", async () => {
  // `tidemark verify` finds it: promise 6 tries each column of the registry.
  const client = await whole.pool.connect()
  try {
    await client.query("begin; set local session_replication_role = replica")
    await client.query(
      "update devices set registry = (select entry from entries where device_id = 'k1' and seq = 1) where device_id = 'k3'",
    )
    await client.query("commit")
    await expect(ask("/v1/operator?device=k3")).rejects.toThrow(/answered 500/)
    expect(whole.faults.map(String).join()).toMatch(/run tidemark verify/)
  } finally {
    client.release()
  }
})

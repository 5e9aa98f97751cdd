import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { encodeUtf8, formatBase64, formatHex } from "../../chain/bytes.ts"
import { checkCosignature, parseCosignerVkey } from "../../chain/cosignature.ts"
import { parseNote, verifyNote } from "../../chain/note.ts"
import { checkSplitView, parseSplitView } from "../../chain/split-view.ts"
import { addCheckpointSizeMax, formatAddCheckpoint, originHash } from "../../chain/tlog-witness.ts"
import { type WitnessService, startWitness } from "../../cli/witness.ts"
import { Witness, type WitnessRecord, type WitnessStore } from "../../verify/witness.ts"
import { GrowingLog, joinNote } from "./growing-log.ts"

const folder = await mkdtemp(join(tmpdir(), "tidemark-witness-"))
const witnesses: WitnessService[] = []
afterAll(async () => {
  for (const witness of witnesses) await witness.close()
  await rm(folder, { recursive: true, force: true })
})

async function start(name: string, ...logs: readonly GrowingLog[]): Promise<WitnessService> {
  const witness = await startWitness({
    dataFolder: join(folder, name),
    name: `witness.example/${name}`,
    logs: logs.map(({ noteKey }) => noteKey),
    host: "127.0.0.1",
    port: 0,
  })
  witnesses.push(witness)
  return witness
}

interface Answered {
  readonly status: number
  readonly type: string | null
  readonly body: string
}

async function post({ url }: WitnessService, body: string | Uint8Array): Promise<Answered> {
  const response = await fetch(`${url}/add-checkpoint`, { method: "POST", body })
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    body: await response.text(),
  }
}

const readCheckpoint = ({ url }: WitnessService, { origin }: GrowingLog): Promise<Response> =>
  fetch(`${url}/${formatHex(originHash(origin))}/checkpoint`)

test("a witness cosigns a log as it grows, and shows the last checkpoint with both signatures", async () => {
  const log = new GrowingLog().growTo(5)
  const witness = await start("honest", log)
  expect((await readCheckpoint(witness, log)).status).toBe(404)
  const cosigner = parseCosignerVkey(witness.vkey)!
  const before = Math.floor(Date.now() / 1000)
  for (const [from, to] of [
    [0, 5],
    [5, 5],
    [5, 8],
    [8, 300],
  ] as const) {
    const { status, body } = await post(witness, log.growTo(to).request(from))
    expect([from, to, status]).toEqual([from, to, 200])
    const finding = checkCosignature(joinNote(log.note(), body), cosigner)
    expect(finding.kind === "good" && finding.timestamp >= before).toBe(true)
    const shown = parseNote(await (await readCheckpoint(witness, log)).text())!
    expect(shown.text).toBe(log.note().text)
    expect(verifyNote(shown, [log.noteKey])).toEqual([log.noteKey])
    expect(checkCosignature(shown, cosigner).kind).toBe("good")
  }
})

test("what it refuses is refused as the document says, and changes nothing", async () => {
  const log = new GrowingLog("tidemark.example/refused").growTo(9)
  const stranger = new GrowingLog("tidemark.example/stranger").growTo(9)
  const witness = await start("strict", log)
  expect((await post(witness, log.request(0))).status).toBe(200)
  log.growTo(12)
  const note = log.note()
  const [signature] = note.signatures
  const bent = Uint8Array.from(signature!.signature, (byte, index) => (index === 5 ? byte ^ 1 : byte))
  const proof = log.prove(9)
  const refusals: readonly (readonly [string, string, number, string?])[] = [
    ["an unknown log", stranger.request(0), 404],
    [
      "no signature by the log",
      formatAddCheckpoint({ oldSize: 9, proof, note: { ...note, signatures: stranger.note().signatures } }),
      403,
    ],
    [
      "a signature that does not verify",
      formatAddCheckpoint({
        oldSize: 9,
        proof,
        note: { ...note, signatures: [{ ...signature!, signature: bent }] },
      }),
      403,
    ],
    ["an old size above the new", formatAddCheckpoint({ oldSize: 13, proof, note }), 400],
    ["an old size that is not the last", log.request(5), 409, "9\n"],
    ["one that it never saw", log.request(0), 409, "9\n"],
    ["a shrinking log", log.request(5, 7), 409, "9\n"],
    ["a proof that is missing", formatAddCheckpoint({ oldSize: 9, proof: [], note }), 422],
    ["a proof from elsewhere", formatAddCheckpoint({ oldSize: 9, proof: log.prove(8), note }), 422],
    ["a proof of nothing", formatAddCheckpoint({ oldSize: 9, proof, note: log.note(9) }), 422],
    ["no old size", `old\n\n${log.request(9).split("\n\n")[1]}`, 400],
    ["a size with a zero before it", log.request(9).replace("old 9", "old 09"), 400],
    ["no checkpoint", "old 9\n\n", 400],
    ["nothing", "", 400],
  ]
  for (const [what, request, status, body] of refusals) {
    const answered = await post(witness, request)
    expect([what, answered.status]).toEqual([what, status])
    expect([what, answered.type === "text/x.tlog.size" ? answered.body : undefined]).toEqual([what, body])
  }
  expect((await post(witness, new Uint8Array(addCheckpointSizeMax + 1))).status).toBe(413)
  expect((await post(witness, Uint8Array.of(0xff, 0xfe))).status).toBe(400)
  expect((await fetch(`${witness.url}/add-checkpoint`)).status).toBe(405)
  expect((await fetch(`${witness.url}/../etc/passwd`)).status).toBe(404)
  expect((await readCheckpoint(witness, stranger)).status).toBe(404)
  expect(parseNote(await (await readCheckpoint(witness, log)).text())!.text).toBe(log.note(9).text)
  expect((await post(witness, log.request(9))).status).toBe(200)
})

test("a log that was rolled back and has grown differently is refused, and the proof is kept and shown to anybody", async () => {
  const log = new GrowingLog("tidemark.example/<split>").growTo(9)
  const witness = await start("split", log)
  expect((await post(witness, log.request(0))).status).toBe(200)
  log.forgetTo(6).growTo(9, "second")
  expect((await post(witness, log.request(6))).status).toBe(409)
  expect((await post(witness, log.request(9))).status).toBe(422)
  expect((await post(witness, log.growTo(20, "second").request(9))).status).toBe(422)
  const [seen] = (await (await fetch(`${witness.url}/logs.json`)).json()) as { splits: string[] }[]
  const hash = formatHex(originHash(log.origin))
  expect(seen!.splits).toEqual([`${hash}/splits/9-20`, `${hash}/splits/9-9`])
  const cosigner = parseCosignerVkey(witness.vkey)!
  for (const path of seen!.splits) {
    const file = await (await fetch(`${witness.url}/${path}`)).text()
    const parsed = parseSplitView(encodeUtf8(file))
    if (parsed.kind !== "view") throw new Error("this is no split view")
    const { view } = parsed
    expect(checkSplitView(view, log.noteKey)).toMatchObject({ kind: "split", first: { size: 9 } })
    // What this witness saw first, under its own cosignature.
    expect(checkCosignature(view.first, cosigner).kind).toBe("good")
    expect(view.second.signatures).toHaveLength(1)
  }
  expect((await fetch(`${witness.url}/${hash}/splits/9-21`)).status).toBe(404)
  const page = await (await fetch(witness.url)).text()
  expect(page).toContain("tidemark.example/&lt;split&gt; has signed two histories")
  expect(page).not.toContain("<split>")
})

test("a witness that was stopped goes on where it was, and two processes on one folder never go back", async () => {
  const log = new GrowingLog("tidemark.example/two").growTo(5)
  const first = await start("two", log)
  expect((await post(first, log.request(0))).status).toBe(200)
  const second = await start("two", log)
  expect(second.vkey).toBe(first.vkey)
  expect((await post(second, log.request(0))).body).toBe("5\n")
  // Both have seen 5. The first goes to 8; the second must not go to 7 behind it.
  log.growTo(8)
  expect((await post(first, log.request(5))).status).toBe(200)
  expect(await post(second, log.request(5, 7))).toMatchObject({ status: 409, body: "8\n" })
  expect((await post(second, log.growTo(9).request(8))).status).toBe(200)
  expect((await post(first, log.request(8))).body).toBe("9\n")
})

test("of many requests at once the record is the largest that was cosigned", async () => {
  const log = new GrowingLog("tidemark.example/race").growTo(40)
  const one = await start("race", log)
  const other = await start("race", log)
  expect((await post(one, log.request(0, 3))).status).toBe(200)
  const sizes = Array.from({ length: 24 }, (_, index) => 4 + index)
  const answers = await Promise.all(
    sizes.map((size, index) => post(index % 2 === 0 ? one : other, log.request(3, size))),
  )
  const cosigned = answers.filter(({ status }) => status === 200)
  expect(cosigned).toHaveLength(1)
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 409]))
  const size = sizes[answers.findIndex(({ status }) => status === 200)]!
  expect(parseNote(await (await readCheckpoint(other, log)).text())!.text).toBe(log.note(size).text)
})

/** Records in memory, which can fail. */
class ScriptedStore implements WitnessStore {
  record: WitnessRecord | null = null
  failure: "before" | "after" | null = null

  async read(): Promise<WitnessRecord | null> {
    return this.record
  }

  async grow(_origin: string, record: WitnessRecord): Promise<boolean> {
    if (this.failure === "before") throw new Error("no space left")
    if (record.version <= (this.record?.version ?? 0)) return false
    this.record = record
    if (this.failure === "after") throw new Error("the disk went away")
    return true
  }

  async renew(_origin: string, record: WitnessRecord): Promise<boolean> {
    this.record = record
    return true
  }

  async keepSplit(): Promise<void> {}
}

test("what could not be recorded is not cosigned; what was recorded and not answered is cosigned when it is asked for again", async () => {
  const log = new GrowingLog("tidemark.example/disk").growTo(4)
  const store = new ScriptedStore()
  const witness = new Witness({
    name: "witness.example/disk",
    key: new GrowingLog("key of the witness").key,
    logs: () => [{ origin: log.origin, keys: [log.noteKey] }],
    store,
    nowMs: () => 1_800_000_000_000,
  })
  const ask = (from: number, to: number) => witness.addCheckpoint(encodeUtf8(log.growTo(to).request(from)))
  store.failure = "before"
  await expect(ask(0, 4)).rejects.toThrow("no space left")
  store.failure = null
  expect((await ask(0, 4)).status).toBe(200)
  store.failure = "after"
  await expect(ask(4, 6)).rejects.toThrow("the disk went away")
  store.failure = null
  expect(await ask(4, 6)).toMatchObject({ status: 409, body: "6\n" })
  expect((await ask(6, 6)).status).toBe(200)
})

test("a record that the witness did not cosign stops it, and so does a folder without its key", async () => {
  const log = new GrowingLog("tidemark.example/damaged").growTo(4)
  const witness = await start("damaged", log)
  expect((await post(witness, log.request(0))).status).toBe(200)
  const records = join(folder, "damaged", "logs", formatHex(originHash(log.origin)))
  const [record] = (await readdir(records)).filter((name) => name !== "origin")
  const note = await readFile(join(records, record!), "utf8")
  await writeFile(join(records, record!), note.replace(formatBase64(log.root()), formatBase64(log.root(3))))
  await expect(start("damaged", log)).rejects.toThrow(/record 1 of the log tidemark\.example\/damaged/)
  await rm(join(folder, "damaged", "witness.key"))
  await expect(start("damaged", log)).rejects.toThrow(/holds a witness's records and not its witness\.key/)
  await expect(
    startWitness({ dataFolder: join(folder, "none"), logs: [], host: "127.0.0.1", port: 0 }),
  ).rejects.toThrow(/there is no witness/)
})

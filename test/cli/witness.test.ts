import { readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { afterAll, expect, test } from "vitest"
import { formatVkey } from "../../chain/note.ts"
import { GrowingLog } from "../verify/growing-log.ts"
import { RunningUp, holdDatabase, makeFolder, removeFolders, run, tidemark } from "./command.ts"

afterAll(removeFolders)

test.each([
  [
    "a log's key that is none",
    ["--name", "w", "--log", "log.example/a+00000000+AAAA"],
    2,
    /It must be a vkey/,
  ],
  [
    "a file of logs that is not there",
    ["--name", "w", "--logs", "/nowhere"],
    1,
    /the logs \/nowhere cannot be read: there is no such file/,
  ],
])("a witness with %s does not start, and says why", async (_, args, code, said) => {
  const data = await makeFolder()
  const ended = await tidemark(["witness", "--data", data, "--port", "0", ...args])
  expect(ended).toMatchObject({ code, stdout: "" })
  expect(ended.stderr).toMatch(said)
  await expect(readFile(join(data, "witness.key"))).rejects.toThrow(/ENOENT/)
})

test("an organisation runs a witness, an operator names it in a policy, and blocks say that they are witnessed", async () => {
  const [data, witnessData] = [await makeFolder(), await makeFolder()]
  const made = await run(["log", "init", "--data", data, "--origin", "tidemark.example/cli"])
  await holdDatabase(data)
  const vkey = /^vkey +(\S+)$/m.exec(made)![1]!
  const logs = join(dirname(data), "logs")
  await writeFile(logs, "# logs of others\n")
  const other = `go.sum database tree=${formatVkey(new GrowingLog().noteKey)}`
  const witness = await RunningUp.startCommand(
    witnessData,
    "witness --name witness.example/cli --port 0 --logs".split(" ").concat(logs, "--log", other),
  )
  const ready = await witness.waitFor("ready")
  // It is told of the log while it runs.
  await writeFile(logs, `log ${vkey}\n`)
  process.kill(witness.pid, "SIGHUP")
  await witness.waitFor("logs and certificate read again")
  const listed = (await (await fetch(`${witness.http}/logs.json`)).json()) as { origin: string }[]
  expect(listed.map(({ origin }) => origin)).toEqual(["go.sum database tree", "tidemark.example/cli"])

  const policy = join(dirname(data), "policy")
  await writeFile(policy, `witness w1 ${String(ready["vkey"])} ${witness.http}\nquorum w1\n`)
  const sealed = await run(["seal", "--data", data, "--witnesses", policy])
  expect(sealed).toMatch(
    /^sealed block 0: .*\n.*\ncosigned by w1\nwitnessed: the quorum of the policy has cosigned it\n$/,
  )
  await witness.end("SIGTERM")
  // The environment will do, and a witness that is away holds nothing up.
  const env = { TIDEMARK_WITNESSES: policy }
  await run(["seal", "--data", data], { env })
  expect(await run(["blocks", "--data", data])).toMatch(/root +witnessed \(UTC\)\n *0 .*Z\n$/)
})

test("a policy that is none stops the start before anything is made", async () => {
  const data = await makeFolder()
  const policy = `${data}.policy`
  await writeFile(policy, "witness w1 nothing https://w1.example/\nquorum w1\n")
  const ended = await tidemark(["up", "--data", data, "--witnesses", policy])
  expect(ended).toMatchObject({ code: 1, stdout: "" })
  expect(ended.stderr).toMatch(/the witnesses, line 1: the key of witness w1 is no vkey of a cosignature/)
  await expect(readFile(join(data, "keys", "origin"))).rejects.toThrow(/ENOENT/)
})

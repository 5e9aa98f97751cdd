import { existsSync } from "node:fs"
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest"
import { formatCosignerVkey } from "../../chain/cosignature.ts"
import { algorithmEd25519, makePrivateKey } from "../../chain/key.ts"
import { formatVkey } from "../../chain/note.ts"
import { makeServerCertificate } from "../broker/certificate.ts"
import { processesIn } from "../ingest/embedded-folder.ts"
import { RunningUp, makeFolder, removeFolders, tidemark } from "./command.ts"

let data: string
let files: Record<"cert" | "key" | "otherKey" | "witnesses", string>

beforeAll(async () => {
  data = await makeFolder()
  const file = (name: string): string => join(dirname(data), name)
  files = {
    cert: file("cert.pem"),
    key: file("key.pem"),
    otherKey: file("other.pem"),
    witnesses: file("policy"),
  }
  const [server, other] = [makeServerCertificate(), makeServerCertificate()]
  await writeFile(files.cert, server.pem)
  await writeFile(files.key, server.keyPem)
  await writeFile(files.otherKey, other.keyPem)
  const { publicKey } = makePrivateKey(algorithmEd25519, new Uint8Array(32).fill(7))
  const vkey = formatVkey({ name: "example.org/log", publicKey })
  const witnessVkey = formatCosignerVkey({ name: "witness.example", publicKey })
  await writeFile(files.witnesses, `log ${vkey}\nwitness w1 ${witnessVkey} http://127.0.0.1:1\nquorum w1\n`)
})
afterAll(removeFolders)

const tls = (key: string): string[] => ["--mqtts", "0", "--tls-cert", files.cert, "--tls-key", key]
const reached = (...more: string[]): string[] => [
  "--host",
  "0.0.0.0",
  "--allow-plaintext",
  ...tls(files.key),
  ...more,
]

interface Refused {
  readonly what: string
  readonly args?: () => readonly string[]
  readonly words: string
  readonly env?: Readonly<Record<string, string>>
}

const refused: readonly Refused[] = [
  { what: "a TLS pair that does not fit", args: () => tls(files.otherKey), words: "cannot be used together" },
  {
    what: "two options with one port",
    args: () => ["--mqtt", "18831", "--http", "18831"],
    words: "HTTP port 18831 is taken",
  },
  {
    what: "a host that is no address of this machine",
    args: () => reached("--http-host", "192.0.2.1", "--origin", "example.org/log"),
    words: "this machine does not have the address for HTTP",
  },
  {
    what: "a service that others reach, without a name for the log",
    args: () => reached(),
    words: "give it with --origin",
  },
  {
    what: "HTTP that others reach, without a name for the log",
    args: () => ["--http-host", "0.0.0.0"],
    words: "--http-host 0.0.0.0",
  },
  {
    what: "a database that is not there",
    words: "DATABASE_URL",
    env: { DATABASE_URL: "postgres://x@127.0.0.1:1/x" },
  },
  {
    what: "one secret given twice",
    words: "are the same",
    env: { TIDEMARK_LOG_KEY: "01".repeat(32), TIDEMARK_OPERATOR_KEY: "01".repeat(32) },
  },
  {
    what: "a policy of witnesses that names another log",
    args: () => ["--witnesses", files.witnesses],
    words: "names the log example.org/log, and this start would make a new one",
  },
]

it.each(refused)("field S21: $what is refused before anything is made", async ({ args, words, env = {} }) => {
  const given = args?.() ?? []
  const ended = await tidemark(["up", "--data", data, "--mqtt", "0", "--http", "0", ...given], { env })
  expect(ended).toMatchObject({ code: 1, stdout: "" })
  expect(ended.stderr).toContain(words)
  expect(existsSync(data)).toBe(false)
  expect(processesIn(dirname(data))).toEqual([])
})

it("field S21: a port that is taken is refused before a log or a witness is made", async () => {
  const other = createServer().listen(0, "127.0.0.1")
  await new Promise((resolve) => other.once("listening", resolve))
  onTestFinished(() => void other.close())
  const { port } = other.address() as AddressInfo
  const { code, stderr } = await tidemark(["up", "--data", data, "--mqtt", "0", "--http", String(port)])
  expect(code).toBe(1)
  expect(stderr).toContain(`HTTP port ${port} is taken`)
  const args = ["--name", "witness.example", "--data", data, "--port", String(port)]
  expect((await tidemark(["witness", ...args])).stderr).toContain(`HTTP port ${port} is taken`)
  expect(existsSync(data)).toBe(false)
})

it("field S15: a data folder that others may write, and keys that others may read, are named at start and by doctor", async () => {
  const open = join(dirname(data), "open")
  await mkdir(open)
  await chmod(open, 0o777)
  const up = await RunningUp.start(open, reached("--origin", "example.org/log"))
  expect(up.stderr).toContain(`${open} has mode 777: others on this machine may replace the log's keys`)
  expect(up.stderr).toContain("example.org/log")
  await chmod(join(open, "keys", "log.key"), 0o644)
  const doctor = await tidemark(["doctor", "--data", open])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(/DANGER {2}data folder +mode 777/)
  expect(doctor.stdout).toMatch(/DANGER {2}key files +log\.key 644/)
  await up.end("SIGTERM")
  const again = await RunningUp.start(open, reached())
  expect(again.stderr).toContain("log.key 644: others on this machine may read them")
  await again.end("SIGTERM")
})

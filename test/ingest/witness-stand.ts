/** Witnesses of other organisations, honest and hostile, and the policy that names them. */
import { mkdtemp, rm } from "node:fs/promises"
import { type RequestListener, type ServerResponse, createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { cosignNote, formatCosignerVkey } from "../../chain/cosignature.ts"
import { type PrivateKey, algorithmEd25519 } from "../../chain/key.ts"
import { type NoteKey, formatSignatures } from "../../chain/note.ts"
import { parseAddCheckpoint } from "../../chain/tlog-witness.ts"
import { type WitnessService, startWitness } from "../../cli/witness.ts"
import { type CheckpointSigner } from "../../ingest/log-keys.ts"
import { type WitnessPlan, readWitnessPlan } from "../../ingest/witness-plan.ts"
import { testKey } from "../vectors/keys.ts"

/** A real witness in a folder of its own, on a port that stays its own when it is stopped and started. */
export class WitnessStand {
  readonly name: string
  private readonly log: NoteKey
  private dataFolder = ""
  private service: WitnessService | null = null
  private port = 0
  vkey = ""

  constructor(name: string, { origin, log }: CheckpointSigner) {
    this.name = name
    this.log = { name: origin, publicKey: log.publicKey }
  }

  static async start(name: string, keys: CheckpointSigner): Promise<WitnessStand> {
    const stand = new WitnessStand(name, keys)
    stand.dataFolder = await mkdtemp(join(tmpdir(), "tidemark-witness-"))
    await stand.start()
    return stand
  }

  async start(): Promise<void> {
    this.service = await startWitness({
      dataFolder: this.dataFolder,
      name: `witness.example/${this.name}`,
      logs: [this.log],
      host: "127.0.0.1",
      port: this.port,
    })
    this.port = Number(new URL(this.service.url).port)
    this.vkey = this.service.vkey
  }

  async stop(): Promise<void> {
    await this.service?.close()
    this.service = null
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get line(): string {
    return `witness ${this.name} ${this.vkey} ${this.url}/\n`
  }

  async close(): Promise<void> {
    await this.stop()
    await rm(this.dataFolder, { recursive: true, force: true })
  }
}

/** A witness that answers as its script says. */
export class ScriptedWitness {
  readonly key: PrivateKey = testKey(algorithmEd25519, "hostile witness")
  readonly name = "witness.example/hostile"
  /** Bodies that were posted. */
  readonly asked: string[] = []
  answer: RequestListener = (_request, response) => response.end()
  private readonly server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on("data", (piece: Buffer) => pieces.push(piece))
    request.on("end", () => {
      if (request.method === "POST") this.asked.push(Buffer.concat(pieces).toString())
      this.answer(request, response)
    })
  })

  static async start(): Promise<ScriptedWitness> {
    const witness = new ScriptedWitness()
    await new Promise<void>((resolve) => witness.server.listen(0, "127.0.0.1", resolve))
    return witness
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  get line(): string {
    const cosigner = { name: this.name, publicKey: this.key.publicKey }
    return `witness hostile ${formatCosignerVkey(cosigner)} ${this.url}\n`
  }

  /** The cosignature lines of the checkpoint that was posted last. */
  cosign(timestamp: number, key = this.key, name = this.name): string {
    const parsed = parseAddCheckpoint(encodeUtf8(this.asked.at(-1)!))
    if (parsed.kind === "malformed") throw new Error(parsed.rule)
    return formatSignatures([cosignNote(parsed.request.note.text, name, key, timestamp)])
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}

/** Answers with this status, type and body. */
export function reply(
  response: ServerResponse,
  status: number,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "text/plain", ...headers }).end(body)
}

export function planFor(keys: CheckpointSigner, policy: string): WitnessPlan {
  const read = readWitnessPlan(encodeUtf8(policy), {
    name: keys.origin,
    publicKey: keys.log.publicKey,
  })
  if (read.kind === "fault") throw new Error(read.rule)
  return read.plan
}

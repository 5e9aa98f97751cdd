/** `tidemark witness`: a witness for the logs of other organisations. */
import { type Command, InvalidArgumentError } from "commander"
import { encodeUtf8, formatBase64, formatHex } from "../chain/bytes.ts"
import { formatCosignerVkey } from "../chain/cosignature.ts"
import type { PrivateKey } from "../chain/key.ts"
import { type NoteKey, formatVkey, parseVkey } from "../chain/note.ts"
import { parseTlogPolicy } from "../chain/tlog-policy.ts"
import { originHash } from "../chain/tlog-witness.ts"
import { verifyNative } from "../ingest/native.ts"
import { Witness, WitnessRecordFault, type WitnessedOrigin } from "../verify/witness.ts"
import { explainPort } from "./connecting.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { readPrivateKey } from "./key-file.ts"
import { formatHttp } from "./listening.ts"
import { addCommand, parseHost, parsePort, readNamedFile } from "./option.ts"
import { makeLogger, print } from "./output.ts"
import { compose } from "./parts/composition.ts"
import { checkPorts } from "./port-check.ts"
import { waitForSignal } from "./signal.ts"
import { readTlsFiles } from "./tls-files.ts"
import { hasIdentity, openIdentity } from "./witness-identity.ts"
import type { SeenLog } from "./witness-page.ts"
import { WitnessCounts, startWitnessServer } from "./witness-server.ts"
import { WitnessFolder } from "./witness-store.ts"

interface WitnessCommandOptions {
  readonly data: string
  readonly name?: string
  readonly key?: string
  readonly log: readonly LogKey[]
  readonly logs: readonly string[]
  readonly host: string
  readonly port: number
  readonly tlsCert?: string
  readonly tlsKey?: string
}

export function addWitness(program: Command): void {
  addCommand(
    program,
    "witness",
    "run a witness: it cosigns the checkpoints of other organisations' logs that only ever grow",
  )
    .option("--data <folder>", "its key, and what it has cosigned", "./witness")
    .option("--name <name>", "of a new witness, a host and a path such as witness.example.org/w1")
    .option("--key <file>", "of a new witness: an Ed25519 key, PEM or JWK (default: a new one)")
    .option(
      "--log <vkey>",
      "a log that it cosigns, by its verifier key, or as <origin>=<vkey> where the key has another name than the log; as often as needed",
      addLogKey,
      [],
    )
    .option(
      "--logs <file>",
      "logs that it cosigns: the log lines of a C2SP tlog-policy; as often as needed, read again at SIGHUP",
      (file: string, files: readonly string[]) => [...files, file],
      [],
    )
    .option("--host <host>", "where it listens", parseHost, "127.0.0.1")
    .option("--port <port>", "of HTTP, or of HTTPS with a certificate; 0 takes a free one", parsePort, 8_090)
    .option("--tls-cert <file>", "its certificate with the chain, PEM; read again at SIGHUP")
    .option("--tls-key <file>", "the certificate's key, PEM")
    .action(runWitness)
}

/** A log's key, and the log's name where that is not the key's. */
type LogKey = NoteKey & { readonly origin?: string }

function addLogKey(text: string, before: readonly LogKey[]): readonly LogKey[] {
  const whole = parseVkey(text)
  if (whole !== null) return [...before, whole]
  // 33 bytes in base64 need no padding: what stands before the last sign is the origin.
  const split = text.lastIndexOf("=")
  const key = split < 1 ? null : parseVkey(text.slice(split + 1))
  if (key === null)
    throw new InvalidArgumentError(
      "It must be a vkey of Ed25519, name+hash+key, as tidemark log init prints it.",
    )
  return [...before, { ...key, origin: text.slice(0, split) }]
}

export interface WitnessServiceOptions {
  readonly dataFolder: string
  /** For a new witness; of one that is there it must be the same. */
  readonly name?: string
  /** For a new witness; a new key where it is left out. */
  readonly key?: PrivateKey
  readonly logs: readonly LogKey[]
  readonly host: string
  readonly port: number
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly nowMs?: () => number
  readonly onJudged?: (origin: string | null, verdict: string, size: number | null) => void
  readonly onFault?: (error: Error) => void
}

export interface WitnessService {
  readonly name: string
  /** C2SP signed-note, type 04. */
  readonly vkey: string
  /** `http://127.0.0.1:8090`: submission and monitoring prefix. */
  readonly url: string
  /** From now on; what was recorded of others stays. */
  setLogs(logs: readonly LogKey[]): Promise<void>
  reloadTls(): Promise<void>
  close(): Promise<void>
}

/** Starts a witness, or nothing. */
export async function startWitness(options: WitnessServiceOptions): Promise<WitnessService> {
  const { dataFolder, host, port, tls, nowMs = Date.now, onJudged, onFault = () => {} } = options
  if (tls !== undefined) await readTlsFiles(tls)
  // A new witness's name and key are for good: not for a start that fails.
  if (!(await hasIdentity(dataFolder))) await checkPorts([{ what: "HTTP", flag: "--port", host, port }])
  const { name, key } = await openIdentity(dataFolder, options)
  const store = new WitnessFolder(dataFolder)
  const counts = new WitnessCounts()
  let logs = originsOf(options.logs)
  const makeWitness = (): Witness =>
    new Witness({
      name,
      key,
      logs: () => logs,
      store,
      nowMs,
      verify: verifyNative,
      judged: (origin, kind, checkpoint) => {
        counts.judged(kind, nowMs())
        onJudged?.(origin, kind, checkpoint?.size ?? null)
      },
    })
  const witness = makeWitness()
  const open = async (): Promise<void> => {
    try {
      await witness.open()
    } catch (error) {
      if (error instanceof WitnessRecordFault) throw new CommandFault(error.message, null, { cause: error })
      throw error
    }
  }
  await open()
  const listLogs = async (): Promise<SeenLog[]> => {
    const seen = await witness.list()
    return Promise.all(
      seen.map(async ({ origin, originHash: hash, checkpoint, cosignedAt }) => ({
        origin,
        vkeys: logs.find((log) => log.origin === origin)?.keys.map(formatVkey) ?? [],
        checkpoint: checkpoint === null ? null : `${hash}/checkpoint`,
        size: checkpoint?.size ?? null,
        root: checkpoint === null ? null : formatBase64(checkpoint.root),
        cosignedAt: cosignedAt === null ? null : new Date(cosignedAt * 1000).toISOString(),
        splits: (await store.listSplits(origin)).map((sizes) => `${hash}/splits/${sizes}`),
      })),
    )
  }
  const server = await startWitnessServer({
    witness,
    counts,
    listLogs,
    readSplit: async (hash, sizes) => {
      const log = logs.find(({ origin }) => formatHex(originHash(origin)) === hash)
      return log === undefined ? null : store.readSplit(log.origin, sizes)
    },
    host,
    port,
    ...(tls === undefined ? {} : { tls }),
    nowMs,
    onFault,
  }).catch((error: unknown) => {
    throw explainPort(error, "HTTP", port, "--port")
  })
  return {
    name,
    vkey: formatCosignerVkey(witness.cosigner),
    url: formatHttp({ host, port: server.port }).replace("http:", `${server.scheme}:`),
    setLogs: async (next) => {
      logs = originsOf(next)
      await open()
    },
    reloadTls: () => server.reloadTls(),
    close: () => server.close(),
  }
}

/** A log may have several keys. */
function originsOf(keys: readonly LogKey[]): WitnessedOrigin[] {
  const origins = new Map<string, NoteKey[]>()
  for (const { origin, ...key } of keys) {
    const known = origins.get(origin ?? key.name) ?? []
    if (!known.some((one) => formatVkey(one) === formatVkey(key))) known.push(key)
    origins.set(origin ?? key.name, known)
  }
  return [...origins].map(([origin, its]) => ({ origin, keys: its }))
}

async function runWitness(options: WitnessCommandOptions): Promise<void> {
  const { data: dataFolder, host, port, tlsCert: cert, tlsKey: certKey } = options
  if ((cert === undefined) !== (certKey === undefined))
    throw new UsageFault("--tls-cert and --tls-key belong together")
  const log = makeLogger()
  const stopping = waitForSignal()
  const readLogs = async (): Promise<readonly LogKey[]> => [
    ...options.log,
    ...(await Promise.all(options.logs.map(readLogsFile))).flat(),
  ]
  const logs = await readLogs()
  await compose(async (parts) => {
    const witness = parts.add(
      await startWitness({
        dataFolder,
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.key === undefined ? {} : { key: await readPrivateKey(options.key) }),
        logs,
        host,
        port,
        ...(cert === undefined || certKey === undefined ? {} : { tls: { cert, key: certKey } }),
        onJudged: (origin, verdict, size) => {
          if (verdict === "cosign") log.info({ origin, size }, "cosigned")
          // Of logs that are not ours: anybody could fill the disk with them.
          else if (origin === null) log.debug({ verdict }, "refused")
          // How a log finds out where this witness is.
          else if (verdict === "conflict") log.info({ origin, size }, "asked from another size")
          else log.warn({ origin, size, verdict }, "refused")
        },
        onFault: (error) => log.error({ error: error.message }, "a checkpoint could not be recorded"),
      }),
    )
    const reload = async (): Promise<void> => {
      try {
        const next = await readLogs()
        await witness.setLogs(next)
        await witness.reloadTls()
        log.info({ logs: next.length }, "logs and certificate read again")
      } catch (error) {
        log.error({ error: (error as Error).message }, "not read again; what was read before stays")
      }
    }
    process.on("SIGHUP", () => void reload())
    if (logs.length === 0) log.warn("it cosigns no log yet: name some with --log or --logs")
    log.info({ witness: witness.name, vkey: witness.vkey, http: witness.url, logs: logs.length }, "ready")
    if (process.stdout.isTTY) {
      print(`\n  A witness is up: ${witness.url} says what it has seen. Its key, for the operators of logs:`)
      print(`  ${witness.vkey}\n`)
    }
    log.info({ signal: await stopping }, "stopping")
    await parts.close()
  })
  log.info("stopped")
}

/** The log lines of a tlog-policy; a file of such lines alone will do. */
async function readLogsFile(path: string): Promise<readonly NoteKey[]> {
  const file = await readNamedFile(path, "the logs")
  const parsed = parseTlogPolicy(file)
  // Whoever lists logs has no quorum to write down.
  const second = parsed.kind === "policy" ? parsed : parseTlogPolicy(withQuorum(file))
  if (second.kind === "policy") return second.policy.logs
  throw new CommandFault(`the logs ${path}, line ${second.line}: ${second.rule}`)
}

function withQuorum(file: Uint8Array): Uint8Array {
  const line = encodeUtf8("quorum none\n")
  const both = new Uint8Array(file.length + line.length)
  both.set(file)
  both.set(line, file.length)
  return both
}

/** `tidemark verify FILE`: evidence checked offline, by what its reader trusts. */
import { open } from "node:fs/promises"
import { join } from "node:path"
import { parseHex } from "../chain/bytes.ts"
import { type Hash, parseHash } from "../chain/hash.ts"
import { thumbprintOf } from "../chain/key.ts"
import { parseVkey } from "../chain/note.ts"
import { type TlogPolicy, parseTlogPolicy, policyOfLog } from "../chain/tlog-policy.ts"
import { readLogKeys } from "../ingest/log-keys.ts"
import { sha256Native, verifyNative } from "../ingest/native.ts"
import { type EvidenceResult, type EvidenceTrust, EvidenceVerifier } from "../verify/evidence.ts"
import { findKeys } from "./data-folder.ts"
import { readGivenSecrets } from "./given-secrets.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { gunzip } from "./gzip.ts"
import { readPublicKey } from "./key-file.ts"
import { readNamedFile } from "./option.ts"
import { Progress, count, formatBar } from "./output.ts"

export interface TrustOptions {
  readonly data: string
  readonly policy?: string
  readonly logKey?: string
  readonly deviceKey?: readonly string[]
  readonly since?: number
}

const pieceSize = 65_536

/** Reads the file piece by piece, and stops where it is refused. */
export async function verifyEvidenceFile(path: string, trust: EvidenceTrust): Promise<EvidenceResult> {
  const verifier = new EvidenceVerifier({ trust, sha256: sha256Native, verify: verifyNative })
  const progress = new Progress()
  for await (const piece of gunzip(readPieces(path), path)) {
    verifier.push(piece)
    if (verifier.refused !== null) break
    const { leaves, leavesTotal, statements } = verifier.progress
    progress.update(`${formatBar(leaves, leavesTotal)}  ${count(statements, "statement")}`)
  }
  progress.done()
  return verifier.end()
}

/** A file in pieces. */
export async function* readPieces(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  try {
    for (;;) {
      const piece = new Uint8Array(pieceSize)
      const { bytesRead } = await file.read(piece, 0, pieceSize).catch((error: unknown) => {
        throw unreadable(path, error)
      })
      if (bytesRead === 0) return
      yield piece.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

function unreadable(path: string, error: unknown): CommandFault {
  const { code, message } = error as NodeJS.ErrnoException
  const why = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : message
  return new CommandFault(`the file ${path} cannot be read: ${why}`, null, { cause: error })
}

/** What the reader trusts: a policy file, a log's vkey, or on the operator's own machine the log of the data folder. */
export async function readTrust({ data, deviceKey, since, ...given }: TrustOptions): Promise<EvidenceTrust> {
  const policy = await readPolicy(data, given)
  const deviceKeys = deviceKey === undefined ? undefined : await Promise.all(deviceKey.map(readThumbprint))
  return {
    policy,
    ...(deviceKeys === undefined ? {} : { deviceKeys }),
    ...(since === undefined ? {} : { sinceMs: since }),
  }
}

async function readPolicy(data: string, given: PolicyOptions): Promise<TlogPolicy> {
  const policy = await readGivenPolicy(given)
  if (policy !== null) return policy
  const keys = (await findKeys(data, ["log"]))
    ? await readLogKeys(join(data, "keys"), ["log"], await readGivenSecrets())
    : null
  if (keys !== null) return policyOfLog({ name: keys.origin, publicKey: keys.log.publicKey })
  throw new UsageFault(
    "nothing is trusted yet: name the log's key, as its operator published it, with --log-key, or a C2SP tlog-policy with --policy; a key from the file itself would prove nothing",
  )
}

export interface PolicyOptions {
  readonly policy?: string
  readonly logKey?: string
}

/** What `--policy` or `--log-key` says; null where neither is there. */
export async function readGivenPolicy({ policy: path, logKey }: PolicyOptions): Promise<TlogPolicy | null> {
  if (path !== undefined && logKey !== undefined)
    throw new UsageFault("--policy and --log-key exclude one another")
  if (path !== undefined) {
    const parsed = parseTlogPolicy(await readNamedFile(path, "the policy"))
    if (parsed.kind === "policy") return parsed.policy
    throw new UsageFault(`the policy ${path}, line ${parsed.line}: ${parsed.rule}`)
  }
  if (logKey === undefined) return null
  const key = parseVkey(logKey)
  if (key !== null) return policyOfLog(key)
  throw new UsageFault(`--log-key ${logKey}: it is no vkey, such as example.org/log+1a2b3c4d+AQ…`)
}

/** 64 digits of hex, or a file with the key. */
async function readThumbprint(given: string): Promise<Hash> {
  const bytes = given.length === 64 ? parseHex(given) : null
  return bytes === null ? thumbprintOf(await readPublicKey(given)) : parseHash(bytes)
}

/** Which witnesses a log asks, and whose cosignatures make a block witnessed: the operator's own C2SP tlog-policy. */
import { equalKeys } from "../chain/key.ts"
import type { Cosigner } from "../chain/cosignature.ts"
import type { NoteKey } from "../chain/note.ts"
import { type TlogPolicy, isQuorum, parseTlogPolicy } from "../chain/tlog-policy.ts"

/** A witness that is asked over HTTP. */
export interface AskedWitness {
  /** In the policy. */
  readonly name: string
  readonly cosigner: Cosigner
  /** Submission and monitoring prefix, without a slash at its end. */
  readonly url: string
}

export interface WitnessPlan {
  /** As it was given. */
  readonly file: Uint8Array
  readonly policy: TlogPolicy
  readonly asked: readonly AskedWitness[]
}

export type ReadWitnessPlan =
  | { readonly kind: "plan"; readonly plan: WitnessPlan }
  /** `line` is null where it is the whole. */
  | { readonly kind: "fault"; readonly line: number | null; readonly rule: string }

/** Each is a line of every published checkpoint, and readers take at most 100. */
const askedMax = 64

/**
 * The plan of a policy file; a fault where a block could never be witnessed by it.
 *
 * @param log null: not made yet, and then it may be any
 */
export function readWitnessPlan(file: Uint8Array, log: NoteKey | null): ReadWitnessPlan {
  const parsed = parseTlogPolicy(file)
  if (parsed.kind === "fault") return parsed
  const { policy } = parsed
  const stranger = policy.logs.find(
    ({ name, publicKey }) => name !== log?.name || !equalKeys(publicKey, log.publicKey),
  )
  if (log !== null && stranger !== undefined)
    return fault(
      stranger.name === log.name
        ? `its key of ${log.name} is not this log's`
        : `its log ${stranger.name} is not this one, ${log.name}`,
    )
  if (policy.quorum.kind === "none")
    return fault("the quorum is none: name the witnesses that a block needs, or leave --witnesses out")
  const asked: AskedWitness[] = []
  for (const { name, cosigner, url } of policy.witnesses) {
    if (url === null || cosigner === null) continue
    const prefix = parsePrefix(url)
    if (prefix === null)
      return fault(
        `the address of witness ${name} is no prefix of http or https, without login, query and fragment`,
      )
    asked.push({ name, cosigner, url: prefix })
  }
  if (!isQuorum(policy.quorum, new Set(asked.map(({ name }) => name))))
    return fault("the quorum can never be met by the witnesses that have an address and a key of Ed25519")
  if (asked.length > askedMax) return fault(`at most ${askedMax} witnesses are asked`)
  return { kind: "plan", plan: { file, policy, asked } }
}

function fault(rule: string): ReadWitnessPlan {
  return { kind: "fault", line: null, rule }
}

function parsePrefix(text: string): string | null {
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  const isPlain = url.username === "" && url.password === "" && url.search === "" && url.hash === ""
  return isPlain && (url.protocol === "http:" || url.protocol === "https:")
    ? url.href.replace(/\/+$/, "")
    : null
}

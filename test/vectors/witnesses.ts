/** What a log asks of a witness, and what the witness must make of it (C2SP tlog-witness): one fault each. */
import { formatBase64, parseBase64 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { type Note, formatVkey, signNote } from "../../chain/note.ts"
import { type AddCheckpoint, formatAddCheckpoint } from "../../chain/tlog-witness.ts"
import { GrowingLog } from "../verify/growing-log.ts"
import { strangerKey } from "./keys.ts"

export interface WitnessVector {
  readonly description: string
  readonly rule: string
  /** By which the witness knows the log: vkeys. */
  readonly logKeys: readonly string[]
  /** What the witness cosigned last; null: nothing. */
  readonly last: { readonly size: number; readonly root: string } | null
  /** The body of the request. */
  readonly request: string
  readonly verdict: string
  readonly status: number
  /** Of a 409: what it answers. */
  readonly answer?: string
  /** Where the request proves that the log has signed two histories: the root, over what was cosigned last, of the new one. */
  readonly split?: string
}

const origin = "tidemark.example/vectors"
const log = new GrowingLog(origin).growTo(21)
const other = new GrowingLog(origin).growTo(5).growTo(21, "second")
const logKeys = [formatVkey(log.noteKey)]
const last = (size: number, from = log) => ({ size, root: formatBase64(from.root(size)) })

const honest = (from: number, to: number): AddCheckpoint => ({
  oldSize: from,
  proof: log.prove(from, to),
  note: log.note(to),
})
const text = (request: AddCheckpoint): string => formatAddCheckpoint(request)
/** Signed by the log, whatever it says. */
const signed = (body: string): Note => signNote(body, origin, log.key)
const stranger = (note: Note): Note => ({
  text: note.text,
  signatures: signNote(note.text, "strange.example/log", strangerKey).signatures,
})
const bent = ({ text: body, signatures: [one] }: Note): Note => ({
  text: body,
  signatures: [{ ...one!, signature: one!.signature.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) }],
})
const zeros = sha256(new Uint8Array(1))

interface Case {
  readonly says: string
  readonly rule: string
  readonly known?: WitnessVector["last"]
  readonly keys?: readonly string[]
  readonly request: string
  /** Where two histories are shown: the size over which both have a root. */
  readonly splitAt?: number
}

const tlog = "C2SP tlog-witness, add-checkpoint"
const cosign = (says: string, request: string, known: WitnessVector["last"] = null): Case => ({ says, rule: tlog, request, known })

const valid: Readonly<Record<string, Case>> = {
  "first": cosign("the first checkpoint that a witness sees: from nothing, without a proof", text(honest(0, 9))),
  "first-of-no-leaves": cosign("an empty log, whose root is the hash of nothing", text({ oldSize: 0, proof: [], note: log.note(0) })),
  "from-no-leaves": cosign("a log that was empty", text(honest(0, 3)), last(0)),
  "grown": cosign("the log has grown, and proves that the old tree is the beginning of the new one", text(honest(9, 21)), last(9)),
  "grown-from-a-power-of-two": cosign("the old tree is a complete subtree, and no hash of the proof", text(honest(16, 21)), last(16)),
  "the-same-again": cosign("asked again, for a newer time", text(honest(9, 9)), last(9)),
  "signed-by-others-too": cosign(
    "signatures by keys that the witness does not know are passed over",
    text({ ...honest(9, 12), note: { ...log.note(12), signatures: [...stranger(log.note(12)).signatures, ...log.note(12).signatures] } }),
    last(9),
  ),
  "with-an-extension-line": cosign(
    "an extension line is cosigned, and nothing is said of it",
    text({ ...honest(9, 12), note: signed(`${log.note(12).text}an extension\n`) }),
    last(9),
  ),
}

const grown = text(honest(9, 12))
const edit = (from: string | RegExp, to: string): string => {
  const edited = grown.replace(from, to)
  if (edited === grown) throw new Error(`nothing was changed by ${String(from)}`)
  return edited
}
const [firstProofLine] = log.prove(9, 12).map((hash) => `${formatBase64(hash)}\n`)

const invalid: Readonly<Record<string, Case & { readonly verdict: string }>> = {
  "unknown-log": { says: "a log that the witness was not told of", rule: "404", keys: [], request: text(honest(0, 9)), verdict: "unknown-log" },
  "unsigned": { says: "signed by somebody, and not by the log", rule: "403", known: last(9), request: text({ ...honest(9, 12), note: stranger(log.note(12)) }), verdict: "unsigned" },
  "bad-signature": { says: "a bit of the log's signature is turned", rule: "403", known: last(9), request: text({ ...honest(9, 12), note: bent(log.note(12)) }), verdict: "unsigned" },
  "old-above-new": { says: "the old size is above the checkpoint's", rule: "400", known: last(12), request: text({ oldSize: 12, proof: [], note: log.note(9) }), verdict: "shrinking" },
  "old-is-not-the-last": { says: "the log believes that 5 leaves were cosigned", rule: "409, with the size", known: last(9), request: text(honest(5, 12)), verdict: "conflict" },
  "old-is-zero": { says: "the log asks for the size", rule: "409, with the size", known: last(9), request: text(honest(0, 12)), verdict: "conflict" },
  "old-where-nothing-was-cosigned": { says: "the witness has cosigned nothing", rule: "409, with 0", request: text(honest(5, 12)), verdict: "conflict" },
  "shrunk": { says: "the log has fewer leaves than were cosigned, as after a restored backup", rule: "409, with the size", known: last(12), request: text(honest(5, 9)), verdict: "conflict" },
  "shrunk-and-grown-as-far": { says: "rolled back, and grown to the same size on another way", rule: "409, with the size; two notes by one key show two histories", known: last(12, other), splitAt: 12, request: text(honest(9, 12)), verdict: "conflict" },
  "another-root-at-the-same-size": { says: "another root for the size that was cosigned last", rule: "422; two notes by one key show two histories", known: last(12, other), splitAt: 12, request: text(honest(12, 12)), verdict: "inconsistent" },
  "grown-on-another-way": { says: "a proof from another tree than the one that was cosigned: it shows the root that the log takes for the old one", rule: "422; with what was cosigned it shows two histories", known: last(9, other), splitAt: 9, request: text(honest(9, 12)), verdict: "inconsistent" },
  "grown-on-another-way-from-a-power-of-two": { says: "such a proof does not hold the old root", rule: "422", known: last(16, other), request: text(honest(16, 21)), verdict: "inconsistent" },
  "no-proof": { says: "the proof is missing", rule: "422", known: last(9), request: text({ ...honest(9, 12), proof: [] }), verdict: "inconsistent" },
  "proof-too-long": { says: "a hash too many at the proof's end", rule: "422", known: last(9), request: text({ ...honest(9, 12), proof: [...log.prove(9, 12), zeros] }), verdict: "inconsistent" },
  "proof-too-short": { says: "the proof's last hash is missing", rule: "422", known: last(9), request: text({ ...honest(9, 12), proof: log.prove(9, 12).slice(0, -1) }), verdict: "inconsistent" },
  "proof-of-nothing": { says: "a proof from the empty tree", rule: "422", request: text({ ...honest(0, 12), proof: [zeros] }), verdict: "inconsistent" },
  "proof-of-the-same": { says: "a proof between two equal sizes", rule: "422", known: last(9), request: text({ ...honest(9, 9), proof: [zeros] }), verdict: "inconsistent" },
  "no-leaves-and-a-root": { says: "an empty log with another root than the hash of nothing", rule: "422", request: text({ oldSize: 0, proof: [], note: signed(`${origin}\n0\n${formatBase64(zeros)}\n`) }), verdict: "inconsistent" },
  "proof-of-64-hashes": { says: "64 lines of proof", rule: "400: at most 63", known: last(9), request: edit(firstProofLine!, firstProofLine!.repeat(62)), verdict: "malformed" },
  "old-with-a-zero-before-it": { says: "the old size is written 09", rule: "400", known: last(9), request: edit("old 9", "old 09"), verdict: "malformed" },
  "old-negative": { says: "the old size is -9", rule: "400", known: last(9), request: edit("old 9", "old -9"), verdict: "malformed" },
  "old-beyond-integers": { says: "the old size is 2^53, beyond what is counted here", rule: "400", known: last(9), request: edit("old 9", "old 9007199254740992"), verdict: "malformed" },
  "old-missing": { says: "the line of the old size is missing", rule: "400", known: last(9), request: edit("old 9\n", ""), verdict: "malformed" },
  "old-in-capitals": { says: "Old in place of old", rule: "400", known: last(9), request: edit("old 9", "Old 9"), verdict: "malformed" },
  "no-empty-line": { says: "no empty line before the checkpoint", rule: "400", known: last(9), request: edit(`\n\n${origin}`, `\n${origin}`), verdict: "malformed" },
  "two-empty-lines": { says: "two empty lines before the checkpoint", rule: "400", known: last(9), request: edit(`\n\n${origin}`, `\n\n\n${origin}`), verdict: "malformed" },
  "carriage-returns": { says: "lines that end in CR LF", rule: "400", known: last(9), request: grown.replaceAll("\n", "\r\n"), verdict: "malformed" },
  "hash-of-31-bytes": { says: "a line of the proof is one byte short", rule: "400", known: last(9), request: edit(firstProofLine!, `${formatBase64(parseBase64(firstProofLine!.trim())!.subarray(1))}\n`), verdict: "malformed" },
  "hash-without-padding": { says: "base64 without its padding", rule: "400", known: last(9), request: edit(firstProofLine!, firstProofLine!.replace("=", "")), verdict: "malformed" },
  "no-signature": { says: "a checkpoint's text without signatures is no note", rule: "400", known: last(9), request: edit(/\n\n— .*\n$/s, "\n"), verdict: "malformed" },
  "no-last-line-feed": { says: "the last line is cut", rule: "400", known: last(9), request: grown.slice(0, -1), verdict: "malformed" },
  "size-with-a-plus": { says: "signed by the log, and no checkpoint: the size is +12", rule: "400", known: last(9), request: text({ ...honest(9, 12), note: signed(`${origin}\n+12\n${formatBase64(log.root(12))}\n`) }), verdict: "malformed" },
  "no-root": { says: "signed by the log, and no checkpoint: two lines", rule: "400", known: last(9), request: text({ ...honest(9, 12), note: signed(`${origin}\n12\n`) }), verdict: "malformed" },
}

const statuses: Readonly<Record<string, number>> = {
  cosign: 200,
  malformed: 400,
  shrinking: 400,
  unsigned: 403,
  "unknown-log": 404,
  conflict: 409,
  inconsistent: 422,
}

export function witnessVectors(): Map<string, WitnessVector> {
  const files = new Map<string, WitnessVector>()
  const add = (name: string, { says, rule, known = null, keys = logKeys, request, splitAt }: Case, verdict: string): void => {
    files.set(`witnesses/${verdict === "cosign" ? "valid" : "invalid"}/${name}.json`, {
      description: says,
      rule,
      logKeys: keys,
      last: known,
      request,
      verdict,
      status: statuses[verdict]!,
      ...(verdict === "conflict" ? { answer: `${known?.size ?? 0}\n` } : {}),
      ...(splitAt === undefined ? {} : { split: formatBase64(log.root(splitAt)) }),
    })
  }
  for (const [name, one] of Object.entries(valid)) add(name, one, "cosign")
  for (const [name, one] of Object.entries(invalid)) add(name, one, one.verdict)
  return files
}

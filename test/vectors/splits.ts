/** Split views: files that prove that a log has signed two histories, and files that prove nothing, one fault each. */
import { encodeUtf8, formatBase64 } from "../../chain/bytes.ts"
import { formatCheckpoint } from "../../chain/checkpoint.ts"
import { cosignNote, formatCosignerVkey } from "../../chain/cosignature.ts"
import { type Hash, zeroHash } from "../../chain/hash.ts"
import { algorithmEd25519, type PrivateKey } from "../../chain/key.ts"
import { Frontier, type NodePlace, emptyRoot, hashLeaf, proveConsistency } from "../../chain/merkle.ts"
import { type Note, formatNote, formatVkey, signNote } from "../../chain/note.ts"
import { type SplitView, formatSplitView } from "../../chain/split-view.ts"
import { sha256 } from "../../chain/hash.ts"
import { strangerKey, testKey, vectorOrigin } from "./keys.ts"

export interface SplitVector {
  readonly description: string
  readonly rule: string
  /** What the reader trusts, a C2SP tlog-policy. */
  readonly policy: string
  readonly result: "split" | "refused"
  /** Of a split: what must be said of it; roots in base64. */
  readonly says?: object
  /** Of a refusal. */
  readonly code?: string
  readonly file: string
}

const logKey = testKey(algorithmEd25519, "split log")
const witnessKey = testKey(algorithmEd25519, "split witness")
const cosigner = { name: "witness.example/w1", publicKey: witnessKey.publicKey }
const vkey = formatVkey({ name: vectorOrigin, publicKey: logKey.publicKey })
const policy = `log ${vkey}\nquorum none\n`
const witnessedPolicy = `log ${vkey}\nwitness w1 ${formatCosignerVkey(cosigner)}\nquorum w1\n`

/** A history: the same leaves up to where it parts. */
class History {
  private readonly nodes = new Map<string, Hash>()
  private readonly roots: Hash[] = [emptyRoot()]

  constructor(size: number, partsAt: number, name: string) {
    const tree = new Frontier()
    for (let index = 0; index < size; index++) {
      const entry = sha256(encodeUtf8(index < partsAt ? `leaf ${index}` : `leaf ${index} of ${name}`))
      tree.append(hashLeaf(entry), ({ level, index: place }, hash) => this.nodes.set(`${level}/${place}`, hash))
      this.roots.push(tree.root())
    }
  }

  root(size: number): Hash {
    return this.roots[size]!
  }

  prove(from: number, to: number): Hash[] {
    return proveConsistency(from, to, ({ level, index }: NodePlace) => this.nodes.get(`${level}/${index}`)!)
  }

  note(size: number, { origin = vectorOrigin, key = logKey }: { origin?: string; key?: PrivateKey } = {}): Note {
    return signNote(formatCheckpoint({ origin, size, root: this.root(size) }), origin, key)
  }
}

const [one, other] = [new History(20, 2, "one"), new History(20, 2, "the other")]

/** The first history up to `from`, the second up to `to`. */
function splitOf(from: number, to: number): SplitView {
  return {
    first: one.note(from),
    second: other.note(to),
    rootThere: other.root(from),
    proof: other.prove(from, to),
  }
}

interface Valid {
  readonly description: string
  readonly view: SplitView
  readonly policy?: string
  readonly witnesses?: readonly [readonly string[], readonly string[]]
}

const cosign = (note: Note, at: number): Note => ({
  text: note.text,
  signatures: [...note.signatures, cosignNote(note.text, cosigner.name, witnessKey, at)],
})

const spoil = (note: Note): Note => ({
  text: note.text,
  signatures: note.signatures.map(({ signature, ...rest }) => ({
    ...rest,
    signature: signature.map((byte, at) => (at === signature.length - 1 ? byte ^ 1 : byte)),
  })),
})

function validCases(): Record<string, Valid> {
  const plain = splitOf(5, 11)
  return {
    "one-size": { description: "two roots of one size: no proof is needed", view: splitOf(7, 7) },
    "grown-differently": { description: "the second history is longer", view: plain },
    "first-of-one-power-of-two": {
      description: "the first has 4 leaves, so that its root is a node of a tree that goes on from it",
      view: splitOf(4, 7),
    },
    "shorter-behind-the-split": { description: "both end right behind where they part", view: splitOf(3, 4) },
    cosigned: {
      description: "both are cosigned by a witness: what it shows of the witness is not for this file to say",
      view: { ...plain, first: cosign(plain.first, 1748764802), second: cosign(plain.second, 1748764803) },
      policy: witnessedPolicy,
      witnesses: [["w1"], ["w1"]],
    },
    "without-the-quorum": {
      description: "the log is held to what it signed, whoever cosigned it",
      view: { ...plain, second: cosign(plain.second, 1748764803) },
      policy: witnessedPolicy,
      witnesses: [[], ["w1"]],
    },
    "extension-line": {
      description: "a checkpoint with a line more: this log has none of those, and others may",
      view: { ...plain, first: signNote(`${plain.first.text}more\n`, vectorOrigin, logKey) },
    },
    "bad-cosignature": {
      description: "a cosignature that does not verify takes nothing from what the log signed",
      view: {
        ...plain,
        second: {
          text: plain.second.text,
          signatures: [...plain.second.signatures, ...spoil({ ...plain.second, signatures: [cosignNote(plain.second.text, cosigner.name, witnessKey, 1748764803)] }).signatures],
        },
      },
      policy: witnessedPolicy,
      witnesses: [[], []],
    },
  }
}

interface Invalid {
  readonly description: string
  readonly code: string
  readonly file: string
  readonly policy?: string
}

const format = (description: string, file: string): Invalid => ({ description, code: "format", file })
const refused = (code: string, description: string, changed: SplitView): Invalid => ({
  description,
  code,
  file: formatSplitView(changed),
})

function invalidCases(): Record<string, Invalid> {
  const view = splitOf(5, 11)
  const text = formatSplitView(view)
  const { proof } = view
  const size = new History(11, 2, "the other")
  return {
    "other-log": {
      ...refused("origin", "a log that the reader does not trust", view),
      policy: `log ${formatVkey({ name: "other.example/log", publicKey: logKey.publicKey })}\nquorum none\n`,
    },
    "other-key": {
      ...refused("signature", "the log's name under another key than the reader's", view),
      policy: `log ${formatVkey({ name: vectorOrigin, publicKey: strangerKey.publicKey })}\nquorum none\n`,
    },
    "two-logs": refused("origin", "the second checkpoint is of another log", {
      ...view,
      second: other.note(11, { origin: "other.example/log" }),
    }),
    "first-unsigned": refused("signature", "the first checkpoint is signed by a stranger in the log's name", {
      ...view,
      first: one.note(5, { key: strangerKey }),
    }),
    "second-unsigned": refused("signature", "the second checkpoint is signed by a stranger in the log's name", {
      ...view,
      second: other.note(11, { key: strangerKey }),
    }),
    "first-signature": refused("signature", "one bit of the first signature is another", {
      ...view,
      first: spoil(view.first),
    }),
    "second-signature": refused("signature", "one bit of the second signature is another", {
      ...view,
      second: spoil(view.second),
    }),
    "larger-first": refused("order", "the first checkpoint has more leaves than the second", {
      ...view,
      first: one.note(12),
    }),
    "empty-first": refused("order", "nothing contradicts an empty tree", {
      ...view,
      first: signNote(
        formatCheckpoint({ origin: vectorOrigin, size: 0, root: zeroHash }),
        vectorOrigin,
        logKey,
      ),
    }),
    "one-history": refused("consistent", "the second goes on from the first", {
      first: other.note(5),
      second: other.note(11),
      rootThere: other.root(5),
      proof: other.prove(5, 11),
    }),
    "one-checkpoint": refused("consistent", "the same checkpoint twice", {
      first: size.note(7),
      second: size.note(7),
      rootThere: size.root(7),
      proof: [],
    }),
    "parts-later": refused("consistent", "histories that part behind the first checkpoint", {
      first: one.note(2),
      second: other.note(11),
      rootThere: other.root(2),
      proof: other.prove(2, 11),
    }),
    "root-changed": refused("proof", "the root in the second history is none that it had", {
      ...view,
      rootThere: sha256(view.rootThere),
    }),
    "root-of-the-first": refused("proof", "the root that is named is the first checkpoint's", {
      ...view,
      rootThere: one.root(5),
    }),
    "proof-changed": refused("proof", "a hash of the proof is another", {
      ...view,
      proof: [...proof.slice(0, -1), sha256(proof.at(-1)!)],
    }),
    "proof-short": refused("proof", "the last hash of the proof is missing", { ...view, proof: proof.slice(0, -1) }),
    "proof-long": refused("proof", "a hash follows the proof", { ...view, proof: [...proof, zeroHash] }),
    "proof-from-elsewhere": refused("proof", "a proof from another size", { ...view, proof: other.prove(6, 11) }),
    "proof-of-one-size": refused("proof", "one size has no proof", {
      ...splitOf(7, 7),
      proof: [zeroHash],
    }),
    "root-of-one-size": refused("proof", "at one size the root is that of the second checkpoint", {
      ...splitOf(7, 7),
      rootThere: other.root(6),
    }),
    "first-line": format("the first line is another version's", text.replace("@v1", "@v2")),
    "no-root": format("the line of the root is missing", text.replace(/^root .*\n/m, "")),
    "short-hash": format(
      "a hash of the proof has 31 bytes",
      text.replace(formatBase64(proof[0]!), formatBase64(proof[0]!.subarray(1))),
    ),
    "spare-bits": format("the last digit of a root has bits that mean nothing", text.replace(/^(root .*).=$/m, "$1B=")),
    "64-hashes": format("more hashes than any proof has", formatSplitView({ ...view, proof: Array.from({ length: 64 }, () => zeroHash) })),
    "carriage-returns": format("lines end with a carriage return too", text.replaceAll("\n", "\r\n")),
    "one-note": format("the second note is missing", text.slice(0, text.indexOf(formatNote(view.second)))),
    "three-notes": format("a note follows the second", `${text}\n${formatNote(one.note(12))}`),
    "no-empty-line": format(
      "no empty line stands between the notes",
      text.replace(`\n${formatNote(view.second)}`, formatNote(view.second)),
    ),
    "empty-extension-line": format(
      "an empty line in the text of a checkpoint",
      formatSplitView({
        ...view,
        first: signNote(`${one.note(5).text}\nmore\n`, vectorOrigin, logKey),
      }),
    ),
    "leading-zero": format(
      "a size with a leading zero",
      formatSplitView({
        ...view,
        first: signNote(one.note(5).text.replace("\n5\n", "\n05\n"), vectorOrigin, logKey),
      }),
    ),
    "cut-off": format("the last line feed is missing", text.slice(0, -1)),
  }
}

/** Every vector by its path. */
export function splitVectors(): Map<string, SplitVector> {
  const vectors = new Map<string, SplitVector>()
  for (const [name, { description, view, policy: demanded = policy, witnesses = [[], []] }] of Object.entries(
    validCases(),
  )) {
    const [origin, sizeOfFirst, rootOfFirst] = view.first.text.split("\n")
    const [, sizeOfSecond, rootOfSecond] = view.second.text.split("\n")
    vectors.set(`splits/valid/${name}.json`, {
      description,
      rule: "§13",
      policy: demanded,
      result: "split",
      says: {
        origin,
        log: vkey,
        first: { size: Number(sizeOfFirst), root: rootOfFirst, witnesses: witnesses[0] },
        second: { size: Number(sizeOfSecond), root: rootOfSecond, witnesses: witnesses[1] },
        rootThere: formatBase64(view.rootThere),
      },
      file: formatSplitView(view),
    })
  }
  for (const [name, { description, code, file, policy: demanded = policy }] of Object.entries(invalidCases()))
    vectors.set(`splits/invalid/${name}.json`, {
      description,
      rule: "§13",
      policy: demanded,
      result: "refused",
      code,
      file,
    })
  return vectors
}

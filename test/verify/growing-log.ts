/** A log in memory that can forget and grow differently: checkpoints and proofs as its operator makes them. */
import { encodeUtf8 } from "../../chain/bytes.ts"
import { formatCheckpoint } from "../../chain/checkpoint.ts"
import { type Hash, sha256 } from "../../chain/hash.ts"
import { type PrivateKey, algorithmEd25519 } from "../../chain/key.ts"
import { type NodePlace, hashLeaf, hashNode, proveConsistency, rootOf } from "../../chain/merkle.ts"
import { type Note, type NoteKey, parseNote, signNote } from "../../chain/note.ts"
import { formatAddCheckpoint } from "../../chain/tlog-witness.ts"
import { testKey } from "../vectors/keys.ts"

export class GrowingLog {
  readonly origin: string
  readonly key: PrivateKey
  private entries: Hash[] = []

  constructor(origin = "tidemark.example/grown") {
    this.origin = origin
    this.key = testKey(algorithmEd25519, `log ${origin}`)
  }

  get noteKey(): NoteKey {
    return { name: this.origin, publicKey: this.key.publicKey }
  }

  get size(): number {
    return this.entries.length
  }

  /** @param history another gives other leaves */
  growTo(size: number, history = "first"): this {
    for (let leaf = this.entries.length; leaf < size; leaf++)
      this.entries.push(sha256(encodeUtf8(`${history} ${leaf}`)))
    return this
  }

  /** As a restored backup does. */
  forgetTo(size: number): this {
    this.entries = this.entries.slice(0, size)
    return this
  }

  root(size = this.size): Hash {
    return rootOf(this.entries.slice(0, size))
  }

  note(size = this.size): Note {
    const text = formatCheckpoint({ origin: this.origin, size, root: this.root(size) })
    return signNote(text, this.origin, this.key)
  }

  prove(from: number, to = this.size): Hash[] {
    return from === 0 ? [] : proveConsistency(from, to, (place) => this.node(place))
  }

  /** The body of a request by which an honest log asks. */
  request(from: number, to = this.size): string {
    return formatAddCheckpoint({ oldSize: from, proof: this.prove(from, to), note: this.note(to) })
  }

  private node({ level, index }: NodePlace): Hash {
    if (level === 0) return hashLeaf(this.entries[index]!)
    return hashNode(
      this.node({ level: level - 1, index: 2 * index }),
      this.node({ level: level - 1, index: 2 * index + 1 }),
    )
  }
}

/** What a note says when its signatures are joined to the text that they cover. */
export function joinNote({ text }: Note, signatures: string): Note {
  const note = parseNote(`${text}\n${signatures}`)
  if (note === null) throw new Error("these are no signatures of a note")
  return note
}

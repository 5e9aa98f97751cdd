/** Logs of protocol version 2, in which a chain begins at its genesis (FORMAT §4). One fault each. */
import { formatHex } from "../../chain/bytes.ts"
import { type ChainBinding, firstPrevOf, genesisOf } from "../../chain/genesis.ts"
import { type Hash, zeroHash } from "../../chain/hash.ts"
import { formatVkey } from "../../chain/note.ts"
import type { EvidenceSource } from "../../research/evidence.ts"
import { writeEvidence } from "../verify/simulated-log.ts"
import { type ChainVector, Story } from "./chains.ts"
import { heartRatePack, spokenAt } from "./draft.ts"
import { trustOf } from "./evidence.ts"
import { type Case, type EvidenceVector, type Scene, newLog, playScene, whole } from "./evidence-scene.ts"

/** The vkey of the log in all of them. */
export const vectorVkey = formatVkey(newLog().vkey)
const binding: ChainBinding = { logVkey: vectorVkey, version: 2 }
/** Another log in which the same device speaks under the same key. */
const otherVkey = vectorVkey.replace("vectors", "another")
const elsewhere: ChainBinding = { logVkey: otherVkey, version: 2 }

const otherPayload = heartRatePack(spokenAt, 199)

function chain(name: string, log: ChainBinding = binding): Story {
  return new Story(`chain-v2-${name}`, log)
}

/** What the device of a story says in another log. */
function saidElsewhere(name: string, count: number): Uint8Array[] {
  const other = chain(name, elsewhere)
  const said: Uint8Array[] = []
  for (let seq = 1; seq <= count; seq++) {
    said.push(other.make({ payload: otherPayload }))
    other.keep(said.at(-1)!)
  }
  return said
}

function beginning(name: string, says: string, prev: Hash, description: string): ChainVector {
  return chain(name)
    .enrol()
    .other(says, { seq: 1, prev }, 21)
    .next("the first, at the genesis")
    .next("the second")
    .tell(description, "§4, Genesis")
}

/** Every vector by its path. */
export function boundChainVectors(): Map<string, ChainVector> {
  const [foreignFirst, foreignSecond] = saidElsewhere("statements-of-another-log", 2)
  const [replayed] = saidElsewhere("another-log-behind-the-first", 1)
  const vectors: Record<string, ChainVector> = {
    honest: chain("honest")
      .enrol()
      .next("the first, at the genesis")
      .next("the second")
      .again("a late copy of the first", 1)
      .next("the third")
      .tell("A chain of a log of version 2 begins at its genesis, and goes on as in version 1.", "§4, Genesis"),
    zeros: beginning("zeros", "the first on zeros, as in version 1", zeroHash, "Zeros begin no chain here."),
    "genesis-of-another-device": beginning(
      "genesis-of-another-device",
      "the first at the genesis of device k7",
      genesisOf(vectorVkey, "k7"),
      "The chain id is part of the genesis.",
    ),
    "genesis-of-another-log": beginning(
      "genesis-of-another-log",
      "the first at the genesis in another log",
      genesisOf(otherVkey, "chain-v2-genesis-of-another-log"),
      "The log's vkey is part of the genesis.",
    ),
    "genesis-of-the-origin-alone": beginning(
      "genesis-of-the-origin-alone",
      "the first at a genesis made from the origin in place of the vkey",
      genesisOf(vectorVkey.split("+")[0]!, "chain-v2-genesis-of-the-origin-alone"),
      "It is the whole vkey, since two logs may have one name.",
    ),
    "statements-of-another-log": chain("statements-of-another-log")
      .enrol()
      .arrive("its first statement of another log", foreignFirst!, 21)
      .arrive("its second statement of another log", foreignSecond!, 20)
      .next("its first statement for this log")
      .arrive("the second of the other log again", foreignSecond!, 21)
      .tell("A device speaks in two logs under one key, and somebody plays one into the other.", "§4, Genesis"),
    "another-log-behind-the-first": chain("another-log-behind-the-first")
      .enrol()
      .next("its first statement for this log")
      .arrive("its first statement of another log", replayed!, 21)
      .next("the second")
      .arrive("its first statement of another log again", replayed!, 21)
      .tell("Another statement for a taken place is no fork where it begins in another log.", "§4, Genesis"),
    fork: chain("fork")
      .enrol()
      .next("the first")
      .other("another first on the same genesis", { seq: 1, prev: firstPrevOf(binding, "chain-v2-fork"), payload: otherPayload }, 22)
      .next("the second")
      .tell("Two first statements by one key for this log are a fork, as in version 1."),
    "begins-late": chain("begins-late")
      .enrol()
      .other("seq 2 on the genesis", { seq: 2, prev: firstPrevOf(binding, "chain-v2-begins-late") }, 20)
      .next("the first")
      .other("seq 2 on the genesis again", { seq: 2, prev: firstPrevOf(binding, "chain-v2-begins-late") }, 21)
      .tell("The genesis is where seq 1 links, and nothing else."),
  }
  return new Map(Object.entries(vectors).map(([name, vector]) => [`version-2/chains/${name}.json`, vector]))
}

/** The device's empty head as a lying operator puts it into its maps. */
function emptyAt(entry: Hash): (scene: Scene) => void {
  return ({ log, n1 }) => {
    log.say(n1)
    log.seal({ heads: (heads) => heads.map((head) => (head.device === "k7" ? { ...head, entry } : head)) })
  }
}

/** Lets k7 begin its chain at this place in block 1. */
function beginsAt(prev: Hash): (scene: Scene) => void {
  return ({ log, k7 }) => {
    log.say(k7, { prev })
  }
}

const silent = ({ log, n1 }: Scene): void => void log.say(n1)

function builtFrom({ log }: Scene): Promise<Uint8Array> {
  const source: EvidenceSource = log.source()
  return writeEvidence(log, source, "k7", 1, 2)
}

const refused = (description: string, code: EvidenceVector["code"], names: string, file: Promise<Uint8Array>) =>
  ({ description, code, names, file }) as const

/** Every vector by its path. */
export async function boundEvidenceVectors(): Promise<Map<string, EvidenceVector>> {
  const vectors = new Map<string, EvidenceVector>()
  const valid: Record<string, Case & { readonly says: EvidenceVector["says"] }> = {
    "from-the-genesis": {
      description: "A device's whole chain in a log of version 2.",
      file: playScene({}, 2).log.evidence("k7", 0, 4),
      says: { ...whole, blocks: [0, 4], seqs: [1, 8], statements: 8, readings: 24 },
    },
    "silent-before-the-range": {
      description: "The head before the range is 0 and the genesis.",
      file: builtFrom(playScene({ 0: silent }, 2)),
      says: { ...whole, blocks: [1, 2], seqs: [1, 4], statements: 4, readings: 12 },
    },
    "silent-all-the-time": {
      description: "The device said nothing, and each head is 0 and the genesis.",
      file: playScene({ 0: silent, 1: silent, 2: silent, 3: silent, 4: silent }, 2).log.evidence("k7", 1, 2),
      says: { ...whole, blocks: [1, 2], seqs: null, statements: 0, readings: 0 },
    },
  }
  const first = "statement 1 of device k7"
  const invalid = {
    "begins-at-zeros": refused(
      "Its first statement has zeros, as in version 1.",
      "chain",
      first,
      builtFrom(playScene({ 0: silent, 1: beginsAt(zeroHash) }, 2)),
    ),
    "begins-in-another-log": refused(
      "Its first statement begins in another log.",
      "chain",
      first,
      builtFrom(playScene({ 0: silent, 1: beginsAt(genesisOf(otherVkey, "k7")) }, 2)),
    ),
    "begins-at-the-genesis-in-version-1": refused(
      "The log has version 1, and the first statement the genesis of version 2.",
      "chain",
      first,
      builtFrom(playScene({ 0: silent, 1: beginsAt(genesisOf(vectorVkey, "k7")) }, 1)),
    ),
    "empty-head-of-zeros": refused(
      "A block leaves the device, which said nothing yet, at 0 and zeros.",
      "chain",
      "statement 0 of device k7",
      builtFrom(playScene({ 0: emptyAt(zeroHash), 1: silent, 2: silent }, 2)),
    ),
    "empty-head-of-another-log": refused(
      "A block leaves the device, which said nothing yet, at 0 and its genesis in another log.",
      "chain",
      "statement 0 of device k7",
      builtFrom(playScene({ 0: emptyAt(genesisOf(otherVkey, "k7")), 1: silent, 2: silent }, 2)),
    ),
  }
  for (const [name, one] of Object.entries(valid))
    vectors.set(`version-2/evidence/valid/${name}.json`, {
      ...trustOf(one),
      result: "verified",
      says: one.says!,
      evidence: formatHex(await one.file),
    })
  for (const [name, one] of Object.entries(invalid))
    vectors.set(`version-2/evidence/invalid/${name}.json`, {
      ...trustOf(one),
      result: "refused",
      code: one.code!,
      names: one.names,
      evidence: formatHex(await one.file),
    })
  return vectors
}

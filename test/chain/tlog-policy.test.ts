import { expect, test } from "vitest"
import { encodeUtf8, formatBase64, joinBytes } from "../../chain/bytes.ts"
import { formatCheckpoint } from "../../chain/checkpoint.ts"
import {
  checkCosignature,
  cosignNote,
  formatCosignerVkey,
  parseCosignerVkey,
} from "../../chain/cosignature.ts"
import { sha256 } from "../../chain/hash.ts"
import { type PrivateKey, algorithmEd25519 } from "../../chain/key.ts"
import { type Note, formatVkey, signNote } from "../../chain/note.ts"
import { type TlogPolicy, isQuorum, parseTlogPolicy } from "../../chain/tlog-policy.ts"
import { testKey } from "../vectors/keys.ts"

const key = (name: string): PrivateKey => testKey(algorithmEd25519, name)
const log = formatVkey({ name: "log.example/a", publicKey: key("log").publicKey })
const vkey = (name: string): string =>
  formatCosignerVkey({ name: `witness.example/${name}`, publicKey: key(name).publicKey })

function parse(text: string): TlogPolicy {
  const parsed = parseTlogPolicy(encodeUtf8(text))
  if (parsed.kind === "fault") throw new Error(`line ${parsed.line}: ${parsed.rule}`)
  return parsed.policy
}

const witnesses = ["X1", "X2", "X3", "Y1", "Y2", "Y3"].map((name) => `witness ${name} ${vkey(name)}`)

test("a quorum of groups in groups holds as the document's example says", () => {
  const { quorum, logs } = parse(
    [
      `log ${log} https://log.example/`,
      "# two organizations",
      "",
      ...witnesses,
      "group X-witnesses 2 X1 X2 X3",
      " group\tY-witnesses any Y1 Y2 Y3 ",
      "group X-and-Y all X-witnesses Y-witnesses",
      "quorum X-and-Y",
      "",
    ].join("\n"),
  )
  expect(logs.map(({ name }) => name)).toEqual(["log.example/a"])
  const holds = (...names: readonly string[]): boolean => isQuorum(quorum, new Set(names))
  expect(holds("X1", "X3", "Y2")).toBe(true)
  expect(holds("X1", "X2", "X3")).toBe(false)
  expect(holds("X1", "Y1", "Y2", "Y3")).toBe(false)
  expect(holds("X-witnesses", "Y-witnesses", "X-and-Y")).toBe(false)
})

test("quorum none needs nobody, and a witness itself", () => {
  expect(isQuorum(parse(`log ${log}\nquorum none\n`).quorum, new Set())).toBe(true)
  const one = parse(`${witnesses[0]}\nquorum X1\n`)
  expect([isQuorum(one.quorum, new Set()), isQuorum(one.quorum, new Set(["X1"]))]).toEqual([false, true])
})

test("a witness of ML-DSA-44 is taken for one that never cosigns", () => {
  const mlDsa = `witness M w.example+01234567+${formatBase64(joinBytes(Uint8Array.of(6), new Uint8Array(1312)))}`
  const { witnesses: parsed } = parse(`${mlDsa}\nquorum M\n`)
  expect(parsed).toMatchObject([{ name: "M", cosigner: null, url: null }])
})

test.each([
  ["no quorum", `log ${log}\n`, "there is no quorum line"],
  ["two quorums", "quorum none\nquorum none\n", "there is one quorum line"],
  ["a quorum that is not defined before", `quorum X1\n${witnesses[0]}\n`, "X1 is not defined before"],
  ["a group of itself", "group g any g\nquorum g\n", "g is not defined before"],
  [
    "a member of two groups",
    `${witnesses[0]}\n${witnesses[1]}\ngroup g any X1 X2\ngroup h any X1\nquorum g\n`,
    "X1 is a member of a group already",
  ],
  ["a member twice", `${witnesses[0]}\ngroup g any X1 X1\nquorum g\n`, "X1 is a member of a group already"],
  ["more than all", `${witnesses[0]}\ngroup g 2 X1\nquorum g\n`, "of 1 members 2 can never cosign"],
  [
    "none of them",
    `${witnesses[0]}\ngroup g 0 X1\nquorum g\n`,
    "a group is all, any or a number of its members",
  ],
  ["a group of nobody", "group g any\nquorum g\n", "group <name> all|any|<k> <name>..."],
  ["a name twice", `${witnesses[0]}\nwitness X1 ${vkey("X2")}\nquorum X1\n`, "X1 is defined already"],
  ["a name that means nobody", `witness none ${vkey("X2")}\nquorum none\n`, "none is no name"],
  ["none as a member", `group g any none\nquorum g\n`, "none is not defined before"],
  [
    "a witness's key twice",
    `${witnesses[0]}\nwitness Z ${vkey("X1")}\nquorum Z\n`,
    "the key of witness Z stands twice",
  ],
  ["a log's key twice", `log ${log}\nlog ${log}\nquorum none\n`, "the log's key stands twice"],
  [
    "a log's key for a witness",
    `witness Z ${log}\nquorum Z\n`,
    "the key of witness Z is no vkey of a cosignature (type 04)",
  ],
  ["a witness's key for a log", `log ${vkey("X1")}\nquorum none\n`, "the log's key is no vkey of Ed25519"],
  ["too many words", `log ${log} https://log.example/ more\nquorum none\n`, "log <vkey> [<url>]"],
  [
    "a carriage return",
    `log ${log}\r\nquorum none\n`,
    "of control characters only tab and newline may stand",
  ],
  [
    "another keyword",
    "origin log.example\nquorum none\n",
    "a line is log, witness, group, quorum or a comment",
  ],
  ["a last line that was cut", `${witnesses[0]}\nquorum X1`, "the last line does not end with a newline"],
])("a policy with %s is refused", (_, text, rule) => {
  expect(parseTlogPolicy(encodeUtf8(text))).toMatchObject({ kind: "fault", rule })
})

const body = formatCheckpoint({ origin: "log.example/a", size: 17, root: sha256(encodeUtf8("root")) })
const w1 = { name: "witness.example/w1", publicKey: key("w1").publicKey }

function cosigned(...signatures: Note["signatures"]): Note {
  return {
    text: body,
    signatures: [...signNote(body, "log.example/a", key("log")).signatures, ...signatures],
  }
}

test("a cosignature is good under its key at its time, and bad with another byte", () => {
  const cosignature = cosignNote(body, w1.name, key("w1"), 1_679_315_147)
  expect(checkCosignature(cosigned(cosignature), w1)).toEqual({ kind: "good", timestamp: 1_679_315_147 })
  for (const place of [0, 7, 8, 40, 71]) {
    const changed = cosignature.signature.map((byte, at) => (at === place ? byte ^ 1 : byte))
    expect(checkCosignature(cosigned({ ...cosignature, signature: changed }), w1)).toEqual({ kind: "bad" })
  }
  expect(checkCosignature({ ...cosigned(cosignature), text: `${body}more\n` }, w1)).toEqual({ kind: "bad" })
})

test("a cosignature is none where its name or its key is another, and bad where it is too short", () => {
  const cosignature = cosignNote(body, w1.name, key("w1"), 1)
  expect(checkCosignature(cosigned(), w1)).toEqual({ kind: "none" })
  expect(checkCosignature(cosigned({ ...cosignature, name: "witness.example/w2" }), w1)).toEqual({
    kind: "none",
  })
  expect(checkCosignature(cosigned(cosignNote(body, w1.name, key("w2"), 1)), w1)).toEqual({ kind: "none" })
  const short = { ...cosignature, signature: cosignature.signature.slice(8) }
  expect(checkCosignature(cosigned(short), w1)).toEqual({ kind: "bad" })
})

test("the log's own signature is of another kind, also by the same key and name", () => {
  const note = signNote(body, w1.name, key("w1"))
  expect(checkCosignature(note, w1)).toEqual({ kind: "none" })
})

test("a cosigner's vkey has one text", () => {
  const text = formatCosignerVkey(w1)
  expect(parseCosignerVkey(text)).toEqual(w1)
  for (const other of [text.toUpperCase(), `${text}=`, text.replace("w1+", "w2+"), formatVkey(w1), ""])
    expect(parseCosignerVkey(other)).toBeNull()
})

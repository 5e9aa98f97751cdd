/** C2SP tlog-policy: which logs a reader trusts, and which witnesses must have seen a checkpoint. */
import { encodeUtf8, parseBase64 } from "./bytes.ts"
import { type Cosigner, parseCosignerVkey } from "./cosignature.ts"
import { equalKeys } from "./key.ts"
import { type NoteKey, formatVkey, parseVkey } from "./note.ts"

export interface TlogPolicy {
  readonly logs: readonly NoteKey[]
  readonly witnesses: readonly Witness[]
  readonly quorum: Quorum
}

export interface Witness {
  /** In the policy file, and nowhere else: what people call it. */
  readonly name: string
  /** Its key as the file has it. */
  readonly vkey: string
  /** Null for a kind of key that cannot be checked here (ML-DSA-44): such a witness never counts. */
  readonly cosigner: Cosigner | null
  /** Where it is asked: the submission prefix of C2SP tlog-witness. Octets as the name's; nothing here reads it. */
  readonly url: string | null
}

/** Who must have cosigned. */
export type Quorum =
  | { readonly kind: "none" }
  | { readonly kind: "witness"; readonly name: string }
  | {
      readonly kind: "group"
      readonly name: string
      /** Members that must have cosigned, from 1 to all. */
      readonly threshold: number
      readonly members: readonly Quorum[]
    }

export type ParsedTlogPolicy =
  | { readonly kind: "policy"; readonly policy: TlogPolicy }
  /** `line` is from 1. */
  | { readonly kind: "fault"; readonly line: number; readonly rule: string }

/** Lines of each kind; the document asks for 32 at least. */
const linesMax = 1_000
const sizeMax = 65_536

class LineFault extends Error {}

/** A policy of one log and no witnesses: what a log's vkey alone says. */
export function policyOfLog(log: NoteKey): TlogPolicy {
  return { logs: [log], witnesses: [], quorum: { kind: "none" } }
}

/** Whether the witnesses that cosigned, by their names in the policy, are enough. */
export function isQuorum(quorum: Quorum, cosigned: ReadonlySet<string>): boolean {
  switch (quorum.kind) {
    case "none":
      return true
    case "witness":
      return cosigned.has(quorum.name)
    default:
      return quorum.members.filter((member) => isQuorum(member, cosigned)).length >= quorum.threshold
  }
}

/** Reads a policy file. Names are octets to the document: they are compared, and shown as Latin-1. */
export function parseTlogPolicy(file: Uint8Array): ParsedTlogPolicy {
  if (file.length > sizeMax) return { kind: "fault", line: 1, rule: `a policy has at most ${sizeMax} bytes` }
  let text = ""
  for (const byte of file) text += String.fromCharCode(byte)
  const lines = text.split("\n")
  const parser = new Parser()
  for (const [index, line] of lines.entries()) {
    try {
      if (index >= linesMax) throw new LineFault(`a policy has at most ${linesMax} lines`)
      // What was cut off could be a weaker quorum, and still a policy.
      if (index === lines.length - 1 && line !== "")
        throw new LineFault("the last line does not end with a newline")
      parser.read(line)
    } catch (error) {
      if (!(error instanceof LineFault)) throw error
      return { kind: "fault", line: index + 1, rule: error.message }
    }
  }
  if (parser.quorum === null) return { kind: "fault", line: lines.length, rule: "there is no quorum line" }
  return {
    kind: "policy",
    policy: { logs: parser.logs, witnesses: parser.witnesses, quorum: parser.quorum },
  }
}

/** The file of a policy: its logs, its witnesses, and the groups that its quorum rests on. */
export function formatTlogPolicy({ logs, witnesses, quorum }: TlogPolicy): Uint8Array {
  const lines = logs.map((log) => `log ${octetsOf(formatVkey(log))}`)
  for (const { name, vkey, url } of witnesses)
    lines.push(`witness ${name} ${octetsOf(vkey)}${url === null ? "" : ` ${url}`}`)
  const addGroups = (one: Quorum): void => {
    if (one.kind !== "group") return
    one.members.forEach(addGroups)
    const { name, threshold, members } = one
    lines.push(`group ${name} ${threshold} ${members.map(nameOf).join(" ")}`)
  }
  addGroups(quorum)
  lines.push(`quorum ${nameOf(quorum)}`)
  return Uint8Array.from(lines.map((line) => `${line}\n`).join(""), (octet) => octet.charCodeAt(0))
}

/** What a policy calls a quorum. */
export function nameOf(quorum: Quorum): string {
  return quorum.kind === "none" ? "none" : quorum.name
}

/** A text as the octets of its UTF-8, a character each: as the names of a policy are held. */
function octetsOf(text: string): string {
  return String.fromCharCode(...encodeUtf8(text))
}

class Parser {
  readonly logs: NoteKey[] = []
  readonly witnesses: Witness[] = []
  quorum: Quorum | null = null
  private readonly defined = new Map<string, Quorum>()
  private readonly members = new Set<string>()
  private readonly otherKeys = new Set<string>()

  read(line: string): void {
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line))
      throw new LineFault("of control characters only tab and newline may stand")
    const [keyword, ...items] = line.split(/[ \t]+/).filter((item) => item !== "")
    if (keyword === undefined || keyword.startsWith("#")) return
    switch (keyword) {
      case "log":
        this.readLog(items)
        return
      case "witness":
        this.readWitness(items)
        return
      case "group":
        this.readGroup(items)
        return
      case "quorum":
        this.readQuorum(items)
        return
      default:
        throw new LineFault("a line is log, witness, group, quorum or a comment")
    }
  }

  private readLog([vkey, , ...rest]: readonly string[]): void {
    if (vkey === undefined || rest.length > 0) throw new LineFault("log <vkey> [<url>]")
    const log = parseVkey(decodeUtf8(vkey))
    if (log === null) throw new LineFault("the log's key is no vkey of Ed25519")
    if (this.logs.some((other) => equalKeys(other.publicKey, log.publicKey)))
      throw new LineFault("the log's key stands twice")
    this.logs.push(log)
  }

  private readWitness([name, vkey, url = null, ...rest]: readonly (string | null)[]): void {
    if (name == null || vkey == null || rest.length > 0) throw new LineFault("witness <name> <vkey> [<url>]")
    const decoded = decodeUtf8(vkey)
    const cosigner = parseCosignerVkey(decoded)
    if (cosigner === null && !isMlDsaVkey(decoded))
      throw new LineFault(`the key of witness ${name} is no vkey of a cosignature (type 04)`)
    const key = cosigner?.publicKey ?? null
    const isTwice =
      key === null
        ? this.otherKeys.has(keyOf(decoded))
        : this.witnesses.some((other) => other.cosigner !== null && equalKeys(other.cosigner.publicKey, key))
    if (isTwice) throw new LineFault(`the key of witness ${name} stands twice`)
    if (key === null) this.otherKeys.add(keyOf(decoded))
    this.define(name, { kind: "witness", name })
    this.witnesses.push({ name, vkey: decoded, cosigner, url })
  }

  private readGroup([name, rule, ...names]: readonly string[]): void {
    if (name === undefined || rule === undefined || names.length === 0)
      throw new LineFault("group <name> all|any|<k> <name>...")
    const members = names.map((member) => {
      const found = this.find(member)
      if (found === undefined) throw new LineFault(`${member} is not defined before`)
      // A witness counts in one way only.
      if (this.members.has(member)) throw new LineFault(`${member} is a member of a group already`)
      this.members.add(member)
      return found
    })
    const threshold = rule === "all" ? members.length : rule === "any" ? 1 : Number(rule)
    if (rule !== "all" && rule !== "any" && !/^[1-9][0-9]{0,5}$/.test(rule))
      throw new LineFault("a group is all, any or a number of its members")
    if (threshold > members.length)
      throw new LineFault(`of ${members.length} members ${threshold} can never cosign`)
    this.define(name, { kind: "group", name, threshold, members })
  }

  private readQuorum([name, ...rest]: readonly string[]): void {
    if (name === undefined || rest.length > 0) throw new LineFault("quorum <name>")
    if (this.quorum !== null) throw new LineFault("there is one quorum line")
    const found = name === "none" ? { kind: "none" as const } : this.find(name)
    if (found === undefined) throw new LineFault(`${name} is not defined before`)
    this.quorum = found
  }

  private find(name: string): Quorum | undefined {
    return this.defined.get(name)
  }

  private define(name: string, quorum: Quorum): void {
    if (name === "none") throw new LineFault("none is no name")
    if (this.defined.has(name)) throw new LineFault(`${name} is defined already`)
    this.defined.set(name, quorum)
  }
}

/** C2SP tlog-cosignature: type 06, 1312 bytes of key. */
function isMlDsaVkey(vkey: string): boolean {
  const [name, hash] = vkey.split("+")
  const key = parseBase64(keyOf(vkey))
  return (
    name !== undefined &&
    name !== "" &&
    /^[0-9a-f]{8}$/.test(hash ?? "") &&
    key?.length === 1313 &&
    key[0] === 6
  )
}

/** The third part of a vkey; base64 has `+` of its own. */
function keyOf(vkey: string): string {
  return vkey.split("+").slice(2).join("+")
}

function decodeUtf8(octets: string): string {
  const bytes = Uint8Array.from(octets, (octet) => octet.charCodeAt(0))
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new LineFault("a key's name is UTF-8")
  }
}

/** The check of a split-view file (FORMAT.md, "Two histories"): does it prove that a log which the reader knows has signed two histories? */
import { formatBase64 } from "../chain/bytes.ts"
import { type Checkpoint, parseExtendedCheckpoint } from "../chain/checkpoint.ts"
import { checkCosignature } from "../chain/cosignature.ts"
import { type Note, formatVkey } from "../chain/note.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import { type SplitFinding, checkSplitView, parseSplitView } from "../chain/split-view.ts"
import type { TlogPolicy } from "../chain/tlog-policy.ts"

/** Why a file proves nothing, for programs. */
export type SplitRefusalCode = "format" | Extract<SplitFinding, { kind: "none" }>["code"]

export interface SplitCheckpoint extends Checkpoint {
  /** Witnesses of the reader's policy that cosigned it. It takes no part in the proof. */
  readonly witnesses: readonly string[]
}

export type SplitResult =
  | {
      readonly kind: "split"
      readonly origin: string
      /** Under which both are signed. */
      readonly logVkey: string
      readonly first: SplitCheckpoint
      readonly second: SplitCheckpoint
      /** Of the second history, at the size of the first. */
      readonly rootThere: Uint8Array
    }
  | {
      readonly kind: "refused"
      readonly code: SplitRefusalCode
      readonly what: string
      /** Reads on after it. */
      readonly rule: string
    }

/** Of the reader's policy the logs count, and of its witnesses it is told who cosigned; a quorum is not asked for. */
export function verifySplitView(file: Uint8Array, policy: TlogPolicy, verify?: VerifyEquation): SplitResult {
  const parsed = parseSplitView(file)
  if (parsed.kind === "fault")
    return {
      kind: "refused",
      code: "format",
      what: `line ${parsed.line}`,
      rule: `is not as the format has it: ${parsed.rule}`,
    }
  const { view } = parsed
  const { origin } = parseExtendedCheckpoint(view.first.text)!
  const keys = policy.logs.filter(({ name }) => name === origin)
  const findings = keys.map((key) => ({ key, finding: checkSplitView(view, key, verify) }))
  const found = findings.find(({ finding }) => finding.kind === "split") ?? findings[0]
  if (found === undefined)
    return {
      kind: "refused",
      code: "origin",
      what: "the first checkpoint",
      rule: `is of the log ${origin}, which you do not trust`,
    }
  const { key, finding } = found
  if (finding.kind === "none") {
    const { code, what, rule } = finding
    return { kind: "refused", code, what, rule }
  }
  return {
    kind: "split",
    origin,
    logVkey: formatVkey(key),
    first: { ...finding.first, witnesses: listWitnesses(view.first, policy, verify) },
    second: { ...finding.second, witnesses: listWitnesses(view.second, policy, verify) },
    rootThere: view.rootThere,
  }
}

/** The witnesses of a policy, by their names in it, whose cosignature under a note is good. */
export function listWitnesses(note: Note, { witnesses }: TlogPolicy, verify?: VerifyEquation): string[] {
  return witnesses
    .filter(({ cosigner }) => cosigner !== null && checkCosignature(note, cosigner, verify).kind === "good")
    .map(({ name }) => name)
}

/** In words, the verdict last. */
export function formatSplitResult(result: SplitResult): string {
  if (result.kind === "refused") return `refused: ${result.what} ${result.rule}. This file proves nothing`
  const { origin, logVkey, first, second, rootThere } = result
  const isOneSize = first.size === second.size
  return [
    `one history  ${describeCheckpoint(first)}`,
    `another      ${describeCheckpoint(second)}`,
    ...(isOneSize
      ? []
      : [`             whose first ${leaves(first.size)} have the root ${formatBase64(rootThere)}`]),
    `both are signed by the log, ${logVkey}`,
    "",
    "What this cannot show:",
    "  - which of the two histories is true, and where they part",
    "  - why: an old backup put back, a stolen key and intent look the same",
    "",
    `verified: the log ${origin} has signed two histories${isOneSize ? ` of ${leaves(first.size)}` : ""}. Nothing that it signs can be relied on until that is explained`,
  ].join("\n")
}

function describeCheckpoint({ size, root, witnesses }: SplitCheckpoint): string {
  const seen = witnesses.length === 0 ? "" : `, cosigned by ${witnesses.join(", ")}`
  return `${leaves(size)}, root ${formatBase64(root)}${seen}`
}

function leaves(size: number): string {
  return size === 1 ? "1 leaf" : `${size} leaves`
}

/** For programs. */
export function describeSplitResult(result: SplitResult): Record<string, unknown> {
  if (result.kind === "refused") return { ...result }
  const { first, second, rootThere, logVkey, ...rest } = result
  return {
    ...rest,
    log: logVkey,
    first: nameRoot(first),
    second: nameRoot(second),
    rootThere: formatBase64(rootThere),
  }
}

function nameRoot({ size, root, witnesses }: SplitCheckpoint): Record<string, unknown> {
  return { size, root: formatBase64(root), witnesses }
}

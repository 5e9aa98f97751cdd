/**
 * A witness asked over HTTP. It is of another organisation and may answer anything: an answer is bounded in size and time,
 * redirects are not followed, and what it says is a value.
 */
import { formatHex } from "../chain/bytes.ts"
import { type Note, type NoteSignature, parseNote, parseSignatures } from "../chain/note.ts"
import { contentTlogSize, originHash, parseTlogSize } from "../chain/tlog-witness.ts"

export interface ClientLimits {
  /** For a whole answer. */
  readonly answerMsMax: number
}

export const clientLimitsDefault: ClientLimits = { answerMsMax: 10_000 }

/** What a witness answered to `add-checkpoint`. */
export type WitnessReply =
  | { readonly kind: "cosigned"; readonly signatures: readonly NoteSignature[] }
  /** It cosigned this size last. */
  | { readonly kind: "conflict"; readonly size: number }
  | WitnessTrouble

export type WitnessTrouble =
  /** No answer: no connection, too slow, cut off. */
  | { readonly kind: "unreachable"; readonly rule: string }
  /** A status that is a refusal, with the beginning of what it said. */
  | { readonly kind: "refused"; readonly status: number; readonly rule: string }
  /** Something that the protocol does not allow. */
  | { readonly kind: "nonsense"; readonly rule: string }

/** A cosignature line has 150 bytes, one of ML-DSA-44 3,400: room for both of several keys. */
const replySizeMax = 32_768
const noteSizeMax = 65_536
const saidMax = 120

export async function postCheckpoint(
  prefix: string,
  body: string,
  limits: ClientLimits = clientLimitsDefault,
): Promise<WitnessReply> {
  const answer = await ask(`${prefix}/add-checkpoint`, { method: "POST", body }, replySizeMax, limits)
  if (answer.kind !== "answer") return answer
  const { status, contentType, text } = answer
  if (status === 200) {
    const signatures = parseSignatures(text)
    return signatures === null
      ? { kind: "nonsense", rule: "its answer is no signature lines of a note" }
      : { kind: "cosigned", signatures }
  }
  if (status === 409 && contentType === contentTlogSize) {
    const size = parseTlogSize(text)
    return size === null
      ? { kind: "nonsense", rule: "its answer 409 is no size" }
      : { kind: "conflict", size }
  }
  return refusal(status, text)
}

/** The last checkpoint of a log that a witness shows; null where it shows none. */
export async function readWitnessed(
  prefix: string,
  origin: string,
  limits: ClientLimits = clientLimitsDefault,
): Promise<{ readonly kind: "note"; readonly note: Note } | { readonly kind: "none" } | WitnessTrouble> {
  const url = `${prefix}/${formatHex(originHash(origin))}/checkpoint`
  const answer = await ask(url, { method: "GET" }, noteSizeMax, limits)
  if (answer.kind !== "answer") return answer
  if (answer.status === 404) return { kind: "none" }
  if (answer.status !== 200) return refusal(answer.status, answer.text)
  const note = parseNote(answer.text)
  return note === null ? { kind: "nonsense", rule: "what it shows is no note" } : { kind: "note", note }
}

interface Answer {
  readonly kind: "answer"
  readonly status: number
  readonly contentType: string | null
  readonly text: string
}

async function ask(
  url: string,
  request: { readonly method: string; readonly body?: string },
  sizeMax: number,
  { answerMsMax }: ClientLimits,
): Promise<Answer | WitnessTrouble> {
  const signal = AbortSignal.timeout(answerMsMax)
  try {
    const response = await fetch(url, {
      ...request,
      signal,
      redirect: "manual",
      headers: { accept: "text/plain", "accept-encoding": "identity" },
    })
    const bytes = await readBody(response, sizeMax)
    if (bytes === null) return { kind: "nonsense", rule: `its answer is larger than ${sizeMax} bytes` }
    const text = new TextDecoder().decode(bytes)
    return {
      kind: "answer",
      status: response.status,
      contentType: response.headers.get("content-type")?.split(";")[0]?.trim() ?? null,
      text,
    }
  } catch (error) {
    return { kind: "unreachable", rule: describe(error, signal, answerMsMax) }
  }
}

/** Null where it is larger; then the rest is not read. */
async function readBody(response: Response, sizeMax: number): Promise<Uint8Array | null> {
  if (response.body === null) return new Uint8Array(0)
  const pieces: Uint8Array[] = []
  let size = 0
  // Leaving the loop cancels the stream, and with it the connection.
  for await (const piece of response.body as AsyncIterable<Uint8Array>) {
    size += piece.length
    if (size > sizeMax) return null
    pieces.push(piece)
  }
  return new Uint8Array(Buffer.concat(pieces))
}

function describe(error: unknown, signal: AbortSignal, answerMsMax: number): string {
  if (signal.aborted) return `no whole answer within ${answerMsMax / 1000} s`
  const { cause, message } = error as Error & { readonly cause?: unknown }
  const code = (cause as { readonly code?: unknown } | undefined)?.code
  return typeof code === "string" ? code : message
}

function refusal(status: number, text: string): WitnessTrouble {
  if (status >= 300 && status < 400)
    return { kind: "refused", status, rule: `it answers ${status}; redirects are not followed` }
  // It goes into our log: one line of printable characters.
  const said = text
    .replaceAll(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, saidMax)
  return { kind: "refused", status, rule: `it answers ${status}${said === "" ? "" : `: ${said}`}` }
}

/** Cursors: where a page ended, of which question, and as of which block. They carry no right: each page asks for the key. */
import { formatBase64url, formatHex, parseBase64url, encodeUtf8 } from "../chain/bytes.ts"
import { sha256 } from "../chain/hash.ts"
import { Problem } from "./problem.ts"

export interface Cursor<Place> {
  /** The page after speaks of the same block; null: nothing was sealed. */
  readonly height: number | null
  readonly place: Place
}

/** @param question the request's parameters that must stay the same from page to page */
export function formatCursor<Place>(question: unknown, { height, place }: Cursor<Place>): string {
  return formatBase64url(encodeUtf8(JSON.stringify([digestOf(question), height, place])))
}

/** A problem where the text is no cursor, or one of another question. */
export function parseCursor<Place>(
  text: string,
  question: unknown,
  isPlace: (place: unknown) => place is Place,
): Cursor<Place> {
  const bytes = parseBase64url(text)
  let parsed: unknown
  try {
    parsed = bytes === null ? null : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    parsed = null
  }
  if (!Array.isArray(parsed) || parsed.length !== 3) throw refusal("must be the `next` of the page before")
  const [digest, height, place] = parsed as unknown[]
  if (digest !== digestOf(question)) {
    throw refusal("must be used with the parameters of the page that it came with")
  }
  if (height !== null && !(Number.isSafeInteger(height) && (height as number) >= 0))
    throw refusal("must be the `next` of the page before")
  if (!isPlace(place)) throw refusal("must be the `next` of the page before")
  return { height: height as number | null, place }
}

function refusal(rule: string): Problem {
  return new Problem("cursor-refused", { detail: `cursor: ${rule}`, parameter: "cursor", rule })
}

function digestOf(question: unknown): string {
  return formatHex(sha256(encodeUtf8(JSON.stringify(question)))).slice(0, 16)
}

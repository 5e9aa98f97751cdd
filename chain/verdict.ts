/** The verdicts of FORMAT §4, their codes on the wire, and what each asks of the device. */

/** Stable codes: a receipt carries the number, `/metrics` and people use the word. */
export const verdictCodes = {
  head: 0,
  accepted: 1,
  duplicate: 2,
  "accepted-unread": 3,
  "accepted-ahead": 4,
  malformed: 10,
  "too-large": 11,
  "wrong-device": 12,
  "unknown-key": 13,
  revoked: 14,
  "bad-signature": 15,
  "high-s": 17,
  gap: 20,
  broken: 21,
  fork: 22,
  suspended: 40,
} as const

export type Verdict = keyof typeof verdictCodes
export type VerdictCode = (typeof verdictCodes)[Verdict]

const verdictsByCode = new Map<number, Verdict>(
  Object.entries(verdictCodes).map(([verdict, code]) => [code, verdict as Verdict]),
)

/** Every verdict on a statement: all but `head`, which answers a question. */
export const statementVerdicts = [...verdictsByCode.values()].filter((verdict) => verdict !== "head")

/** The word of a code, or null for a number that is none. */
export function parseVerdictCode(code: number): Verdict | null {
  return verdictsByCode.get(code) ?? null
}

/** Whether the statement is in the database with this verdict: the device may forget it, and gets its PUBACK. */
export function isStored(verdict: Verdict): boolean {
  return verdictCodes[verdict] >= 1 && verdictCodes[verdict] <= 4
}

/** Whether it changes nothing but counters, gets no PUBACK and closes the connection. */
export function isRefusal(verdict: Verdict): boolean {
  return verdictCodes[verdict] >= 10
}

/** For a person who writes a device: what it should do with this answer. */
export const verdictAdvice: Readonly<Record<Verdict, string>> = {
  head: "go on from this head",
  accepted: "forget the statement",
  duplicate: "forget it; if its seq is the head's, go on from the receipt's head entry",
  "accepted-unread": "forget it; mend the encoder: the payload could not be read",
  "accepted-ahead": "forget it; mend the clock: it is over 300 s ahead",
  malformed: "make seq head + 1 anew: this is not a statement",
  "too-large": "make it anew, at most 65,535 bytes",
  "wrong-device": "check the configuration: iss is not the device of the topic",
  "unknown-key": "wait to be enrolled: this key does not stand for this device at this seq",
  revoked: "stop: the key or the device was revoked",
  "bad-signature": "make it anew: the signature does not verify",
  "high-s": "replace s by n - s, store, send again",
  gap: "send from head + 1",
  broken: "take the head and make it anew: prev is not the entry before",
  fork: "stop and ask for a person: this key has signed another statement for this place",
  suspended: "wait: an operator has suspended the device",
}

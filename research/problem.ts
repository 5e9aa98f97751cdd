/** What a request can be refused with: problem details (RFC 9457) that name the parameter and the rule. */

import { readInstant } from "./instant.ts"

/** Kinds, with the HTTP status and the title of each. The last part of a problem's `type` is its kind. */
const kinds = {
  "unknown-parameter": [400, "there is no such parameter"],
  "invalid-parameter": [400, "a parameter breaks a rule"],
  "unknown-metric": [400, "there is no such metric"],
  "cursor-refused": [400, "the cursor does not fit this request"],
  "key-needed": [401, "an API key is needed"],
  "key-refused": [401, "the API key is not accepted"],
  "too-many-guesses": [429, "too many wrong keys"],
  "cross-site": [403, "a page of another site may not read here"],
  "out-of-scope": [403, "the API key does not reach this"],
  "host-refused": [403, "this name is not this service's"],
  "unknown-device": [404, "there is no such device"],
  "unknown-block": [404, "there is no such block"],
  "unknown-statement": [404, "there is no such statement"],
  "not-published": [404, "the published log does not have this"],
  "not-sealed": [404, "the statement is not sealed yet"],
  "no-such-route": [404, "there is nothing at this path"],
  "read-only": [405, "this API only reads"],
  "too-large": [413, "the request is too large"],
  "type-refused": [415, "this form of a request is not read here"],
  "not-acceptable": [406, "this format is not made here"],
  "too-much-overlap": [422, "these readings cannot be put in order of time"],
  "request-refused": [400, "the request is not understood"],
  "malformed-request": [400, "this is no HTTP request"],
  "request-timeout": [408, "the request did not come in time"],
  "header-too-large": [431, "the request's line and headers are too long"],
  busy: [503, "too much at a time"],
  "took-too-long": [503, "the database took too long"],
  "database-away": [503, "the database does not answer"],
  failed: [500, "the service failed"],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemKind = keyof typeof kinds

/** What is finer than a problem's kind, and what has no answer at all. */
const ownReasons = [
  "key-malformed",
  "key-unknown",
  "key-revoked",
  "key-forged",
  "key-expired",
  "slow-reader", // takes fewer bytes than the least rate
  "long-reader", // was waited for longer than an answer may take
  "too-many-sockets",
  "too-many-sockets-of-address",
] as const

export type HttpRefusal = Exclude<ProblemKind, "key-refused"> | (typeof ownReasons)[number]

export const httpRefusals: readonly HttpRefusal[] = [
  ...(Object.keys(kinds) as ProblemKind[]).filter((kind) => kind !== "key-refused"),
  ...ownReasons,
]

export interface ProblemFacts {
  /** For this occurrence, in a sentence; never a reading's value, a key or a token. */
  readonly detail: string
  readonly parameter?: string
  /** What the parameter must be. */
  readonly rule?: string
  readonly retryAfterSeconds?: number
  /** Under what it is counted, if not under its kind. */
  readonly reason?: HttpRefusal
  /** Of the key that was named. */
  readonly keyId?: string
}

export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly parameter?: string
  readonly rule?: string
}

/** Thrown by a route, answered by the server. */
export class Problem extends Error {
  override readonly name = "Problem"
  readonly kind: ProblemKind
  readonly facts: ProblemFacts

  constructor(kind: ProblemKind, facts: ProblemFacts) {
    super(facts.detail)
    this.kind = kind
    this.facts = facts
  }

  get status(): number {
    return kinds[this.kind][0]
  }

  get reason(): HttpRefusal {
    const { kind, facts } = this
    return facts.reason ?? (kind === "key-refused" ? "key-unknown" : kind)
  }

  get body(): ProblemBody {
    const [status, title] = kinds[this.kind]
    const { detail, parameter, rule } = this.facts
    return {
      type: `urn:tidemark:problem:${this.kind}`,
      title,
      status,
      detail,
      ...(parameter === undefined ? {} : { parameter }),
      ...(rule === undefined ? {} : { rule }),
    }
  }
}

export function invalidParameter(parameter: string, rule: string): Problem {
  return new Problem("invalid-parameter", { detail: `${parameter}: ${rule}`, parameter, rule })
}

/** Unix seconds of a parameter that is an instant; undefined stays null. */
export function instantOf(parameter: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const read = readInstant(text)
  if ("rule" in read) throw invalidParameter(parameter, read.rule)
  return read.seconds
}

interface ValidationFault {
  readonly keyword: string
  readonly instancePath: string
  readonly message?: string
  readonly params: Readonly<Record<string, unknown>>
}

/** What the schema's validation found first, as a problem. */
export function problemOfValidation(faults: readonly ValidationFault[], context: string): Problem {
  const fault = faults[0]
  if (fault === undefined)
    return new Problem("request-refused", { detail: `the ${context} is not understood` })
  if (fault.keyword === "additionalProperties") {
    const parameter = String(fault.params["additionalProperty"])
    return new Problem("unknown-parameter", {
      detail: `${parameter} is no parameter of this route`,
      parameter,
      rule: "only the parameters that /openapi.json lists are taken, so that a misspelled one is not ignored",
    })
  }
  const parameter =
    fault.keyword === "required"
      ? String(fault.params["missingProperty"])
      : (fault.instancePath.split("/")[1] ?? context)
  const rule =
    fault.keyword === "enum"
      ? `must be one of ${(fault.params["allowedValues"] as unknown[]).join(", ")}`
      : fault.keyword === "required"
        ? "must be given"
        : (fault.message ?? "is not understood")
  return invalidParameter(parameter, rule)
}

/** SQLSTATEs and errors of the connection that are the world's doing; null for anything else. */
export function problemOfDatabase(error: unknown): Problem | null {
  const { code } = error as { code?: unknown }
  if (typeof code !== "string") return null
  // 57014 query_canceled: by statement_timeout. A client that went away gets no answer anyway.
  if (code === "57014") {
    return new Problem("took-too-long", {
      detail: "the database did not finish in the time that a query has; ask for less at once",
      retryAfterSeconds: 30,
    })
  }
  // Classes 08 (connection), 53 (resources), 57P (shut down); and what the socket says.
  if (/^(?:08|53|57P)/.test(code) || /^E(?:CONN|PIPE|TIMEDOUT|HOST|NOTFOUND)/.test(code))
    return new Problem("database-away", { detail: "the database does not answer", retryAfterSeconds: 5 })
  return null
}

/** JSON Schemas that routes share. */
import { devicePattern } from "../chain/statement.ts"

export const deviceSchema = {
  type: "string",
  pattern: devicePattern.source,
  description: "a device's id",
} as const

export const devicesSchema = {
  type: "array",
  items: deviceSchema,
  maxItems: 1000,
  uniqueItems: true,
  description: "may be given again, once per device; all that the reader may see where it is left out",
} as const

export const metricsSchema = {
  type: "array",
  items: { type: "string", minLength: 1, maxLength: 255 },
  maxItems: 100,
  uniqueItems: true,
  description: "may be given again, once per metric such as heart-rate; all where it is left out",
} as const

/** Without a pattern: `instantOf` says in words what a text is that is no instant. */
export function instantSchema(description: string) {
  return { type: "string", maxLength: 64, description } as const
}

export function heightSchema(description: string) {
  return { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description } as const
}

export const cursorSchema = {
  type: "string",
  maxLength: 2_000,
  pattern: "^[A-Za-z0-9_-]+$",
  description: "`next` of the page before; with the same other parameters",
} as const

export function limitSchema(limitDefault: number, limitMax: number) {
  return {
    type: "integer",
    minimum: 1,
    maximum: limitMax,
    default: limitDefault,
    description: "rows of a page",
  } as const
}

const hexSchema = { type: "string", pattern: "^[0-9a-f]{64}$" } as const
export const entrySchema = {
  ...hexSchema,
  description: "SHA-256 of the statement, the same in the log",
} as const

export const asOfSchema = {
  type: ["object", "null"],
  description:
    "the last sealed block that this answer knows, and the checkpoint over it; null: nothing is sealed yet",
  required: ["height", "treeSize", "root", "sealedTo"],
  properties: {
    height: { type: "integer" },
    treeSize: { type: "integer" },
    root: { type: "string", description: "base64, as in the checkpoint" },
    sealedTo: { type: "string", format: "date-time" },
  },
} as const

export const problemSchema = {
  $id: "Problem",
  type: "object",
  description: "RFC 9457 problem details",
  required: ["type", "title", "status", "detail"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    parameter: { type: "string", description: "the parameter that is at fault" },
    rule: { type: "string", description: "what it must be" },
  },
} as const

/** A page of rows, which says whether it is the last. */
export function pageSchema(items: object) {
  return {
    type: "object",
    required: ["asOf", "items", "complete", "next"],
    properties: {
      asOf: asOfSchema,
      items: { type: "array", items },
      complete: { type: "boolean", description: "false: there is more, and `next` says where" },
      next: { type: ["string", "null"], description: "the cursor of the page that follows" },
    },
  } as const
}

/** A route's answers: 200, and problems. */
export function responses(ok: object) {
  return {
    200: ok,
    "4xx": {
      description: "a problem",
      content: { "application/problem+json": { schema: { $ref: "Problem#" } } },
    },
    "5xx": {
      description: "a problem",
      content: { "application/problem+json": { schema: { $ref: "Problem#" } } },
    },
  }
}

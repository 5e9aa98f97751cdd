/** Readings that a device cannot deliver are said to be lost, never left out silently (FORMAT §4). */
import { encodeLost } from "../chain/lost.ts"
import { readPayload } from "../chain/payload.ts"
import { countPackReadings } from "../chain/senml.ts"
import { timesOf } from "../chain/series.ts"
import { contentLost } from "../chain/statement.ts"
import type { Overflow } from "./device-state.ts"
import type { Draft } from "./outbox.ts"

/** What had no room so far, with one more draft. */
export function overflowWith(overflow: Overflow | null, draft: Draft, readings: number | null): Overflow {
  if (overflow === null) return { count: readings, from: draft.iat, to: draft.iat }
  return {
    count: overflow.count === null || readings === null ? null : overflow.count + readings,
    from: Math.min(overflow.from, draft.iat),
    to: Math.max(overflow.to, draft.iat),
  }
}

export function draftOverflow({ count, from, to }: Overflow, sub: string): Draft {
  return {
    content: contentLost,
    payload: encodeLost({ reason: "buffer-overflow", count, from, to }),
    iat: to,
    sub,
  }
}

/** What stands in the place of a draft that the service will not take, or null where this was one itself. */
export function draftRefused(draft: Draft): Draft | null {
  if (draft.content === contentLost) return null
  const { iat, sub } = draft
  const payload = readPayload(draft)
  if (payload.kind !== "readings") {
    return {
      content: contentLost,
      payload: encodeLost({ reason: "refused", count: null, from: iat, to: iat }),
      iat,
      sub,
    }
  }
  const spans = payload.series.map(timesOf)
  const from = Math.floor(Math.min(...spans.map(({ startsAt }) => startsAt)))
  const to = Math.ceil(Math.max(...spans.map(({ endsAt }) => endsAt)))
  const count = countPackReadings(payload.series)
  return { content: contentLost, payload: encodeLost({ reason: "refused", count, from, to }), iat, sub }
}

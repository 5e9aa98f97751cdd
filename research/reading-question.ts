/** What `/v1/readings` is asked: the parameters, their rules, and the filter that they make. */
import type { AsOf } from "./as-of.ts"
import { instantOf, invalidParameter } from "./problem.ts"
import type { Scope } from "./reader.ts"
import { devicesSchema, heightSchema, instantSchema, metricsSchema } from "./schema.ts"
import type { BlockIndex } from "./snapshot.ts"
import type { SeriesFilter } from "./stored-series.ts"

export interface SelectionQuery {
  readonly device?: readonly string[]
  readonly metric?: readonly string[]
  readonly from?: string
  readonly to?: string
  readonly arrivedFrom?: string
  readonly arrivedTo?: string
  readonly blockFrom?: number
  readonly blockTo?: number
  readonly unsealed: boolean
  readonly ahead: boolean
}

export const selectionProperties = {
  device: devicesSchema,
  metric: metricsSchema,
  from: instantSchema(
    "by the device's clock, this instant and later: ISO 8601 with its offset, or Unix seconds",
  ),
  to: instantSchema("by the device's clock, before this instant"),
  arrivedFrom: instantSchema("by the database's clock, arrived at this instant or later"),
  arrivedTo: instantSchema("by the database's clock, arrived before this instant"),
  blockFrom: heightSchema("sealed in this block or a later one"),
  blockTo: heightSchema("sealed in this block or an earlier one"),
  unsealed: {
    type: "boolean",
    default: false,
    description:
      "true: also what no block has sealed yet, with `block` null; it may still be joined by what is on its way",
  },
  ahead: {
    type: "boolean",
    default: false,
    description:
      "true: also readings that came over 300 s ahead of the service's clock, whose time is no evidence",
  },
} as const

/** The times asked for, in Unix seconds; what belongs together is checked together. */
export interface Selection {
  readonly devices: readonly string[] | null
  readonly metrics: readonly string[] | null
  readonly fromSeconds: number | null
  readonly toSeconds: number | null
  readonly arrivedFromMs: number | null
  readonly arrivedToMs: number | null
  readonly blockFrom: number | null
  readonly blockTo: number | null
  readonly isUnsealedIncluded: boolean
  readonly isAheadIncluded: boolean
}

export function selectionOf(query: SelectionQuery): Selection {
  const times = {
    from: instantOf("from", query.from),
    to: instantOf("to", query.to),
    arrivedFrom: instantOf("arrivedFrom", query.arrivedFrom),
    arrivedTo: instantOf("arrivedTo", query.arrivedTo),
  }
  mustFollow("to", times.from, times.to, "must be after from")
  mustFollow("arrivedTo", times.arrivedFrom, times.arrivedTo, "must be after arrivedFrom")
  const { blockFrom = null, blockTo = null, unsealed } = query
  if (blockFrom !== null && blockTo !== null && blockTo < blockFrom)
    throw invalidParameter("blockTo", "must not be below blockFrom")
  if (unsealed && blockTo !== null)
    throw invalidParameter(
      "unsealed",
      "must not be true together with blockTo: what is not sealed is in no block",
    )
  return {
    devices: query.device === undefined ? null : query.device.toSorted(),
    metrics: query.metric === undefined ? null : query.metric.toSorted(),
    fromSeconds: times.from,
    toSeconds: times.to,
    arrivedFromMs: times.arrivedFrom === null ? null : times.arrivedFrom * 1000,
    arrivedToMs: times.arrivedTo === null ? null : times.arrivedTo * 1000,
    blockFrom,
    blockTo,
    isUnsealedIncluded: unsealed,
    isAheadIncluded: query.ahead,
  }
}

function mustFollow(parameter: string, from: number | null, to: number | null, rule: string): void {
  if (from !== null && to !== null && to <= from) throw invalidParameter(parameter, rule)
}

/** The rows that a selection means, as of a block, of devices that the reader may see. */
export function filterOf(
  selection: Selection,
  { asOf, blocks, scope }: { readonly asOf: AsOf | null; readonly blocks: BlockIndex; readonly scope: Scope },
): SeriesFilter {
  const { blockFrom, blockTo, isUnsealedIncluded } = selection
  const last = asOf?.statementMax ?? 0
  return {
    devices: selection.devices ?? (scope === null ? null : [...scope]),
    metrics: selection.metrics,
    fromSeconds: selection.fromSeconds,
    toSeconds: selection.toSeconds,
    arrivedFromMs: selection.arrivedFromMs,
    arrivedToMs: selection.arrivedToMs,
    statementAbove:
      blockFrom === null || blockFrom === 0
        ? null
        : (blocks.manifestOf(Math.min(blockFrom - 1, asOf?.height ?? -1)) ?? last),
    statementMax:
      blockTo !== null && asOf !== null && blockTo < asOf.height
        ? blocks.manifestOf(blockTo)!
        : isUnsealedIncluded
          ? null
          : last,
    isAheadIncluded: selection.isAheadIncluded,
  }
}

/** Addresses of the views, behind the `#`, so that a link can be shared and the page stays one static file. */

export type Route =
  | FleetRoute
  | {
      readonly view: "device"
      readonly device: string
      readonly from: number | null
      readonly to: number | null
      /** With what is not sealed yet. */
      readonly unsealed: boolean
    }
  /** `count`: how many of the newest are shown, where they are more than the first page. */
  | { readonly view: "blocks"; readonly count: number | null }
  | { readonly view: "block"; readonly height: number }
  | StatementRoute
  | {
      readonly view: "verify"
      readonly device: string | null
      readonly from: number | null
      readonly to: number | null
    }
  | { readonly view: "unknown" }

export const sortKeys = ["id", "status", "lastArrival", "statements"] as const
export type SortKey = (typeof sortKeys)[number]

export interface FleetRoute {
  readonly view: "fleet"
  /** Only devices whose id or metric contains it. */
  readonly search: string
  readonly sort: SortKey
  readonly isAscending: boolean
}

/** The fleet as it opens: what came last first. */
export const fleetRoute: FleetRoute = {
  view: "fleet",
  search: "",
  sort: "lastArrival",
  isAscending: false,
}

/** A statement by its entry, in hex; the reading in it that was chosen, where one was. */
export interface StatementRoute {
  readonly view: "statement"
  readonly entry: string
  /** Where it stands, for whoever knows it; else it is looked up. */
  readonly device: string | null
  readonly block: number | null
  readonly metric: string | null
  /** Unix seconds, as they were signed. */
  readonly time: number | null
}

/** `from` and `to` of a device's view are Unix seconds; those of a verification are heights. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?")
  const [, first = "", second = ""] = path.split("/").map(decode)
  const given = new URLSearchParams(query)
  const number = (name: string): number | null => {
    const text = given.get(name)
    return text === null || text === "" || !Number.isFinite(Number(text)) ? null : Number(text)
  }
  const range = { from: number("from"), to: number("to") }
  if (first === "")
    return {
      view: "fleet",
      search: given.get("search") ?? fleetRoute.search,
      sort: sortKeys.find((key) => key === given.get("sort")) ?? fleetRoute.sort,
      isAscending: given.get("order") === "asc",
    }
  if (first === "devices" && second !== "")
    return { view: "device", device: second, ...range, unsealed: given.has("unsealed") }
  if (first === "blocks" && second === "") return { view: "blocks", count: number("count") }
  if (first === "blocks" && /^\d+$/.test(second)) return { view: "block", height: Number(second) }
  if (first === "statements" && /^[0-9a-f]{64}$/.test(second))
    return {
      view: "statement",
      entry: second,
      device: given.get("device"),
      block: number("block"),
      metric: given.get("metric"),
      time: number("time"),
    }
  if (first === "verify") return { view: "verify", device: second === "" ? null : second, ...range }
  return { view: "unknown" }
}

export function formatRoute(route: Route): string {
  switch (route.view) {
    case "fleet": {
      const { search, sort, isAscending } = route
      const query = {
        search: search === "" ? null : search,
        sort: sort === fleetRoute.sort ? null : sort,
        order: isAscending ? "asc" : null,
      }
      return `#/${formatQuery(query)}`
    }
    case "device": {
      const { device, from, to, unsealed } = route
      return `#/devices/${encodeURIComponent(device)}${formatQuery({ from, to, unsealed: unsealed ? "true" : null })}`
    }
    case "blocks":
      return `#/blocks${formatQuery({ count: route.count })}`
    case "block":
      return `#/blocks/${route.height}`
    case "statement": {
      const { entry, device, block, metric, time } = route
      return `#/statements/${entry}${formatQuery({ device, block, metric, time })}`
    }
    case "verify": {
      const device = route.device === null ? "" : `/${encodeURIComponent(route.device)}`
      return `#/verify${device}${formatQuery({ from: route.from, to: route.to })}`
    }
    default:
      return "#/"
  }
}

function formatQuery(values: Readonly<Record<string, string | number | null>>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null)
  if (given.length === 0) return ""
  return `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))}`
}

/** A broken escape is no reason to show nothing. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

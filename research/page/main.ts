/** The page: which view stands where, and what all of them share. */
import { showBlocks } from "./blocks.ts"
import { showDevice } from "./device.ts"
import { h, replaceChildren } from "./element.ts"
import { showFleet } from "./fleet.ts"
import { parseRoute } from "./route.ts"
import { startTheme } from "./theme.ts"
import { type Place, announce, empty, showTrouble } from "./view.ts"

const main = document.getElementById("main")!
let leaving = new AbortController()
let isFirst = true

startTheme(document.getElementById("theme")!)
addEventListener("hashchange", () => void show())
void show()

async function show(): Promise<void> {
  leaving.abort()
  leaving = new AbortController()
  const { signal } = leaving
  const route = parseRoute(location.hash)
  for (const link of document.querySelectorAll<HTMLAnchorElement>("nav [data-view]")) {
    const isHere = link.dataset["view"] === sectionOf(route.view)
    if (isHere) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
  const root = h("div", {})
  replaceChildren(main, root)
  const place: Place = { root, signal }
  const title = titleOf(route)
  document.title = `${title} · Tidemark`
  if (!isFirst) {
    // A new view begins at its top, for eyes and for a screen reader.
    scrollTo(0, 0)
    main.focus({ preventScroll: true })
    announce(title)
  }
  isFirst = false
  try {
    if (route.view === "fleet") await showFleet(place, route)
    else if (route.view === "device") await showDevice(place, route)
    else if (route.view === "blocks") await showBlocks(place, route.count)
    // These carry signatures and hashes with them: loaded when they are looked at.
    else if (route.view === "block") await (await import("./block.ts")).showBlock(place, route.height)
    else if (route.view === "statement") await (await import("./statement.ts")).showStatement(place, route)
    else if (route.view === "verify") await (await import("./verify.ts")).showVerify(place, route)
    else
      replaceChildren(root, empty("There is nothing at this address", h("a", { href: "#/" }, "To the fleet")))
  } catch (error) {
    if (!signal.aborted) showTrouble(root, error)
  }
}

function titleOf(route: ReturnType<typeof parseRoute>): string {
  switch (route.view) {
    case "fleet":
      return "Fleet"
    case "device":
      return `Device ${route.device}`
    case "blocks":
      return "Blocks"
    case "block":
      return `Block ${route.height}`
    case "statement":
      return "A reading's way"
    case "verify":
      return route.device === null ? "Verify" : `Verify ${route.device}`
    default:
      return "Not here"
  }
}

function sectionOf(view: string): string {
  if (view === "device") return "fleet"
  if (view === "block" || view === "statement") return "blocks"
  return view
}

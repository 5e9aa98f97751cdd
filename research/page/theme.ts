/** Light or dark: as the system says, until the person says otherwise. */
import { replaceChildren, svg } from "./element.ts"

type Theme = "system" | "light" | "dark"

const place = "tidemark-theme"
const order: readonly Theme[] = ["system", "light", "dark"]
const dark = matchMedia("(prefers-color-scheme: dark)")

export function startTheme(button: HTMLElement): void {
  apply(read(), button)
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(read()) + 1) % order.length]!
    localStorage.setItem(place, next)
    apply(next, button)
  })
  dark.addEventListener("change", () => announceTheme())
}

function read(): Theme {
  const stored = localStorage.getItem(place)
  return order.find((theme) => theme === stored) ?? "system"
}

const drawings: Readonly<Record<Theme, string>> = {
  system: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  light:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M4.9 4.9l1.8 1.8M17.3 17.3l1.8 1.8M4.9 19.1l1.8-1.8M17.3 6.7l1.8-1.8",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.500 10.500z",
}

function apply(theme: Theme, button: HTMLElement): void {
  const { dataset } = document.documentElement
  if (theme === "system") delete dataset["theme"]
  else dataset["theme"] = theme
  const label = { system: "Colours: as the system", light: "Colours: light", dark: "Colours: dark" }[theme]
  button.setAttribute("aria-label", label)
  button.title = label
  replaceChildren(
    button,
    svg(
      "svg",
      { viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" },
      svg("path", {
        d: drawings[theme],
        fill: theme === "system" ? "none" : "none",
        stroke: "currentColor",
        "stroke-width": 1.8,
        "stroke-linecap": "round",
        "stroke-linejoin": "round",
      }),
      theme === "system" && svg("path", { d: "M12 3a9 9 0 0 0 0 18z", fill: "currentColor" }),
    ),
  )
  announceTheme()
}

/** Charts are drawn on canvas, and must be drawn again in the new colours. */
function announceTheme(): void {
  document.dispatchEvent(new Event("tidemark-theme"))
}

/** A colour of the palette as it is now. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}

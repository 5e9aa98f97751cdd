/** What every view gets, and the pieces that all of them show: where one is, waiting, nothing, trouble. */
import { Problem, keepKey } from "./answer.ts"
import { type Child, h, replaceChildren } from "./element.ts"

export interface Place {
  readonly root: HTMLElement
  /** Aborted when the person goes elsewhere. */
  readonly signal: AbortSignal
}

export function heading(title: Child, lead: Child, ...actions: readonly Child[]): HTMLElement {
  return h(
    "div",
    { class: "heading" },
    h("div", {}, h("h1", {}, title), lead !== null && h("p", { class: "lead" }, lead)),
    actions.length > 0 && h("div", { class: "actions" }, actions),
  )
}

export function trail(...parts: readonly Child[]): HTMLElement {
  return h(
    "nav",
    { class: "trail", "aria-label": "Where this is" },
    parts.flatMap((part, index) => (index === 0 ? [part] : [" / ", part])),
  )
}

export function empty(title: string, ...lines: readonly Child[]): HTMLElement {
  return h(
    "section",
    { class: "empty" },
    h("h2", {}, title),
    lines.map((line) => h("p", {}, line)),
  )
}

/** What went wrong, in a sentence, and what can be done. */
export function showTrouble(root: HTMLElement, error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return
  if (error instanceof Problem && error.status === 401) {
    replaceChildren(root, keyForm(error.message))
    return
  }
  const isKnown = error instanceof Problem
  if (!isKnown) console.error(error)
  const title = isKnown && error.status === 404 ? "This is not here" : "This could not be shown"
  const message = isKnown ? sentence(error.message) : "The page itself failed; its console says how."
  replaceChildren(
    root,
    h(
      "section",
      { class: "trouble", role: "alert" },
      h("h1", {}, title),
      h("p", {}, message),
      h("p", {}, h("a", { href: "#/" }, "To the fleet")),
    ),
  )
}

function keyForm(message: string): HTMLElement {
  const input = h("input", {
    class: "input",
    type: "password",
    name: "key",
    required: true,
    autocomplete: "off",
    placeholder: "tmk_…",
  })
  const form = h(
    "form",
    { class: "key-form" },
    h("label", {}, "API key", input),
    h("button", { class: "button primary", type: "submit" }, "Use this key"),
  )
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    keepKey(input.value.trim())
    location.reload()
  })
  return h(
    "section",
    { class: "trouble" },
    h("h1", {}, "This log asks for a key"),
    h("p", {}, sentence(message)),
    h(
      "p",
      {},
      "Whoever runs it makes one with ",
      h("code", {}, "tidemark key create"),
      ". It is kept for this tab only.",
    ),
    form,
  )
}

export function sentence(text: string): string {
  const first = text.slice(0, 1).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(first) ? first : `${first}.`
}

export function loading(what: string): HTMLElement {
  return h("p", { class: "loading" }, `Loading ${what}`)
}

/** The first digits of a hash, and all of them to copy or hear. */
export function hash(hex: string, digits = 12): HTMLElement {
  return h("code", { title: hex }, hex.length > digits ? `${hex.slice(0, digits)}…` : hex)
}

/** A label and what it says. */
export function fact(label: string, value: Child, className = ""): HTMLElement {
  return h("div", { class: className }, h("dt", {}, label), h("dd", {}, value))
}

export function announce(text: string): void {
  const place = document.getElementById("announcement")
  if (place !== null) place.textContent = text
}

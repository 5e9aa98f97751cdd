/** Verify a device over some blocks, under a key of one's own. */
import { type Page, ask } from "./answer.ts"
import { h, replaceChildren } from "./element.ts"
import { type DeviceRow, showAsOf } from "./fleet.ts"
import { type Route, formatRoute } from "./route.ts"
import { download, evidenceAddress, readPageFacts, verifyServed } from "./served-verifier.ts"
import { type Place, empty, heading, loading, sentence } from "./view.ts"

type VerifyRoute = Extract<Route, { view: "verify" }>

export async function showVerify({ root, signal }: Place, route: VerifyRoute): Promise<void> {
  const lead =
    "Your browser fetches the evidence and checks it itself: keys, signatures, the chain, each leaf, the checkpoint. Nothing that the service says is believed."
  replaceChildren(root, heading("Verify", lead), loading("the devices"))
  const [page, facts] = await Promise.all([
    ask<Page<DeviceRow>>("/v1/devices", { limit: 1000 }, signal),
    readPageFacts(),
  ])
  showAsOf(page.asOf)
  if (page.asOf === null || page.items.length === 0) {
    replaceChildren(
      root,
      heading("Verify", lead),
      empty("There is nothing to verify yet", "Evidence is about sealed blocks, and nothing is sealed."),
    )
    return
  }
  const last = page.asOf.height
  const device = h("input", {
    class: "input",
    name: "device",
    required: true,
    list: "devices",
    value: route.device ?? page.items[0]!.id,
    autocomplete: "off",
  })
  const number = (name: string, value: number): HTMLInputElement =>
    h("input", { class: "input", name, type: "number", min: 0, max: last, step: 1, required: true, value })
  const from = number("from", route.from ?? 0)
  const to = number("to", route.to ?? last)
  const key = h("input", {
    class: "input mono wide",
    name: "key",
    required: true,
    spellcheck: "false",
    autocomplete: "off",
    value: facts.vkey,
  })
  const start = h("button", { class: "button primary", type: "submit" }, "Verify")
  const save = h("button", { class: "button", type: "button" }, "Download evidence")
  const result = h("div", { class: "section" })
  const form = h(
    "form",
    { class: "sheet form" },
    h(
      "datalist",
      { id: "devices" },
      page.items.slice(0, 500).map(({ id }) => h("option", { value: id })),
    ),
    field("Device", device),
    field("From block", from),
    field("To block", to),
    field(
      "The log's key that you trust",
      key,
      "Filled in as this service gives it. Compare it with the one that you were given by somebody you trust.",
      "whole",
    ),
    h("div", { class: "actions whole" }, start, save),
  )
  const wanted = () => ({ device: device.value.trim(), from: Number(from.value), to: Number(to.value) })
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    if (start.getAttribute("aria-disabled") === "true") return
    start.setAttribute("aria-disabled", "true")
    history.replaceState(null, "", formatRoute({ view: "verify", ...wanted() }))
    replaceChildren(result, h("p", { class: "loading" }, "Fetching the evidence"))
    verifyServed(result, evidenceAddress(wanted()), { kind: "vkey", text: key.value.trim() }, signal)
      .catch((error: unknown) => {
        // What went wrong while verifying, the panel has said.
        if (signal.aborted || result.querySelector(".verdict.bad") !== null) return
        const message = error instanceof Error ? error.message : String(error)
        replaceChildren(
          result,
          h(
            "section",
            { class: "trouble", role: "alert" },
            h("h2", {}, "There is no such evidence"),
            h("p", {}, sentence(message)),
          ),
        )
      })
      .finally(() => start.removeAttribute("aria-disabled"))
  })
  save.addEventListener("click", () => {
    if (!form.reportValidity()) return
    const { device: id, from: first, to: end } = wanted()
    download(evidenceAddress(wanted()), `${id}-blocks-${first}-${end}.evidence`).catch((error: unknown) => {
      replaceChildren(
        result,
        h("section", { class: "trouble", role: "alert" }, h("p", {}, sentence((error as Error).message))),
      )
    })
  })
  replaceChildren(
    root,
    heading("Verify", lead),
    form,
    result,
    h(
      "p",
      { class: "muted section" },
      "To ask nobody here: download the evidence and the ",
      h("a", { href: "/verify/verifier.html", download: "tidemark-verifier.html" }, "offline verifier"),
      ", one HTML file that opens from disk and can reach no network.",
    ),
  )
}

function field(label: string, input: HTMLElement, hint: string | null = null, className = ""): HTMLElement {
  return h(
    "label",
    { class: `field ${className}` },
    h("span", {}, label),
    input,
    hint !== null && h("small", { class: "muted" }, hint),
  )
}

/** On a device's page: verify it here, keep the evidence, and in the demo change a byte and see it found. */
import { Problem, open } from "./answer.ts"
import type { DeviceDetail } from "./device-detail.ts"
import { h, replaceChildren } from "./element.ts"
import { formatRoute } from "./route.ts"
import {
  type TrustGiven,
  type Verdict,
  download,
  evidenceAddress,
  readPageFacts,
  verifyServed,
} from "./served-verifier.ts"
import type { Stack } from "./stack.ts"
import { formatInstant, formatValue } from "./time.ts"
import { announce, sentence } from "./view.ts"

interface Scene {
  readonly detail: DeviceDetail
  readonly stack: Stack
  readonly signal: AbortSignal
}

/** What the demo says after it changed a byte in its throw-away copy. */
interface Tampered {
  readonly device: string
  readonly seq: number
  readonly metric: string
  /** Unix seconds. */
  readonly time: number
  readonly signed: number
  readonly stored: number
  readonly byte: number
  /** What the audit of the copy found. */
  readonly findings: readonly string[]
  /** Of the copy; null where it can give none. */
  readonly evidence: string | null
}

/** So many statements are verified in some ten seconds; more of them begin with the newest blocks. */
const statementsAtOnceMax = 6_000
const blocksAtOnce = 24

export function verificationOf({ detail, stack, signal }: Scene): {
  actions: HTMLElement
  panel: HTMLElement
} {
  const panel = h("div", { class: "tamper" })
  const actions = h("div", { class: "actions" })
  const { id, sealedHead, asOf, statements } = detail
  if (sealedHead === null || asOf === null) return { actions, panel }
  const range = {
    device: id,
    from: statements <= statementsAtOnceMax ? 0 : Math.max(0, asOf.height - blocksAtOnce),
    to: asOf.height,
  }
  const name = `${id}-blocks-${range.from}-${range.to}.evidence`
  const verify = h("button", { class: "button primary", type: "button" }, "Verify in this browser")
  verify.addEventListener("click", () => {
    void run(verify, async () => {
      const { vkey } = await readPageFacts()
      stack.setWrong(null)
      const verdict = await verifyInto(panel, evidenceAddress(range), { kind: "vkey", text: vkey }, signal)
      if (verdict === null) return
      panel.append(
        h(
          "p",
          { class: "muted" },
          "Verified under the log's key as this service gives it. To ask nobody here, download the evidence and open it in the ",
          h("a", { href: "/verify/verifier.html", download: "tidemark-verifier.html" }, "offline verifier"),
          " with a key that you hold. ",
          h(
            "a",
            { href: formatRoute({ view: "verify", device: id, from: null, to: null }) },
            "Other blocks or another key",
          ),
          ".",
        ),
      )
      if (verdict.result.kind !== "refused") stack.setVerified(verdict.spans, verdict.result.blocks.to)
    })
  })
  const save = h("button", { class: "button", type: "button" }, "Download evidence")
  save.addEventListener("click", () => {
    void run(save, () => download(evidenceAddress(range), name))
  })
  actions.append(verify, save)
  const offerTamper = async (): Promise<void> => {
    const { tamper } = await readPageFacts()
    if (!tamper) return
    const button = h("button", { class: "button danger", type: "button" }, "Tamper with a copy")
    button.addEventListener("click", () => {
      void run(button, () => tamperWith(panel, { detail, stack, signal }))
    })
    actions.append(button)
  }
  const run = async (button: HTMLButtonElement, work: () => Promise<void>): Promise<void> => {
    // Not `disabled`, which would take the focus away.
    if (button.getAttribute("aria-disabled") === "true") return
    button.setAttribute("aria-disabled", "true")
    try {
      await work()
    } catch (error) {
      if (!signal.aborted) showFailure(panel, error)
    } finally {
      button.removeAttribute("aria-disabled")
    }
  }
  offerTamper().catch(() => {})
  return { actions, panel }
}

async function verifyInto(
  panel: HTMLElement,
  address: string,
  trust: TrustGiven,
  signal: AbortSignal,
): Promise<Verdict | null> {
  const holder = h("div", {}, h("p", { class: "loading" }, "Fetching the evidence"))
  replaceChildren(panel, holder)
  return verifyServed(holder, address, trust, signal)
}

/** One byte of one stored statement is changed in a throw-away copy of the database; then this browser looks for it. */
async function tamperWith(panel: HTMLElement, { detail, stack, signal }: Scene): Promise<void> {
  replaceChildren(
    panel,
    h("p", { class: "loading", role: "status" }, "Changing one byte in a throw-away copy, and auditing that"),
  )
  const response = await open(`/demo/tamper?device=${encodeURIComponent(detail.id)}`, {
    method: "POST",
    signal,
  })
  const tampered = (await response.json()) as Tampered
  const { vkey } = await readPageFacts()
  const unit = detail.series.find(({ metric }) => metric === tampered.metric)?.unit ?? null
  stack.setVerified(new Map(), null)
  stack.markWrong(tampered.metric, {
    time: tampered.time,
    stored: tampered.stored,
    text: `Not what was signed: statement ${tampered.seq} was changed after it was sealed`,
  })
  const holder = h("div", {})
  replaceChildren(
    panel,
    h(
      "section",
      { class: "verdict bad", "aria-label": "What was changed" },
      h("span", { class: "dot" }),
      h("h2", {}, "One bit was changed behind the log's back"),
      h(
        "p",
        {},
        `In a throw-away copy, byte ${tampered.byte} of statement ${tampered.seq} was changed: ${tampered.metric} at ${formatInstant(tampered.time, true)} UTC reads ${formatValue(tampered.stored)} ${unit ?? ""} where the device signed ${formatValue(tampered.signed)}.`,
      ),
      h("p", {}, "The audit of that copy says: ", h("strong", {}, tampered.findings.map(sentence).join(" "))),
      h(
        "p",
        {},
        tampered.evidence === null
          ? "The log itself was not touched."
          : "Below, this browser checks the evidence that the copy gives. The log itself was not touched.",
      ),
    ),
    holder,
  )
  announce(`Tampered. ${tampered.findings[0] ?? ""}`)
  if (tampered.evidence !== null)
    await verifyServed(holder, tampered.evidence, { kind: "vkey", text: vkey }, signal)
}

function showFailure(panel: HTMLElement, error: unknown): void {
  if (!(error instanceof Problem)) console.error(error)
  const message =
    error instanceof Problem ? sentence(error.message) : "This did not work; the page's console says how."
  // What the panel said itself stands.
  if (panel.querySelector(".verdict.bad") !== null && !(error instanceof Problem)) return
  replaceChildren(
    panel,
    h(
      "section",
      { class: "trouble", role: "alert" },
      h("h2", {}, "This could not be done"),
      h("p", {}, message),
    ),
  )
}

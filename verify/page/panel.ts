/**
 * A verification that one can watch: steps, progress, and the verdict in words. The page of the service and the offline
 * page show the same panel; the one loads it by its address, the other has it inside.
 */
import type { EvidenceReport } from "../evidence-report.ts"
import type { EvidenceFindings, EvidenceProgress, EvidenceRefusal } from "../evidence-result.ts"
import type { News, TrustGiven, Verdict } from "./message.ts"
import { count, entitle, formatCount, sentence, stepOf, steps } from "./words.ts"

export interface Verification {
  /** Null where it was ended before. Rejects where the file could not be read, or we failed. */
  readonly verdict: Promise<Verdict | null>
  /** Ends it. */
  readonly stop: () => void
}

export interface RunOptions {
  readonly evidence: ReadableStream<Uint8Array>
  readonly trust: TrustGiven
  /** A statement, in hex, of which everything is to be told. */
  readonly entry?: string
  readonly makeWorker: () => Worker
  readonly onProgress?: (progress: EvidenceProgress) => void
}

export interface VerificationOptions extends RunOptions {
  readonly into: HTMLElement
  /** Bytes of the evidence, where that is known. */
  readonly sizeBytes: number | null
}

/** A verification that is shown. */
export function startVerification(options: VerificationOptions): Verification {
  const view = new View(options.into, options.sizeBytes)
  const { verdict, stop } = runVerification({ ...options, onProgress: (progress) => view.progress(progress) })
  const shown = verdict.then(
    (given) => {
      if (given !== null) view.verdict(given)
      return given
    },
    (error: unknown) => {
      view.trouble(error instanceof Error ? error.message : String(error))
      throw error
    },
  )
  return { verdict: shown, stop }
}

/** Feeds the worker as it asks, so that a file of any size needs little memory. */
export function runVerification({
  evidence,
  trust,
  entry,
  makeWorker,
  onProgress,
}: RunOptions): Verification {
  const worker = makeWorker()
  const reader = evidence.getReader()
  const stopped = new AbortController()
  const give = async (): Promise<void> => {
    const { done, value } = await reader.read()
    worker.postMessage(done ? { kind: "end" } : { kind: "piece", bytes: value })
  }
  const verdict = new Promise<Verdict | null>((resolve, reject) => {
    stopped.signal.addEventListener("abort", () => resolve(null))
    worker.addEventListener("message", ({ data: news }: MessageEvent<News>) => {
      switch (news.kind) {
        case "want":
          give().catch(reject)
          break
        case "progress":
          onProgress?.(news.progress)
          break
        case "verdict":
          resolve(news.verdict)
          break
        default:
          reject(new Error(news.message))
      }
    })
    worker.addEventListener("error", () =>
      reject(new Error("The verifier could not be started in this browser.")),
    )
    worker.postMessage({ kind: "begin", trust, entry: entry ?? null })
  }).finally(() => {
    worker.terminate()
    reader.cancel().catch(() => {})
  })
  return { verdict, stop: () => stopped.abort() }
}

type State = "waiting" | "working" | "good" | "warn" | "bad" | "open"

class View {
  private readonly root = element("section", "verification")
  private readonly head = element("div", "verdict")
  private readonly bar = element("span")
  private readonly items: HTMLElement[]
  private readonly below = element("div")
  private readonly status = element("p", "hidden-visually")
  private readonly sizeBytes: number | null
  private toldShare = 0

  constructor(into: HTMLElement, sizeBytes: number | null) {
    this.sizeBytes = sizeBytes
    this.status.setAttribute("role", "status")
    const list = element("ol", "steps")
    this.items = steps.map(({ name }) => {
      const item = element("li")
      item.append(element("span", "mark"), element("span", "name", name), element("span", "count"))
      list.append(item)
      return item
    })
    const bar = element("div", "bar")
    bar.append(this.bar)
    this.bar.style.transform = "scaleX(0)"
    this.root.setAttribute("aria-label", "Verification")
    this.root.append(this.head, this.status, list, this.below)
    into.replaceChildren(this.root)
    this.head.append(icon("working"), element("h2", "", "Verifying in this browser"))
    const line = element("p")
    line.append(bar)
    this.head.append(line)
    for (const [step] of steps.entries()) this.mark(step, "waiting")
  }

  progress({ bytes, statements, leaves, leavesTotal }: EvidenceProgress): void {
    const share =
      this.sizeBytes === null ? (leavesTotal === 0 ? 0 : leaves / leavesTotal) : bytes / this.sizeBytes
    this.bar.style.transform = `scaleX(${Math.min(1, share).toFixed(3)})`
    // The checkpoint is checked as soon as it is read, before anything under it.
    if (leavesTotal > 0) this.mark(1, "good")
    for (const step of [0, 3, 4, 5, 6, 7]) this.mark(step, "working")
    this.tell(4, count(statements, "signature"))
    this.tell(6, leavesTotal === 0 ? "" : `${formatCount(leaves)} of ${count(leavesTotal, "leaf", "leaves")}`)
    // Read out now and then, not at every word of the worker.
    if (share - this.toldShare < 0.25) return
    this.toldShare = share
    this.status.textContent = `${Math.round(share * 100)} percent, ${count(statements, "statement")}`
  }

  verdict({ result, report, progress, tookMs }: Verdict): void {
    const title = entitle(result)
    this.head.className = `verdict ${title.tone}`
    this.head.dataset["kind"] = result.kind
    if (result.kind === "refused") this.head.dataset["code"] = result.code
    this.head.replaceChildren(icon(title.tone), element("h2", "", title.text))
    for (const line of title.lines) this.head.append(element("p", "", line))
    this.status.textContent = `${title.text}. ${title.lines[0] ?? ""}`
    if (result.kind === "refused") this.showRefusal(result, progress)
    else this.showSteps(result, tookMs)
    this.below.className = "proved"
    this.below.replaceChildren(...listReport(report, result.kind === "refused"))
    this.below.hidden = this.below.childElementCount === 0
    // Beside each other where there is room, and where there is something to say beside the steps.
    this.root.classList.toggle("decided", !this.below.hidden)
  }

  private showSteps(findings: EvidenceFindings, tookMs: number): void {
    for (const [step] of steps.entries()) this.mark(step, "good")
    const { kind, checkpoint, statements, keys, bytes, revoked } = findings
    this.tell(0, `${formatSize(bytes)} in ${formatSeconds(tookMs)}`)
    if (kind === "consistent") this.mark(1, "warn", "By the key in the file, which nobody vouched for.")
    else this.tell(1, checkpoint.logVkey.split("+", 2).join("+"))
    if (checkpoint.cosigned.length === 0) this.mark(2, "open", null, "none asked for")
    else this.tell(2, checkpoint.cosigned.map(({ witness }) => witness).join(", "))
    if (revoked.length > 0) this.mark(3, "warn", "One was revoked at an earlier statement.")
    this.tell(3, count(keys.filter(({ signed }) => signed !== null).length, "key"))
    this.tell(4, count(statements, "signature"))
    this.tell(5, count(statements, "statement"))
    this.tell(6, count(checkpoint.size, "leaf", "leaves"))
  }

  /** Behind a fault nothing is decided: what was good so far is not called good. */
  private showRefusal(
    { code, what, rule, offset }: EvidenceRefusal,
    { leavesTotal }: EvidenceProgress,
  ): void {
    const broken = stepOf(code)
    for (const [step] of steps.entries()) {
      if (step === broken)
        this.mark(step, "bad", sentence(`${what} ${rule}`), `at byte ${formatCount(offset)}`)
      else if (step === 1 && leavesTotal > 0) this.mark(step, "good")
      else this.mark(step, "open", null, "not decided")
    }
  }

  trouble(message: string): void {
    this.head.className = "verdict bad"
    this.head.replaceChildren(
      icon("bad"),
      element("h2", "", "This could not be verified"),
      element("p", "", message),
    )
    this.status.textContent = `This could not be verified. ${message}`
    for (const [step] of steps.entries()) this.mark(step, "open")
  }

  private mark(step: number, state: State, said: string | null = null, counted = ""): void {
    const item = this.items[step]!
    item.dataset["state"] = state
    const mark = item.querySelector(".mark")!
    mark.replaceChildren(icon(state))
    const words = {
      waiting: "waiting",
      working: "in work",
      good: "good",
      warn: "with a remark",
      bad: "wrong",
      open: "not decided",
    }[state]
    mark.append(element("span", "hidden-visually", words))
    this.tell(step, counted)
    item.querySelector(".said")?.remove()
    if (said !== null) item.append(element("p", "said", said))
  }

  private tell(step: number, text: string): void {
    this.items[step]!.querySelector(".count")!.textContent = text
  }
}

/** What a report shows and cannot show, each under its heading. */
export function listReport(report: EvidenceReport, isRefused: boolean): HTMLElement[] {
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ["What this shows", [...report.proved, ...(isRefused ? [] : report.remarks)]],
    ["What it cannot show", report.unproved],
  ]
  return lists
    .filter(([, lines]) => lines.length > 0)
    .map(([name, lines]) => {
      const part = element("section")
      const all = element("ul")
      for (const line of lines) all.append(element("li", "", sentence(line)))
      part.append(element("h3", "", name), all)
      return part
    })
}

export function element(tag: string, name = "", text = ""): HTMLElement {
  const made = document.createElement(tag)
  if (name !== "") made.className = name
  if (text !== "") made.textContent = text
  return made
}

const paths: Readonly<Record<State, string>> = {
  waiting: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  working: "M12 21a9 9 0 1 0-9-9",
  good: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8 12.400l2.800 2.800L16.200 9.500",
  warn: "M12 3.500 21.500 20h-19zM12 10v4.500M12 17.200v.1",
  bad: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9 9l6 6M15 9l-6 6",
  open: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 12h7",
}

export function icon(state: State): SVGElement {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true" }))
    drawing.setAttribute(name, value)
  const drawn = {
    d: paths[state],
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "1.8",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  }
  for (const [name, value] of Object.entries(drawn)) path.setAttribute(name, value)
  drawing.append(path)
  return drawing
}

function formatSize(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}

function formatSeconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

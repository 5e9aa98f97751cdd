/** The offline page: an evidence file in, a verdict out. It runs from disk; its policy forbids every connection. */
import type { TrustGiven } from "./message.ts"
import { type Verification, startVerification } from "./panel.ts"
import { readProof, showProof } from "./proof-panel.ts"
// The default export is Vite's.
import InlineWorker from "./worker.ts?worker&inline"

const find = (id: string): HTMLElement => document.getElementById(id)!
const form = find("form") as HTMLFormElement
const evidence = find("evidence") as HTMLInputElement
const policy = find("policy") as HTMLInputElement
const vkey = find("vkey") as HTMLInputElement
const deviceKeys = find("device-keys") as HTMLTextAreaElement
const since = find("since") as HTMLInputElement
const start = find("start") as HTMLButtonElement
const stop = find("stop") as HTMLButtonElement
const said = find("said")
const result = find("result")

let evidenceFile: File | null = null
let policyFile: File | null = null
let running: Verification | null = null

takeFile(evidence, "drop-evidence", "evidence-hint", (file) => {
  evidenceFile = file
  start.disabled = file === null
  result.replaceChildren()
  said.textContent = ""
  start.focus()
})
takeFile(policy, "drop-policy", "policy-hint", (file) => {
  policyFile = file
  // One word on whom to trust, not two.
  vkey.disabled = file !== null
})
// A file that is dropped beside its place would replace this page.
for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault())

form.addEventListener("submit", (event) => {
  event.preventDefault()
  void verify()
})
stop.addEventListener("click", () => running?.stop())

async function verify(): Promise<void> {
  if (evidenceFile === null) return
  running?.stop()
  const file = evidenceFile
  start.disabled = true
  stop.hidden = false
  said.textContent = ""
  try {
    const proof = await readProof(file)
    if (proof !== null) {
      showProof(result, proof, await readTrust())
      result.scrollIntoView({ block: "start", behavior: "smooth" })
      return
    }
    running = startVerification({
      into: result,
      ...(await openEvidence(file)),
      trust: await readTrust(),
      makeWorker: () => new InlineWorker(),
    })
    result.scrollIntoView({ block: "start", behavior: "smooth" })
    const verdict = await running.verdict
    if (verdict === null) {
      result.replaceChildren()
      said.textContent = "Stopped. Nothing was decided."
    }
  } catch {
    // The panel says what is wrong.
  } finally {
    start.disabled = false
    stop.hidden = true
  }
}

async function readTrust(): Promise<TrustGiven> {
  const demands = { deviceKeys: deviceKeys.value, since: since.value }
  if (policyFile !== null)
    return { ...demands, kind: "policy", bytes: new Uint8Array(await policyFile.arrayBuffer()) }
  const text = vkey.value.trim()
  return text === "" ? { ...demands, kind: "none" } : { ...demands, kind: "vkey", text }
}

/** The bytes of a file; what was gzipped (RFC 1952) as it was, and then its size is not known before. */
async function openEvidence(
  file: File,
): Promise<{ readonly evidence: ReadableStream<Uint8Array>; readonly sizeBytes: number | null }> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  if (first !== 0x1f || second !== 0x8b) return { evidence: file.stream(), sizeBytes: file.size }
  return { evidence: file.stream().pipeThrough(new DecompressionStream("gzip")), sizeBytes: null }
}

/** A file by the button, or dropped on its label; both say its name. */
function takeFile(
  input: HTMLInputElement,
  labelId: string,
  hintId: string,
  take: (file: File | null) => void,
): void {
  const label = find(labelId)
  const hint = find(hintId)
  const empty = hint.textContent
  const set = (file: File | null): void => {
    label.classList.toggle("filled", file !== null)
    hint.textContent = file === null ? empty : `${file.name}, ${file.size.toLocaleString("en")} bytes`
    take(file)
  }
  input.addEventListener("change", () => set(input.files?.[0] ?? null))
  label.addEventListener("dragover", () => label.classList.add("over"))
  label.addEventListener("dragleave", () => label.classList.remove("over"))
  label.addEventListener("drop", (event) => {
    label.classList.remove("over")
    const file = event.dataTransfer?.files[0]
    if (file !== undefined) set(file)
  })
}

/**
 * The verifier as this page loads it: by its address, since `research/` and `verify/` do not import one another. What
 * follows is the part of its panel that is used here.
 */
import { formatAddress, headers, open } from "./answer.ts"
import type { Span } from "./span.ts"

/** What it says at the end, as far as it is used here. */
export interface Verdict {
  readonly result:
    | {
        readonly kind: "verified" | "consistent"
        readonly blocks: { readonly from: number; readonly to: number }
        readonly statements: number
      }
    | { readonly kind: "refused"; readonly what: string; readonly rule: string }
  readonly spans: ReadonlyMap<string, readonly Span[]>
  readonly found: FoundStatement | null
}

export interface FoundStatement {
  readonly seq: number
  readonly bytes: Uint8Array
  readonly leafIndex: number
  readonly height: number
  readonly receivedAtMs: number
}

export type TrustGiven =
  | { readonly kind: "none" }
  | { readonly kind: "vkey"; readonly text: string }
  | { readonly kind: "policy"; readonly bytes: Uint8Array }

interface Verification {
  readonly verdict: Promise<Verdict | null>
  stop(): void
}

interface Panel {
  startServedVerification(options: {
    readonly into: HTMLElement
    readonly evidence: ReadableStream<Uint8Array>
    readonly sizeBytes: number | null
    readonly trust: TrustGiven
  }): Verification
  runServedVerification(options: {
    readonly evidence: ReadableStream<Uint8Array>
    readonly trust: TrustGiven
    readonly entry?: string
  }): Verification
}

const panelAddress = "/verify/panel.js"

/** Of `/page.json`: whose log this is, and whether this is the demo. */
export interface PageFacts {
  readonly origin: string
  /** The log's key, as the service itself gives it. */
  readonly vkey: string
  /** Whether this service lets a throw-away copy be tampered with. */
  readonly tamper: boolean
}

let facts: Promise<PageFacts> | null = null

export function readPageFacts(): Promise<PageFacts> {
  facts ??= open("/page.json").then(async (response) => (await response.json()) as PageFacts)
  return facts
}

export interface Wanted {
  readonly device: string
  readonly from: number
  readonly to: number
}

export function evidenceAddress({ device, from, to }: Wanted): string {
  return formatAddress("/v1/evidence", { device, from, to })
}

async function load(address: string, signal: AbortSignal) {
  const [panel, response] = await Promise.all([
    import(/* @vite-ignore */ panelAddress) as Promise<Panel>,
    open(address, { signal }),
  ])
  const { body } = response
  if (body === null) throw new Error("an answer without a body")
  const size = response.headers.get("content-length")
  return {
    panel,
    evidence: body as ReadableStream<Uint8Array>,
    sizeBytes: size === null ? null : Number(size),
  }
}

/** Fetches the evidence and verifies it in this browser, step by step before the reader's eyes. */
export async function verifyServed(
  into: HTMLElement,
  address: string,
  trust: TrustGiven,
  signal: AbortSignal,
): Promise<Verdict | null> {
  const { panel, evidence, sizeBytes } = await load(address, signal)
  const verification = panel.startServedVerification({ into, evidence, sizeBytes, trust })
  signal.addEventListener("abort", () => verification.stop())
  return verification.verdict
}

/** The same for one statement, whose bytes and place are told. */
export async function traceServed(
  entry: string,
  address: string,
  trust: TrustGiven,
  signal: AbortSignal,
): Promise<Verdict | null> {
  const { panel, evidence } = await load(address, signal)
  const verification = panel.runServedVerification({ evidence, trust, entry })
  signal.addEventListener("abort", () => verification.stop())
  return verification.verdict
}

/** A link that saves the file; where a key is needed a link cannot give it, so it is fetched. */
export async function download(address: string, name: string): Promise<void> {
  const link = document.createElement("a")
  link.download = name
  const isKeyNeeded = Object.keys(headers()).length > 0
  link.href = isKeyNeeded ? URL.createObjectURL(await (await open(address)).blob()) : address
  link.click()
  if (isKeyNeeded) setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

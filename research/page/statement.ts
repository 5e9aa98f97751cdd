/**
 * A reading's way, from the pixel to the checkpoint: reading, statement, key, leaf, block, checkpoint. The evidence of its
 * block is fetched and verified here, and what is shown of the statement is decoded from its signed bytes by this page.
 */
import { formatHex } from "../../chain/bytes.ts"
import { dumpCbor } from "../../chain/dump.ts"
import { statementShape } from "../../chain/dump-shape.ts"
import { algorithmEd25519 } from "../../chain/key.ts"
import { type Payload, readPayload } from "../../chain/payload.ts"
import { type Series, metricOf } from "../../chain/series.ts"
import { type Statement, decodeStatement } from "../../chain/statement.ts"
import { Problem, ask } from "./answer.ts"
import { type BlockRow } from "./blocks.ts"
import { checkNote } from "./block.ts"
import { type Child, h, replaceChildren } from "./element.ts"
import { type StatementRoute, formatRoute } from "./route.ts"
import {
  type FoundStatement,
  type Verdict,
  evidenceAddress,
  readPageFacts,
  traceServed,
} from "./served-verifier.ts"
import {
  count,
  formatCount,
  formatDuration,
  formatInstant,
  formatUnit,
  formatValue,
  parseInstant,
} from "./time.ts"
import { type Place, empty, fact, heading, loading, sentence, trail } from "./view.ts"

interface BlockDetail extends BlockRow {
  readonly checkpoint: string
}

/** Of `/v1/statements/{entry}`: where a statement stands. */
interface StatementPlace {
  readonly device: string
  readonly block: number | null
}

export async function showStatement({ root, signal }: Place, route: StatementRoute): Promise<void> {
  const title = "From the reading to the checkpoint"
  replaceChildren(root, heading(title, loading("the evidence of its block, and verifying it here")))
  const place = await locate(route, signal)
  const way = trail(
    h("a", { href: "#/" }, "Fleet"),
    h(
      "a",
      { href: formatRoute({ view: "device", device: place.device, from: null, to: null, unsealed: false }) },
      place.device,
    ),
    "a reading",
  )
  if (place.block === null) {
    replaceChildren(
      root,
      way,
      heading(title, null),
      empty(
        "It is not sealed yet",
        "It was accepted and is on disk. The next block seals it, and then this page shows its way to the checkpoint.",
      ),
    )
    return
  }
  const { vkey } = await readPageFacts()
  const range = { device: place.device, from: place.block, to: place.block }
  const [verdict, block] = await Promise.all([
    traceServed(route.entry, evidenceAddress(range), { kind: "vkey", text: vkey }, signal),
    ask<BlockDetail>(`/v1/blocks/${place.block}`, {}, signal),
  ])
  if (verdict === null) return
  replaceChildren(root, way, ...render(title, route, { device: place.device, verdict, block, vkey }))
}

async function locate(
  { entry, device, block }: StatementRoute,
  signal: AbortSignal,
): Promise<StatementPlace> {
  if (device !== null) return { device, block }
  return ask<StatementPlace>(`/v1/statements/${entry}`, {}, signal)
}

interface Scene {
  readonly device: string
  readonly verdict: Verdict
  readonly block: BlockDetail
  readonly vkey: string
}

function render(title: string, route: StatementRoute, scene: Scene): HTMLElement[] {
  const { verdict, device, block, vkey } = scene
  const { result, found } = verdict
  if (result.kind === "refused") {
    return [
      heading(title, null),
      h(
        "section",
        { class: "verdict bad", role: "alert" },
        h("span", { class: "dot" }),
        h("h2", {}, "Its evidence does not verify"),
        h("p", {}, sentence(`${result.what} ${result.rule}`)),
        h("p", {}, "Nothing of this block's evidence should be relied on."),
      ),
    ]
  }
  const decoded = found === null ? null : decodeStatement(found.bytes)
  if (found === null || decoded?.kind !== "statement")
    throw new Problem(404, `block ${block.height} has no statement ${route.entry} of device ${device}`)
  const { statement } = decoded
  const payload = readPayload(statement)
  const reading = findReading(payload, route)
  const checked = checkNote(block, vkey)
  return [
    heading(
      title,
      `Verified in this browser: ${reading === null ? "this statement" : "this reading"} is what device ${device} signed, and it is in the log.`,
      h(
        "a",
        {
          class: "button",
          href: formatRoute({ view: "verify", device, from: block.height, to: block.height }),
        },
        "Verify the whole block",
      ),
    ),
    h(
      "ol",
      { class: "way" },
      reading !== null &&
        step("Reading", "As it stands in the signed bytes.", "good", readingFacts(reading, found)),
      step(
        "Statement",
        `What the device said once, and signed, with ${payload.kind === "readings" ? count(countAll(payload.series), "reading") : "no readings"} in it.`,
        "good",
        statementFacts(statement, route.entry),
        bytesOf(found.bytes),
      ),
      step(
        "Key and signature",
        "The signature verifies under a key that stood for the device at this place of its chain.",
        "good",
        keyFacts(statement),
      ),
      step("Leaf", "The statement's hash is a leaf of the log.", "good", [
        fact("Leaf", formatCount(found.leafIndex)),
        fact("Arrived (UTC)", formatInstant(found.receivedAtMs / 1000, true)),
        fact("Hash of the statement", h("code", {}, route.entry), "wide"),
      ]),
      step("Block", "All leaves of the block together give the root that its manifest signed.", "good", [
        fact(
          "Block",
          h(
            "a",
            { href: formatRoute({ view: "block", height: block.height }) },
            `Block ${formatCount(block.height)}`,
          ),
        ),
        fact("Sealed (UTC)", formatInstant(parseInstant(block.to) ?? 0)),
        fact("Leaves", `${formatCount(block.firstLeaf)} to ${formatCount(block.treeSize - 1)}`),
        fact("Root of the tree", h("code", {}, block.root), "wide"),
      ]),
      step(
        "Checkpoint",
        checked.isGood ? "The log signed this root, with everything before it." : sentence(checked.text),
        checked.isGood ? "good" : "bad",
        [fact("Signed by", h("code", {}, vkey), "wide")],
        h("pre", { tabindex: 0, role: "region", "aria-label": "The checkpoint" }, block.checkpoint),
      ),
    ),
  ]
}

function step(
  title: string,
  plain: string,
  state: "good" | "bad",
  facts: Child,
  ...more: readonly Child[]
): HTMLElement {
  return h(
    "li",
    { "data-state": state },
    h("span", { class: "number", "aria-hidden": "true" }, state === "good" ? "✓" : "!"),
    h("h2", {}, title, h("span", { class: `pill ${state}` }, state === "good" ? "verified" : "wrong")),
    h("p", { class: "plain" }, plain),
    h("div", { class: "sheet" }, h("dl", { class: "facts" }, facts), more),
  )
}

interface FoundReading {
  readonly series: Series
  readonly time: number
  readonly value: number | string | boolean | Uint8Array
}

/** The reading of the address, in the decoded payload; null where none was chosen or it is not there. */
function findReading(payload: Payload, { metric, time }: StatementRoute): FoundReading | null {
  if (payload.kind !== "readings" || metric === null || time === null) return null
  for (const series of payload.series) {
    if (metricOf(series.name) !== metric) continue
    if (series.kind === "waveform") {
      const place = Math.round(((time - series.startsAt) * 1000) / series.periodMs)
      const sample = series.samples[place]
      if (sample === undefined) continue
      return {
        series,
        time: series.startsAt + (place * series.periodMs) / 1000,
        value: sample * series.factor + series.origin,
      }
    }
    // Answers give times to the microsecond.
    const place = series.times.findIndex((one) => Math.abs(one - time) < 0.000_6)
    if (place >= 0) return { series, time: series.times[place]!, value: series.values[place]! }
  }
  return null
}

function countAll(series: readonly Series[]): number {
  return series.reduce(
    (sum, one) => sum + (one.kind === "waveform" ? one.samples.length : one.values.length),
    0,
  )
}

function readingFacts({ series, time, value }: FoundReading, { receivedAtMs }: FoundStatement): Child {
  const shown =
    typeof value === "number"
      ? `${formatValue(value)} ${formatUnit(series.unit)}`
      : value instanceof Uint8Array
        ? formatHex(value)
        : String(value)
  const late = receivedAtMs / 1000 - time
  return [
    fact(metricOf(series.name), h("strong", {}, shown)),
    fact("By the device's clock (UTC)", formatInstant(time, true)),
    fact(
      "Arrived",
      late >= 0 ? `${formatDuration(late)} after` : `${formatDuration(-late)} before, by the service's clock`,
    ),
    series.name !== metricOf(series.name) && fact("Full name", h("code", {}, series.name)),
  ]
}

function statementFacts({ iss, sub, seq, iat, prev }: Statement, entry: string): Child {
  return [
    fact("Device", iss),
    sub !== iss && fact("About", sub),
    fact("Number in its chain", formatCount(seq)),
    fact("Signed (its clock, UTC)", formatInstant(iat)),
    fact("Entry: SHA-256 of its bytes", h("code", {}, entry), "wide"),
    fact(
      "Follows the statement",
      seq === 1 ? "none: it is the first" : h("code", {}, formatHex(prev)),
      "wide",
    ),
  ]
}

function keyFacts({ algorithm, kid, signature }: Statement): Child {
  return [
    fact("Algorithm", algorithm === algorithmEd25519 ? "Ed25519" : "ECDSA on P-256 with SHA-256"),
    fact("Key", h("code", {}, formatHex(kid))),
    fact("Signature", h("code", {}, formatHex(signature)), "wide"),
  ]
}

const linesMax = 60
const bytesPerLineMax = 24

function bytesOf(bytes: Uint8Array): HTMLElement {
  const lines = dumpCbor(bytes, statementShape())
  const text = lines.slice(0, linesMax).map(({ offset, bytes: part, depth, text: says }) => {
    const hex = formatHex(part.subarray(0, bytesPerLineMax)) + (part.length > bytesPerLineMax ? "…" : "")
    return `${String(offset).padStart(5)}  ${hex.padEnd(bytesPerLineMax * 2 + 1)}  ${"  ".repeat(depth)}${says}`
  })
  return h(
    "details",
    {},
    h("summary", {}, `Its ${formatCount(bytes.length)} bytes`),
    h(
      "pre",
      { tabindex: 0, role: "region", "aria-label": "The statement's bytes" },
      text.join("\n") +
        (lines.length > linesMax ? `\n… and ${formatCount(lines.length - linesMax)} more parts` : ""),
    ),
  )
}

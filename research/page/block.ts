/** One block: what it holds, and the checkpoint over it, checked here. */
import { formatHex, parseBase64 } from "../../chain/bytes.ts"
import { parseCheckpoint } from "../../chain/checkpoint.ts"
import { checkCosignature, parseCosignerVkey } from "../../chain/cosignature.ts"
import { parseNote, parseVkey, verifyNote } from "../../chain/note.ts"
import { type AsOf, ask } from "./answer.ts"
import type { BlockRow } from "./blocks.ts"
import { h, replaceChildren } from "./element.ts"
import { showAsOf } from "./fleet.ts"
import { formatRoute } from "./route.ts"
import { readPageFacts } from "./served-verifier.ts"
import { count, formatCount, formatDuration, formatInstant, parseInstant } from "./time.ts"
import { type Place, fact, heading, loading, trail } from "./view.ts"
import { type Witnesses, formatAt, witnessedPill } from "./witnesses.ts"

interface BlockDetail extends BlockRow {
  readonly asOf: AsOf
  readonly size: number
  readonly headsRoot: string
  readonly blocksRoot: string
  readonly arrivalsRoot: string
  readonly checkpoint: string
  readonly cosignatures: readonly { readonly witness: string; readonly vkey: string; readonly at: string }[]
}

export async function showBlock({ root, signal }: Place, height: number): Promise<void> {
  const title = `Block ${formatCount(height)}`
  const way = trail(h("a", { href: "#/blocks" }, "Blocks"), title)
  replaceChildren(root, way, heading(title, loading("the block")))
  const [block, { vkey }, witnesses] = await Promise.all([
    ask<BlockDetail>(`/v1/blocks/${height}`, {}, signal),
    readPageFacts(),
    ask<Witnesses>("/v1/witnesses", {}, signal),
  ])
  showAsOf(block.asOf)
  const from = parseInstant(block.from) ?? 0
  const to = parseInstant(block.to) ?? 0
  const good = checkNote(block, vkey)
  replaceChildren(
    root,
    way,
    heading(
      title,
      `${count(block.statements, "statement")} of ${count(block.devices, "device")} with ${count(block.readings, "reading")}, which arrived from ${formatInstant(from)} to ${formatInstant(to)} UTC.`,
      height > 0 && neighbour(height - 1, "Earlier"),
      height < block.asOf.height && neighbour(height + 1, "Later"),
    ),
    h(
      "dl",
      { class: "facts sheet" },
      fact("Spans", formatDuration(to - from)),
      fact("Leaves", `${formatCount(block.firstLeaf)} to ${formatCount(block.size)}`),
      fact("Tree", count(block.treeSize, "leaf", "leaves")),
      witnesses.policy !== null && fact("Witnessed (UTC)", witnessedPill(block)),
      fact(
        "Readings by the devices' clocks",
        block.earliest === null || block.latest === null
          ? "none"
          : `${formatInstant(parseInstant(block.earliest) ?? 0)} to ${formatInstant(parseInstant(block.latest) ?? 0)}`,
      ),
      fact("Root of the tree", h("code", {}, block.root), "wide"),
      fact("Root of the devices' heads", h("code", {}, block.headsRoot), "wide"),
      fact("Root of the arrivals", h("code", {}, block.arrivalsRoot), "wide"),
      fact("Root of the blocks before", h("code", {}, block.blocksRoot), "wide"),
    ),
    h(
      "section",
      { class: "section" },
      h("h2", {}, "Checkpoint"),
      h(
        "p",
        { class: "hint" },
        "The log's signed word on all of its leaves so far. Keep one elsewhere: whoever changes the past must contradict it.",
      ),
      h("p", { class: "checked" }, h("span", { class: `pill ${good.isGood ? "good" : "bad"}` }, good.text)),
      block.cosignatures.map((one) => {
        const isGood = checkCosigned(block.checkpoint, one.vkey)
        return h(
          "p",
          { class: "checked" },
          h(
            "span",
            { class: `pill ${isGood ? "good" : "bad"}` },
            isGood
              ? `cosigned by ${one.witness} at ${formatAt(one.at)} UTC, checked in this browser`
              : `the cosignature of ${one.witness} does not verify`,
          ),
        )
      }),
      h(
        "pre",
        { class: "sheet", tabindex: 0, role: "region", "aria-label": "The checkpoint" },
        block.checkpoint,
      ),
    ),
  )
}

function neighbour(height: number, text: string): HTMLElement {
  return h("a", { class: "button", href: formatRoute({ view: "block", height }) }, text)
}

/** Whether a witness has cosigned the note, by the key that is said to be its own. */
function checkCosigned(checkpoint: string, vkey: string): boolean {
  const cosigner = parseCosignerVkey(vkey)
  const note = parseNote(checkpoint)
  return cosigner !== null && note !== null && checkCosignature(note, cosigner).kind === "good"
}

/** Whether the note is signed by the log's key, and says what the block says. */
export function checkNote(
  block: { readonly checkpoint: string; readonly treeSize: number; readonly root: string },
  vkey: string,
): { readonly isGood: boolean; readonly text: string } {
  const key = parseVkey(vkey)
  const note = parseNote(block.checkpoint)
  const checkpoint = note === null ? null : parseCheckpoint(note.text)
  if (key === null || note === null || checkpoint === null)
    return { isGood: false, text: "this is no checkpoint" }
  if (verifyNote(note, [key])?.length !== 1) return { isGood: false, text: "not signed by the log's key" }
  const root = parseBase64(block.root)
  const isSame =
    root !== null && formatHex(root) === formatHex(checkpoint.root) && checkpoint.size === block.treeSize
  if (!isSame) return { isGood: false, text: "signed, but it speaks of another tree than the block" }
  return { isGood: true, text: "signature checked in this browser" }
}

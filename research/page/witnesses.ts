/** Witnesses of other organisations: who is asked, how far each has come, and whether a block is witnessed. */
import { h } from "./element.ts"
import { formatRoute } from "./route.ts"
import { count, formatCount, formatInstant, parseInstant } from "./time.ts"

/** What `/v1/witnesses` answers, as far as this page reads it. */
export interface Witnesses {
  /** Null: nobody is asked. */
  readonly policy: string | null
  readonly quorum: string | null
  readonly witnesses: readonly {
    readonly name: string
    readonly vkey: string
    readonly height: number | null
    readonly at: string | null
  }[]
  readonly witnessed: { readonly height: number; readonly at: string } | null
  readonly unwitnessed: number
}

export function formatAt(iso: string): string {
  return formatInstant(parseInstant(iso) ?? 0)
}

export function witnessedPill({ witnessed }: { readonly witnessed: string | null }): HTMLElement {
  return witnessed === null
    ? h("span", { class: "pill warn" }, "not yet")
    : h("span", { class: "pill good" }, formatAt(witnessed))
}

export function describeWitnesses({ witnesses, quorum, witnessed, unwitnessed }: Witnesses): HTMLElement {
  const state =
    unwitnessed === 0
      ? "All blocks are witnessed."
      : `${count(unwitnessed, "block")} ${unwitnessed === 1 ? "is" : "are"} sealed and not witnessed yet${witnessed === null ? "" : `; the last that is, is block ${formatCount(witnessed.height)}`}.`
  return h(
    "section",
    { class: "section" },
    h("h2", { id: "witnesses" }, "Witnesses"),
    h(
      "p",
      { class: "hint" },
      `Other organisations cosign a checkpoint if the log has only grown since they last looked. A block is witnessed when the operator's quorum (${quorum ?? "none"}) has cosigned it or a later one. ${state} Whose word counts for you, your own policy says.`,
    ),
    h(
      "div",
      {
        class: "sheet table-frame cards",
        role: "region",
        tabindex: 0,
        "aria-labelledby": "witnesses",
      },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Witness", "Key", "Last cosigned", "When (UTC)"].map((text) => h("th", { scope: "col" }, text)),
          ),
        ),
        h(
          "tbody",
          {},
          witnesses.map(({ name, vkey, height, at }) =>
            h(
              "tr",
              {},
              h("td", { class: "whole" }, name),
              h(
                "td",
                { "data-label": "Key" },
                h("code", { title: vkey }, vkey.split("+").slice(0, 2).join("+")),
              ),
              h(
                "td",
                { "data-label": "Last cosigned" },
                height === null
                  ? h("span", { class: "pill warn" }, "nothing yet")
                  : h("a", { href: formatRoute({ view: "block", height }) }, `Block ${formatCount(height)}`),
              ),
              h("td", { class: "when", "data-label": "When" }, at === null ? "–" : formatAt(at)),
            ),
          ),
        ),
      ),
    ),
  )
}

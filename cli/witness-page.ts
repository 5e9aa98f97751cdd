/** The page of a witness: who it is, which logs it has seen, and what a log's operator writes down to be cosigned by it. */
import { createHash } from "node:crypto"
import { type Cosigner, formatCosignerVkey } from "../chain/cosignature.ts"

/** A log, as JSON shows it too. */
export interface SeenLog {
  readonly origin: string
  readonly vkeys: readonly string[]
  /** Under the witness's own prefix; null where nothing was cosigned. */
  readonly checkpoint: string | null
  readonly size: number | null
  /** Base64. */
  readonly root: string | null
  /** ISO time. */
  readonly cosignedAt: string | null
  /** Split views that anybody can check, under the witness's own prefix: the log has signed two histories. */
  readonly splits: readonly string[]
}

export interface WitnessPage {
  readonly cosigner: Cosigner
  readonly logs: readonly SeenLog[]
  /** Requests since this process started, by verdict. */
  readonly counts: ReadonlyMap<string, number>
  readonly nowMs: number
}

const style = `
:root { color-scheme: light dark; --ink: #16232e; --ink-2: #50616e; --sheet: #fff; --ground: #f3f6f7; --line: #d6dfe3;
  --tide: #0b6b74; --bad: #a3231c; --bad-soft: #fbeae8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4ecef; --ink-2: #9fb0ba; --sheet: #17222b; --ground: #0f181f;
  --line: #2b3a45; --tide: #57bcc5; --bad: #ff9c92; --bad-soft: #3a1d1b } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1080px; padding: 32px 20px 56px; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 4px; letter-spacing: -.01em; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 32px 0 10px }
p { margin: 0 0 10px; color: var(--ink-2); max-width: 75ch }
code, pre { font: .875rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
pre { margin: 0; padding: 12px 14px; white-space: pre-wrap; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 8px }
.frame { overflow-x: auto; background: var(--sheet); border: 1px solid var(--line); border-radius: 8px }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: 10px 14px; border-bottom: 1px solid var(--line); vertical-align: top }
tr:last-child td { border-bottom: 0 }
th { color: var(--ink-2); font-weight: 500; font-size: .875rem }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
a { color: var(--tide) }
.split a { color: inherit }
.split code { color: inherit }
.split { margin: 0 0 12px; padding: 12px 14px; border: 1px solid var(--bad); border-radius: 8px;
  background: var(--bad-soft); color: var(--bad) }
`

/** Nothing but this page's own style. */
export const pagePolicy = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

export function formatWitnessPage({ cosigner, logs, counts, nowMs }: WitnessPage): string {
  const vkey = formatCosignerVkey(cosigner)
  const cosigned = counts.get("cosign") ?? 0
  const others = [...counts].filter(([kind]) => kind !== "cosign")
  const refused = others.reduce((sum, [, count]) => sum + count, 0)
  const reasons = others.map(([kind, count]) => `${kind} ${count}`).join(", ")
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Witness ${escape(cosigner.name)}</title>
<style>${style}</style>
<h1>Witness ${escape(cosigner.name)}</h1>
<p>It cosigns a log's checkpoint when that contains all that it has seen of the log before, and nothing else. Who reads a
log and demands this cosignature sees the same log as this witness.</p>
${logs.map(formatSplits).join("")}
<h2 id="logs">Logs</h2>
${logs.length === 0 ? "<p>No log yet.</p>" : formatLogs(logs, nowMs)}
<h2>Its key</h2>
<pre>${escape(vkey)}</pre>
<h2>To be cosigned by it</h2>
<p>The operator of a log gives this witness the log's verifier key, and writes into the policy of
<code>tidemark up --witnesses</code>, with the address of this page:</p>
<pre>witness ${escape(lastPart(cosigner.name))} ${escape(vkey)} https://…/</pre>
<h2>Since this process started</h2>
<p>${formatCount(cosigned)} cosigned, ${formatCount(refused)} refused${refused === 0 ? "" : ` (${escape(reasons)})`}.
The same for programs: <a href="logs.json">logs.json</a>, <a href="metrics">metrics</a>.</p>
</html>
`
}

function formatSplits({ origin, splits }: SeenLog): string {
  if (splits.length === 0) return ""
  const links = splits.map((path) => `<a href="${path}">${path.slice(path.lastIndexOf("/") + 1)}</a>`)
  return `<p class="split" role="alert"><strong>${escape(origin)} has signed two histories.</strong> The proof, by the sizes
of its two checkpoints: ${links.join(", ")}. Anybody who knows the log's key checks it with <code>tidemark verify</code>.</p>`
}

function formatLogs(logs: readonly SeenLog[], nowMs: number): string {
  const rows = logs.map(({ origin, size, root, cosignedAt, checkpoint }) => {
    const seen =
      checkpoint === null || size === null || root === null || cosignedAt === null
        ? `<td class="number">-</td><td>nothing cosigned yet</td><td></td>`
        : `<td class="number">${formatCount(size)}</td><td><time datetime="${cosignedAt}">${cosignedAt.replace("T", " ").replace(/\.\d+Z$/, "")}</time><br>${formatAgo(nowMs - Date.parse(cosignedAt))}</td><td><a href="${checkpoint}">checkpoint</a><br><code>${escape(root)}</code></td>`
    return `<tr><td>${escape(origin)}</td>${seen}</tr>`
  })
  return `<div class="frame" role="region" tabindex="0" aria-labelledby="logs"><table>
<tr><th scope="col">Log</th><th scope="col" class="number">Leaves</th><th scope="col">Cosigned (UTC)</th><th scope="col">Checkpoint and root</th></tr>
${rows.join("\n")}
</table></div>`
}

/** In a policy a witness needs a name without spaces; the last part of its own is one. */
function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1)
}

function formatCount(count: number): string {
  return count.toLocaleString("en-US")
}

function formatAgo(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return "less than a minute ago"
  if (minutes < 120) return `${minutes} min ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`
}

function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
}

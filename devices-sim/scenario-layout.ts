/** What is wrong with a scenario's text before it can be read as YAML, in the words of a scenario. */
import type { YAMLError } from "yaml"

/** A line that stands where something may begin. */
interface Level {
  /** Spaces before it. */
  readonly indent: number
  readonly kind: "member" | "item"
  /** The member whose list or map this is; empty: the scenario itself. */
  readonly of: string
}

const aboutLayout = new Set(["BAD_INDENT", "MISSING_CHAR", "BLOCK_AS_IMPLICIT_KEY", "MULTILINE_IMPLICIT_KEY"])

/** @param line of the error, from 1 @returns the line that is meant, and what is wrong with it */
export function explainLayout(
  text: string,
  line: number,
  { code, message }: Pick<YAMLError, "code" | "message">,
): { readonly line: number; readonly rule: string } {
  if (code === "TAB_AS_INDENT") return { line, rule: "is indented by a tab: indent with spaces" }
  if (aboutLayout.has(code)) {
    const lines = text.split("\n")
    // YAML complains about the value before a line that is too far to the right.
    for (const at of [line, nextLine(lines, line)]) {
      const rule = at === null ? null : findMisplaced(lines, at)
      if (at !== null && rule !== null) return { line: at, rule }
    }
    if (code === "BLOCK_AS_IMPLICIT_KEY")
      return { line, rule: 'has a value with ": " in it: put it in quotes' }
    if (message.startsWith("Implicit map keys"))
      return { line, rule: "is neither a member (name: value) nor an item of a list (- value)" }
  }
  return { line, rule: message }
}

function nextLine(lines: readonly string[], line: number): number | null {
  for (let at = line + 1; at <= lines.length; at++) if (isText(lines[at - 1]!)) return at
  return null
}

function isText(line: string): boolean {
  return /^\s*[^\s#]/.test(line)
}

const indentOf = (line: string): number => line.length - line.trimStart().length

/** Why this line cannot stand after those before it; null: it can, by how far it is indented. */
function findMisplaced(lines: readonly string[], at: number): string | null {
  const line = lines[at - 1] ?? ""
  if (!isText(line)) return null
  const { levels, isOpen } = levelsBefore(lines, at)
  const indent = indentOf(line)
  const isItem = line.trimStart().startsWith("- ")
  const deepest = levels.at(-1)
  if (deepest === undefined || (isOpen && indent >= deepest.indent)) return null
  const same = levels.findLast((level) => level.indent === indent)
  if (same !== undefined && (same.kind === "item") === isItem) return null
  const places = levels
    .toReversed()
    .map(({ indent: spaces, kind, of }) =>
      kind === "item"
        ? `${spaces} for the next item ("- ") of ${of}`
        : `${spaces} for the next member of ${of === "" ? "the scenario" : of}`,
    )
  const what =
    same === undefined
      ? `is indented by ${indent} ${indent === 1 ? "space" : "spaces"}, where nothing can stand`
      : isItem
        ? 'is an item ("- ") where a member stands'
        : 'stands where an item begins, and has no "- "'
  return `${what}: indent it by ${places.join(", ")}`
}

/** Where something may begin after the lines before, the outermost first. */
function levelsBefore(
  lines: readonly string[],
  at: number,
): { readonly levels: readonly Level[]; readonly isOpen: boolean } {
  let levels: Level[] = []
  let isOpen = false
  let opener = ""
  for (const line of lines.slice(0, at - 1)) {
    if (!isText(line)) continue
    const indent = indentOf(line)
    const [, dash = "", name = "", rest = ""] = /^\s*(- +)?([^\s:#]+)?(?::(?=\s|$))?(.*)$/.exec(line) ?? []
    levels = levels.filter((level) => level.indent <= indent)
    const parent = levels.findLast((level) => level.indent < indent)
    const known = levels.find((level) => level.indent === indent)
    const of = known?.of ?? (isOpen ? opener : (parent?.of ?? ""))
    if (known === undefined) levels.push({ indent, kind: dash === "" ? "member" : "item", of })
    const isMember = new RegExp(`^\\s*(- +)?[^\\s:#]+:(\\s|$)`).test(line)
    if (dash !== "" && isMember)
      levels.push({ indent: indent + dash.length, kind: "member", of: "that item" })
    isOpen = isMember && /^\s*(#.*|[|>][+-]?\s*)?$/.test(rest)
    if (isOpen) opener = name
  }
  return { levels, isOpen }
}

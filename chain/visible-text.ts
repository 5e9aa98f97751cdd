/**
 * Text by others, made safe to look at: a terminal obeys control characters (C0, DEL, C1), and marks of direction (UAX #9)
 * make what stands next to them read otherwise than it is.
 */
const ranges = String.raw`\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff`
const obeyed = new RegExp(`[${ranges}]`, "g")
/** Line ends, tabs, and the colours that our own tables set. */
const kept = String.raw`\n|\t|\u001b\[(?:0|3[123]|90)m`
const obeyedInLines = new RegExp(`${kept}|[${ranges}]`, "g")
/** In a text of JSON: pairs of backslashes stay, and so do escapes of other characters. */
const obeyedInJson = new RegExp(String.raw`\\\\|\\u00(?:[01][0-9a-f]|7f)|\\[bfr]|[${ranges}]`, "gi")

/** Each such character as `\u009b`. */
export function showControls(text: string): string {
  return text.replace(obeyed, escapeOf)
}

/**
 * The same for whole output: lines, tabs and our own colours stay. JSON stays JSON and says the same, since nothing but a
 * string can hold such a character there.
 */
export function showControlsInLines(text: string): string {
  return text.replace(obeyedInLines, (found) =>
    found === "\n" || found === "\t" || found.length > 1 ? found : escapeOf(found),
  )
}

/** Escapes a text of JSON that will be parsed and shown: its strings then hold `\u009b` as text. */
export function showControlsInJson(json: string): string {
  return json.replace(obeyedInJson, (found) => {
    if (found === "\\\\" || found === "\n") return found
    return found.length > 1 ? `\\${found}` : `\\${escapeOf(found)}`
  })
}

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
}

/** Text that somebody else made, as it may stand in a line for a person. */

/** Characters of such a text; a topic of 65,535 bytes does not fill a log. */
const lengthMax = 100

/**
 * The text in quotes, at most 100 characters of it. Controls, direction marks and anything else that a terminal obeys or
 * does not show are escaped, so that a line says what was sent and does nothing.
 */
export function showText(text: string): string {
  const shown = JSON.stringify(text.slice(0, lengthMax)).replaceAll(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, escape)
  return text.length > lengthMax ? `${shown}… (${text.length} characters)` : shown
}

function escape(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`
}

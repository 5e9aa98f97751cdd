/** What no parameter of any route may be, before its own rules are asked. */
import { invalidParameter } from "./problem.ts"

/** Postgres has no text with U+0000, and no program has a use for one. */
export function checkTexts(parameters: unknown): void {
  for (const [name, value] of Object.entries(parameters ?? {}))
    for (const text of Array.isArray(value) ? (value as unknown[]) : [value])
      if (typeof text === "string" && text.includes("\0"))
        throw invalidParameter(nameOf(name), "must be without the character U+0000")
}

/** `1e309` is read as infinite. */
export function checkNumbers(parameters: unknown): void {
  for (const [name, value] of Object.entries(parameters ?? {}))
    if (typeof value === "number" && !Number.isFinite(value))
      throw invalidParameter(name, "must be a number that a double holds")
}

/** A name or an address, and a port. */
const hostPattern = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/

/** Links are made of it. HTTP/1.0 may go without. */
export function checkHost(host: string | undefined, isOld: boolean): void {
  if (host === undefined || host === "") {
    if (isOld) return
  } else if (hostPattern.test(host)) return
  throw invalidParameter("Host", "must be a name or an address, with a port where it is another than 80")
}

function nameOf(name: string): string {
  return name.replaceAll("\0", "")
}

/** The Accept header, for whoever gives one thing under more than one name. */
import { Problem } from "./problem.ts"

/** Bytes of any kind, under the one name that every generated client can read. */
export const octetStream = "application/octet-stream"

/** Types of an Accept header, the ones that are wanted most first. */
export function wantedTypes(accept: string): string[] {
  return accept
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase())
      const quality = parameters.find((one) => one.startsWith("q="))
      return { type, quality: quality === undefined ? 1 : Number(quality.slice(2)) }
    })
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality)
    .map(({ type }) => type)
}

/** The type that is wanted most; the first of ours where any will do. A problem where none is. */
export function chooseType<Type extends string>(
  accept: string | undefined,
  types: readonly [Type, ...Type[]],
): Type {
  if (accept === undefined || accept.trim() === "") return types[0]
  for (const wanted of wantedTypes(accept)) {
    const type = types.find((one) => one === wanted)
    if (type !== undefined) return type
    if (wanted === "*/*" || wanted === "application/*") return types[0]
  }
  throw new Problem("not-acceptable", {
    detail: "none of the types in Accept is made here",
    parameter: "Accept",
    rule: `must have one of ${types.join(", ")}`,
  })
}

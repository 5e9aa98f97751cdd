/** Where something stands in a scenario's text, so that what is wrong with it can be found. */
import { type Document, type LineCounter, isMap, isNode, isPair, isScalar } from "yaml"

export interface ScenarioFault {
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** Where in the document: `groups[0].devices`; empty: the document itself. */
  readonly path: string
  readonly rule: string
}

export type Path = readonly (string | number)[]

/** `file:3:5: groups[0].devices must be …` */
export function formatScenarioFault(file: string, { line, column, path, rule }: ScenarioFault): string {
  return `${file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${rule}`
}

/** Where things stand in the text. */
export class Places {
  private readonly document: Document
  private readonly lines: LineCounter

  constructor(document: Document, lines: LineCounter) {
    this.document = document
    this.lines = lines
  }

  /** @param key of a member of what is at `path`: the place of its name */
  fault(path: Path, rule: string, key: string | null = null): ScenarioFault {
    const { line, col } = this.lines.linePos(this.offsetOf(path, key))
    const named = key === null ? path : [...path, key]
    return { line: Math.max(1, line), column: Math.max(1, col), path: formatPath(named), rule }
  }

  private offsetOf(path: Path, key: string | null): number {
    const node = path.length === 0 ? this.document.contents : this.document.getIn(path, true)
    if (key !== null && isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === key)
      if (pair !== undefined && isNode(pair.key) && pair.key.range != null) return pair.key.range[0]
    }
    if (isNode(node) && node.range != null) return node.range[0]
    return path.length === 0 ? 0 : this.offsetOf(path.slice(0, -1), null)
  }
}

function formatPath(path: Path): string {
  return path.map((key, at) => (typeof key === "number" ? `[${key}]` : at === 0 ? key : `.${key}`)).join("")
}

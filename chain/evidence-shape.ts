/** What the items of an evidence file are called (FORMAT.md §8). */
import { formatHex } from "./bytes.ts"
import type { Shape } from "./dump.ts"
import { statementShape } from "./dump-shape.ts"
import type { EvidenceItem } from "./evidence.ts"

const hex: Shape["says"] = (value) => (value instanceof Uint8Array ? formatHex(value) : null)
const nodes: Shape["says"] = (value) =>
  value instanceof Uint8Array ? `${value.length / 32} nodes of 32 bytes` : null
const text: Shape["says"] = (value) =>
  value instanceof Uint8Array ? new TextDecoder().decode(value).trimEnd().replaceAll("\n", " | ") : null
const time: Shape["says"] = (value) =>
  typeof value === "number" && value <= 8.64e15 ? new Date(value).toISOString() : null

const names: Readonly<Record<EvidenceItem["kind"], readonly Shape[]>> = {
  head: [
    { name: "magic" },
    { name: "version" },
    { name: "origin" },
    { name: "device" },
    { name: "first block" },
    { name: "last block" },
    { name: "checkpoint", says: text },
    { name: "manifests before", says: nodes },
  ],
  gap: [
    { name: "kind" },
    { name: "leaves" },
    { name: "of the log", says: nodes },
    { name: "of the arrivals", says: nodes },
  ],
  operator: [{ name: "kind" }, { name: "statement" }, { name: "arrival", says: time }],
  device: [{ name: "kind" }, { name: "statement" }, { name: "arrival", says: time }],
  manifest: [
    { name: "kind" },
    { name: "statement" },
    { name: "the device's seq" },
    { name: "its entry", says: hex },
    { name: "its last registry statement", says: hex },
    { name: "blind", says: hex },
    { name: "path", says: nodes },
    { name: "manifests behind", says: nodes },
  ],
}

export function evidenceShape(kind: EvidenceItem["kind"]): Shape {
  const members = names[kind]
  return {
    name: kind,
    items: (index) => {
      const shape = members[index] ?? {}
      return shape.name === "statement" ? { ...shape, inside: () => statementShape() } : shape
    },
  }
}

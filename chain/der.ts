/** As much of DER (X.690) as a key file needs. */
export interface DerItem {
  readonly tag: number
  readonly content: Uint8Array
  /** Of a constructed item; empty for a primitive one. */
  readonly children: readonly DerItem[]
}

/** The one item that fills these bytes; null for anything else. */
export function readDer(bytes: Uint8Array): DerItem | null {
  const items = readItems(bytes, depthMax)
  return items?.length === 1 ? items[0]! : null
}

/** PKCS #8 nests three deep. Each level costs a frame of the stack. */
const depthMax = 8

function readItems(bytes: Uint8Array, depthLeft: number): DerItem[] | null {
  if (depthLeft === 0) return null
  const items: DerItem[] = []
  let offset = 0
  while (offset < bytes.length) {
    const tag = bytes[offset]!
    let length = bytes[offset + 1]
    if (length === undefined) return null
    offset += 2
    if (length >= 0x80) {
      // A key file never needs more than two bytes of length.
      const sizeBytes = length & 0x7f
      if (sizeBytes < 1 || sizeBytes > 2 || offset + sizeBytes > bytes.length) return null
      length = sizeBytes === 1 ? bytes[offset]! : bytes[offset]! * 256 + bytes[offset + 1]!
      offset += sizeBytes
    }
    if (offset + length > bytes.length) return null
    const content = bytes.subarray(offset, offset + length)
    const children = (tag & 0x20) !== 0 ? readItems(content, depthLeft - 1) : []
    if (children === null) return null
    items.push({ tag, content, children })
    offset += length
  }
  return items
}

/** Byte strings: compare, join, and to and from hex and base64. Texts are strict: what decodes encodes to the same text. */

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}

/** Order by unsigned bytes, a shorter string first where it is a prefix of the other. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let index = 0; index < shared; index++) {
    const difference = a[index]! - b[index]!
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

export function joinBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const joined = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

const hexDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/** Lower-case hex. */
export function formatHex(bytes: Uint8Array): string {
  let text = ""
  for (const byte of bytes) text += hexDigits[byte]
  return text
}

/** The bytes of an even number of hex digits of either case; null for anything else. */
export function parseHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null
  const bytes = new Uint8Array(text.length / 2)
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16)
  }
  return bytes
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/** Standard base64 with padding (RFC 4648 §4). */
export function formatBase64(bytes: Uint8Array): string {
  let text = ""
  for (let index = 0; index < bytes.length; index += 3) {
    const left = bytes.length - index
    const group = (bytes[index]! << 16) | ((bytes[index + 1] ?? 0) << 8) | (bytes[index + 2] ?? 0)
    text += base64Alphabet[group >> 18]! + base64Alphabet[(group >> 12) & 63]!
    text += left > 1 ? base64Alphabet[(group >> 6) & 63]! : "="
    text += left > 2 ? base64Alphabet[group & 63]! : "="
  }
  return text
}

/** The bytes of standard base64 with its padding and with zero spare bits; null for anything else. */
export function parseBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  for (let index = 0, offset = 0; index < text.length; index += 4) {
    let group = 0
    for (let place = 0; place < 4; place++) {
      const digit = base64Alphabet.indexOf(text[index + place]!)
      group = (group << 6) | (digit < 0 ? 0 : digit)
    }
    for (let shift = 16; shift >= 0 && offset < bytes.length; shift -= 8)
      bytes[offset++] = (group >> shift) & 255
  }
  // Spare bits that are not zero would give one value two texts.
  return formatBase64(bytes) === text ? bytes : null
}

/** The bytes of base64url without padding (RFC 4648 §5, as in JWK); null for anything else. */
export function parseBase64url(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return null
  const standard = text.replaceAll("-", "+").replaceAll("_", "/")
  return parseBase64(standard + "=".repeat((4 - (standard.length % 4)) % 4))
}

/** Base64url without padding (RFC 4648 §5). */
export function formatBase64url(bytes: Uint8Array): string {
  return formatBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

const utf8Encoder = new TextEncoder()

export function encodeUtf8(text: string): Uint8Array {
  return utf8Encoder.encode(text)
}

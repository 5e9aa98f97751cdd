/**
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): the line or block that a balancer puts in front of
 * a connection's bytes to say whose connection it is. Only behind a flag: who may reach the port may claim any address.
 */
import { isIP } from "node:net"

export type ProxyHeader =
  | { readonly kind: "short" } // more bytes are needed to know
  | { readonly kind: "malformed"; readonly rule: string }
  | {
      readonly kind: "header"
      /** Bytes of the header: what follows is the client's. */
      readonly size: number
      /** Null where the proxy does not say: its own health check (LOCAL), UNKNOWN, or a family that is not IP. */
      readonly address: string | null
    }

/** Section 2.1: the longest line with CR and LF. */
const lineSizeMax = 107
/** Section 2.2: 16 bytes, then what their last two say; more than this has no use, and is refused. */
const blockSizeMax = 16 + 4096

const signatureV1 = [...new TextEncoder().encode("PROXY ")]
const signatureV2 = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

const short = { kind: "short" } as const
const malformed = (rule: string): ProxyHeader => ({ kind: "malformed", rule })

/** Reads the header that `bytes` begin with. Asked again with more bytes after `short`; at most 4,112 are ever wanted. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader {
  if (beginsLike(bytes, signatureV1)) return bytes.length < signatureV1.length ? short : parseLine(bytes)
  if (beginsLike(bytes, signatureV2)) return parseBlock(bytes)
  return malformed("no PROXY header")
}

/** Whether `bytes`, as far as they go, are those of `signature`. */
function beginsLike(bytes: Uint8Array, signature: readonly number[]): boolean {
  return signature.every((byte, index) => index >= bytes.length || bytes[index] === byte)
}

/** Section 2.1. */
function parseLine(bytes: Uint8Array): ProxyHeader {
  const end = bytes.subarray(0, lineSizeMax).indexOf(0x0a)
  if (end < 0) return bytes.length >= lineSizeMax ? malformed("a line has at most 107 bytes") : short
  if (bytes[end - 1] !== 0x0d) return malformed("a line ends in CR LF")
  const line = String.fromCharCode(...bytes.subarray(signatureV1.length, end - 1))
  const size = end + 1
  // "UNKNOWN" may be followed by anything, which is to be ignored.
  if (/^UNKNOWN(?: [ -~]*)?$/.test(line)) return { kind: "header", size, address: null }
  const [family, from, to, ...ports] = line.split(" ")
  const version = family === "TCP4" ? 4 : family === "TCP6" ? 6 : null
  if (version === null) return malformed("a line is about TCP4, TCP6 or UNKNOWN")
  if (from === undefined || to === undefined || isIP(from) !== version || isIP(to) !== version)
    return malformed("an address is not of the family")
  if (ports.length !== 2 || !ports.every(isPort)) return malformed("a port is not a number up to 65535")
  return { kind: "header", size, address: from }
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535
}

/** Section 2.2. */
function parseBlock(bytes: Uint8Array): ProxyHeader {
  const versionAndCommand = bytes[12]
  if (versionAndCommand === undefined) return short
  if (versionAndCommand !== 0x20 && versionAndCommand !== 0x21)
    return malformed("version 2 with LOCAL or PROXY")
  const [, familyByte, high, low] = bytes.subarray(12, 16)
  if (familyByte === undefined || high === undefined || low === undefined) return short
  const [family, transport] = [familyByte >> 4, familyByte & 0x0f]
  if (family > 3 || transport > 2) return malformed("a family or transport that there is not")
  const size = 16 + high * 256 + low
  if (size > blockSizeMax) return malformed(`a block has at most ${blockSizeMax} bytes here`)
  // Of LOCAL the addresses are to be ignored; it is the proxy itself that speaks.
  const isLocal = versionAndCommand === 0x20
  const isNamed = !isLocal && (family === 1 || family === 2) && transport === 1
  const addressesSize = family === 1 ? 12 : 36
  if (isNamed && size < 16 + addressesSize) return malformed("a block too short for its addresses")
  if (bytes.length < size) return short
  if (!isNamed) return { kind: "header", size, address: null }
  const address = family === 1 ? formatV4(bytes.subarray(16, 20)) : formatV6(bytes.subarray(16, 32))
  return { kind: "header", size, address }
}

function formatV4(bytes: Uint8Array): string {
  return [...bytes].join(".")
}

/** Not shortened, except that an IPv4 address in IPv6 is written as such: one peer has one name. */
function formatV6(bytes: Uint8Array): string {
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255
  if (isMapped) return formatV4(bytes.subarray(12))
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16),
  )
  return groups.join(":")
}

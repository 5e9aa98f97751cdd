/** Under which name a caller's address is counted. */
import { isIP } from "node:net"

/** IPv4 as it is; of IPv6 the first 64 bits, since anyone who has one address there has 2^64 of them. */
export function sourceOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=[0-9.]+$)/i, "").split("%")[0]!
  if (isIP(plain) !== 6) return plain
  const [before = "", after = ""] = plain.split("::")
  const head = before.split(":").filter((group) => group !== "")
  const tail = after.split(":").filter((group) => group !== "")
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => "0")
  const groups = plain.includes("::") ? [...head, ...zeros, ...tail] : head
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`
}

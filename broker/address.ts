import { isIP } from "node:net"

/** Whether nobody but this machine can reach what listens on `host`. */
export function isLoopback(host: string): boolean {
  const address = stripMapping(host)
  return host === "localhost" || address === "::1" || (isIP(address) === 4 && address.startsWith("127."))
}

/**
 * Under which name a peer's connections are counted: an IPv4 address as it is, and of IPv6 the first 64 bits, since who
 * has one address there has 2^64 of them.
 */
export function sourceOf(address: string): string {
  const plain = stripMapping(address)
  if (isIP(plain) !== 6) return plain
  const [head = "", tail] = (plain.split("%")[0] ?? "").split("::")
  const before = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const groups = [...before, ...Array.from({ length: Math.max(0, zeros) }, () => "0"), ...after]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`
}

/** `::ffff:192.0.2.1`, as a socket that listens for both families names a peer of IPv4. */
function stripMapping(address: string): string {
  return /^::ffff:([0-9.]+)$/i.exec(address)?.[1] ?? address
}

import { showText } from "../chain/shown-text.ts"

/** FORMAT §1, iss. */
export const deviceIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$/

/** Whether `clientId` may be a device's id (FORMAT §1, iss). */
export function isDeviceId(clientId: string): boolean {
  return deviceIdPattern.test(clientId)
}

/** Where a device publishes its statements, and asks for its head by an empty message (FORMAT §5). */
export function statementsTopic(deviceId: string): string {
  return `v1/${deviceId}/statements`
}

/** Where a device hears its receipts (FORMAT §5). */
export function receiptsTopic(deviceId: string): string {
  return `v1/${deviceId}/receipts`
}

/** Where a device asks for the receipt of a sealed statement, and hears it. */
export function sealedTopic(deviceId: string): string {
  return `v1/${deviceId}/sealed`
}

/** For the device's maker: why a message to this topic is not taken, and which topic was probably meant. */
export function explainPublish(topic: string, device: string, isSealedAnswered: boolean): string {
  const own = isSealedAnswered ? [statementsTopic(device), sealedTopic(device)] : [statementsTopic(device)]
  const rule = `${device} publishes to ${own.join(" and ")} only`
  const why =
    countTypos(topic, receiptsTopic(device)) <= 1
      ? "receipts are what the service publishes"
      : explainTopic(topic, device, own)
  return `a message to ${showText(topic)}: ${why === null ? "" : `${why}; `}${rule}`
}

/** The same of a subscription. */
export function explainSubscribe(topic: string, device: string, isSealedAnswered: boolean): string {
  const own = isSealedAnswered ? [receiptsTopic(device), sealedTopic(device)] : [receiptsTopic(device)]
  const rule = `${device} subscribes to ${own.join(" and ")} only`
  const why =
    countTypos(topic, statementsTopic(device)) <= 1
      ? "statements are handed to nobody"
      : /[+#]/.test(topic)
        ? "there are no wildcards"
        : explainTopic(topic, device, own)
  return `a subscription to ${showText(topic)}: ${why === null ? "" : `${why}; `}${rule}`
}

/** Letters that may be wrong in a topic that is still taken for a known one. */
const typosMax = 3

function explainTopic(topic: string, device: string, own: readonly string[]): string | null {
  const other = /^v1\/([^/]+)\/(?:statements|receipts|sealed)$/.exec(topic)?.[1]
  if (other !== undefined && other !== device)
    return `that topic is of device ${showText(other)}, and this client id is ${device}`
  const [near] = own
    .map((known) => ({ known, typos: countTypos(topic, known) }))
    .filter(({ typos }) => typos <= typosMax)
    .toSorted((a, b) => a.typos - b.typos)
  return near === undefined ? null : `did you mean ${near.known}?`
}

/** Levenshtein's distance, or more than `typosMax` where the lengths alone say so. */
function countTypos(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > typosMax) return Infinity
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

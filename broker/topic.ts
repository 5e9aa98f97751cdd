const deviceIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$/

/** Whether `clientId` may be a device's id (PROTOCOL §1, iss). */
export function isDeviceId(clientId: string): boolean {
  return deviceIdPattern.test(clientId)
}

/** Where a device publishes its statements, and asks for its head by an empty message (PROTOCOL §5). */
export function statementsTopic(deviceId: string): string {
  return `v1/${deviceId}/statements`
}

/** Where a device hears its receipts (PROTOCOL §5). */
export function receiptsTopic(deviceId: string): string {
  return `v1/${deviceId}/receipts`
}

/** Where a device asks for the receipt of a sealed statement, and hears it. */
export function sealedTopic(deviceId: string): string {
  return `v1/${deviceId}/sealed`
}

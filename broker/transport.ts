import { isLoopback } from "./address.ts"

/** MQTT over TCP, over TLS, over WebSocket, over WebSocket and TLS. */
export type Transport = "mqtt" | "mqtts" | "ws" | "wss"
export const transports: readonly Transport[] = ["mqtt", "mqtts", "ws", "wss"]

export const isSecure = (transport: Transport): boolean => transport === "mqtts" || transport === "wss"
export const isWeb = (transport: Transport): boolean => transport === "ws" || transport === "wss"

/** What may be done outside loopback. */
export interface Exposure {
  /** Asked for by name. */
  readonly isPlaintextAllowed: boolean
  /** Asked for by name. */
  readonly isAnonymousAllowed: boolean
  readonly isLoginRequired: boolean
}

/**
 * Why these may not be listened on, or null: what travels in the clear, and what lets anybody be any device, has to be
 * asked for by name outside loopback.
 */
export function findExposureFault(
  listeners: readonly { readonly transport: Transport; readonly host: string }[],
  { isPlaintextAllowed, isAnonymousAllowed, isLoginRequired }: Exposure,
): string | null {
  for (const { transport, host } of listeners) {
    if (isLoopback(host)) continue
    if (!isSecure(transport) && !isPlaintextAllowed) {
      return `${transport} on ${host}, which is no loopback address, has no TLS, so that anybody on the way can read it: it must be allowed by name`
    }
    if (!isLoginRequired && !isAnonymousAllowed) {
      return `${transport} on ${host}, which is no loopback address, demands no login, so that anybody may connect as any device: it must be allowed by name`
    }
  }
  return null
}

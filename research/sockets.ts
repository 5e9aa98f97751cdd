/** How many sockets HTTP holds, in all and by address: descriptors are MQTT's too. */
import type { Server } from "node:http"
import type { Socket } from "node:net"
import type { HttpCounters } from "./counters.ts"
import type { Callers } from "./locality.ts"
import { sourceOf } from "./source.ts"

export interface SocketLimits {
  readonly socketsMax: number
  /** Of one address (of IPv6: of one /64). A named proxy is excepted. */
  readonly socketsOfAddressMax: number
  /** From the opening of a socket to the end of its request's headers. */
  readonly headersMsMax: number
  /** The same with the request's body. */
  readonly requestMsMax: number
  /** Between two requests on one socket. */
  readonly keepAliveMsMax: number
}

export const socketLimitsDefault: SocketLimits = {
  socketsMax: 1_024,
  socketsOfAddressMax: 512,
  headersMsMax: 10_000,
  requestMsMax: 30_000,
  keepAliveMsMax: 10_000,
}

/** How often sockets are looked at that do not ask. */
export const socketCheckMs = 1_000

/** Closes sockets beyond the limits as they come. */
export function limitSockets(
  server: Server,
  limits: SocketLimits,
  { counters, callers }: { readonly counters: HttpCounters; readonly callers: Callers },
): void {
  server.maxConnections = limits.socketsMax
  server.on("drop", () => counters.refused("too-many-sockets"))
  const sources = new Map<string, number>()
  server.prependListener("connection", (socket: Socket) => {
    const { remoteAddress } = socket
    // It has gone already.
    if (remoteAddress === undefined || callers.isProxy(remoteAddress)) return
    const source = sourceOf(remoteAddress)
    const count = sources.get(source) ?? 0
    if (count >= limits.socketsOfAddressMax) {
      counters.refused("too-many-sockets-of-address")
      socket.destroy()
      return
    }
    sources.set(source, count + 1)
    socket.once("close", () => {
      const left = sources.get(source)! - 1
      if (left === 0) sources.delete(source)
      else sources.set(source, left)
    })
  })
}

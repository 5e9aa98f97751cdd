/** The way of a group's devices to the network: it can be shut, and everybody on it can be cut off at once. */
import type { Link, OpenLink } from "./connection.ts"

export interface GateListener {
  readonly connected: () => void
  readonly disconnected: () => void
}

export class Gate {
  private readonly through: OpenLink
  private readonly listener: GateListener
  private readonly links = new Set<Link>()
  private isShut = false

  constructor(through: OpenLink, listener: GateListener) {
    this.through = through
    this.listener = listener
  }

  readonly open: OpenLink = (deviceId, service, key, listener) => {
    if (this.isShut) {
      // As a socket does it: not before this has returned.
      let isClosed = false
      const close = (): void => {
        if (isClosed) return
        isClosed = true
        listener.closed("no network")
      }
      queueMicrotask(close)
      return {
        subscribe: () => {},
        publish: () => {},
        write: () => {},
        end: () => Promise.resolve(close()),
        cut: close,
      }
    }
    let isConnected = false
    const link: Link = this.through(deviceId, service, key, {
      ...listener,
      connected: () => {
        isConnected = true
        this.listener.connected()
        listener.connected()
      },
      closed: (reason) => {
        this.links.delete(link)
        if (isConnected) this.listener.disconnected()
        listener.closed(reason)
      },
    })
    this.links.add(link)
    return link
  }

  /** Whether nobody has a network now. */
  get isClosed(): boolean {
    return this.isShut
  }

  /** Everybody loses the connection. */
  cut(): void {
    for (const link of this.links) link.cut()
  }

  /** Nobody has a network until `reopen`. */
  shut(): void {
    this.isShut = true
    this.cut()
  }

  reopen(): void {
    this.isShut = false
  }
}

import type { Transport } from "./transport.ts"
import type { LoginRefusal } from "./login.ts"

/** Why a connection was refused or closed by us for what its client did. */
export type RefusedReason =
  | "too-many-connections"
  | "too-many-from-address"
  | "connect-rate" // more new connections of one address than its bucket holds
  | "proxy-header" // behind a proxy: no PROXY header, or a wrong one
  | "tls" // the handshake failed
  | "tls-timeout"
  | "websocket" // no upgrade to the subprotocol mqtt, or a frame that is not binary
  | "websocket-origin" // a web page that was not named asks for an upgrade
  | LoginRefusal // CONNACK 5
  | "not-mqtt" // the first byte is not that of a CONNECT
  | "connect-timeout"
  | "protocol-version" // CONNACK 1: only MQTT 3.1.1 is spoken
  | "identifier" // CONNACK 2: the client id is not a device id
  | "packet-too-large"
  | "wrong-topic"
  | "keepalive"
  | "slow-reader"
  | "protocol" // anything else that MQTT forbids

/** Callbacks of whoever counts; one that throws is ignored. */
export interface BrokerCounters {
  /** A CONNACK 0 went out. */
  connected?(): void
  /** A connection that was counted as connected is gone. */
  disconnected?(): void
  /** A device that connects too often waits for its turn. */
  delayed?(): void
  /** Outside of received (FORMAT §5): nothing that such a connection still had in flight was judged here. */
  refusedConnection?(reason: RefusedReason): void
  /** A SUBSCRIBE asked for a topic that its device may not hear, and got 0x80. */
  deniedSubscription?(): void
  /** `count` messages were submitted by a connection that closed before their answers could be given. */
  dropped?(count: number): void
}

/** A refused connection: its client and the reason, as far as they are known. Text that the client made is escaped. */
export interface Refused {
  /** The client id, where it has the form of a device id. Nobody has proven it before a login. */
  readonly deviceId: string | null
  /** The client id as it was sent, quoted. */
  readonly clientId: string | null
  /** What was sent, the rule that it breaks, and what mends it. */
  readonly detail: string | null
}

/** What is worth a line in a log. Never a payload. */
export type BrokerEvent =
  | { readonly kind: "listening"; readonly transport: Transport; readonly port: number }
  | ({ readonly kind: "refused-connection"; readonly reason: RefusedReason } & Refused)
  /** The connection stays. The first few of a connection are told, and all are counted. */
  | { readonly kind: "denied-subscription"; readonly deviceId: string | null; readonly detail: string }
  /** A fault of ours or of `submit`: the connection concerned was closed, the broker goes on. */
  | {
      readonly kind: "fault"
      readonly where: string
      readonly deviceId: string | null
      readonly error: unknown
    }

/** The counters and the log behind one wall: what they throw never reaches a connection. */
export class Witness {
  readonly #counters: BrokerCounters
  readonly #say: (event: BrokerEvent) => void

  constructor(counters: BrokerCounters = {}, say: (event: BrokerEvent) => void = () => {}) {
    this.#counters = counters
    this.#say = say
  }

  connected(): void {
    unharmed(() => this.#counters.connected?.())
  }

  delayed(): void {
    unharmed(() => this.#counters.delayed?.())
  }

  disconnected(): void {
    unharmed(() => this.#counters.disconnected?.())
  }

  dropped(count: number): void {
    if (count > 0) unharmed(() => this.#counters.dropped?.(count))
  }

  refusedConnection(reason: RefusedReason, refused: Refused): void {
    unharmed(() => this.#counters.refusedConnection?.(reason))
    this.say({ kind: "refused-connection", reason, ...refused })
  }

  deniedSubscription(deviceId: string | null, detail: string, isTold: boolean): void {
    unharmed(() => this.#counters.deniedSubscription?.())
    if (isTold) this.say({ kind: "denied-subscription", deviceId, detail })
  }

  say(event: BrokerEvent): void {
    unharmed(() => this.#say(event))
  }
}

function unharmed(tell: () => void): void {
  try {
    tell()
  } catch {
    // Who counts badly must not close a device's connection, and there is nobody left to tell.
  }
}

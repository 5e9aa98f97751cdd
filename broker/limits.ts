/** What one broker takes on. Every limit is an option; each default says where it comes from. */
export interface BrokerLimits {
  /** Sockets in all, connected or not. aedes itself has no such limit. */
  readonly connectionsMax: number
  /** Connects of one device in a second; more are delayed, not refused (FORMAT §5). */
  readonly connectsPerSecondMax: number
  /** Sockets of one address (of IPv6: of one /64). Loopback is excepted unless one of these three is set. */
  readonly connectionsPerAddressMax: number
  /** New sockets of one address: so many a second, after a burst. As above. */
  readonly addressConnectsPerSecondMax: number
  readonly addressConnectBurstMax: number
  /** Of a TLS handshake. */
  readonly tlsHandshakeMsMax: number
  /** From the socket's opening to its CONNACK: PROXY header, TLS, WebSocket and login are within. */
  readonly connectMsMax: number
  /** MQTT's remaining length: a larger packet closes the connection at the declared length (FORMAT §5). */
  readonly packetSizeMax: number
  /** Messages of one connection that may wait for an answer (FORMAT §4: a device has at most 100 in flight). */
  readonly inFlightMax: number
  /**
   * Payload bytes of one connection that may wait for an answer; one message may always. A group commit takes 64 KiB of a
   * device, so that more in flight gains it nothing, and fills the budget of all.
   */
  readonly connectionBytesInFlightMax: number
  /** Payload bytes of all connections that may wait for an answer. */
  readonly bytesInFlightMax: number
  /** A peer that takes nothing for so long, while something is waiting to be sent to it, is closed. */
  readonly writeStallMsMax: number
  /** After our FIN: for so long we read and discard what still comes in, so that the last packet is not reset away. */
  readonly lingerMsMax: number
  /** `close()`: for so long answers to what was submitted are waited for. */
  readonly drainMsMax: number
}

export const limitsDefault: BrokerLimits = {
  connectionsMax: 10_000,
  connectsPerSecondMax: 10,
  // A hospital behind one address; each of its devices may come at once, and then 100 of them a second.
  connectionsPerAddressMax: 1_000,
  addressConnectsPerSecondMax: 100,
  addressConnectBurstMax: 1_000,
  tlsHandshakeMsMax: 10_000,
  connectMsMax: 10_000,
  packetSizeMax: 256 * 1024,
  inFlightMax: 100,
  connectionBytesInFlightMax: 1024 * 1024,
  bytesInFlightMax: 64 * 1024 * 1024,
  writeStallMsMax: 30_000,
  lingerMsMax: 1_000,
  drainMsMax: 10_000,
}

/** A statement's largest size in bytes (FORMAT §1). It is a rule of the format, so not an option. */
export const statementSizeMax = 65_535

/** The largest control packet: CONNECT with a will fits. A connection buffers at most so much of an unfinished packet. */
export const controlSizeMax = 65_535

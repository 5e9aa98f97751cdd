/**
 * What the broker is given: one way in for everything that a connection says. The broker knows nothing of chains;
 * whoever answers knows nothing of MQTT.
 */
export interface Submit {
  /** Called once per MQTT connection, before its first message. Opening has no effect in the database. */
  open(deviceId: string): Place
}

/**
 * Answers a device that asks for the receipt of a sealed statement, with the bytes to be sent. It never rejects. What it
 * tells concerns no head, so that it needs no place in front of the fence.
 */
export type AnswerSealed = (deviceId: string, question: Uint8Array) => Promise<Uint8Array>

/** One connection's place in front of the fence (FORMAT §5). */
export interface Place {
  /**
   * Resolves in order of arrival per place, only after what it answers is committed and on disk.
   * It never rejects: a database that is away is waited for.
   */
  submit(message: Message): Promise<Answer>
  /** The connection is gone: what is not yet in a transaction need not be judged. */
  close(): void
}

export type Message =
  | { readonly kind: "statement"; readonly bytes: Uint8Array }
  /** Larger than a statement may be; its bytes were read and thrown away. */
  | { readonly kind: "too-large"; readonly sizeBytes: number }
  /** A subscription to one's receipts, or an empty message: where is my head? */
  | { readonly kind: "question" }

export type Answer =
  /**
   * `receipt` is the encoded receipt. `refused`: send the receipt whether or not the device subscribed, give no PUBACK,
   * and close once it is flushed. Otherwise give the PUBACK; `receipt` goes first, to devices that subscribed (or asked).
   */
  | {
      readonly kind: "receipt"
      readonly code: number
      readonly receipt: Uint8Array
      readonly refused: boolean
      /** Of what is not refused: close behind the PUBACK, since another key stands now (FORMAT §7). */
      readonly closes?: true
    }
  /** Not judged, not counted: this connection is fenced off, or stands behind a refusal of its own. Close it at once. */
  | { readonly kind: "dropped" }

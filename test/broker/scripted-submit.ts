import type { Answer, Message, Place, Submit } from "../../broker/submit.ts"

/** A message that was submitted, and its answer to be given. */
export interface Asked {
  readonly deviceId: string
  /** Counts the places that were opened, from 0. */
  readonly place: number
  readonly message: Message
  answer(answer: Answer): void
  /** Breaks the promise of `Place.submit` never to reject. */
  fail(error: Error): void
}

type Script = (message: Message, deviceId: string) => Answer | null

/**
 * An answering side for the broker's tests. `script` answers at once; where it gives null, and without a script, the
 * test takes each message by `next` and answers it itself.
 */
export class ScriptedSubmit implements Submit {
  readonly #script: Script
  readonly #arrived: Asked[] = []
  #waiting: ((asked: Asked) => void) | null = null
  #watching: { readonly done: () => boolean; readonly resolve: () => void }[] = []
  /** Every message that was ever submitted, in order. */
  readonly asked: Asked[] = []
  /** The devices of the places opened, and of those closed, in order. */
  readonly opened: string[] = []
  readonly closed: string[] = []

  constructor(script: Script = () => null) {
    this.#script = script
  }

  open(deviceId: string): Place {
    const place = this.opened.push(deviceId) - 1
    return {
      submit: (message) => this.#submit(deviceId, place, message),
      close: () => {
        this.closed.push(deviceId)
        this.#look()
      },
    }
  }

  /** The next message that nobody has answered or taken. */
  next(): Promise<Asked> {
    const asked = this.#arrived.shift()
    if (asked !== undefined) return Promise.resolve(asked)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  /** Resolves once `done()` holds; it is looked at after each message and each closing. */
  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#watching.push({ done, resolve })
    })
  }

  #submit(deviceId: string, place: number, message: Message): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked: Asked = { deviceId, place, message, answer: resolve, fail: reject }
      this.asked.push(asked)
      const answer = this.#script(message, deviceId)
      if (answer !== null) resolve(answer)
      else if (this.#waiting === null) this.#arrived.push(asked)
      else {
        this.#waiting(asked)
        this.#waiting = null
      }
      this.#look()
    })
  }

  #look(): void {
    const [done, open] = [
      this.#watching.filter((each) => each.done()),
      this.#watching.filter((each) => !each.done()),
    ]
    this.#watching = open
    for (const each of done) each.resolve()
  }
}

/** An acceptance; the broker never looks into a receipt, so any bytes do. */
export function accepted(receipt: Uint8Array = Uint8Array.of(1)): Answer {
  return { kind: "receipt", code: 1, receipt, refused: false }
}

/** The answer to a question of a device in good standing. */
export function head(receipt: Uint8Array = Uint8Array.of(0)): Answer {
  return { kind: "receipt", code: 0, receipt, refused: false }
}

export function refused(code: number, receipt: Uint8Array = Uint8Array.of(code)): Answer {
  return { kind: "receipt", code, receipt, refused: true }
}

export const dropped: Answer = { kind: "dropped" }

/** Accepts every statement, gives the head to every question, refuses with 11 what is too large. At once. */
export function acceptAll(message: Message): Answer {
  if (message.kind === "question") return head()
  return message.kind === "too-large" ? refused(11) : accepted()
}

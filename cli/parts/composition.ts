/** Parts that were started, to be closed in the opposite order. */
export class Composition {
  readonly #closers: (() => Promise<unknown>)[] = []

  /** The part itself, which is closed with the others. */
  add<Part extends { close(): Promise<unknown> }>(part: Part): Part {
    this.#closers.push(() => part.close())
    return part
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close()
  }
}

/** Starts everything, or nothing: what was opened before a failure is closed again. */
export async function compose<T>(work: (parts: Composition) => Promise<T>): Promise<T> {
  const parts = new Composition()
  try {
    return await work(parts)
  } catch (error) {
    await parts.close()
    throw error
  }
}

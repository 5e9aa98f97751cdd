/** A process of the bench's own beside the service: it is asked things, and its processor time is its own. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { repository } from "../cli/program.ts"

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly fault?: string
}

interface Asked {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
}

/** The host's end. */
export class Worker<Request, Value = unknown> {
  readonly #child: ChildProcess
  readonly #asked = new Map<number, Asked>()
  #count = 0

  /** @param program the name of a file in this folder that calls `serve` */
  constructor(program: string) {
    const loader = pathToFileURL(join(repository, "node_modules", "tsx", "dist", "loader.mjs")).href
    this.#child = fork(join(repository, "test", "bench", program), [], {
      execArgv: ["--import", loader],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    })
    this.#child.on("message", ({ id, value, fault }: Answer) => {
      const asked = this.#asked.get(id)
      this.#asked.delete(id)
      if (fault === undefined) asked?.resolve(value as never)
      else asked?.reject(new Error(fault))
    })
    this.#child.on("exit", (code, signal) => {
      for (const { reject } of this.#asked.values())
        reject(new Error(`${program} ended with ${code ?? signal}`))
      this.#asked.clear()
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  ask<Result extends Value>(request: Request): Promise<Result> {
    const id = ++this.#count
    return new Promise<Result>((resolve, reject) => {
      this.#asked.set(id, { resolve, reject })
      this.#child.send({ id, request }, (error) => {
        if (error === null) return
        this.#asked.delete(id)
        reject(error)
      })
    })
  }

  /** Its program ends when nobody is there to ask it. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, "exit")
    if (this.#child.connected) this.#child.disconnect()
    await ended
  }
}

/** The worker's end: answers one request after the other. Returns at once where this file was only imported. */
export function serve(answer: (request: unknown) => Promise<unknown>): void {
  if (process.send === undefined) return
  let last: Promise<unknown> = Promise.resolve()
  process.on("message", ({ id, request }: { readonly id: number; readonly request: unknown }) => {
    last = last.then(() =>
      answer(request).then(
        (value) => process.send?.({ id, value } satisfies Answer),
        (error: unknown) =>
          process.send?.({ id, fault: (error as Error).stack ?? String(error) } satisfies Answer),
      ),
    )
  })
  process.on("disconnect", () => process.exit())
}

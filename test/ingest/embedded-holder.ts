import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export interface Opened {
  readonly url: string
  readonly pid: number
  readonly attached: boolean
  readonly adopted: boolean
}

/** Another process that opens a data folder; `test/ingest/embedded-process.ts`. */
export class HolderProcess {
  readonly child: ChildProcess
  readonly #line: Promise<unknown>

  constructor(dataFolder: string, options: { uid?: number; create?: boolean } = {}) {
    const script = fileURLToPath(new URL("embedded-process.ts", import.meta.url))
    const { uid, create = true } = options
    this.child = spawn(
      process.execPath,
      ["--import", "tsx", script, dataFolder, create ? "create" : "find"],
      // A group of its own, so that a test can end it as a terminal ends what runs in it: all at once.
      {
        stdio: ["pipe", "pipe", "inherit"],
        detached: true,
        ...(uid === undefined ? {} : { uid, gid: uid }),
      },
    )
    this.#line = this.#readLine()
    // A test that kills it at once never asks what it said.
    this.#line.catch(() => undefined)
  }

  async #readLine(): Promise<unknown> {
    const { stdout } = this.child
    if (stdout === null) throw new Error("standard output is a pipe")
    for await (const line of createInterface({ input: stdout })) return JSON.parse(line) as unknown
    throw new Error("the process ended and said nothing")
  }

  /** Once it holds the server. */
  async opened(): Promise<Opened> {
    const line = await this.#line
    if (typeof line === "object" && line !== null && "url" in line) return line as Opened
    throw new Error(`it was not opened: ${JSON.stringify(line)}`)
  }

  /** Once it failed. */
  async failed(): Promise<{ fault: string; message: string }> {
    const line = await this.#line
    if (typeof line === "object" && line !== null && "fault" in line) {
      return line as { fault: string; message: string }
    }
    throw new Error("it was opened, and should have failed")
  }

  /** Lets it close its database, and waits for its end. */
  async close(): Promise<void> {
    const ended = this.#end()
    this.child.stdin?.end()
    await ended
  }

  /** kill -9 of the process and of all that is in its group. */
  async kill(): Promise<void> {
    const ended = this.#end()
    if (this.child.exitCode === null && this.child.pid !== undefined) process.kill(-this.child.pid, "SIGKILL")
    await ended
  }

  async #end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit")
  }
}

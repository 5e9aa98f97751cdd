/** What a command prints: results to standard output, everything else to standard error. */
import { once } from "node:events"
import pino, { type Logger } from "pino"
import pretty from "pino-pretty"
import { showControlsInJson, showControlsInLines } from "../chain/visible-text.ts"

export function print(line: string): void {
  if (!closing.signal.aborted) process.stdout.write(`${showControlsInLines(line)}\n`)
}

export function say(line: string): void {
  process.stderr.write(`${showControlsInLines(line)}\n`)
}

/** Structured lines; pretty on a terminal. */
export function makeLogger(level = process.env["LOG_LEVEL"] ?? "info"): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (!process.stderr.isTTY) {
    // Lines of JSON, in which an escape says the same as the character.
    const hooks = { streamWrite: showControlsInLines }
    return pino({ ...options, hooks }, pino.destination({ fd: 2, sync: true }))
  }
  return pino(
    { ...options, hooks: { streamWrite: showControlsInJson } },
    pretty({
      destination: 2,
      sync: true,
      colorize: true,
      translateTime: "HH:MM:ss",
      singleLine: true,
      ignore: "pid,hostname",
    }),
  )
}

/** The reader of standard output has gone (`| head`), or it cannot be written: more of it is for nobody. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed"
}

const closing = new AbortController()
/** For what would print without an end. */
export const outputClosed: AbortSignal = closing.signal

/**
 * A reader that closes its end early is no failure of ours: from then on standard output takes everything silently, and a
 * command that does something does it to its end. The same for standard error, which is only told how it goes. Called once,
 * for all commands.
 */
export function noticeClosedOutput(): void {
  process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (closing.signal.aborted) return
    if (!isPipeClosed(code)) {
      process.exitCode = 1
      say(`tidemark: standard output cannot be written: ${code}`)
    }
    closing.abort(new OutputClosed())
  })
  // There is nowhere left to say it.
  process.stderr.on("error", () => {})
}

function isPipeClosed(code: string | undefined): boolean {
  return code === "EPIPE" || code === "EOF" || code === "ECONNRESET"
}

/**
 * Writes a piece of a long answer and waits until there is room for more. CSV in a file or a pipe is data and goes out as it
 * is; on a terminal, and of every other form, text by devices is made safe to look at. Rejects with OutputClosed where
 * nobody reads any more.
 */
export async function writeOut(piece: string, form: "csv" | "table" | "ndjson" | "json"): Promise<void> {
  if (piece === "") return
  closing.signal.throwIfAborted()
  const text = form === "csv" && !process.stdout.isTTY ? piece : showControlsInLines(piece)
  if (process.stdout.write(text)) return
  await once(process.stdout, "drain", { signal: closing.signal }).catch((error: unknown) => {
    closing.signal.throwIfAborted()
    throw error
  })
}

/** Progress: one line that is written over on a terminal, and a plain line now and then when piped. */
export class Progress {
  private readonly isTerminal = process.stderr.isTTY
  private lastAt = 0

  update(text: string): void {
    const now = performance.now()
    if (now - this.lastAt < (this.isTerminal ? 100 : 2_000)) return
    this.lastAt = now
    process.stderr.write(
      this.isTerminal ? `\r\u001b[K${showControlsInLines(text)}` : `${showControlsInLines(text)}\n`,
    )
  }

  /** Clears the line, or leaves the last text where it was asked for. */
  done(text?: string): void {
    if (this.isTerminal) process.stderr.write("\r\u001b[K")
    if (text !== undefined) say(text)
  }
}

/** `[########......] 57 %` */
export function formatBar(done: number, total: number, width = 24): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const filled = Math.round(share * width)
  return `[${"#".repeat(filled)}${".".repeat(width - filled)}] ${Math.floor(share * 100)} %`
}

export function formatNumber(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 2 : 0 })
}

/** `1 leaf`, `2 leaves`. */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${formatNumber(value)} ${value === 1 ? one : many}`
}

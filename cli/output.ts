/** What a command prints: results to standard output, everything else to standard error. */
import pino, { type Logger } from "pino"
import pretty from "pino-pretty"

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** Structured lines; pretty on a terminal. */
export function makeLogger(level = process.env["LOG_LEVEL"] ?? "info"): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (!process.stderr.isTTY) return pino(options, pino.destination({ fd: 2, sync: true }))
  return pino(
    options,
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

/** A reader that closes its end early (`| head`) is no failure of ours. */
export function ignoreBrokenPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error
      process.exit(0)
    })
  }
}

/** Progress: one line that is written over on a terminal, and a plain line now and then when piped. */
export class Progress {
  private readonly isTerminal = process.stderr.isTTY
  private lastAt = 0

  update(text: string): void {
    const now = performance.now()
    if (now - this.lastAt < (this.isTerminal ? 100 : 2_000)) return
    this.lastAt = now
    process.stderr.write(this.isTerminal ? `\r\u001b[K${text}` : `${text}\n`)
  }

  /** Clears the line, or leaves the last text where it was asked for. */
  done(text?: string): void {
    if (this.isTerminal) process.stderr.write("\r\u001b[K")
    if (text !== undefined) process.stderr.write(`${text}\n`)
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

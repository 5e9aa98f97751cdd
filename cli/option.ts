/** Options that commands share, and how their texts are read. A text that does not fit is a usage fault that names it. */
import { readFile } from "node:fs/promises"
import { isIP } from "node:net"
import { type Command, InvalidArgumentError, Option } from "commander"
import { CommandFault } from "./fault.ts"

export function dataOption(): Option {
  return new Option("--data <folder>", "keys, ports and by default the database")
    .default("./data")
    .env("TIDEMARK_DATA")
}

export function jsonOption(): Option {
  return new Option("--json", "print JSON, for programs").default(false)
}

/** A whole number from min to max. */
export function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^[0-9]+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
    }
    return value
  }
}

export const parsePort = parseCount(0, 65_535)

/** Where to listen. Without logins anybody who reaches the port may connect as any device (PROTOCOL §5). */
export function parseLoopback(text: string): string {
  if (text === "localhost" || text === "::1" || (isIP(text) === 4 && text.startsWith("127."))) return text
  throw new InvalidArgumentError(
    "It must be a loopback address such as 127.0.0.1: this version has no logins, so nothing else may be listened on.",
  )
}

/** A command with the help option of all of them. */
export function addCommand(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).helpOption("--help", "show help")
}

/** A file that the user named; a fault that says why it cannot be read. */
export async function readNamedFile(path: string, what: string): Promise<Uint8Array> {
  try {
    return Uint8Array.from(await readFile(path))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === "ENOENT"
        ? "there is no such file"
        : code === "EISDIR"
          ? "it is a folder"
          : (code ?? String(error))
    throw new CommandFault(`${what} ${path} cannot be read: ${why}`)
  }
}

/** Debian's mosquitto with persistence, the broker of the usual pipeline, in a process of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, writeFileSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { createConnection, createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"

/** Its path and version; null where there is none. */
export function findMosquitto(): { readonly path: string; readonly version: string } | null {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"]
  const path = folders.map((folder) => join(folder, "mosquitto")).find((one) => existsSync(one))
  if (path === undefined) return null
  const version = /version (\S+)/.exec(readHelp(path))?.[1] ?? "of an unknown version"
  return { path, version }
}

/** It ends with 3 after its help. */
function readHelp(path: string): string {
  try {
    return execFileSync(path, ["-h"], { encoding: "utf8" })
  } catch (error) {
    return (error as { stdout?: string }).stdout ?? ""
  }
}

export class Mosquitto {
  readonly #child: ChildProcess
  readonly port: number

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(path: string, folder: string): Promise<Mosquitto> {
    await mkdir(folder, { recursive: true })
    const port = await findFreePort()
    const configuration = join(folder, "mosquitto.conf")
    // With its defaults for saving, every half an hour: to disk it writes nothing while it is measured. No limit of its
    // own holds messages back from a consumer that acknowledges in batches.
    const lines = [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "user root",
      "persistence true",
      `persistence_location ${folder}/`,
      "max_inflight_messages 20000",
      "max_queued_messages 0",
      "set_tcp_nodelay true",
      "log_dest none",
    ]
    writeFileSync(configuration, `${lines.join("\n")}\n`)
    const child = spawn(path, ["-c", configuration], { stdio: ["ignore", "ignore", "inherit"] })
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`mosquitto ended with ${code}`)
    })
    ended.catch(() => {})
    while (!(await isListening(port))) await Promise.race([wait(20), ended])
    return new Mosquitto(child, port)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async end(): Promise<void> {
    const ended = once(this.#child, "exit")
    this.#child.kill("SIGTERM")
    await ended
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, "close")
  return port
}

async function isListening(port: number): Promise<boolean> {
  const socket = createConnection({ port, host: "127.0.0.1" })
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** A TCP proxy in front of Postgres that loses what a network loses. */
import { type Socket, connect, createServer } from "node:net"
import type { AddressInfo } from "node:net"

export interface Proxy {
  /** The database's URL through the proxy. */
  readonly url: string
  /**
   * The next COMMIT reaches the server and is executed; its answer is swallowed and the connection closed. Resolves when
   * that has happened.
   */
  loseNextCommitAnswer(): Promise<void>
  /** The next COMMIT does not reach the server: the connection closes before. Resolves when that has happened. */
  loseNextCommit(): Promise<void>
  /** Closes every connection and lets none in until `restore`. */
  cut(): void
  restore(): void
  /** Connections that were tried while the proxy was cut. */
  refusedCount(): number
  close(): Promise<void>
}

/** A simple query `commit` as node-postgres sends it: type, length, text, zero. */
const commitQuery = Buffer.from("Q\0\0\0\x0bcommit\0", "latin1")

interface Loss {
  readonly kind: "answer" | "query"
  readonly happened: () => void
}

export async function openProxy(databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let loss: Loss | null = null
  let isCut = false
  let refused = 0

  const server = createServer((client) => {
    if (isCut) {
      refused += 1
      client.destroy()
      return
    }
    const upstream = connect({ host: target.hostname, port: Number(target.port) })
    let losing: Loss | null = null
    const end = (): void => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on("error", end)
      socket.on("close", () => {
        sockets.delete(socket)
        end()
      })
    }
    client.on("data", (chunk) => {
      if (loss !== null && chunk.includes(commitQuery)) {
        losing = loss
        loss = null
        if (losing.kind === "query") {
          end()
          losing.happened()
          return
        }
      }
      upstream.write(chunk)
    })
    upstream.on("data", (chunk) => {
      if (losing === null) {
        client.write(chunk)
        return
      }
      // The server answers a COMMIT when it has executed it.
      end()
      losing.happened()
      losing = null
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = new URL(databaseUrl)
  url.hostname = "127.0.0.1"
  url.port = String((server.address() as AddressInfo).port)

  const lose = (kind: Loss["kind"]): Promise<void> =>
    new Promise((happened) => {
      loss = { kind, happened }
    })
  return {
    url: url.href,
    loseNextCommitAnswer: () => lose("answer"),
    loseNextCommit: () => lose("query"),
    cut: () => {
      isCut = true
      for (const socket of sockets) socket.destroy()
    },
    restore: () => {
      isCut = false
    },
    refusedCount: () => refused,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Whether ports can be had, before anything is made that stays. */
import { type Server, createServer } from "node:net"
import { explainPort } from "./connecting.ts"

export interface WantedPort {
  readonly what: string
  readonly flag: string
  readonly host: string
  readonly port: number
}

/** All at once, so that two options of the same port are found too. */
export async function checkPorts(wanted: readonly WantedPort[]): Promise<void> {
  const servers: Server[] = []
  try {
    for (const { what, flag, host, port } of wanted) {
      const server = createServer()
      servers.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject)
        server.listen(port, host, resolve)
      }).catch((error: unknown) => {
        throw explainPort(error, what, port, flag)
      })
    }
  } finally {
    await Promise.all(
      servers.filter(({ listening }) => listening).map((server) => new Promise((done) => server.close(done))),
    )
  }
}

/** A TCP proxy in front of a broker that can die as a killed process does: every socket and the listener, at once. */
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net"

export class Proxy {
  readonly port: number
  /** Bytes from the device to the service after which the next connection dies; null: never. */
  dieAfterBytes: number | null = null
  connectionCount = 0
  private readonly target: number
  private server: Server
  private readonly sockets = new Set<Socket>()

  private constructor(target: number, server: Server) {
    this.target = target
    this.server = server
    this.port = (server.address() as AddressInfo).port
    server.on("connection", (socket) => this.join(socket))
  }

  static async open(target: number): Promise<Proxy> {
    const server = createServer()
    await listen(server, 0)
    return new Proxy(target, server)
  }

  /** From now on connections are refused. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.cut()
    await closed
  }

  async revive(): Promise<void> {
    this.server = createServer((socket) => this.join(socket))
    await listen(this.server, this.port)
  }

  /** Every connection dies, new ones are taken. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy()
  }

  private join(device: Socket): void {
    this.connectionCount += 1
    const service = connect(this.target, "127.0.0.1")
    let bytes = 0
    for (const socket of [device, service]) {
      this.sockets.add(socket)
      socket.on("error", () => socket.destroy())
      socket.on("close", () => {
        this.sockets.delete(socket)
        device.destroy()
        service.destroy()
      })
    }
    service.pipe(device)
    device.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length
      if (this.dieAfterBytes !== null && bytes > this.dieAfterBytes) {
        this.dieAfterBytes = null
        device.resetAndDestroy()
      } else service.write(chunk)
    })
    device.on("end", () => service.end())
  }
}

async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, "127.0.0.1", resolve)
  })
}

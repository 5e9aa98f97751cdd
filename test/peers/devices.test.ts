import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { RunningUp, makeFolder, parseLines, removeFolders, tidemark } from "../cli/command.ts"
import { type Peer, RunningPeer, peers, writeKey } from "./peer.ts"

const readings = Array.from({ length: 30 }, (_, index) => 60 + index)
let data: string
let up: RunningUp
let port: string

beforeAll(async () => {
  data = await makeFolder()
  up = await RunningUp.start(data)
  port = String(up.mqtt)
})
afterAll(removeFolders)

/** Resolves once the service that runs has stored so many readings since it began. */
async function storedHere(count: number): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${up.http}/metrics`)).text()
    if (Number(/^tidemark_readings_stored_total (\d+)/m.exec(text)?.[1]) >= count) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function readBack(id: string): Promise<number[]> {
  const { stdout } = await tidemark(["readings", "--device", id, "--format", "ndjson", "--data", data])
  return parseLines(stdout).map(({ value }) => Number(value))
}

test.each(peers.map((peer, index) => [peer.name, `peer${index}`, peer] as const))(
  "a device in %s loses nothing and says nothing twice while the service is away in the middle",
  async (_name, id, peer: Peer) => {
    const command = prepare(peer)
    if (command === null) return
    const key = join(dirname(data), `${id}.pem`)
    writeKey(key, peer.curve)
    expect((await tidemark(["device", "enroll", id, "--key", key, "--data", data])).code).toBe(0)

    const before = await readCount()
    const device = new RunningPeer(command, [id, key, join(dirname(data), `${id}.outbox`), "127.0.0.1", port])
    try {
      device.tell(readings.slice(0, 10))
      await storedHere(before + 10)
      await up.end("SIGTERM")
      device.tell(readings.slice(10, 20))
      up = await RunningUp.start(data, ["--mqtt", port])
      device.tell(readings.slice(20))
      expect([await device.finish(), device.said]).toEqual([0, expect.any(String)])
    } finally {
      device.kill()
    }
    expect(await readBack(id)).toEqual(readings)
    const shown = await tidemark(["device", "show", id, "--json", "--data", data])
    expect(JSON.parse(shown.stdout)).toMatchObject({ refused: {}, forksAtSeq: [] })
    expect((await tidemark(["seal", "--data", data])).code).toBe(0)
    expect(await tidemark(["verify", "--data", data])).toMatchObject({ code: 0 })
  },
)

async function readCount(): Promise<number> {
  const text = await (await fetch(`${up.http}/metrics`)).text()
  return Number(/^tidemark_readings_stored_total (\d+)/m.exec(text)?.[1])
}

/** Null where this machine lacks what it takes, which is said; in CI that is a failure. */
function prepare(peer: Peer): readonly string[] | null {
  try {
    return peer.prepare()
  } catch (error) {
    if (process.env["CI"] !== undefined) throw error
    process.stderr.write(`skipped: ${peer.name}: ${(error as Error).message}\n`)
    return null
  }
}

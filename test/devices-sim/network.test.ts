import { once } from "node:events"
import { type AddressInfo, type Socket, connect, createServer } from "node:net"
import { expect, onTestFinished, test } from "vitest"
import { type Network, openNetwork } from "../../devices-sim/network-proxy.ts"
import { makeRandom } from "../../devices-sim/random.ts"
import { Flow } from "../../devices-sim/toxic-flow.ts"
import type { ToxicRule } from "../../devices-sim/toxic.ts"
import { connectFrame } from "../simulation/soak-device.ts"

interface Line {
  readonly network: Network
  /** What the far side has received so far, and its socket. */
  readonly far: { readonly socket: Socket; readonly chunks: Uint8Array[] }
  readonly near: Socket
  readonly startedAtMs: number
}

/** A connection through a network to a server that answers nothing by itself. */
async function openLine(...rules: readonly ToxicRule[]): Promise<Line> {
  const server = createServer({ allowHalfOpen: true })
  const accepted = once(server, "connection")
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const startedAtMs = performance.now()
  const network = await openNetwork({
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    rules,
    random: makeRandom("network"),
    now: () => performance.now() - startedAtMs,
  })
  const near = connect({ host: "127.0.0.1", port: network.port, noDelay: true })
  near.on("error", () => {})
  await once(near, "connect")
  const [socket] = (await accepted) as [Socket]
  socket.on("error", () => {})
  onTestFinished(async () => {
    await network.close()
    near.destroy()
    socket.destroy()
    server.close()
  })
  const chunks: Uint8Array[] = []
  socket.on("data", (chunk: Uint8Array) => chunks.push(chunk))
  return { network, far: { socket, chunks }, near, startedAtMs }
}

/** Reads from a socket until it has so many bytes, or until its end. */
async function read(socket: Socket, count: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  while (length < count) {
    const got = await Promise.race([
      once(socket, "data").then(([chunk]) => chunk as Uint8Array),
      once(socket, "close").then(() => null),
      once(socket, "end").then(() => null),
    ]).catch(() => null)
    if (got === null) break
    chunks.push(got)
    length += got.length
  }
  return Buffer.concat(chunks)
}

/** Until a socket is closed, however. */
async function closed(socket: Socket): Promise<void> {
  socket.resume()
  if (!socket.closed) await new Promise<void>((resolve) => socket.once("close", () => resolve()))
}

const text = Buffer.from("what a device signed is what a researcher can check")

test("without toxics bytes and ends go through both ways as they are", async () => {
  const { network, far, near } = await openLine()
  near.write(text)
  expect(Buffer.from(await read(far.socket, text.length))).toEqual(text)
  far.socket.write(text)
  expect(Buffer.from(await read(near, text.length))).toEqual(text)
  near.end()
  await once(far.socket, "end")
  far.socket.end(text)
  expect(Buffer.from(await read(near, text.length))).toEqual(text)
  await closed(near)
  expect(network.counts).toEqual({
    connections: 1,
    bytesUp: text.length,
    bytesDown: 2 * text.length,
    befallen: {},
  })
})

test("latency delays what comes down and not what goes up, and what was sent before a cut still arrives", async () => {
  const { far, near, startedAtMs } = await openLine({
    toxic: { kind: "latency", latencyMs: 60, jitterMs: 20 },
  })
  near.write(text)
  await read(far.socket, text.length)
  const sentAtMs = performance.now()
  far.socket.write(text)
  expect(Buffer.from(await read(near, text.length))).toEqual(text)
  expect(performance.now() - sentAtMs).toBeGreaterThan(38)
  far.socket.end(text)
  expect(Buffer.from(await read(near, text.length))).toEqual(text)
  expect(startedAtMs).toBeGreaterThan(0)
})

test("a slow line carries so many bytes a second and no more", async () => {
  const toxic = { kind: "bandwidth", rateKBps: 100 } as const
  const { far, near } = await openLine({ toxic, stream: "upstream" })
  const startedAtMs = performance.now()
  near.write(Buffer.alloc(12_000, 7))
  expect((await read(far.socket, 12_000)).length).toBe(12_000)
  expect(performance.now() - startedAtMs).toBeGreaterThan(118)
})

test("limit_data lets so many bytes through, then closes", async () => {
  const { far, near } = await openLine({ toxic: { kind: "limit_data", bytes: 20 }, stream: "upstream" })
  near.write(text)
  expect(Buffer.from(await read(far.socket, 1_000))).toEqual(text.subarray(0, 20))
  await closed(near)
})

test("timeout lets nothing through and closes after its time; reset_peer resets", async () => {
  const quiet = await openLine({ toxic: { kind: "timeout", timeoutMs: 40 } })
  quiet.near.write(text)
  quiet.far.socket.write(text)
  expect((await read(quiet.near, 1)).length).toBe(0)
  expect(quiet.far.chunks).toEqual([])
  const reset = await openLine({ toxic: { kind: "reset_peer", timeoutMs: 10 } })
  reset.near.write(text)
  const [error] = (await once(reset.near, "error")) as [NodeJS.ErrnoException]
  expect(error.code).toBe("ECONNRESET")
})

test("a toxic begins and ends when it is said, also on a connection that is older", async () => {
  const { far, near } = await openLine({ toxic: { kind: "reset_peer", timeoutMs: 0 }, fromMs: 150 })
  near.write(text)
  expect(Buffer.from(await read(far.socket, text.length))).toEqual(text)
  await closed(near)
})

test("slow_close passes the end on later", async () => {
  const { far, near } = await openLine({ toxic: { kind: "slow_close", delayMs: 50 }, stream: "upstream" })
  near.write(text)
  await read(far.socket, text.length)
  const startedAtMs = performance.now()
  near.end()
  await once(far.socket, "end")
  expect(performance.now() - startedAtMs).toBeGreaterThan(45)
})

test("a connection that goes silent is closed to nobody: the far side is not even told that the near one is gone", async () => {
  const { far, near, network } = await openLine({
    toxic: { kind: "silence", afterBytes: 10 },
    stream: "upstream",
  })
  near.write(text)
  expect(Buffer.from(await read(far.socket, 10))).toEqual(text.subarray(0, 10))
  far.socket.write(text)
  near.write(text)
  let isTold = false
  far.socket.on("end", () => (isTold = true)).on("close", () => (isTold = true))
  near.destroy()
  // Whatever it would be told, it would be told before what is sent to the network afterwards is counted.
  const before = network.counts.bytesDown
  far.socket.write(text)
  while (network.counts.bytesDown < before + text.length)
    await new Promise((resolve) => setImmediate(resolve))
  expect(isTold).toBe(false)
})

test("what befalls a connection follows from its device and how often that has connected", async () => {
  const rule: ToxicRule = { toxic: { kind: "limit_data", bytes: 1 }, toxicity: 0.5 }
  const draws = async (ids: readonly string[]): Promise<ReadonlyMap<string, number>> => {
    const found = new Map<string, number>()
    for (const id of ids) {
      const { near, far, network } = await openLine(rule)
      near.write(connectFrame(id))
      await read(far.socket, 1)
      found.set(id, network.counts.befallen["limit_data"] ?? 0)
    }
    return found
  }
  const ids = ["a", "b", "c", "d", "e", "f"]
  const first = await draws(ids)
  expect(await draws(ids.toReversed())).toEqual(new Map([...first].toReversed()))
  expect(new Set(first.values())).toEqual(new Set([0, 1]))
})

/** Runs a flow on a clock of its own, and gives what came out and when. */
function flow(
  rules: readonly ToxicRule[],
  seed: string,
  writes: readonly (readonly [atMs: number, size: number])[],
) {
  let nowMs = 0
  const timers: { atMs: number; run: () => void }[] = []
  const out: (readonly [number, number])[] = []
  const clock = {
    random: makeRandom(seed),
    now: () => nowMs,
    timer: (delayMs: number, run: () => void) => {
      timers.push({ atMs: nowMs + delayMs, run })
      return () => {}
    },
  }
  const ends: string[] = []
  const line = new Flow(
    rules,
    clock,
    { push: (bytes) => out.push([nowMs, bytes.length]), end: () => ends.push(`end ${nowMs}`) },
    { close: () => ends.push(`close ${nowMs}`), silence: () => ends.push(`silence ${nowMs}`) },
  )
  for (const [atMs, size] of writes) clock.timer(atMs, () => line.push(new Uint8Array(size)))
  clock.timer(Math.max(...writes.map(([atMs]) => atMs)), () => line.end())
  for (;;) {
    const due = timers.toSorted((a, b) => a.atMs - b.atMs)[0]
    if (due === undefined) break
    timers.splice(timers.indexOf(due), 1)
    nowMs = due.atMs
    due.run()
  }
  return { out, ends, pending: line.pending }
}

test("jitter changes no order, and a line that is busy keeps the next waiting", () => {
  const jitter: ToxicRule = { toxic: { kind: "latency", latencyMs: 50, jitterMs: 50 } }
  const writes = Array.from({ length: 50 }, (_, index) => [index, index + 1] as const)
  const { out, ends, pending } = flow([jitter], "a", writes)
  expect(out.map(([, size]) => size)).toEqual(writes.map(([, size]) => size))
  expect(new Set(out.map(([atMs], index) => atMs - index)).size).toBeGreaterThan(10)
  expect([ends, pending]).toEqual([[`end ${out.at(-1)![0]}`], 0])
  expect(flow([jitter], "a", writes)).toEqual({ out, ends, pending })
  expect(flow([jitter], "b", writes).out).not.toEqual(out)
  const slow: ToxicRule = { toxic: { kind: "bandwidth", rateKBps: 1 } }
  expect(
    flow([slow], "a", [
      [0, 250],
      [10, 50],
    ]).out,
  ).toEqual([
    [100, 100],
    [200, 100],
    [250, 50],
    [300, 50],
  ])
})

test("slices have their size and their distance, and stages come one behind the other", () => {
  const slicer: ToxicRule = {
    toxic: { kind: "slicer", averageSizeBytes: 10, sizeVariationBytes: 0, delayUs: 5_000 },
  }
  const latency: ToxicRule = { toxic: { kind: "latency", latencyMs: 100, jitterMs: 0 } }
  expect(flow([slicer, latency], "a", [[0, 25]]).out).toEqual([
    [100, 10],
    [105, 10],
    [110, 5],
  ])
  const off: ToxicRule = { ...latency, fromMs: 1_000 }
  expect(
    flow([off], "a", [
      [0, 5],
      [1_000, 6],
    ]).out,
  ).toEqual([
    [0, 5],
    [1_100, 6],
  ])
})

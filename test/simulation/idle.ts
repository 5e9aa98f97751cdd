/** `npm run soak:idle -- --connections 10000`: how many connections are held, and what an idle one costs in memory. */
import { parseArgs } from "node:util"
import { makeRandom } from "../../devices-sim/random.ts"
import { RawClient } from "../broker/raw-client.ts"
import { HonestDevice } from "./honest-device.ts"
import { SoakHost } from "./soak-host.ts"

const { values } = parseArgs({ options: { connections: { type: "string", default: "10000" } } })
const wanted = Number(values.connections)
const atOnce = 100
const mebibyte = 1024 * 1024

const host = await SoakHost.start({ limits: { connectionsMax: wanted + 1 } })
try {
  const honest = new HonestDevice("honest-0", makeRandom("idle"))
  await host.enrol([{ device: honest.device.id, key: honest.device.key.publicKey }])
  const publishing = honest.run(host.mqtt, 100)
  // Code that runs for the first time takes memory too.
  const warm = await open(200)
  await Promise.all(warm.map((client) => client.destroy()))
  const before = await host.memory()
  const startedAt = performance.now()
  const clients = await open(wanted)
  const tookMs = performance.now() - startedAt
  const held = (await host.metrics()).get("tidemark_mqtt_connections") ?? 0
  const after = await host.memory()
  const acknowledgedBefore = honest.entries.length
  while (honest.entries.length < acknowledgedBefore + 10 && honest.faults.length === 0)
    await clients[honest.entries.length % clients.length]?.ping()
  honest.end()
  await publishing
  await Promise.all(clients.map((client) => client.destroy()))
  const rss = (after.rssBytes - before.rssBytes) / clients.length / 1024
  const heap = (after.heapBytes - before.heapBytes) / clients.length / 1024
  process.stdout.write(
    [
      `connections held     ${held - 1} of ${wanted}, opened in ${Math.round(tookMs / 1000)} s`,
      `memory               ${Math.round(before.rssBytes / mebibyte)} MiB before, ${Math.round(after.rssBytes / mebibyte)} MiB with them`,
      `an idle connection   ${rss.toFixed(1)} KiB resident, ${heap.toFixed(1)} KiB of it heap`,
      ...honest.faults.map((fault) => `FAULT                ${fault}`),
      "",
    ].join("\n"),
  )
  if (honest.faults.length > 0 || held !== wanted + 1) process.exitCode = 1
  await host.stop()
} finally {
  await host.remove()
}

async function open(count: number): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let from = 0; from < count; from += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - from) }, (_, index) =>
      RawClient.connect(host.mqtt, `idle-${from + index}`),
    )
    clients.push(...(await Promise.all(some)))
  }
  return clients
}

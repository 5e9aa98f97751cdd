import { type Socket, connect } from "node:net"
import { afterAll, expect, it, onTestFinished, test } from "vitest"
import { readDescriptors, shareDescriptors } from "../../cli/descriptors.ts"
import { RawClient } from "../broker/raw-client.ts"
import { RunningUp, makeFolder, removeFolders } from "./command.ts"

afterAll(removeFolders)

test.each([
  [256, { http: 64, mqtt: 64 }],
  [1_024, { http: 256, mqtt: 640 }],
  [65_536, { http: 1_024, mqtt: 64_384 }],
  [64, { http: 16, mqtt: 1 }],
  [null, { http: 1_024, mqtt: Infinity }],
])("of %o descriptors HTTP gets a quarter at most, and devices what is left", (descriptors, shares) => {
  expect(shareDescriptors(descriptors)).toEqual(shares)
})

test("the limit of this process is read", () => {
  const limit = readDescriptors()
  expect(limit === null || limit >= 64).toBe(true)
})

it("field S12: with 512 descriptors and 600 silent sockets on HTTP every device gets in", async () => {
  const up = await RunningUp.start(await makeFolder(), [], { descriptors: 512 })
  expect(up.lines()).toContainEqual(
    expect.objectContaining({ descriptors: 512, devices: 256, http: 128, level: 40 }),
  )
  const sockets: Socket[] = []
  onTestFinished(() => sockets.forEach((socket) => socket.destroy()))
  const port = Number(new URL(up.http).port)
  for (let count = 0; count < 600; count++) {
    const socket = connect(port, "127.0.0.1").on("error", () => {})
    sockets.push(socket)
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))
  }
  const devices: RawClient[] = []
  for (let count = 0; count < 40; count++) devices.push(await RawClient.connect(up.mqtt, `k${count}`))
  for (const device of devices) expect(await device.ping()).toEqual([])
  await Promise.all(devices.map((device) => device.destroy()))
  expect((await up.end("SIGTERM")).code).toBe(0)
})

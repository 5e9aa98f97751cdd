import { expect, it, test } from "vitest"
import { encodeUtf8 } from "../../chain/bytes.ts"
import { sha256 } from "../../chain/hash.ts"
import { type SealedHead, blindOf, headKey, headValue, proveHead } from "../../chain/heads.ts"
import { hmacNative, sha256Native } from "../../ingest/native.ts"
import { HeadsMap, HeadsMaps } from "../../research/heads-map.ts"
import { Watchdog } from "../watchdog.ts"

const secret = new Uint8Array(32).fill(7)
const blind = (device: string): Uint8Array => blindOf(secret, 3, device, hmacNative)
const headsOf = (count: number): SealedHead[] =>
  Array.from({ length: count }, (_, index) => {
    const entry = sha256(encodeUtf8(String(index)))
    return { device: `k${index}`, seq: index, entry, registry: entry }
  })

test.each([1, 2, 3, 64, 65, 300, 1_000])(
  "of %i devices each has the path that the format says",
  async (count) => {
    const heads = headsOf(count)
    const map = await HeadsMap.make(heads, blind, sha256Native)
    const places = heads.map((head) => ({
      key: headKey(head.device),
      value: headValue(head, blind(head.device)),
    }))
    for (let index = 0; index < count; index += Math.ceil(count / 20)) {
      const { device } = heads[index]!
      expect(await map.prove(device)).toEqual(proveHead(places, headKey(device)))
      expect(map.head(device)).toEqual(heads[index])
    }
    expect(map.head("nobody")).toBeUndefined()
  },
)

it("field S11: four proofs among 10,000 devices are made from one map, and never hold the thread", async () => {
  const heads = headsOf(10_000)
  const maps = new HeadsMaps()
  let made = 0
  const watchdog = await Watchdog.open()
  const paths = await Promise.all(
    ["k1", "k77", "k5000", "k9999"].map(async (device) => {
      const map = await maps.get(3, () => {
        made += 1
        return HeadsMap.make(heads, blind, sha256Native)
      })
      return map.prove(device)
    }),
  )
  const { longestMs } = watchdog.close()
  expect(made).toBe(1)
  expect(paths.every((path) => path.length > 10)).toBe(true)
  expect(longestMs).toBeLessThan(50)
})

test("a map whose maker gave up is made by the next who wants it, and the oldest is forgotten", async () => {
  const maps = new HeadsMaps(2)
  const map = await HeadsMap.make(headsOf(2), blind)
  const failing = maps.get(1, () => Promise.reject(new Error("the reader went away")))
  const waiting = maps.get(1, () => Promise.resolve(map))
  await expect(failing).rejects.toThrow("went away")
  expect(await waiting).toBe(map)
  let made = 0
  const ask = (height: number) =>
    maps.get(height, () => {
      made += 1
      return Promise.resolve(map)
    })
  for (const height of [1, 2, 3, 3, 2, 1]) await ask(height)
  expect(made).toBe(3)
})

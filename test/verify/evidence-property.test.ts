import { array, assert, asyncProperty, constantFrom, nat, property, uint8Array } from "fast-check"
import { expect, test } from "vitest"
import { policyOfLog } from "../../chain/tlog-policy.ts"
import { readEvidence } from "./evidence-file.ts"
import { type SimulatedDevice, SimulatedLog } from "./simulated-log.ts"

/** What happens in a history: which of three devices speaks, or a seal. */
const histories = array(constantFrom(0, 1, 2, "seal" as const, "seal" as const), {
  minLength: 1,
  maxLength: 30,
})

/** The devices are enrolled when they first speak. */
function play(history: readonly (number | "seal")[]): {
  log: SimulatedLog
  firstBlocks: Map<string, number>
} {
  const log = new SimulatedLog()
  const devices = new Map<number, SimulatedDevice>()
  const firstBlocks = new Map<string, number>()
  for (const act of history) {
    if (act === "seal") log.seal()
    else {
      let device = devices.get(act)
      if (device === undefined) {
        device = log.enrol(`d${act}`)
        devices.set(act, device)
        firstBlocks.set(device.id, log.manifests.length)
      }
      log.say(device)
    }
  }
  log.seal()
  return { log, firstBlocks }
}

async function shouldBeUnknown(file: Promise<Uint8Array>): Promise<void> {
  await expect(file).rejects.toThrow("was not enrolled")
}

test("any honest history gives evidence that verifies, for every device and every range", async () => {
  await assert(
    asyncProperty(histories, nat(), nat(), async (history, one, other) => {
      const { log, firstBlocks } = play(history)
      const blocks = log.manifests.length
      const [from, to] = [one % blocks, other % blocks].toSorted((a, b) => a - b) as [number, number]
      for (const [device, firstBlock] of firstBlocks) {
        if (firstBlock > to) {
          await shouldBeUnknown(log.evidence(device, from, to))
          continue
        }
        const result = readEvidence(await log.evidence(device, from, to), { policy: policyOfLog(log.vkey) })
        const [first, last] = [log.manifests[from]!.firstLeaf, log.manifests[to]!.leafIndex]
        const said = log.leaves
          .slice(first, last)
          .filter((leaf) => leaf.signer === "device" && leaf.device === device)
        expect(result).toMatchObject({ kind: "verified", statements: said.length })
      }
    }),
    { numRuns: 20 },
  )
})

test("a file in which any one bit is flipped is refused", async () => {
  const { log } = play([0, 1, "seal", 1, 0, 1, 0, "seal", 2, 0, 1, "seal", 1])
  const file = await log.evidence("d0", 1, 2)
  const trust = { policy: policyOfLog(log.vkey) }
  expect(readEvidence(file, trust).kind).toBe("verified")
  assert(
    property(nat({ max: 8 * file.length - 1 }), (bit) => {
      const flipped = Uint8Array.from(file)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(readEvidence(flipped, trust).kind).toBe("refused")
    }),
    { numRuns: 250 },
  )
})

test("a file that is cut anywhere, or goes on, is refused", async () => {
  const { log } = play([0, "seal", 1, 0, "seal"])
  const file = await log.evidence("d0", 0, 1)
  const trust = { policy: policyOfLog(log.vkey) }
  assert(
    property(nat({ max: file.length - 1 }), uint8Array({ minLength: 1, maxLength: 40 }), (end, more) => {
      expect(readEvidence(file.subarray(0, end), trust).kind).toBe("refused")
      const longer = new Uint8Array(file.length + more.length)
      longer.set(file)
      longer.set(more, file.length)
      expect(readEvidence(longer, trust)).toMatchObject({ kind: "refused", code: "trailing" })
    }),
    { numRuns: 40 },
  )
})

import { expect, test } from "vitest"
import { formatHex } from "../../chain/bytes.ts"
import { type ChainBinding, emptyHeadOf, firstPrevOf, genesisOf } from "../../chain/genesis.ts"
import { zeroHash } from "../../chain/hash.ts"

const logVkey = "tidemark.example/vectors+22a91169+Ab"
const two: ChainBinding = { logVkey, version: 2 }

test("a genesis is SHA-256 of the text, the log's vkey and the chain, as FORMAT §4 has it", async () => {
  const { createHash } = await import("node:crypto")
  const cbor = Buffer.concat([
    Buffer.from([0x82, 0x78, logVkey.length]),
    Buffer.from(logVkey),
    Buffer.from([0x62]),
    Buffer.from("k7"),
  ])
  const expected = createHash("sha256").update("tidemark/genesis").update(cbor).digest("hex")
  expect(formatHex(genesisOf(logVkey, "k7"))).toBe(expected)
})

test("chains of two devices, and of one device in two logs, begin elsewhere", () => {
  const beginnings = [
    genesisOf(logVkey, "k7"),
    genesisOf(logVkey, "k8"),
    genesisOf("other.example/log+22a91169+Ab", "k7"),
    genesisOf(`${logVkey}bk7`, ""),
  ]
  expect(new Set(beginnings.map(formatHex)).size).toBe(4)
})

test("a log of version 1 begins at zeros, one of version 2 at the genesis", () => {
  expect(firstPrevOf({ logVkey, version: 1 }, "k7")).toEqual(zeroHash)
  expect(firstPrevOf(two, "k7")).toEqual(genesisOf(logVkey, "k7"))
  expect(emptyHeadOf(two, "k7")).toEqual({ seq: 0, entry: genesisOf(logVkey, "k7") })
})

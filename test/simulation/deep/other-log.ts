/** Another log, to which the same devices speak under the same keys. Nothing of it is simulated but what they said there. */
import { encodeUtf8 } from "../../../chain/bytes.ts"
import { genesisOf } from "../../../chain/genesis.ts"
import type { PrivateKey } from "../../../chain/key.ts"
import { makeSigner, makeSpeaker, signDraft, signNatively } from "../../../devices-sim/device-sign.ts"

const otherVkey = "other.example/deep+00000000+other"
const saidThere = 3

/** The first statements of a device's chain in the other log. */
export function saidElsewhere(id: string, key: PrivateKey): Uint8Array[] {
  const speaker = makeSpeaker(id, makeSigner(key, signNatively))
  const statements: Uint8Array[] = []
  let prev = genesisOf(otherVkey, id)
  for (let seq = 1; seq <= saidThere; seq++) {
    const draft = {
      content: "text/plain",
      payload: encodeUtf8(`elsewhere ${seq}`),
      iat: 1_800_000_000,
      sub: id,
    }
    const signed = signDraft(speaker, draft, seq, prev)
    statements.push(signed.bytes)
    prev = signed.entry
  }
  return statements
}

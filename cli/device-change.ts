/** `tidemark device revoke | suspend | resume | rotate`: what the operator says of a device after its enrolment. */
import type { Command } from "commander"
import { formatHex } from "../chain/bytes.ts"
import { findFirstSeqMin } from "../chain/device.ts"
import { thumbprintOf } from "../chain/key.ts"
import { type ChangeResult, type RegistryChange, changeRegistry, readDevices } from "../ingest/registry.ts"
import { type OpenedLog, withLog } from "./data-folder.ts"
import { formatKeyRange, formatKeyWord, nameAlgorithm } from "./device-key.ts"
import { CommandFault } from "./fault.ts"
import { readProof, readPublicKey } from "./key-file.ts"
import { addCommand, dataOption, parseCount } from "./option.ts"
import { print } from "./output.ts"

interface ChangeOptions {
  readonly data: string
  readonly reason?: string
}

const parseSeq = parseCount(1, Number.MAX_SAFE_INTEGER)
const reason = ["--reason <text>", "why; it is signed with the rest, and stays"] as const

export function addChanges(device: Command): void {
  addCommand(device, "revoke", "end a device, or its keys beyond a seq")
    .argument("<id>")
    .option(
      "--last-good <seq>",
      "the keys are good up to this seq, and the device may get a new one; without it the device ends",
      parseCount(0, Number.MAX_SAFE_INTEGER),
    )
    .option(...reason)
    .addOption(dataOption())
    .action((id: string, options: ChangeOptions & { lastGood?: number }) => revoke(id, options))
  addCommand(device, "suspend", "take nothing more of a device until it is resumed")
    .argument("<id>")
    .option(...reason)
    .addOption(dataOption())
    .action((id: string, options: ChangeOptions) => changeStatus(id, "suspend", options))
  addCommand(device, "resume", "take statements of a suspended device again")
    .argument("<id>")
    .option(...reason)
    .addOption(dataOption())
    .action((id: string, options: ChangeOptions) => changeStatus(id, "resume", options))
  addCommand(device, "rotate", "give a device its next key")
    .argument("<id>")
    .requiredOption("--key <file>", "the next public key")
    .option("--proof <file|hex>", "by the next key, of `device prove`")
    .option("--old-proof <file|hex>", "by the key before; without both it is a re-enrolment by the operator")
    .option("--first-seq <seq>", "from where it stands; as early as may be by default", parseSeq)
    .option(...reason)
    .addOption(dataOption())
    .action((id: string, options: RotateOptions) => rotate(id, options))
}

async function change(log: OpenedLog, said: RegistryChange): Promise<ChangeResult & { kind: "changed" }> {
  const [result] = await changeRegistry(log.pool, log.keys, [said])
  if (result?.kind !== "changed")
    throw new CommandFault(`${said.action} of ${said.device} was refused: ${result?.rule}`)
  return result
}

const withReason = (text: string | undefined): { readonly reason?: string } =>
  text === undefined ? {} : { reason: text }

async function revoke(
  id: string,
  { data, lastGood, reason: why }: ChangeOptions & { lastGood?: number },
): Promise<void> {
  await withLog(data, async (log) => {
    await change(log, {
      action: "revoke",
      device: id,
      ...(lastGood === undefined ? {} : { lastGoodSeq: lastGood }),
      ...withReason(why),
    })
    if (lastGood === undefined) print(`revoked   ${id}: nothing more of it is taken, and nothing logs it in`)
    else {
      print(`revoked   the keys of ${id} beyond seq ${lastGood}`)
      print(`tokens    all of the device's have ended; tidemark device token create ${id} makes a new one`)
      print(`next      tidemark device rotate ${id} --key FILE gives it a new one`)
    }
  })
}

async function changeStatus(
  id: string,
  action: "suspend" | "resume",
  { data, reason: why }: ChangeOptions,
): Promise<void> {
  await withLog(data, async (log) => {
    await change(log, { action, device: id, ...withReason(why) })
    print(action === "suspend" ? `suspended ${id}` : `resumed   ${id}`)
  })
}

interface RotateOptions extends ChangeOptions {
  readonly key: string
  readonly proof?: string
  readonly oldProof?: string
  readonly firstSeq?: number
}

const rotateTriesMax = 10

async function rotate(id: string, options: RotateOptions): Promise<void> {
  const key = await readPublicKey(options.key)
  const proofOfNew = options.proof === undefined ? undefined : await readProof(options.proof)
  const proofOfOld = options.oldProof === undefined ? undefined : await readProof(options.oldProof)
  await withLog(options.data, async (log) => {
    for (let tries = 1; ; tries++) {
      const firstSeq = options.firstSeq ?? (await findNextSeq(log, id))
      const [result] = await changeRegistry(log.pool, log.keys, [
        {
          action: "rotate",
          device: id,
          key,
          firstSeq,
          ...(proofOfNew === undefined ? {} : { proofOfNew }),
          ...(proofOfOld === undefined ? {} : { proofOfOld }),
          ...withReason(options.reason),
        },
      ])
      if (result?.kind === "changed") {
        const rotated = result.record!.keys.find(({ lastSeq }) => lastSeq === null)!
        print(`rotated   ${id}: the key stands ${formatKeyRange(rotated)}`)
        print(`key       ${nameAlgorithm(key)}, thumbprint ${formatHex(thumbprintOf(key))}`)
        print(`word      ${formatKeyWord(rotated, false, null)}`)
        return
      }
      // A device that goes on publishing moves its head; no seq was asked for, so the next one does as well.
      const isOvertaken = options.firstSeq === undefined && firstSeq < (await findNextSeq(log, id))
      if (!isOvertaken || tries === rotateTriesMax)
        throw new CommandFault(`rotate of ${id} was refused: ${result?.rule}`)
    }
  })
}

async function findNextSeq({ pool }: OpenedLog, id: string): Promise<number> {
  const record = (await readDevices(pool, [id])).get(id)
  if (record === undefined)
    throw new CommandFault(`device ${id} is not enrolled`, "tidemark device list shows those that are")
  const { rows } = await pool.query<{ seq: number }>("select seq from chain_heads where device_id = $1", [id])
  return findFirstSeqMin(record, rows[0]!.seq)
}

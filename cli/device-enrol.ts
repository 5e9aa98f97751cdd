import { type Command, InvalidArgumentError } from "commander"
import { formatHex } from "../chain/bytes.ts"
import { thumbprintOf } from "../chain/key.ts"
import { devicePattern } from "../chain/statement.ts"
import { compareEnrolments } from "../ingest/enrolment.ts"
import { type Enrolment, enrolDevices } from "../ingest/registry.ts"
import { withLog } from "./data-folder.ts"
import { enrolFrom } from "./device-bulk.ts"
import { nameAlgorithm } from "./device-key.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { readProof, readPublicKey } from "./key-file.ts"
import { addCommand, dataOption } from "./option.ts"
import { print, say } from "./output.ts"

interface EnrolOptions {
  readonly data: string
  readonly key?: string
  readonly proof?: string
  readonly attribute?: ReadonlyMap<string, string>
  readonly from?: string
}

export function addEnrol(device: Command): void {
  addCommand(device, "enroll", "enrol a device with its public key, or many from a file")
    .alias("enrol")
    .argument("[id]", "the device's id, which is also its MQTT client id")
    .option("--key <file>", "PEM, JWK or COSE_Key (of a private key only the public half is taken)")
    .option("--proof <file|hex>", "proof of possession, of `device prove`")
    .option("--attribute <name=value>", "make, model, firmware; as often as needed", addAttribute)
    .option(
      "--from <file>",
      "many, from .csv or .ndjson: id, key or keyFile, and if known proof, make, model, firmware",
    )
    .addOption(dataOption())
    .action((id: string | undefined, options: EnrolOptions) => enrol(id, options))
}

function addAttribute(
  text: string,
  before: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const at = text.indexOf("=")
  if (at < 1) throw new InvalidArgumentError("It must be name=value, such as make=Example.")
  return new Map([...before, [text.slice(0, at), text.slice(at + 1)]])
}

async function enrol(id: string | undefined, options: EnrolOptions): Promise<void> {
  const { data, key, proof, attribute, from } = options
  if (from !== undefined) {
    if (id !== undefined || key !== undefined || proof !== undefined || attribute !== undefined)
      throw new UsageFault(
        "--from has the ids, keys, proofs and attributes in its file: leave the others out",
      )
    await enrolFrom(from, data)
    return
  }
  if (id === undefined || key === undefined)
    throw new UsageFault("a device's id and --key FILE are needed, or --from FILE for many")
  if (!devicePattern.test(id))
    throw new UsageFault(`"${id}" is no device id: it must match ${devicePattern.source}`)
  const publicKey = await readPublicKey(key)
  const proofBytes = proof === undefined ? undefined : await readProof(proof)
  await withLog(data, async ({ pool, keys }) => {
    const enrolment: Enrolment = {
      device: id,
      key: publicKey,
      ...(proofBytes === undefined ? {} : { proof: proofBytes }),
      ...(attribute === undefined ? {} : { attributes: attribute }),
    }
    const [compared] = await compareEnrolments(pool, [enrolment])
    if (compared?.kind === "differs") throw new CommandFault(`${id} was not enrolled: ${compared.rule}`)
    if (compared?.kind === "new") {
      const [result] = await enrolDevices(pool, keys, [enrolment])
      if (result?.kind !== "enrolled") throw new CommandFault(`${id} was not enrolled: ${result?.rule}`)
      if (compared.others.length > 0)
        say(`the key is also that of device ${compared.others.join(", ")}: each can sign for the other`)
    }
    print(compared?.kind === "known" ? `known     ${id} was enrolled like that already` : `enrolled  ${id}`)
    print(`key       ${nameAlgorithm(publicKey)}, thumbprint ${formatHex(thumbprintOf(publicKey))}`)
    print(`log       ${keys.origin}`)
    if (keys.binding.version > 1) print(`vkey      ${keys.binding.logVkey}`)
    print(`publish   to v1/${id}/statements, and subscribe to v1/${id}/receipts`)
  })
}

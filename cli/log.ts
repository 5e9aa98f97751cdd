import type { Command } from "commander"
import { formatHex } from "../chain/bytes.ts"
import { thumbprintOf } from "../chain/key.ts"
import { findOriginFault } from "../chain/policy.ts"
import { initLog, openLog } from "../ingest/log.ts"
import { type LogKeys, allSecrets, policyOf } from "../ingest/log-keys.ts"
import { findKeys, makingAlone, openDatabase } from "./data-folder.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { formatGiven, givenHelp, readGivenSecrets } from "./given-secrets.ts"
import { addLogExport } from "./log-export.ts"
import { addCommand, dataOption } from "./option.ts"
import { print, say } from "./output.ts"

export function addLog(program: Command): void {
  const log = addCommand(program, "log", "the log itself")
  addCommand(log, "init", "make the log's keys and commit its policy; refuses where a log is")
    .requiredOption("--origin <origin>", "the log's name, a host and a path such as example.org/log")
    .addOption(dataOption())
    .addHelpText("after", `\n${givenHelp}`)
    .action(async ({ origin, data }: { origin: string; data: string }) => {
      const fault = findOriginFault(origin)
      if (fault !== null) throw new UsageFault(`--origin ${origin}: ${fault}`)
      describeLog(await makeLog(data, origin), data, formatGiven(await readGivenSecrets()))
    })
  addLogExport(log)
}

async function makeLog(dataFolder: string, origin: string): Promise<LogKeys> {
  const given = await readGivenSecrets()
  const refuse = async (): Promise<void> => {
    if (await findKeys(dataFolder))
      throw new CommandFault(`there is a log in ${dataFolder} already`, "name another folder with --data")
  }
  // Twice: a folder that holds a log is not written at all.
  await refuse()
  return makingAlone(dataFolder, say, async () => {
    await refuse()
    const database = await openDatabase(dataFolder, { create: true, say })
    try {
      if ((await openLog(database.pool, dataFolder, allSecrets, given)) !== null)
        throw new CommandFault(`there is a log in ${dataFolder} already`)
      return await initLog(database.pool, dataFolder, origin, undefined, given)
    } finally {
      await database.close()
    }
  })
}

function describeLog(keys: LogKeys, dataFolder: string, given: string): void {
  print(`log       ${keys.origin}`)
  print(`vkey      ${policyOf(keys).logVkey}`)
  print(`operator  ${formatHex(thumbprintOf(keys.operator.publicKey))}`)
  print(`receipts  ${formatHex(thumbprintOf(keys.receipt.publicKey))}`)
  print(`keys      ${dataFolder}/keys (keep a copy where this machine cannot lose it)`)
  if (given !== "") print(`          but for what was given and is not written: ${given}`)
}

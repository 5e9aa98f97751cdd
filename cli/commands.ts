/** The commands of `tidemark`, and the program that holds them. */
import { Command } from "commander"
import { showControlsInLines } from "../chain/visible-text.ts"
import { version } from "./version.ts"

/**
 * The commands in the order in which the help lists them. Each is loaded when it is asked for: together they bring a web
 * server, Arrow and Parquet, and `tidemark --version` took 0.8 s of processor time for them.
 */
export const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  up: async () => (await import("./up.ts")).addUp,
  ingest: async () => (await import("./ingest.ts")).addIngest,
  research: async () => (await import("./research.ts")).addResearch,
  log: async () => (await import("./log.ts")).addLog,
  device: async () => (await import("./device.ts")).addDevice,
  simulate: async () => (await import("./simulate.ts")).addSimulate,
  seal: async () => (await import("./seal.ts")).addSeal,
  blocks: async () => (await import("./blocks.ts")).addBlocks,
  readings: async () => (await import("./readings.ts")).addReadings,
  query: async () => (await import("./query.ts")).addQuery,
  export: async () => (await import("./export.ts")).addExport,
  psql: async () => (await import("./psql.ts")).addPsql,
  coverage: async () => (await import("./coverage.ts")).addCoverage,
  key: async () => (await import("./key.ts")).addKey,
  access: async () => (await import("./access.ts")).addAccess,
  receipts: async () => (await import("./receipts.ts")).addReceipts,
  inspect: async () => (await import("./inspect.ts")).addInspect,
  evidence: async () => (await import("./evidence.ts")).addEvidence,
  verify: async () => (await import("./verify.ts")).addVerify,
  witness: async () => (await import("./witness.ts")).addWitness,
  follow: async () => (await import("./follow.ts")).addFollow,
  doctor: async () => (await import("./doctor.ts")).addDoctor,
  verifier: async () => (await import("./verifier.ts")).addVerifier,
  demo: async () => (await import("./demo.ts")).addDemo,
}

export function makeProgram(): Command {
  return (
    new Command("tidemark")
      .description("Wearable and IoT health data: what a device signed is what a researcher can check.")
      .version(version, "--version")
      // In MQTT tools -h is the host.
      .helpOption("--help", "show help")
      .helpCommand(false)
      // `simulate` has options and so has `simulate run`: each takes those behind its own name.
      .enablePositionalOptions()
      .showHelpAfterError("(--help shows what there is)")
      .configureOutput({ writeErr: (text) => process.stderr.write(showControlsInLines(text)) })
      .exitOverride()
  )
}

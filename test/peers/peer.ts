/** Devices in other languages, as their users start them. */
import { execFileSync, spawn } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { repository } from "../cli/program.ts"

export interface Peer {
  readonly name: string
  readonly curve: "ed25519" | "P-256"
  /** What starts it, before its arguments; throws, and says what is missing, where this machine cannot. */
  readonly prepare: () => readonly string[]
}

const folder = join(repository, "examples", "devices")

function demand(command: string, args: readonly string[], what: string): void {
  try {
    execFileSync(command, args, { stdio: "pipe" })
  } catch (error) {
    throw new Error(`${what} is missing on this machine`, { cause: error })
  }
}

/** A virtual environment's, with the versions of requirements.txt, or the machine's. */
function findPython(): readonly string[] {
  const python = process.env["TIDEMARK_PEERS_PYTHON"] ?? "python3"
  demand(python, ["-c", "import cbor2, cryptography, paho.mqtt.client"], "python3 with requirements.txt")
  return [python, join(folder, "python", "device.py")]
}

function buildC(): readonly string[] {
  const program = join(mkdtempSync(join(tmpdir(), "tidemark-peer-")), "device")
  const source = join(folder, "c", "device.c")
  demand(
    "gcc",
    [
      "-O2",
      "-Wall",
      "-Wextra",
      "-Wno-unused-parameter",
      "-Werror",
      "-o",
      program,
      source,
      "-lmosquitto",
      "-lcrypto",
    ],
    "gcc with libmosquitto-dev and libssl-dev",
  )
  return [program]
}

function findShell(): readonly string[] {
  for (const [command, flag] of [
    ["mosquitto_pub", "--help"],
    ["mosquitto_sub", "--help"],
    ["xxd", "--version"],
    ["openssl", "version"],
  ] as const)
    demand("bash", ["-c", `command -v ${command} && { ${command} ${flag} || true; }`], command)
  return ["bash", join(folder, "shell", "device.sh")]
}

export const peers: readonly Peer[] = [
  { name: "Python, Ed25519", curve: "ed25519", prepare: findPython },
  { name: "Python, P-256", curve: "P-256", prepare: findPython },
  { name: "C", curve: "ed25519", prepare: buildC },
  { name: "shell", curve: "ed25519", prepare: findShell },
]

/** A private key in PEM. */
export function writeKey(path: string, curve: Peer["curve"]): void {
  const { privateKey } =
    curve === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: curve })
  writeFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 })
}

/** A device that runs: each line that it is told becomes a statement, or a part of one. */
export class RunningPeer {
  readonly #child: ReturnType<typeof start>
  readonly #ended: Promise<unknown>
  #said = ""
  #look = (): void => {}

  constructor(
    command: readonly string[],
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#child = start(command, args, env)
    this.#ended = once(this.#child, "close").then(() => this.#look())
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#said += text
        this.#look()
      })
  }

  /** Waits until it has said this; throws with what it said where it ended instead. */
  async saying(words: RegExp): Promise<void> {
    while (!words.test(this.#said)) {
      const { exitCode, signalCode } = this.#child
      if (exitCode !== null || signalCode !== null)
        throw new Error(`it ended with ${exitCode ?? signalCode}: ${this.#said}`)
      await new Promise<void>((resolve) => (this.#look = resolve))
    }
  }

  get said(): string {
    return this.#said
  }

  tell(readings: readonly number[]): void {
    for (const reading of readings) this.#child.stdin.write(`${reading}\n`)
  }

  /** Ends its input, and gives its exit code once everything is stored. */
  async finish(): Promise<number | null> {
    this.#child.stdin.end()
    await this.#ended
    return this.#child.exitCode
  }

  kill(): void {
    this.#child.kill("SIGKILL")
  }
}

function start(command: readonly string[], args: readonly string[], env: Readonly<Record<string, string>>) {
  const [program, ...before] = command
  return spawn(program!, [...before, ...args], { stdio: "pipe", env: { ...process.env, ...env } })
}

import type { Command } from "commander"
import { showControls } from "../chain/visible-text.ts"
import { devicePattern } from "../chain/statement.ts"
import { isRefusal } from "../chain/verdict.ts"
import { CommandFault, UsageFault } from "./fault.ts"
import { addCommand, dataOption, jsonOption } from "./option.ts"
import { outputClosed, print, say } from "./output.ts"
import type { ReceiptTold, RefusalTold } from "./receipt-feed.ts"
import type { ReceiptLine } from "./receipt-stream.ts"
import { type Running, httpOf, listReceiving, operatorHeaders } from "./running.ts"
import { waitForSignal } from "./signal.ts"

interface ReceiptsOptions {
  readonly data: string
  readonly device?: string
  readonly all?: true
  readonly json: boolean
}

export function addReceipts(program: Command): void {
  addCommand(program, "receipts", "show what devices are told, as it happens, until Ctrl-C")
    .option("--device <id>", "of this device")
    .option("--all", "of every device")
    .addOption(dataOption())
    .addOption(jsonOption())
    .action(runReceipts)
}

const lookAgainMs = 500

async function runReceipts({ data, device, all, json }: ReceiptsOptions): Promise<void> {
  if ((device === undefined) === (all === undefined)) throw new UsageFault("name one --device, or say --all")
  if (device !== undefined && !devicePattern.test(device))
    throw new UsageFault(`"${device}" is no device id: it must match ${devicePattern.source}`)
  const controller = new AbortController()
  const { signal } = controller
  void waitForSignal().then(() => controller.abort())
  outputClosed.addEventListener("abort", () => controller.abort())
  let isWaiting = false
  // A device may come to any of several processes, and each tells what it answers itself.
  const followed = new Map<number, Promise<void>>()
  while (!signal.aborted) {
    const receiving = await listReceiving(data)
    if (receiving.length === 0 && followed.size === 0) {
      if (!isWaiting) say(`no service runs on ${data}; waiting for one`)
      isWaiting = true
    } else isWaiting = false
    for (const one of receiving) {
      if (followed.has(one.pid)) continue
      const following = follow(one, device ?? null, json, signal)
        .then(() => pause(lookAgainMs, signal))
        .finally(() => followed.delete(one.pid))
      followed.set(one.pid, following)
    }
    await Promise.race([pause(lookAgainMs, signal), ...followed.values()])
  }
}

/** Prints what comes until the stream ends, whyever that is. */
async function follow(
  running: Running,
  device: string | null,
  isJson: boolean,
  signal: AbortSignal,
): Promise<void> {
  const query = device === null ? "" : `?device=${device}`
  let rest = ""
  try {
    const response = await fetch(`${httpOf(running)}/v1/receipts${query}`, {
      signal,
      headers: operatorHeaders(running),
    })
    if (response.status !== 200 || response.body === null)
      throw new CommandFault(`the service answers ${response.status}: ${(await response.text()).trim()}`)
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = `${rest}${chunk}`.split("\n")
      rest = lines.pop()!
      for (const line of lines.filter((one) => one !== ""))
        show(JSON.parse(line) as ReceiptLine, line, isJson)
    }
  } catch (error) {
    if (error instanceof CommandFault) throw error
    // Its end, or ours: the loop looks again.
    if (!signal.aborted) say("the service has gone")
  }
}

function show(told: ReceiptLine, line: string, isJson: boolean): void {
  if (told.kind === "listening") say(`listening to ${told.device ?? "all devices"}; Ctrl-C ends`)
  else if (told.kind === "dropped") say(`the service closed this stream: ${told.rule}`)
  else if (isJson) print(line)
  else print(told.kind === "receipt" ? formatReceipt(told) : formatRefusal(told))
}

/** One line for what is well, and one more with the advice for what is not. */
export function formatReceipt(told: ReceiptTold): string {
  const { device, verdict, code, seq, headSeq, headEntry, now, tookMs, rule, advice } = told
  const time = new Date(now * 1000).toISOString().slice(11, 19)
  const place = seq === null ? "" : ` seq ${seq}`
  const line = `${time}  ${device}  ${code} ${verdict}${place}  head ${headSeq} ${headEntry.slice(0, 12)}…  ${tookMs.toFixed(1)} ms`
  const isPlain = verdict === "head" || verdict === "accepted"
  return isPlain
    ? line
    : `${line}\n  ${isRefusal(verdict) ? "refused" : "remark"}: ${rule}\n  then: ${advice}`
}

/** One line for what happened, and one more for the rule. */
export function formatRefusal({ what, device, client, reason, rule, now }: RefusalTold): string {
  const time = new Date(now * 1000).toISOString().slice(11, 19)
  const who = device ?? (client === null ? "a client" : `client id ${showControls(client)}`)
  const line = `${time}  ${who}  ${what === "connection" ? "connection refused" : "subscription denied"}: ${showControls(reason)}`
  return rule === null ? line : `${line}\n  rule: ${showControls(rule)}`
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener("abort", () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

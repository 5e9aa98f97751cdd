/** The file in the data folder by which other commands find this process. */
import { type Running, removeRunning, writeRunning } from "../running.ts"
import type { HttpPart } from "./http.ts"

export interface PresencePart {
  close(): Promise<void>
}

/** Written when all parts work. */
export async function announcePresence(
  dataFolder: string,
  running: Omit<Running, "pid" | "http" | "httpHost">,
  { host, port }: HttpPart,
): Promise<PresencePart> {
  const written: Running = {
    ...running,
    pid: process.pid,
    http: port,
    ...(host === running.host ? {} : { httpHost: host }),
  }
  await writeRunning(dataFolder, written)
  return { close: () => removeRunning(dataFolder, written) }
}

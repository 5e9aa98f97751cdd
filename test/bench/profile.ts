/** Where the time goes: V8's profile of the service's main thread, and what Postgres says of its statements. */
import { writeFile } from "node:fs/promises"
import type { Pool } from "pg"
import { WebSocket } from "ws"
import { formatTable } from "../../cli/table.ts"
import { repository } from "../cli/program.ts"

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
}

/** As the inspector gives it: which node was on top at each sample, and the microseconds up to the next. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** The inspector of a process that was started with `--inspect`. */
class Inspector {
  readonly #socket: WebSocket
  readonly #asked = new Map<number, (result: unknown) => void>()
  #count = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on("message", (bytes: Buffer) => {
      const { id, result } = JSON.parse(bytes.toString()) as { id?: number; result?: unknown }
      if (id !== undefined) this.#asked.get(id)?.(result)
    })
  }

  static async connect(url: string): Promise<Inspector> {
    const socket = new WebSocket(url, { maxPayload: 2 ** 30 })
    await new Promise<void>((resolve, reject) => socket.once("open", resolve).once("error", reject))
    return new Inspector(socket)
  }

  ask(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#count
    this.#socket.send(JSON.stringify({ id, method, params }))
    return new Promise((resolve) => this.#asked.set(id, resolve))
  }

  close(): void {
    this.#socket.close()
  }
}

export interface ProfileOptions {
  /** Of the service's inspector. */
  readonly inspector: string
  /** Of the log's database, on a server with pg_stat_statements. */
  readonly pool: Pool
  /** Where the `.cpuprofile` goes, without its ending. */
  readonly path: string
}

/** Runs `work` under both profilers; gives a summary of each for people. */
export async function profile(options: ProfileOptions, work: () => Promise<unknown>): Promise<string> {
  const { inspector: url, pool, path } = options
  const inspector = await Inspector.connect(url)
  await inspector.ask("Profiler.enable")
  await inspector.ask("Profiler.setSamplingInterval", { interval: 250 })
  await pool.query("select pg_stat_statements_reset()")
  await inspector.ask("Profiler.start")
  await work()
  const { profile: found } = (await inspector.ask("Profiler.stop")) as { profile: CpuProfile }
  inspector.close()
  await writeFile(`${path}.cpuprofile`, JSON.stringify(found))
  return `${summarize(found)}\n\n${await summarizeStatements(pool)}`
}

const shownMax = 30

/** Time by the function that was on top. */
export function summarize({ nodes, samples, timeDeltas }: CpuProfile): string {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const spent = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? "?"
    spent.set(name, (spent.get(name) ?? 0) + (timeDeltas[index] ?? 0))
  }
  const total = [...spent.values()].reduce((sum, one) => sum + one, 0)
  const rows = [...spent]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, shownMax)
    .map(([name, microseconds]) => [
      `${((100 * microseconds) / total).toFixed(1)} %`.padStart(7),
      `${(microseconds / 1000).toFixed(0)} ms`.padStart(9),
      name,
    ])
  return formatTable(
    ["  share", "     self", `function (service's main thread, ${(total / 1e6).toFixed(1)} s)`],
    rows,
  )
}

function nameOf({ functionName, url, lineNumber }: ProfileNode["callFrame"]): string {
  const file = url.replace(`file://${repository}/`, "").replace("node_modules/", "")
  return `${functionName === "" ? "(anonymous)" : functionName}${file === "" ? "" : `  ${file}:${lineNumber + 1}`}`
}

async function summarizeStatements(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ calls: number; ms: number; rows: number; query: string }>(
    `select calls, total_exec_time as ms, rows, regexp_replace(query, '\\s+', ' ', 'g') as query
     from pg_stat_statements where query not like '%pg_stat_statements%' order by total_exec_time desc limit 15`,
  )
  return formatTable(
    ["   ms", "calls", "rows", "statement of Postgres"],
    rows.map(({ ms, calls, rows: count, query }) => [
      ms.toFixed(0).padStart(6),
      calls,
      count,
      query.slice(0, 110),
    ]),
  )
}

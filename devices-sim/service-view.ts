/** What the service says that it has, over HTTP: the other side of the truth. */
import type { Verdict } from "../chain/verdict.ts"

/** Of one device. */
export interface StoredDevice {
  readonly head: StoredPlace
  /** The last sealed statement; null: none is. */
  readonly sealed: (StoredPlace & { readonly block: number }) | null
}

export interface StoredPlace {
  readonly seq: number
  /** Hex. */
  readonly entry: string
}

export interface StoredDetail {
  /** Statements that are stored, by verdict. */
  readonly verdicts: Partial<Record<Verdict, number>>
  /** Statements that were not taken, by verdict. */
  readonly refusals: Partial<Record<Verdict, number>>
  /** Places for which two histories were signed. */
  readonly forks: readonly number[]
}

/** Values of `/metrics` by name, with labels as they stand in the text. */
export type ServiceMetrics = ReadonlyMap<string, number>

export interface ServiceView {
  /** Of these devices; one that is not known is not in the answer. */
  devices(ids: readonly string[]): Promise<ReadonlyMap<string, StoredDevice>>
  detail(id: string): Promise<StoredDetail>
  /** Summed over all processes that take statements. */
  metrics(): Promise<ServiceMetrics>
  /** Of its last block; null: there is none. */
  lastBlock(): Promise<SealedBlock | null>
}

export interface SealedBlock {
  readonly height: number
  readonly treeSize: number
  /** Base64, as in the checkpoint. */
  readonly root: string
  readonly statements: number | null
}

export interface HttpViewOptions {
  /** Of the API: `http://127.0.0.1:8080`. */
  readonly api: string
  /** Of each process that takes statements. */
  readonly metrics: readonly string[]
  /** Where one is asked for. */
  readonly key?: string
  /** Asked when the key is refused: a service that was started again may have another. */
  readonly findKey?: () => Promise<string | undefined>
  readonly fetch?: typeof fetch
}

/** The service did not answer as its documentation says: why. Never with a key. */
export class ServiceViewError extends Error {
  override readonly name = "ServiceViewError"
}

const answerMsMax = 60_000
/** Of one page of devices. */
const pageSize = 1_000
/** Up to so many devices are asked for one by one, where the service has many others. */
const singlesMax = 50

export function openHttpView(options: HttpViewOptions): ServiceView {
  const { api, findKey } = options
  let { key } = options
  const get = options.fetch ?? fetch

  async function ask(url: string): Promise<Response> {
    const response = await askOnce(url)
    if (response.status !== 401 || findKey === undefined) return response
    const found = await findKey()
    if (found === undefined || found === key) return response
    key = found
    return askOnce(url)
  }

  async function askOnce(url: string): Promise<Response> {
    let response: Response
    try {
      response = await get(url, {
        redirect: "error",
        signal: AbortSignal.timeout(answerMsMax),
        ...(key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } }),
      })
    } catch (error) {
      const { message, cause } = error as Error
      throw new ServiceViewError(`${url}: ${cause instanceof Error ? cause.message : message}`, {
        cause: error,
      })
    }
    return response
  }

  async function json<T>(path: string): Promise<T | null> {
    const response = await ask(`${api}${path}`)
    if (response.status === 404) return null
    if (response.status === 401 || response.status === 403)
      throw new ServiceViewError(`${api} asks for a key: give one with --key`)
    if (!response.ok) throw new ServiceViewError(`${api}${path}: HTTP ${response.status}`)
    return (await whole(`${api}${path}`, response.json())) as T
  }

  async function listDevices(ids: ReadonlySet<string>): Promise<Map<string, StoredDevice>> {
    const found = new Map<string, StoredDevice>()
    let cursor: string | null = null
    do {
      const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`
      const page: DevicePage | null = await json<DevicePage>(`/v1/devices?limit=${pageSize}${query}`)
      if (page === null)
        throw new ServiceViewError(`${api} has no /v1/devices: it is no Tidemark with research`)
      for (const item of page.items) if (ids.has(item.id)) found.set(item.id, storedOf(item))
      cursor = found.size === ids.size ? null : page.next
    } while (cursor !== null)
    return found
  }

  return {
    async devices(ids) {
      if (ids.length > singlesMax) return listDevices(new Set(ids))
      const found = new Map<string, StoredDevice>()
      for (const id of ids) {
        const item = await json<DeviceItem>(`/v1/devices/${id}`)
        if (item !== null) found.set(id, storedOf(item))
      }
      return found
    },
    async detail(id) {
      const item = await json<DeviceItem>(`/v1/devices/${id}`)
      if (item === null) return { verdicts: {}, refusals: {}, forks: [] }
      const refusals: Partial<Record<Verdict, number>> = {}
      for (const { verdict, count } of item.refusals ?? []) refusals[verdict] = count
      return { verdicts: item.verdicts ?? {}, refusals, forks: item.forks ?? [] }
    },
    async metrics() {
      const sum = new Map<string, number>()
      for (const url of options.metrics) {
        const response = await ask(`${url}/metrics`)
        if (!response.ok) throw new ServiceViewError(`${url}/metrics: HTTP ${response.status}`)
        for (const [name, value] of parseMetrics(await whole(`${url}/metrics`, response.text())))
          sum.set(name, (sum.get(name) ?? 0) + value)
      }
      return sum
    },
    async lastBlock() {
      const page = await json<{ items: SealedBlock[] }>("/v1/blocks?order=desc&limit=1")
      return page?.items[0] ?? null
    },
  }
}

/** A service that dies in the middle of an answer has not answered. */
async function whole<T>(url: string, read: Promise<T>): Promise<T> {
  try {
    return await read
  } catch (error) {
    throw new ServiceViewError(`${url}: the answer broke off: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

interface DeviceItem {
  readonly id: string
  readonly head: StoredPlace
  readonly sealedHead: (StoredPlace & { readonly block: number }) | null
  readonly verdicts?: Partial<Record<Verdict, number>>
  readonly refusals?: readonly { readonly verdict: Verdict; readonly count: number }[]
  readonly forks?: readonly number[]
}

interface DevicePage {
  readonly items: readonly DeviceItem[]
  readonly next: string | null
}

function storedOf({ head, sealedHead }: DeviceItem): StoredDevice {
  return { head, sealed: sealedHead }
}

/** Prometheus's text format: `name{labels} value`. */
export function parseMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>()
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^}]*\})?) (\S+)$/.exec(line)
    if (match !== null) values.set(match[1]!, Number(match[2]))
  }
  return values
}

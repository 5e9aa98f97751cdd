/** What the HTTP API answers, as far as this page reads it, and how it is asked. */

/** Up to where an answer speaks. */
export interface AsOf {
  readonly height: number
  readonly treeSize: number
  readonly root: string
  /** ISO 8601. */
  readonly sealedTo: string
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly complete: boolean
  readonly next: string | null
  readonly asOf: AsOf | null
}

/** A refusal (RFC 9457), or an answer that did not come. */
export class Problem extends Error {
  /** 0 where nothing answered. */
  readonly status: number
  readonly rule: string | null

  constructor(status: number, message: string, rule: string | null = null) {
    super(message)
    this.status = status
    this.rule = rule
  }
}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>

const keyPlace = "tidemark-key"

/** Kept for this tab only. */
export function keepKey(key: string): void {
  sessionStorage.setItem(keyPlace, key)
}

export function headers(): Record<string, string> {
  const key = sessionStorage.getItem(keyPlace)
  return key === null ? {} : { authorization: `Bearer ${key}` }
}

export function formatAddress(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined)
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
  return text === "" ? path : `${path}?${text}`
}

/** Throws a Problem, or an AbortError where `signal` said so. */
export async function ask<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const response = await open(formatAddress(path, query), { signal: signal ?? null })
  return (await response.json()) as T
}

/** The answer itself, where it is not JSON or is read as a stream. */
export async function open(address: string, init: RequestInit = {}): Promise<Response> {
  let response: Response
  try {
    response = await fetch(address, { ...init, headers: headers() })
  } catch (error) {
    if (init.signal?.aborted === true) throw error
    throw new Problem(
      0,
      "The service does not answer. It may have been stopped; this page tries again when you reload it.",
    )
  }
  if (!response.ok) throw await readProblem(response)
  return response
}

async function readProblem(response: Response): Promise<Problem> {
  const said = (await response.json().catch(() => ({}))) as Partial<
    Record<"title" | "detail" | "rule" | "error", string>
  >
  const message = said.detail ?? said.title ?? said.error ?? `the service answered ${response.status}`
  return new Problem(response.status, message, said.rule ?? null)
}

/** All pages of a list, up to a number of rows; `isWhole` says whether that was all. */
export async function askAll(
  path: string,
  query: Query,
  rowsMax: number,
  signal?: AbortSignal,
): Promise<{ readonly items: readonly unknown[]; readonly isWhole: boolean; readonly asOf: AsOf | null }> {
  const items: unknown[] = []
  let cursor: string | null = null
  for (;;) {
    const page: Page<unknown> = await ask<Page<unknown>>(path, { ...query, cursor }, signal)
    items.push(...page.items)
    if (page.complete || page.next === null) return { items, isWhole: page.complete, asOf: page.asOf }
    if (items.length >= rowsMax) return { items, isWhole: false, asOf: page.asOf }
    cursor = page.next
  }
}

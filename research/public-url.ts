/** The address that links in answers begin with: the one that was named, or what the request itself says. */
import type { FastifyInstance, FastifyRequest } from "fastify"
import { Problem } from "./problem.ts"

export const publicUrlRule =
  "must be http:// or https:// with a host and at most a port and a path, such as https://data.example.org"

/** Without a slash at the end; null where the text is no such address. */
export function parsePublicUrl(text: string): string | null {
  if (!URL.canParse(text)) return null
  const { protocol, username, password, search, hash, host, href } = new URL(text)
  const isPlain = username === "" && password === "" && search === "" && hash === "" && !/[?#]/.test(text)
  if (!isPlain || host === "" || (protocol !== "https:" && protocol !== "http:")) return null
  return href.replace(/\/+$/, "")
}

const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/

/**
 * Such as `https://data.example.org`: as `--public-url` says, else by the X-Forwarded headers of a trusted proxy, else by
 * the connection. A problem where the host is none, since a link made of it would be none.
 */
export function publicBaseOf({ callers }: FastifyInstance, request: FastifyRequest): string {
  if (callers.publicUrl !== null) return callers.publicUrl
  const { protocol, host } = request
  if (hostPattern.test(host) && URL.canParse(`${protocol}://${host}`)) return `${protocol}://${host}`
  throw new Problem("request-refused", {
    detail: "the Host header is no host, and links are made of it",
    parameter: "Host",
    rule: "must be a host and at most a port",
  })
}

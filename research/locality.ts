/** Who asks, as far as the connection, the headers and the named proxies say. */
import type { IncomingMessage } from "node:http"
import { BlockList, isIP } from "node:net"
import { hostname } from "node:os"
import { parsePublicUrl, publicUrlRule } from "./public-url.ts"

export interface CallersOptions {
  /** Addresses and networks (`10.0.0.0/8`) of proxies whose X-Forwarded-For is believed. */
  readonly proxies?: readonly string[]
  /** Origins such as `https://notebook.example` whose pages may ask. */
  readonly origins?: readonly string[]
  /** Where others reach this service, such as `https://data.example.org`: links in answers begin with it. */
  readonly publicUrl?: string
}

export const proxyRule = "must be an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or fd00::/8"
export const originRule = "must be an origin such as https://notebook.example:8443, without a path"

/** Headers that a proxy adds. A request that has one was made by somebody else than its connection. */
const forwardingHeaders = [
  "forwarded",
  "via",
  "x-real-ip",
  "x-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
]

/** Who counts as this machine, which proxies are believed, and which pages of other origins may ask. */
export class Callers {
  private readonly proxies = new BlockList()
  readonly hasProxies: boolean
  private readonly origins: ReadonlySet<string>
  /** Without a slash at the end; null: links follow the request. */
  readonly publicUrl: string | null

  /** Throws a RangeError where a proxy, an origin or the public URL is none. */
  constructor({ proxies = [], origins = [], publicUrl }: CallersOptions = {}) {
    for (const proxy of proxies) addProxy(this.proxies, proxy)
    for (const origin of origins) if (!isOrigin(origin)) throw new RangeError(`${origin}: ${originRule}`)
    this.hasProxies = proxies.length > 0
    this.origins = new Set(origins)
    this.publicUrl = publicUrl === undefined ? null : parsePublicUrl(publicUrl)
    if (publicUrl !== undefined && this.publicUrl === null)
      throw new RangeError(`${publicUrl}: ${publicUrlRule}`)
  }

  isProxy(address: string): boolean {
    const plain = stripMapping(address)
    const version = isIP(plain)
    return version !== 0 && this.proxies.check(plain, version === 6 ? "ipv6" : "ipv4")
  }

  /** Whether a page of this origin was named. */
  mayAsk(origin: string): boolean {
    return this.origins.has(origin)
  }

  /**
   * Whether a person or a program on this machine asks: from a loopback address, and by a name of this machine, since a
   * page on the web may point a name of its own at 127.0.0.1. Nothing that a proxy passed on is from here.
   */
  isFromHere(request: IncomingMessage): boolean {
    return isLoopback(request.socket.remoteAddress ?? "") && isNamedHere(request) && !this.isPassedOn(request)
  }

  /**
   * Whether metrics may be read: from another machine where HTTP was opened to those, and on this one by its own names
   * and past no proxy. A page on the web may point a name of its own at 127.0.0.1.
   */
  mayScrape(request: IncomingMessage): boolean {
    if (this.isCrossSite(request)) return false
    if (!isLoopback(request.socket.remoteAddress ?? "")) return true
    return isNamedAsThisMachine(request) && !this.isPassedOn(request)
  }

  /**
   * Whether another site's page asks, as its browser says. Ports count: what else listens on this machine is another
   * origin. A page whose origin was named with --cors is not foreign.
   */
  isCrossSite({ headers }: IncomingMessage): boolean {
    const { origin } = headers
    if (origin !== undefined) {
      if (this.mayAsk(origin)) return false
      if (!isOwnOrigin(origin, headers.host)) return true
    }
    const site = headers["sec-fetch-site"]
    // none: a person typed the address.
    return site !== undefined && site !== "same-origin" && site !== "none"
  }

  /** Whether a proxy passed the request on: a named one, one that says so, or one that speaks HTTP/1.0 as nginx does by default. */
  private isPassedOn(request: IncomingMessage): boolean {
    const { socket, httpVersionMajor, httpVersionMinor } = request
    if (this.isProxy(socket.remoteAddress ?? "")) return true
    if (httpVersionMajor === 1 && httpVersionMinor === 0) return true
    return hasForwardingHeader(request)
  }
}

function hasForwardingHeader({ headers }: IncomingMessage): boolean {
  return Object.keys(headers).some(
    (name) => name.startsWith("x-forwarded") || forwardingHeaders.includes(name),
  )
}

/** Whether the Host header is a name or an address of this machine's own loopback. */
export function isNamedHere({ headers }: IncomingMessage): boolean {
  const name = hostOf(headers.host ?? "")
  return name === "localhost" || isLoopback(name)
}

/** The same, or any address, or this machine's name: what nobody else can make stand for it in a browser. */
function isNamedAsThisMachine(request: IncomingMessage): boolean {
  const name = hostOf(request.headers.host ?? "")
  return isNamedHere(request) || isIP(name) !== 0 || name === hostname().toLowerCase()
}

export function isLoopback(address: string): boolean {
  const plain = stripMapping(address)
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."))
}

/** Of a Host header: without the port, and without the brackets of IPv6. */
function hostOf(host: string): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase()
}

function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text
}

function addProxy(list: BlockList, text: string): void {
  const [address = "", bits, ...rest] = text.split("/")
  const version = isIP(address)
  const most = version === 6 ? 128 : 32
  const isWhole = bits === undefined || (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= most)
  if (version === 0 || !isWhole || rest.length > 0) throw new RangeError(`${text}: ${proxyRule}`)
  const family = version === 6 ? "ipv6" : "ipv4"
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(bits), family)
}

function stripMapping(address: string): string {
  return address.replace(/^::ffff:(?=[0-9.]+$)/i, "")
}

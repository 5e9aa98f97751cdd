import type { IncomingMessage } from "node:http"
import { describe, expect, it, test } from "vitest"
import { Callers } from "../../research/locality.ts"

interface Asked {
  readonly address?: string
  readonly version?: readonly [number, number]
  readonly headers?: Readonly<Record<string, string>>
}

function request({ address = "127.0.0.1", version = [1, 1], headers = {} }: Asked): IncomingMessage {
  return {
    socket: { remoteAddress: address },
    httpVersionMajor: version[0],
    httpVersionMinor: version[1],
    headers: { host: "127.0.0.1:8080", ...headers },
  } as unknown as IncomingMessage
}

const callers = new Callers()

describe("who is this machine", () => {
  test.each<[string, Asked, boolean]>([
    ["by its address and name", {}, true],
    ["as localhost", { headers: { host: "LOCALHOST:8080" } }, true],
    ["by IPv6", { address: "::1", headers: { host: "[::1]:8080" } }, true],
    ["by an IPv4 address that IPv6 carries", { address: "::ffff:127.0.0.1" }, true],
    ["from elsewhere", { address: "192.0.2.7" }, false],
    ["by a name that somebody points here", { headers: { host: "evil.example" } }, false],
    ["without a Host", { headers: { host: "" } }, false],
  ])("%s", (_name, asked, is) => {
    expect(callers.isFromHere(request(asked))).toBe(is)
  })

  it.each([
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-anything",
    "forwarded",
    "x-real-ip",
    "via",
    "cf-connecting-ip",
    "true-client-ip",
  ])("field S8: a request that a proxy on this machine passed on, with %s, is not from here", (name) => {
    expect(callers.isFromHere(request({ headers: { [name]: "127.0.0.1" } }))).toBe(false)
  })

  it("field S8: nginx with its default proxy_pass speaks HTTP/1.0 and adds no header: not from here either", () => {
    const passedOn = request({ version: [1, 0], headers: { connection: "close" } })
    expect(callers.isFromHere(passedOn)).toBe(false)
    expect(callers.mayScrape(passedOn)).toBe(false)
  })

  it("field S8: an address that was named as a proxy is never this machine", () => {
    const named = new Callers({ proxies: ["127.0.0.1"] })
    expect(named.isFromHere(request({}))).toBe(false)
    expect(named.mayScrape(request({}))).toBe(false)
    expect(named.isFromHere(request({ address: "::ffff:127.0.0.1" }))).toBe(false)
    expect(named.isFromHere(request({ address: "127.0.0.2" }))).toBe(true)
  })
})

describe("field S8: another site's page in a browser on this machine", () => {
  test.each<[string, Readonly<Record<string, string>>, boolean]>([
    ["no browser", {}, false],
    ["a typed address", { "sec-fetch-site": "none" }, false],
    ["the service's own page", { "sec-fetch-site": "same-origin", origin: "http://127.0.0.1:8080" }, false],
    ["the same behind TLS", { origin: "https://127.0.0.1:8080" }, false],
    ["another site", { "sec-fetch-site": "cross-site" }, true],
    ["what else listens on this machine", { "sec-fetch-site": "same-site" }, true],
    ["another origin, of an old browser", { origin: "https://evil.example" }, true],
    ["another port", { origin: "http://127.0.0.1:3000" }, true],
    ["a file", { origin: "null" }, true],
  ])("%s", (_name, headers, is) => {
    expect(callers.isCrossSite(request({ headers }))).toBe(is)
  })

  test("an origin that was named may ask", () => {
    const named = new Callers({ origins: ["https://notebook.example:8443"] })
    const of = (origin: string) =>
      named.isCrossSite(request({ headers: { origin, "sec-fetch-site": "cross-site" } }))
    expect(of("https://notebook.example:8443")).toBe(false)
    expect(of("https://notebook.example")).toBe(true)
  })
})

test("networks of proxies are understood, and what is none is named", () => {
  const named = new Callers({ proxies: ["10.0.0.0/8", "fd00::/8", "192.0.2.1"] })
  const all = ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "192.0.2.1"]
  expect(all.map((address) => named.isProxy(address))).toEqual([true, true, true, true])
  expect(["11.0.0.1", "fe80::1", "192.0.2.2", "", "proxy"].some((address) => named.isProxy(address))).toBe(
    false,
  )
  for (const proxy of ["proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "", "fd00::/129", "10.0.0.0/-1"])
    expect(() => new Callers({ proxies: [proxy] })).toThrow(`${proxy}: must be an address`)
  for (const origin of [
    "*",
    "notebook.example",
    "https://a.example/",
    "https://a.example/path",
    "ftp://a.example",
  ])
    expect(() => new Callers({ origins: [origin] })).toThrow("must be an origin")
})

import { expect, test } from "vitest"
import { Callers } from "../../research/locality.ts"
import { parsePublicUrl, publicBaseOf, publicUrlRule } from "../../research/public-url.ts"
import { describeApi, makeServer } from "../../research/server.ts"

test.each([
  ["https://data.example.org", "https://data.example.org"],
  ["https://data.example.org/", "https://data.example.org"],
  ["http://[::1]:8080/tidemark/", "http://[::1]:8080/tidemark"],
  ["ftp://data.example.org", null],
  ["data.example.org", null],
  ["https://anna:secret@data.example.org", null],
  ["https://data.example.org/?a=1", null],
  ["https://data.example.org/#", null],
])("field Q6: the public URL %s is %s", (text, parsed) => {
  expect(parsePublicUrl(text)).toBe(parsed)
})

test("field Q6: a public URL that is none is refused with the rule", () => {
  expect(() => new Callers({ publicUrl: "data.example.org" })).toThrow(publicUrlRule)
})

/** Where a link of an answer begins. */
async function baseFor(callers: Callers, remoteAddress: string, headers: Record<string, string>) {
  const app = makeServer({ onFault: () => {}, callers })
  app.get("/base", async (request) => ({ base: publicBaseOf(app, request) }))
  const response = await app.inject({ url: "/base", remoteAddress, headers })
  return response.json<{ base?: string }>().base
}

const forwarded = {
  host: "127.0.0.1:8080",
  "x-forwarded-proto": "https",
  "x-forwarded-host": "data.example.org",
  "x-forwarded-for": "192.0.2.7",
}

test("field Q6: links follow a trusted proxy, nobody else's headers, and the public URL before both", async () => {
  const trusting = new Callers({ proxies: ["10.0.0.7"] })
  expect(await baseFor(trusting, "10.0.0.7", forwarded)).toBe("https://data.example.org")
  expect(await baseFor(trusting, "10.0.0.8", forwarded)).toBe("http://127.0.0.1:8080")
  expect(await baseFor(new Callers(), "10.0.0.7", forwarded)).toBe("http://127.0.0.1:8080")
  const named = new Callers({ proxies: ["10.0.0.7"], publicUrl: "https://named.example.org/" })
  expect(await baseFor(named, "10.0.0.7", forwarded)).toBe("https://named.example.org")
})

test.each(["evil/<script>", "a b", "user@host", "[::1", "host:99999999"])(
  "field Q6: no link is made of the Host %s",
  async (host) => {
    expect(await baseFor(new Callers(), "127.0.0.1", { host })).toBeUndefined()
  },
)

test("field Q6: the API's description names the public URL as its server", async () => {
  const app = makeServer({
    onFault: () => {},
    callers: new Callers({ publicUrl: "https://data.example.org" }),
  })
  await describeApi(app, "0.0.0")
  await app.ready()
  expect(app.swagger()).toMatchObject({ servers: [{ url: "https://data.example.org" }] })
  const plain = makeServer({ onFault: () => {} })
  await describeApi(plain, "0.0.0")
  await plain.ready()
  expect(plain.swagger()).not.toHaveProperty("servers")
})

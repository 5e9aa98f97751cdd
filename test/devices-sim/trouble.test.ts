import { expect, test } from "vitest"
import type { LinkFailure, Service } from "../../devices-sim/connection-mqtt.ts"
import { TroubleLog } from "../../devices-sim/trouble-log.ts"
import { explainAlarm, explainFailure, nameService } from "../../devices-sim/trouble.ts"

const nowMs = Date.UTC(2026, 10, 30)
const say = (failure: LinkFailure, service: Partial<Service> = {}): string =>
  explainFailure(failure, {
    device: "k7",
    service: { url: "mqtts://user:secret@example.org:8883", ...service },
    nowMs,
  }).words
const error = (code: string | null, message = code ?? ""): LinkFailure => ({ kind: "error", code, message })

test.each([
  [
    { kind: "connack", code: 5 },
    {},
    /^mqtts:\/\/example\.org:8883 refused .*It showed none: set service\.jwt/,
  ],
  [
    { kind: "connack", code: 5 },
    { jwt: { origin: "a.example/log" } },
    /enrolled with this key.*must be a\.example\/log.*it says 2026-11-30T00:00:00\.000Z/,
  ],
  [
    { kind: "connack", code: 5 },
    { token: "tmt_secret" },
    /token: it must be one of k7, and neither revoked nor expired/,
  ],
  [
    { kind: "connack", code: 5 },
    { certificate: "secret", key: "secret" },
    /certificate: its key must be enrolled for k7/,
  ],
  [{ kind: "connack", code: 2 }, {}, /does not take k7 as a client id/],
  [{ kind: "connack", code: 3 }, {}, /cannot judge logins now/],
  [{ kind: "silent", waitedMs: 10_000 }, {}, /did not answer within 10 s: is this its port for TLS/],
  [
    { kind: "closed" },
    { url: "mqtt://127.0.0.1:8883" },
    /closed the connection before it answered: is this its port without TLS/,
  ],
  [error("ECONNREFUSED", ""), {}, /nothing listens there/],
  [error("ENOTFOUND"), {}, /no host of this name/],
  [error("EAI_AGAIN"), {}, /cannot be looked up now/],
  [error("ETIMEDOUT"), {}, /the host does not answer \(ETIMEDOUT\)/],
  [error("ECONNRESET"), {}, /closed the connection before it answered/],
  [
    error("DEPTH_ZERO_SELF_SIGNED_CERT"),
    {},
    /not of a CA that is trusted here .*: give its CA, in PEM, as service\.ca/,
  ],
  [error("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), { ca: "x" }, /not of the CA in service\.ca/],
  [error("CERT_HAS_EXPIRED"), {}, /has expired .*which says 2026-11-30/],
  [
    error("ERR_TLS_CERT_ALTNAME_INVALID", "Host: a is not b's"),
    {},
    /service\.servername\. Host: a is not b's/,
  ],
  [error("ERR_SSL_WRONG_VERSION_NUMBER"), {}, /does not speak TLS at this port/],
  [error("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"), {}, /does not take this client's TLS/],
  [error(null, "Unexpected server response: 404"), {}, /is this the port for WebSocket/],
  [
    error(null, "Invalid header flag bits, must be 0x0 for connack packet"),
    {},
    /is this the service's port for MQTT/,
  ],
  [error("ESOMETHING", "something else"), {}, /something else \(ESOMETHING\)/],
] as [LinkFailure, Partial<Service>, RegExp][])(
  "field D1: %j %j is said in words",
  (failure, service, words) => {
    const said = say(failure, service)
    expect(said).toMatch(words)
    expect(said).not.toMatch(/secret|\n/)
  },
)

const words = (verdict: "unknown-key" | "suspended") => explainAlarm({ kind: "waiting", verdict }, "k7").words

test("field D1: what an operator must mend names the command", () => {
  expect(words("unknown-key")).toContain("tidemark device enroll k7 --key KEY.pem")
  expect(words("suspended")).toContain("an operator has suspended the device")
  expect(explainAlarm({ kind: "fork", seq: 7 }, "k7").words).toContain("at seq 7")
  expect(nameService({ url: "not a url" })).toBe("an address that is no URL")
})

test("field D1: a reason is said when it is new, then at growing intervals, and its end once", () => {
  const lines: string[] = []
  const log = new TroubleLog((line) => lines.push(line))
  const [away, refused] = ["away", "refused"].map((reason) => ({ reason, words: reason }))
  log.clear("well")
  // Two hours of one attempt a second.
  for (let second = 0; second < 7_200; second += 1) log.tell(away!, second * 1_000)
  expect(lines).toEqual([
    "away",
    ...[60, 120, 240, 480, 960, 1_920].map((times) => `away (${times} times since this was last said)`),
  ])
  log.tell(refused!, 7_200_000)
  log.tell(away!, 7_201_000)
  expect(lines.slice(7)).toEqual(["refused"])
  log.clear("well")
  log.clear("well")
  log.tell(away!, 7_202_000)
  expect(lines.slice(8)).toEqual(["well", "away"])
})

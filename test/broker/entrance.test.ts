import { expect, test } from "vitest"
import { isLoopback, sourceOf } from "../../broker/address.ts"
import { Entrance } from "../../broker/entrance.ts"
import { limitsDefault } from "../../broker/limits.ts"

function stand(isLoopbackLimited = false) {
  let nowMs = 0
  const limits = {
    ...limitsDefault,
    connectionsMax: 50,
    connectionsPerAddressMax: 3,
    addressConnectsPerSecondMax: 2,
    addressConnectBurstMax: 5,
  }
  const entrance = new Entrance(limits, isLoopbackLimited, () => nowMs)
  return { entrance, pass: (ms: number) => (nowMs += ms) }
}

test("an address has so many connections, and another one its own", () => {
  const { entrance } = stand()
  for (let i = 0; i < 3; i++) expect(entrance.enterFrom("192.0.2.7")).toBe(null)
  expect(entrance.enterFrom("192.0.2.7")).toBe("too-many-from-address")
  expect(entrance.enterFrom("192.0.2.8")).toBe(null)
  entrance.leaveFrom("192.0.2.7")
  expect(entrance.enterFrom("192.0.2.7")).toBe(null)
})

test("new connections of an address are a burst, and then so many a second", () => {
  const { entrance, pass } = stand()
  const come = (): string | null => {
    const refused = entrance.enterFrom("192.0.2.7")
    if (refused === null) entrance.leaveFrom("192.0.2.7")
    return refused
  }
  for (let i = 0; i < 5; i++) expect(come()).toBe(null)
  expect(come()).toBe("connect-rate")
  pass(499)
  expect(come()).toBe("connect-rate")
  pass(1)
  expect(come()).toBe(null)
  expect(come()).toBe("connect-rate")
  pass(60_000)
  for (let i = 0; i < 5; i++) expect(come()).toBe(null)
  expect(come()).toBe("connect-rate")
})

test("this machine is excepted, unless the limits were set", () => {
  const { entrance } = stand()
  for (let i = 0; i < 20; i++) expect(entrance.enterFrom("127.0.0.1")).toBe(null)
  const limited = stand(true).entrance
  for (let i = 0; i < 3; i++) expect(limited.enterFrom("127.0.0.1")).toBe(null)
  expect(limited.enterFrom("::ffff:127.0.0.1")).toBe("too-many-from-address")
})

test("connections in all are counted before anything is known of them", () => {
  const { entrance } = stand()
  for (let i = 0; i < 50; i++) expect(entrance.enter()).toBe(null)
  expect(entrance.enter()).toBe("too-many-connections")
  entrance.leave()
  expect(entrance.enter()).toBe(null)
  expect(entrance.count).toBe(50)
})

test("addresses that came once and left are forgotten", () => {
  const { entrance, pass } = stand()
  for (let i = 0; i < 50_000; i++) {
    const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
    expect(entrance.enterFrom(address)).toBe(null)
    entrance.leaveFrom(address)
    pass(1)
  }
  expect(entrance.sourceCount).toBeLessThan(12_000)
})

test("who has one IPv6 address has its /64, and an IPv4 address is the same in both families", () => {
  expect(sourceOf("2001:db8::7")).toBe(sourceOf("2001:db8:0:0:ffff:1:2:3"))
  expect(sourceOf("2001:db8::7")).not.toBe(sourceOf("2001:db8:0:1::7"))
  expect(sourceOf("fe80::1%eth0")).toBe(sourceOf("fe80::2"))
  expect(sourceOf("::1")).toBe("0:0:0:0::/64")
  expect(sourceOf("::ffff:192.0.2.7")).toBe("192.0.2.7")
})

test("loopback is 127.0.0.0/8, ::1 and localhost, and nothing that looks like it", () => {
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
    expect(isLoopback(host)).toBe(true)
  for (const host of [
    "0.0.0.0",
    "::",
    "",
    "127.0.0.1.example.org",
    "localhost.example.org",
    "1127.0.0.1",
    "10.0.0.1",
  ])
    expect(isLoopback(host)).toBe(false)
})

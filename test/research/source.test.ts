import { expect, test } from "vitest"
import { sourceOf } from "../../research/source.ts"

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["2001:0DB8:0000:0002::", "2001:db8:0:2::/64"],
  ["", ""],
])("%s is counted as %s", (address, source) => {
  expect(sourceOf(address)).toBe(source)
})

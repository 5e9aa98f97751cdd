/** PROXY headers as a balancer writes them. */

export const signatureV2 = Buffer.from("0d0a0d0a000d0a515549540a", "hex")

export function blockV2(command: number, family: number, content: Uint8Array): Buffer {
  return Buffer.concat([
    signatureV2,
    Buffer.of(0x20 | command, family, content.length >> 8, content.length & 0xff),
    content,
  ])
}

const ports = Buffer.of(0xc0, 0x00, 0x07, 0x5b)

export const headers: Readonly<Record<string, { readonly bytes: Buffer; readonly address: string | null }>> =
  {
    "v1 TCP4": {
      bytes: Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 49152 1883\r\n"),
      address: "192.0.2.7",
    },
    "v1 TCP6": {
      bytes: Buffer.from("PROXY TCP6 2001:db8::7 2001:db8::1 49152 1883\r\n"),
      address: "2001:db8::7",
    },
    "v1 TCP6, the longest": {
      bytes: Buffer.from(
        "PROXY TCP6 ffff:f5ff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
      ),
      address: "ffff:f5ff:ffff:ffff:ffff:ffff:ffff:ffff",
    },
    "v1 UNKNOWN": { bytes: Buffer.from("PROXY UNKNOWN\r\n"), address: null },
    "v1 UNKNOWN with a rest": {
      bytes: Buffer.from("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"),
      address: null,
    },
    "v2 TCP4": {
      bytes: blockV2(1, 0x11, Buffer.concat([Buffer.of(192, 0, 2, 7, 198, 51, 100, 1), ports])),
      address: "192.0.2.7",
    },
    "v2 TCP4 with TLVs": {
      bytes: blockV2(
        1,
        0x11,
        Buffer.concat([Buffer.of(192, 0, 2, 7, 198, 51, 100, 1), ports, Buffer.alloc(200, 0x04)]),
      ),
      address: "192.0.2.7",
    },
    "v2 TCP6": {
      bytes: blockV2(
        1,
        0x21,
        Buffer.concat([
          Buffer.from("20010db8000000000000000000000007", "hex"),
          Buffer.from("20010db8000000000000000000000001", "hex"),
          ports,
        ]),
      ),
      address: "2001:db8:0:0:0:0:0:7",
    },
    "v2 LOCAL": { bytes: blockV2(0, 0x00, Buffer.alloc(0)), address: null },
    "v2 LOCAL with addresses, which are not looked at": {
      bytes: blockV2(0, 0x11, Buffer.concat([Buffer.of(192, 0, 2, 7, 198, 51, 100, 1), ports])),
      address: null,
    },
    "v2 UNSPEC": { bytes: blockV2(1, 0x00, Buffer.alloc(7)), address: null },
    "v2 unix socket": { bytes: blockV2(1, 0x31, Buffer.alloc(216, 0x61)), address: null },
  }

export const malformed: Readonly<Record<string, Buffer>> = {
  "MQTT without a header": Buffer.from("101000044d51545404020000", "hex"),
  "a TLS handshake without a header": Buffer.from("160301020001", "hex"),
  "lower case": Buffer.from("proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n"),
  "LF alone": Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n"),
  "no line end in 107 bytes": Buffer.from(`PROXY UNKNOWN ${"x".repeat(107)}`),
  "TCP4 with addresses of IPv6": Buffer.from("PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"),
  "TCP6 with addresses of IPv4": Buffer.from("PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n"),
  "two spaces": Buffer.from("PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n"),
  "one port": Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n"),
  "a port too many": Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n"),
  "port 65536": Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n"),
  "a port with a zero in front": Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n"),
  "a host's name": Buffer.from("PROXY TCP4 localhost 198.51.100.1 1 2\r\n"),
  UDP4: Buffer.from("PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n"),
  "a line break in UNKNOWN": Buffer.from("PROXY UNKNOWN a\rb\r\n"),
  "version 3": Buffer.concat([signatureV2, Buffer.of(0x31, 0x11, 0, 12), Buffer.alloc(12)]),
  "version 1 in a block": Buffer.concat([signatureV2, Buffer.of(0x11, 0x11, 0, 12), Buffer.alloc(12)]),
  "a command that there is not": blockV2(2, 0x11, Buffer.alloc(12)),
  "a family that there is not": blockV2(1, 0x41, Buffer.alloc(12)),
  "a transport that there is not": blockV2(1, 0x13, Buffer.alloc(12)),
  "addresses cut short": blockV2(1, 0x21, Buffer.alloc(12)),
  "a block of 64 KiB": Buffer.concat([signatureV2, Buffer.of(0x21, 0x11, 0xff, 0xff)]),
  "a signature with one wrong byte": Buffer.from("0d0a0d0a000d0a515549540b", "hex"),
}

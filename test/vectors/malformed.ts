/** Vectors that are no statement of this profile: codes 10 and 11. One fault each. */
import { joinBytes } from "../../chain/bytes.ts"
import { statementSizeMax } from "../../chain/statement.ts"
import { type DraftParts, draftStatement, withValue, without } from "./draft.ts"
import { array, bytes, hex, int, map, nil, single, text } from "./items.ts"
import { ecKey, vectorOrigin } from "./keys.ts"
import { type StatementVector, makeVector } from "./statement-vector.ts"

type Malformed = readonly [name: string, description: string, parts: DraftParts]

/** alg, content type, kid and claims stand at 0 to 3 in a draft's header; iss, sub, iat, seq and prev in its claims. */
const malformed: readonly Malformed[] = [
  // The envelope.
  ["tag-missing", "The COSE_Sign1 array without tag 18.", { start: hex("84") }],
  ["tag-98", "Tag 98 (COSE_Sign) in place of 18.", { start: hex("d8 62 84") }],
  ["tag-61-around", "A CWT tag around the COSE_Sign1.", { start: hex("d8 3d d2 84") }],
  ["tag-55799-around", "The tag of self-described CBOR in front.", { start: hex("d9 d9 f7 d2 84") }],
  ["tag-not-shortest", "Tag 18 with its number in an extra byte.", { start: hex("d8 12 84") }],
  [
    "array-of-5",
    "A fifth item behind the signature.",
    { start: hex("d2 85"), whole: (whole) => joinBytes(whole, nil) },
  ],
  [
    "array-of-3",
    "The unprotected header is left out.",
    { start: hex("d2 83"), unprotected: new Uint8Array(0) },
  ],
  [
    "array-of-indefinite-length",
    "The array has no length and ends with a break.",
    { start: hex("d2 9f"), whole: (whole) => joinBytes(whole, hex("ff")) },
  ],
  [
    "bytes-after-the-end",
    "One zero byte behind the statement.",
    { whole: (whole) => joinBytes(whole, hex("00")) },
  ],
  ["cut-short", "The last byte of the signature is missing.", { whole: (whole) => whole.slice(0, -1) }],
  [
    "two-statements-in-one",
    "The statement twice in one message.",
    { whole: (whole) => joinBytes(whole, whole) },
  ],
  ["one-byte", "A single zero byte.", { whole: () => hex("00") }],
  ["json", "A JSON text in place of a statement.", { whole: () => text('{"heart-rate":72}').slice(1) }],
  [
    "unprotected-header-not-empty",
    "kid stands also in the unprotected header.",
    { unprotected: map([[int(4), bytes(hex("00 01 02 03 04 05 06 07"))]]) },
  ],
  [
    "unprotected-header-as-bytes",
    "The unprotected header is an empty byte string.",
    { unprotected: hex("40") },
  ],
  [
    "unprotected-header-of-indefinite-length",
    "The empty unprotected header has no length and ends with a break.",
    { unprotected: hex("bf ff") },
  ],
  ["payload-nil", "A detached payload: nil, and the signature over what it was.", { payloadItem: () => nil }],
  [
    "payload-as-array",
    "The payload is the pack itself, not a byte string.",
    { payloadItem: (payload) => payload },
  ],
  [
    "payload-in-chunks",
    "The payload is a byte string of indefinite length with one chunk.",
    { payloadItem: (payload) => joinBytes(hex("5f"), bytes(payload), hex("ff")) },
  ],
  [
    "length-not-shortest",
    "The payload's length takes two bytes where one would do.",
    { payloadItem: (payload) => joinBytes(hex("59 00"), Uint8Array.of(payload.length), payload) },
  ],
  [
    "signature-of-63-bytes",
    "The signature lacks its last byte.",
    { signature: (signature) => signature.slice(0, 63) },
  ],
  [
    "signature-of-65-bytes",
    "A byte stands behind the signature (the recovery id that some signers add).",
    { signature: (signature) => joinBytes(signature, hex("01")) },
  ],
  [
    "signature-in-der",
    "A P-256 signature as the DER sequence that most libraries emit.",
    { key: ecKey, signature: derOf },
  ],
  ["signature-nil", "There is no signature but nil.", { signatureItem: () => nil }],

  // The protected header.
  [
    "protected-header-as-map",
    "The protected header is a map, not a byte string.",
    { protectedItem: (header) => header },
  ],
  [
    "protected-header-empty",
    "The protected header is an empty byte string.",
    { headerBytes: () => new Uint8Array(0) },
  ],
  [
    "protected-header-of-indefinite-length",
    "The header's map has no length and ends with a break.",
    { headerBytes: (pairs) => joinBytes(hex("bf"), ...pairs.flat(), hex("ff")) },
  ],
  [
    "protected-header-with-bytes-after",
    "A zero byte behind the header's map, inside its byte string.",
    { headerBytes: (pairs) => joinBytes(map(pairs), hex("00")) },
  ],
  [
    "header-out-of-order",
    "kid stands before the content type.",
    { header: ([alg, content, kid, claims]) => [alg!, kid!, content!, claims!] },
  ],
  ["alg-twice", "alg stands twice.", { header: ([alg, ...rest]) => [alg!, alg!, ...rest] }],
  ["alg-missing", "There is no alg.", { header: (pairs) => without(pairs, 1) }],
  [
    "alg-es256",
    "alg is -7 (ES256, any curve) in place of -9 (ESP256).",
    { key: ecKey, header: (pairs) => withValue(pairs, 1, int(-7)) },
  ],
  [
    "alg-eddsa",
    "alg is -8 (EdDSA, any curve) in place of -19 (Ed25519).",
    { header: (pairs) => withValue(pairs, 1, int(-8)) },
  ],
  ["alg-hmac", "alg is 5 (HMAC 256/256).", { header: (pairs) => withValue(pairs, 1, int(5)) }],
  ["alg-as-text", "alg is the text Ed25519.", { header: (pairs) => withValue(pairs, 1, text("Ed25519")) }],
  [
    "crit-present",
    "crit (label 2) names seq. There is nothing to be critical about: every label is understood or refused.",
    { header: ([alg, ...rest]) => [alg!, [int(2), array(int(4))], ...rest] },
  ],
  [
    "header-label-unknown",
    "An x5chain (label 33) in the protected header.",
    { header: (pairs) => [...pairs, [int(33), bytes(hex("30 00"))]] },
  ],
  [
    "content-type-missing",
    "There is no content type and no hash envelope.",
    { header: (pairs) => without(pairs, 3) },
  ],
  ["content-type-60", "A content type in figures that is not 112.", { content: int(60) }],
  [
    "senml-text-content-type",
    "application/senml+cbor written out: it has the figure 112, and one thing has one form.",
    { content: text("application/senml+cbor") },
  ],
  [
    "content-type-of-the-operator",
    "A device says a block.",
    { content: text("application/vnd.tidemark.block+cbor") },
  ],
  [
    "content-type-with-control-character",
    "A line feed in a content type.",
    { content: text("text/plain\n") },
  ],
  [
    "content-type-not-utf8",
    "A content type whose bytes are not UTF-8.",
    { content: joinBytes(hex("6b"), text("text/plain").slice(1), hex("ff")) },
  ],
  ["kid-missing", "There is no kid.", { header: (pairs) => without(pairs, 4) }],
  [
    "kid-of-9-bytes",
    "kid is the first nine bytes of the thumbprint.",
    { header: (pairs) => withValue(pairs, 4, bytes(new Uint8Array(9))) },
  ],
  [
    "kid-of-7-bytes",
    "kid is too short by one byte.",
    { header: (pairs) => withValue(pairs, 4, bytes(new Uint8Array(7))) },
  ],
  [
    "kid-as-text",
    "kid is a text of eight characters.",
    { header: (pairs) => withValue(pairs, 4, text("device-1")) },
  ],

  // Hash envelopes.
  [
    "hash-envelope-with-content-type",
    "A content type (3) beside a hash envelope (258).",
    { header: (pairs) => [...pairs, [int(258), int(-16)]], payload: new Uint8Array(32) },
  ],
  [
    "hash-envelope-of-sha-1",
    "A hash envelope with SHA-1 (-14).",
    { header: (pairs) => [...without(pairs, 3), [int(258), int(-14)]], payload: new Uint8Array(20) },
  ],
  [
    "hash-envelope-out-of-order",
    "In a hash envelope 260 stands before 259.",
    {
      header: (pairs) => [
        ...without(pairs, 3),
        [int(258), int(-16)],
        [int(260), text("https://example.org/ecg")],
        [int(259), text("application/dicom")],
      ],
      payload: new Uint8Array(32),
    },
  ],
  [
    "hash-envelope-without-algorithm",
    "259 without 258.",
    {
      header: (pairs) => [...without(pairs, 3), [int(259), text("application/dicom")]],
      payload: new Uint8Array(32),
    },
  ],

  // The claims.
  ["claims-missing", "There are no CWT claims.", { header: (pairs) => without(pairs, 15) }],
  [
    "claims-as-array",
    "The claims are an array.",
    { claimsItem: (pairs) => array(...pairs.map(([, value]) => value)) },
  ],
  [
    "claims-out-of-order",
    "sub stands before iss.",
    { claims: ([iss, sub, ...rest]) => [sub!, iss!, ...rest] },
  ],
  ["claim-missing", "There is no sub.", { claims: (pairs) => without(pairs, 2) }],
  [
    "claim-unknown",
    "exp (4) among the claims: a statement does not expire.",
    { claims: ([iss, sub, ...rest]) => [iss!, sub!, [int(4), int(4_000_000_000)], ...rest] },
  ],
  [
    "claim-twice",
    "iat stands twice.",
    { claims: ([iss, sub, iat, ...rest]) => [iss!, sub!, iat!, iat!, ...rest] },
  ],
  ["iss-missing", "There is no iss.", { claims: (pairs) => without(pairs, 1) }],
  ["iss-empty", "iss is an empty text.", { iss: "" }],
  ["iss-with-dot", "iss has a dot, which some brokers rewrite.", { iss: "iss.with-dot" }],
  [
    "iss-with-colons",
    "iss is a MAC address with colons, which a CWT reads as a URI.",
    { iss: "00:11:22:33:44:55" },
  ],
  ["iss-with-hyphen-first", "iss begins with a hyphen.", { iss: "-iss-with-hyphen-first" }],
  ["iss-of-51-characters", "iss has 51 characters.", { iss: "i".repeat(51) }],
  ["iss-as-bytes", "iss is a byte string.", { claims: (pairs) => withValue(pairs, 1, bytes(hex("6b 37"))) }],
  ["iss-is-the-origin", "A device speaks in the name of the log's operator.", { iss: vectorOrigin }],
  ["sub-empty", "sub is an empty text.", { sub: "" }],
  ["sub-with-space", "sub has a space.", { sub: "left wrist" }],
  ["sub-of-129-characters", "sub has 129 characters.", { sub: "s".repeat(129) }],
  ["sub-with-delete-character", "sub has U+007F.", { sub: "wrist\u007f" }],
  [
    "iat-negative",
    "iat lies before 1970.",
    { iat: -1, payload: new Uint8Array(1), content: text("text/plain") },
  ],
  ["iat-as-float", "iat is a float.", { claims: (pairs) => withValue(pairs, 6, single(1_748_764_800)) }],
  ["iat-as-text", "iat is a text.", { claims: (pairs) => withValue(pairs, 6, text("2025-06-01T08:00:00Z")) }],
  [
    "iat-not-shortest",
    "iat takes eight bytes where four would do.",
    { claims: (pairs) => withValue(pairs, 6, hex("1b 00000000 683c0a00")) },
  ],
  [
    "iat-of-2-to-the-53",
    "iat is 2^53, which not every language holds exactly.",
    { claims: (pairs) => withValue(pairs, 6, hex("1b 0020000000000000")) },
  ],
  ["seq-zero", "seq is 0: a chain begins with 1.", { seq: 0 }],
  ["seq-negative", "seq is -1.", { seq: -1 }],
  [
    "seq-as-bignum",
    "seq is the bignum 1 (tag 2).",
    { claims: (pairs) => withValue(pairs, -65_537, hex("c2 41 01")) },
  ],
  ["seq-null", "seq is null.", { claims: (pairs) => withValue(pairs, -65_537, nil) }],
  [
    "prev-null",
    "A first statement whose prev is null in place of 32 zero bytes.",
    { claims: (pairs) => withValue(pairs, -65_538, nil) },
  ],
  [
    "prev-of-31-bytes",
    "prev has 31 bytes.",
    { claims: (pairs) => withValue(pairs, -65_538, bytes(new Uint8Array(31))) },
  ],
  [
    "prev-in-hex",
    "prev is a text in hex.",
    { claims: (pairs) => withValue(pairs, -65_538, text("00".repeat(32))) },
  ],
]

/** An integer of DER: no leading zeros, and a zero byte where the first bit would be a sign. */
function derInteger(bigEndian: Uint8Array): Uint8Array {
  const first = bigEndian.findIndex((byte) => byte !== 0)
  const digits = bigEndian.slice(first)
  const content = digits[0]! >= 0x80 ? joinBytes(hex("00"), digits) : digits
  return joinBytes(Uint8Array.of(2, content.length), content)
}

function derOf(signature: Uint8Array): Uint8Array {
  const content = joinBytes(derInteger(signature.slice(0, 32)), derInteger(signature.slice(32)))
  return joinBytes(Uint8Array.of(0x30, content.length), content)
}

export function malformedVectors(): StatementVector[] {
  const vectors = malformed.map(([name, description, parts]) =>
    makeVector(name, { description, rule: "§1", verdict: 10, statement: draftStatement(name, parts) }),
  )
  const name = "too-large"
  const content = text("application/octet-stream")
  const sizeOf = (payloadSize: number): number =>
    draftStatement(name, { content, payload: new Uint8Array(payloadSize) }).length
  const payload = new Uint8Array(65_000 + (statementSizeMax + 1 - sizeOf(65_000))).fill(0x5a)
  return [
    ...vectors,
    makeVector(name, {
      description: "65,536 bytes, all of them in order.",
      rule: "§1",
      verdict: 11,
      statement: draftStatement(name, { content, payload }),
    }),
  ]
}

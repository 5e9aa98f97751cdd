/** The statement: what a device, or the log's operator, says once and signs (FORMAT §1). */
import { encodeUtf8, joinBytes } from "./bytes.ts"
import { type CborInput, CborReader, CborWriter, FormatFault, encodeCbor, readInside } from "./cbor.ts"
import { type Hash, type Sha256, parseHash, sha256 } from "./hash.ts"
import { type Algorithm, type PrivateKey, algorithmEd25519, algorithmEsp256, kidOf, kidSize } from "./key.ts"
import { signMessage, signatureSize } from "./signature.ts"

/** Bytes of a whole statement (FORMAT §1). */
export const statementSizeMax = 65_535

export const devicePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$/
export const subjectPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/

/** CoAP content format 112, `application/senml+cbor`: the only content type that is a number here. */
export const contentSenml = 112
export const contentLost = "application/vnd.tidemark.lost+cbor"
export const contentRegistry = "application/vnd.tidemark.registry+cbor"
export const contentPolicy = "application/vnd.tidemark.policy+cbor"
export const contentBlock = "application/vnd.tidemark.block+cbor"
const contentOwn = "application/vnd.tidemark."

/** What the payload is, or, for a digest of something too large to send, what was hashed and how (RFC 9995). */
export type Content = typeof contentSenml | string | HashEnvelope

export interface HashEnvelope {
  /** COSE algorithm of the digest: -16 SHA-256, -43 SHA-384, -44 SHA-512. */
  readonly digestAlgorithm: number
  readonly preimageContent?: number | string
  readonly location?: string
}

export interface Claims {
  readonly algorithm: Algorithm
  readonly content: Content
  /** First 8 bytes of the signing key's thumbprint. */
  readonly kid: Uint8Array
  /** Device id, or the log's origin where the operator speaks. */
  readonly iss: string
  /** What the statement is about. */
  readonly sub: string
  /** The signer's clock, Unix seconds. */
  readonly iat: number
  /** 1 for the first statement of a chain, then + 1. */
  readonly seq: number
  /** Entry of the signer's previous statement; where seq is 1, the chain's genesis or zeros (`firstPrevOf`). */
  readonly prev: Hash
  readonly payload: Uint8Array
}

export interface Statement extends Claims {
  /** 64 bytes. */
  readonly signature: Uint8Array
  /** The statement as published: what is stored, hashed and logged. */
  readonly bytes: Uint8Array
  /** Where the protected header ends in `bytes`. */
  readonly protectedEnd: number
}

export type DecodedStatement =
  | { readonly kind: "statement"; readonly statement: Statement }
  | { readonly kind: "malformed"; readonly rule: string; readonly offset: number }
  | { readonly kind: "too-large"; readonly sizeBytes: number }

/**
 * Takes exactly what `encodeStatement` makes.
 *
 * @param origin the log's origin where a statement of its operator may stand; null where only devices speak
 */
export function decodeStatement(bytes: Uint8Array, origin: string | null = null): DecodedStatement {
  if (bytes.length > statementSizeMax) return { kind: "too-large", sizeBytes: bytes.length }
  try {
    return { kind: "statement", statement: readStatement(bytes, origin) }
  } catch (error) {
    if (!(error instanceof FormatFault)) throw error
    return { kind: "malformed", rule: error.rule, offset: error.offset }
  }
}

function readStatement(bytes: Uint8Array, origin: string | null): Statement {
  const reader = new CborReader(bytes, "deterministic")
  if (reader.enterTag("tag 18 of a COSE_Sign1") !== 18)
    reader.fault("a statement begins with tag 18 (COSE_Sign1)", 0)
  if (reader.enterArray("a COSE_Sign1") !== 4) reader.fault("a COSE_Sign1 has four items", 1)

  const protectedBytes = reader.readBytes("the protected header")
  const protectedEnd = reader.offset
  const header = readInside(protectedEnd - protectedBytes.length, () =>
    readClaims(new CborReader(protectedBytes, "deterministic"), origin),
  )

  if (reader.enterMap("the unprotected header") !== 0)
    reader.fault("the unprotected header is empty", protectedEnd)
  reader.leave()
  const payload = reader.readBytes("the payload")
  const signatureStart = reader.offset
  const signature = reader.readBytes("the signature")
  if (signature.length !== signatureSize) reader.fault("a signature has 64 bytes", signatureStart)
  reader.leave()
  reader.leave()
  reader.end()
  // Each by its name: to spread this many takes longer than to have read them.
  const { algorithm, content, kid, iss, sub, iat, seq, prev } = header
  return { algorithm, content, kid, iss, sub, iat, seq, prev, payload, signature, bytes, protectedEnd }
}

const headerRule =
  "the protected header has alg, content type, kid and CWT claims; for a hash envelope 258 to 260 in place of the content type"

function readClaims(reader: CborReader, origin: string | null): Omit<Claims, "payload"> {
  const members = reader.enterMap("the protected header")
  // With 3, or with 258 and up to two more.
  if (members < 4 || members > 6) reader.fault(headerRule, 0)
  readLabel(reader, 1, "label 1 (alg)")
  const algorithmStart = reader.offset
  const algorithm = reader.readInt("alg, -19 (Ed25519) or -9 (ESP256),")
  if (algorithm !== algorithmEd25519 && algorithm !== algorithmEsp256) {
    reader.fault("alg is -19 (Ed25519) or -9 (ESP256)", algorithmStart)
  }

  // Sorted bytewise, 3 comes before 4, and 258 to 260 after 15.
  let content: Content | null = null
  let contentStart = 0
  if (members === 4 && reader.bytes[reader.offset] === 3) {
    readLabel(reader, 3, "label 3 (content type)")
    contentStart = reader.offset
    content = readContent(reader)
  }
  readLabel(reader, 4, "label 4 (kid)")
  const kidStart = reader.offset
  const kid = reader.readBytes("kid")
  if (kid.length !== kidSize) reader.fault("kid is the first 8 bytes of the key's thumbprint", kidStart)

  readLabel(reader, 15, "label 15 (CWT claims)")
  const claimsStart = reader.offset
  if (reader.enterMap("the CWT claims") !== 5)
    reader.fault("the CWT claims are iss, sub, iat, seq and prev", claimsStart)
  readLabel(reader, 1, "label 1 (iss)")
  const issStart = reader.offset
  const iss = reader.readText("iss")
  const isOperator = origin !== null && iss === origin
  if (!isOperator && !devicePattern.test(iss))
    reader.fault(`iss is a device id, ${devicePattern.source}`, issStart)
  readLabel(reader, 2, "label 2 (sub)")
  const subStart = reader.offset
  const sub = reader.readText("sub")
  if (!subjectPattern.test(sub)) reader.fault(`sub must match ${subjectPattern.source}`, subStart)
  readLabel(reader, 6, "label 6 (iat)")
  const iat = reader.readUint("iat")
  readLabel(reader, -65_537, "label -65537 (seq)")
  const seqStart = reader.offset
  const seq = reader.readUint("seq")
  if (seq < 1) reader.fault("seq begins with 1", seqStart)
  readLabel(reader, -65_538, "label -65538 (prev)")
  const prevStart = reader.offset
  const prev = reader.readBytes("prev")
  if (prev.length !== 32) reader.fault("prev has 32 bytes", prevStart)
  reader.leave()

  if (content === null) content = readHashEnvelope(reader, members)
  reader.leave()
  reader.end()
  if (!isOperator && typeof content === "string" && !mayDeviceUse(content)) {
    reader.fault("a device may not use the operator's content types", contentStart)
  }
  return { algorithm, content, kid, iss, sub, iat, seq, prev: parseHash(prev) }
}

/** @param what the label with its name, as a rule says it: no text is made where no rule is broken */
function readLabel(reader: CborReader, expected: number, what: string): void {
  const start = reader.offset
  if (reader.readInt(what) !== expected) reader.fault(`${what} expected`, start)
}

function readContent(reader: CborReader): Content {
  const start = reader.offset
  if (reader.peekMajor() === 0) {
    return reader.readUint("content type") === contentSenml
      ? contentSenml
      : reader.fault("content type is 112 or a text", start)
  }
  const content = reader.readText("a content type, 112 or a text,")
  return content === "application/senml+cbor"
    ? reader.fault("application/senml+cbor is written as 112", start)
    : content
}

function readHashEnvelope(reader: CborReader, members: number): HashEnvelope {
  const start = reader.offset
  if (reader.readInt("label 258 (payload-hash-alg)") !== 258) {
    reader.fault("label 3 (content type) or 258 (payload-hash-alg) is missing", start)
  }
  const digestStart = reader.offset
  const digestAlgorithm = reader.readInt("payload-hash-alg")
  if (![-16, -43, -44].includes(digestAlgorithm))
    reader.fault("payload-hash-alg is -16, -43 or -44", digestStart)
  let envelope: HashEnvelope = { digestAlgorithm }
  for (let left = members - 4; left > 0; left--) {
    const labelStart = reader.offset
    const label = reader.readInt("label 259 or 260")
    if (label === 259 && envelope.preimageContent === undefined && envelope.location === undefined) {
      const preimageContent =
        reader.peekMajor() === 0 ? reader.readUint("a content format") : reader.readText("a content type")
      envelope = { ...envelope, preimageContent }
    } else if (label === 260 && envelope.location === undefined) {
      envelope = { ...envelope, location: reader.readText("payload-location") }
    } else reader.fault("after 258 only 259 and 260 may stand, in this order", labelStart)
  }
  return envelope
}

function mayDeviceUse(content: string): boolean {
  return !content.startsWith(contentOwn) || content === contentLost || content === contentRegistry
}

/** The encoded protected header. */
function encodeHeader(claims: Claims): Uint8Array {
  const header = new Map<number, CborInput>([
    [1, claims.algorithm],
    [4, claims.kid],
    [
      15,
      new Map<number, CborInput>([
        [1, claims.iss],
        [2, claims.sub],
        [6, claims.iat],
        [-65_537, claims.seq],
        [-65_538, claims.prev],
      ]),
    ],
  ])
  const { content } = claims
  if (typeof content === "object") {
    header.set(258, content.digestAlgorithm)
    if (content.preimageContent !== undefined) header.set(259, content.preimageContent)
    if (content.location !== undefined) header.set(260, content.location)
  } else header.set(3, content)
  return encodeCbor(header)
}

/** `84 6a "Signature1"`: the start of every Sig_structure (RFC 9052 §4.4). */
const signedContext = joinBytes(Uint8Array.of(0x84, 0x6a), encodeUtf8("Signature1"))
const emptyBytes = Uint8Array.of(0x40)

/** What the signature covers: `["Signature1", protected, h'', payload]` (RFC 9052 §4.4). */
export function encodeSignedBytes(claims: Claims): Uint8Array {
  const writer = new CborWriter()
  writer.append(signedContext)
  writer.writeBytes(encodeHeader(claims))
  writer.append(emptyBytes)
  writer.writeBytes(claims.payload)
  return writer.finish()
}

/** The same bytes cut from a decoded statement: its parts are encoded in the one way there is. */
export function signedBytesOf(statement: Statement): Uint8Array {
  const { bytes, protectedEnd } = statement
  return joinBytes(
    signedContext,
    bytes.subarray(2, protectedEnd),
    emptyBytes,
    bytes.subarray(protectedEnd + 1, bytes.length - signatureSize - 2),
  )
}

/** The same, each in the memory of the one before: for who looks at many, one after the other. */
export class SignedBytes {
  private room = new Uint8Array(4096)

  constructor() {
    this.room.set(signedContext)
  }

  /** Good until the next call. */
  of({ bytes, protectedEnd }: Statement): Uint8Array {
    // What is signed stands in the statement in one piece, but for the empty map that is no empty byte string.
    const start = 2
    const size = signedContext.length + bytes.length - signatureSize - 2 - start
    if (size > this.room.length) {
      this.room = new Uint8Array(2 * size)
      this.room.set(signedContext)
    }
    this.room.set(bytes.subarray(start, bytes.length - signatureSize - 2), signedContext.length)
    this.room[signedContext.length + protectedEnd - start] = emptyBytes[0]!
    return this.room.subarray(0, size)
  }
}

/** The statement as published. Signs nothing and checks nothing: `signStatement` is what a device calls. */
export function encodeStatement(claims: Claims, signature: Uint8Array): Uint8Array {
  const writer = new CborWriter()
  writer.append(Uint8Array.of(0xd2, 0x84))
  writer.writeBytes(encodeHeader(claims))
  writer.append(Uint8Array.of(0xa0))
  writer.writeBytes(claims.payload)
  writer.writeBytes(signature)
  return writer.finish()
}

/**
 * Makes and signs a statement.
 *
 * @param origin the log's origin where its operator signs
 * @throws RangeError where the claims break a rule of FORMAT §1: the signer's mistake, named
 */
export function signStatement(
  claims: Omit<Claims, "algorithm" | "kid">,
  key: PrivateKey,
  origin: string | null = null,
): Statement {
  const whole: Claims = { ...claims, algorithm: key.publicKey.algorithm, kid: kidOf(key.publicKey) }
  const bytes = encodeStatement(whole, signMessage(key, encodeSignedBytes(whole)))
  const decoded = decodeStatement(bytes, origin)
  if (decoded.kind === "statement") return decoded.statement
  throw new RangeError(
    decoded.kind === "malformed"
      ? `this statement cannot be: ${decoded.rule}`
      : `this statement would have ${decoded.sizeBytes} bytes, and ${statementSizeMax} is the most`,
  )
}

/** The entry: SHA-256 of the statement as published. It names the statement everywhere. */
export function entryOf(bytes: Uint8Array, hash: Sha256 = sha256): Hash {
  return hash(bytes)
}

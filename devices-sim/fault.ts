/**
 * What goes wrong at a device, where in its run, and what must come of it. No I/O: a rule of a scenario becomes places
 * in a device's run by the seed alone, and each fault says beforehand which verdict has to answer it.
 */
import { type Algorithm, algorithmEsp256 } from "../chain/key.ts"
import type { Verdict } from "../chain/verdict.ts"
import type { Random } from "./random.ts"

/** The places in the exchange of a statement at which a connection can break, in the order in which they come. */
export const disconnectSteps = [
  /** Before CONNACK. */
  "connect",
  /** Behind CONNACK, before the question. */
  "connack",
  /** The question is sent, its answer is not heard. */
  "question",
  /** The head is heard, nothing is published yet. */
  "head",
  /** PUBLISH is stored on the device, and not sent. */
  "publish",
  /** Half of PUBLISH is sent. */
  "publish-half",
  /** PUBLISH is sent: whether it was committed, the device does not know. */
  "published",
  /** The receipt is heard, PUBACK is not. */
  "receipt",
  /** PUBACK is sent by the service, and not heard. */
  "puback",
  /** PUBACK is heard. */
  "acknowledged",
] as const
export type DisconnectStep = (typeof disconnectSteps)[number]

/** One thing that goes wrong at one statement of a device. */
export type Fault =
  /** Never leaves the device, though what follows does. */
  | { readonly kind: "drop" }
  | { readonly kind: "duplicate" }
  /** Changes places with the one behind it. */
  | { readonly kind: "reorder" }
  /** It and what follows leave the device later. */
  | { readonly kind: "delay"; readonly delayMs: number }
  | { readonly kind: "truncate" }
  /** A bit of the statement, of which the seed says which one, is the other one. */
  | { readonly kind: "flip-bit" }
  /** Signed by a key that was never enrolled, which says so, or claims to be the device's. */
  | { readonly kind: "wrong-key"; readonly as: "stranger" | "impostor" }
  /** Says in the device's place that it is another one. */
  | { readonly kind: "wrong-device" }
  /** A statement from before, once more. */
  | { readonly kind: "replay" }
  /** So many places are left out in front of a statement. */
  | { readonly kind: "gap"; readonly skip: number }
  | { readonly kind: "broken-link" }
  /** The key signs something else for a place that is taken; `clone`: by a copy of the device, on a connection of its own. */
  | { readonly kind: "fork" }
  | { readonly kind: "clone" }
  /** P-256 only: the other of the two signatures, s above n / 2. */
  | { readonly kind: "high-s" }
  /** A pack that cannot be read. */
  | { readonly kind: "unreadable" }
  /** The device's clock is wrong for so many statements, then right again. */
  | { readonly kind: "clock"; readonly offsetSeconds: number; readonly statements: number }
  /** A statement of so many bytes. */
  | { readonly kind: "oversized"; readonly sizeBytes: number }
  /** Bytes of no meaning, as a statement or in place of MQTT. */
  | { readonly kind: "garbage"; readonly as: "statement" | "packet" }
  | { readonly kind: "disconnect"; readonly step: DisconnectStep }
  /** The power goes: what is in memory is gone, and the outbox stays. */
  | { readonly kind: "lost-memory" }
  /** The power goes and the outbox with it. */
  | { readonly kind: "lost-outbox" }
  /** The device asks for its next key while statements are in flight. */
  | { readonly kind: "rotate" }
  /** An operator revokes, or suspends and resumes, the device while statements are in flight. */
  | { readonly kind: "revoke" }
  | { readonly kind: "suspend"; readonly forMs: number }

export type FaultKind = Fault["kind"]

export const faultKinds = [
  "drop",
  "duplicate",
  "reorder",
  "delay",
  "truncate",
  "flip-bit",
  "wrong-key",
  "wrong-device",
  "replay",
  "gap",
  "broken-link",
  "fork",
  "clone",
  "high-s",
  "unreadable",
  "clock",
  "oversized",
  "garbage",
  "disconnect",
  "lost-memory",
  "lost-outbox",
  "rotate",
  "revoke",
  "suspend",
] as const satisfies readonly FaultKind[]

/** What must come of a fault. */
export interface Expectation {
  /** One of these answers it; empty: no statement is answered otherwise than without it. */
  readonly verdicts: readonly Verdict[]
  /** What may be answered to the device's own statements meanwhile, and is no accusation. */
  readonly asides: readonly Verdict[]
  /** `open`: the device may have lost it with its memory, or may never be allowed to deliver it. */
  readonly statement: "stored" | "open"
  /**
   * What the device does then: goes on over the same connection, begins again by itself, or is done. However it is, an
   * honest device is never called a fork for it: `isEvidence` says where one must be.
   */
  readonly device: "stays" | "reconnects" | "stops"
  /** Whether two signed statements for one place are kept by the service, which prove it. */
  readonly isEvidence: boolean
}

/** FORMAT §5: the service reads and discards a packet up to this length; a longer one closes the connection unjudged. */
const packetSizeMax = 256 * 1024

/** FORMAT §4: what is over so much ahead of the service's clock is marked. */
const aheadSecondsMax = 300

const stays: Expectation = {
  verdicts: [],
  asides: [],
  statement: "stored",
  device: "stays",
  isEvidence: false,
}

function refused(...verdicts: Verdict[]): Expectation {
  return { ...stays, verdicts, device: "reconnects" }
}

/** What must come of a fault whose readings and clock are otherwise of now or of the past. */
export function expectationOf(fault: Fault): Expectation {
  switch (fault.kind) {
    case "delay":
      return stays
    case "duplicate":
    case "replay":
      return { ...stays, verdicts: ["duplicate"] }
    case "drop":
    case "reorder":
    case "gap":
      return refused("gap")
    case "truncate":
      return refused("malformed")
    case "flip-bit":
      // Whichever field the bit is in: the first check that it fails decides.
      return refused("malformed", "wrong-device", "unknown-key", "bad-signature")
    case "wrong-key":
      return refused(fault.as === "stranger" ? "unknown-key" : "bad-signature")
    case "wrong-device":
      return refused("wrong-device")
    case "broken-link":
      return refused("broken")
    case "fork":
    case "clone":
      return { ...refused("fork"), isEvidence: true }
    case "high-s":
      return refused("high-s")
    case "unreadable":
      return { ...stays, verdicts: ["accepted-unread"] }
    case "clock":
      return { ...stays, verdicts: [fault.offsetSeconds > aheadSecondsMax ? "accepted-ahead" : "accepted"] }
    case "oversized":
      return fault.sizeBytes > packetSizeMax ? refused() : refused("too-large")
    case "garbage":
      return fault.as === "statement" ? refused("malformed") : refused()
    case "disconnect":
    case "lost-memory":
      return refused()
    case "lost-outbox":
      return { ...refused(), statement: "open" }
    case "rotate":
      // Of the request; then the service closes what the old key opened.
      // Where the answer is lost, the device finds out by trying one key and then the other (FORMAT §7).
      return { ...refused("accepted"), asides: ["unknown-key"] }
    case "revoke":
      return { ...stays, verdicts: ["revoked"], statement: "open", device: "stops" }
    default:
      return refused("suspended")
  }
}

/** Whether a fault can happen to a device with such a key. */
export function canHappenTo(fault: Fault, algorithm: Algorithm): boolean {
  return fault.kind !== "high-s" || algorithm === algorithmEsp256
}

/** A line of a scenario: what goes wrong, to how many of the devices, how often to each. */
export interface FaultRule {
  readonly fault: Fault
  /** The share of devices that meet it, drawn by the seed; 1 by default. */
  readonly devices?: number
  /** How often it happens to each of them; 1 by default. */
  readonly times?: number
}

/** A fault with its place in a device's run. */
export interface PlannedFault {
  readonly fault: Fault
  /** Of the statements that the device has to say the one at which it happens, from 1. */
  readonly place: number
}

/**
 * Where each fault happens to one device: at places of their own, so that each is answered by itself. Only the seed's
 * stream, the rules and the device's numbers decide.
 *
 * @param random a stream of the device's own, such as `random.fork("faults")`
 * @param statements how many the device has to say
 * @throws RangeError where a device has fewer places than faults
 */
export function planFaults(
  random: Random,
  rules: readonly FaultRule[],
  device: { readonly statements: number; readonly algorithm: Algorithm },
): PlannedFault[] {
  const chosen: Fault[] = []
  for (const [index, { fault, devices = 1, times = 1 }] of rules.entries()) {
    // A stream for each rule: one rule more or less moves none of the others.
    const own = random.fork(`rule ${index}`)
    const isMet = own.float() < devices
    if (isMet && canHappenTo(fault, device.algorithm)) for (let n = 0; n < times; n++) chosen.push(fault)
  }
  const places = new Places(random.fork("places"), device.statements)
  // What ends a device comes behind all others, and the narrower a fault is in its place, the earlier it chooses.
  const ending = chosen.filter(({ kind }) => kind === "revoke").slice(0, 1)
  const others = chosen.filter(({ kind }) => kind !== "revoke")
  const last = ending.length === 0 ? device.statements : device.statements - 1
  const planned = others
    .toSorted((a, b) => widthOf(b) - widthOf(a))
    .map((fault) => ({ fault, place: places.take(fault, last) }))
  putBefore("high-s", "rotate", planned)
  const after = Math.max(0, ...planned.map(({ fault, place }) => place + widthOf(fault) - 1))
  for (const fault of ending)
    planned.push({ fault, place: random.fork("end").int(after + 1, device.statements) })
  return planned.toSorted((a, b) => a.place - b.place)
}

/** The next key may be one that has no high s: what needs the first one comes first, at the places that both have. */
function putBefore(first: FaultKind, second: FaultKind, planned: { fault: Fault; place: number }[]): void {
  const both = planned.filter(({ fault }) => fault.kind === first || fault.kind === second)
  const places = both.map(({ place }) => place).toSorted((a, b) => a - b)
  const ordered = both.toSorted((a, b) => Number(a.fault.kind === second) - Number(b.fault.kind === second))
  for (const [index, one] of ordered.entries()) one.place = places[index]!
}

/** How many places a fault takes: nothing else happens there. */
function widthOf(fault: Fault): number {
  return fault.kind === "clock" ? Math.max(1, fault.statements) : 1
}

class Places {
  private readonly random: Random
  private readonly count: number
  private readonly taken = new Set<number>()

  constructor(random: Random, count: number) {
    this.random = random
    this.count = count
  }

  /** @param last place that may be taken */
  take(fault: Fault, last: number): number {
    const width = widthOf(fault)
    // Something must have been said before it can be said again; and what is missed is only missed by what follows.
    const first = fault.kind === "replay" ? 2 : 1
    const isFollowed = fault.kind === "drop" || fault.kind === "reorder"
    const end = Math.min(last, isFollowed ? this.count - 1 : this.count) - width + 1
    const free: number[] = []
    for (let place = first; place <= end; place++) if (this.isFree(place, width)) free.push(place)
    if (free.length === 0)
      throw new RangeError(
        `no place is left for the fault ${fault.kind} among ${this.count} statements of a device`,
      )
    const place = this.random.pick(free)
    for (let at = place; at < place + width; at++) this.taken.add(at)
    return place
  }

  private isFree(place: number, width: number): boolean {
    for (let at = place; at < place + width; at++) if (this.taken.has(at)) return false
    return true
  }
}

/** What came of a planned fault in a run. */
export interface FaultFinding extends PlannedFault {
  readonly device: string
  readonly expected: Expectation
  /**
   * `met`: it was answered as it must. `unmet`: it was answered otherwise, or not at all. `skipped`: it never came to
   * happen, since the run or the device ended before, or something else broke the connection each time.
   */
  readonly result: "met" | "unmet" | "skipped"
  /** What answered it, null where nothing did. */
  readonly verdict: Verdict | null
  /** How often it was tried: where the network ate the answer, the service may have judged each of them. */
  readonly tries: number
  /** For a person: what was done to which statement. */
  readonly detail: string
}

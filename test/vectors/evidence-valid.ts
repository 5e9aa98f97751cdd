/** Evidence that is verified. */
import { proveKey } from "../../chain/registry.ts"
import { requestKey, revokeTo, rotateInTheMiddle, sayOddly, suspendAndResume } from "./evidence-acts.ts"

import { cosignedAt, type EvidenceSays, newLog, openScene, playScene, policyWitnessed, type Scene, thumbprint, type ValidCase, whole, witness } from "./evidence-scene.ts"
import { ecKey, edKey, vectorOrigin } from "./keys.ts"

export function validCases(): Record<string, ValidCase> {
  const { log } = playScene()
  const rangeSays: EvidenceSays = { ...whole, blocks: [2, 3], seqs: [3, 7], statements: 5, readings: 15 }
  return {
    "two-blocks": {
      description: "Blocks 2 and 3 of five: heads of 1, 3 and 4.",
      file: log.evidence("k7", 2, 3),
      says: rangeSays,
    },
    "one-block": {
      description: "Block 2 alone.",
      file: log.evidence("k7", 2, 2),
      says: { ...whole, blocks: [2, 2], seqs: [3, 5], statements: 3, readings: 9 },
    },
    "first-block": {
      description: "Block 0: nothing is before it, the policy has an arrival.",
      file: log.evidence("k7", 0, 0),
      says: { ...whole, blocks: [0, 0], seqs: [1, 1], statements: 1, readings: 3 },
    },
    "whole-log": {
      description: "From the first block to the last, whose manifest ends the range and the log.",
      file: log.evidence("k7", 0, 4),
      says: { ...whole, blocks: [0, 4], seqs: [1, 8], statements: 8, readings: 24 },
    },
    "last-block": {
      description: "The range ends where the log does.",
      file: log.evidence("k7", 4, 4),
      says: { ...whole, blocks: [4, 4], seqs: [8, 8], statements: 1, readings: 3 },
    },
    "smallest-log": {
      description: "A policy, an enrolment, a manifest.",
      file: smallestLog(),
      says: { ...whole, blocks: [0, 0], seqs: null, statements: 0, readings: 0 },
    },
    "empty-block": {
      description: "A block of no statements but its manifest.",
      file: playScene({ 2: () => {} }).log.evidence("k7", 2, 2),
      says: { ...whole, blocks: [2, 2], seqs: null, statements: 0, readings: 0 },
    },
    "silent-device": {
      description: "Blocks in which only another device spoke.",
      file: playScene({ 2: ({ log: l, n1 }) => l.say(n1), 3: ({ log: l, n1 }) => l.say(n1) }).log.evidence("k7", 2, 3),
      says: { ...whole, blocks: [2, 3], seqs: null, statements: 0, readings: 0 },
    },
    "enrolled-in-the-range": {
      description: "The enrolment is a leaf of block 3, and block 1 has no head.",
      file: enrolledInTheRange(),
      says: { device: "k8", status: "active", blocks: [2, 3], seqs: [1, 2], statements: 2, readings: 6 },
    },
    "rotated-in-the-range": {
      description: "From seq 5 on another key, proven by both.",
      file: playScene({ 2: rotateInTheMiddle }).log.evidence("k7", 2, 3),
      says: rangeSays,
    },
    "rotated-on-request": {
      description: "In the range the device asks for its next key, the operator answers.",
      file: playScene({ 2: requestKey }).log.evidence("k7", 2, 2),
      says: { ...whole, blocks: [2, 2], seqs: [3, 5], statements: 3, readings: 6 },
    },
    "rotated-on-request-before": {
      description: "The request stands before the range, as a leaf without an arrival.",
      file: requestedBefore(),
      says: { ...whole, blocks: [3, 3], seqs: [5, 6], statements: 2, readings: 6 },
    },
    "p-256": {
      description: "A key of P-256.",
      file: ofP256(),
      says: { ...whole, blocks: [1, 1], seqs: [1, 2], statements: 2, readings: 6 },
    },
    "revoked-after-the-range": {
      description: "In block 4 the key is revoked as of seq 4: 5 to 7 are sealed, and not to be believed.",
      file: playScene({ 4: revokeTo(4) }).log.evidence("k7", 2, 3),
      says: { ...rangeSays, revoked: [[5, 7]] },
    },
    "device-revoked": {
      description: "In block 4 the device is revoked, without a last good seq: what it said before stands.",
      file: playScene({ 4: ({ log: l }) => l.register({ action: "revoke", device: "k7" }) }).log.evidence("k7", 2, 3),
      says: { ...rangeSays, status: "revoked" },
    },
    "suspended-and-resumed": {
      description: "Between two statements.",
      file: playScene({ 2: suspendAndResume }).log.evidence("k7", 2, 2),
      says: { ...whole, blocks: [2, 2], seqs: [3, 4], statements: 2, readings: 6 },
    },
    "unread-ahead-lost-opaque": {
      description: "A pack that is none, a clock that runs ahead, lost readings, and an image.",
      file: playScene({ 2: sayOddly }).log.evidence("k7", 2, 2),
      says: { ...whole, blocks: [2, 2], seqs: [3, 6], statements: 4, readings: 3, unread: 1, ahead: 1, opaque: 1, lost: 1 },
    },
    witnessed: {
      description: "Two of three witnesses are demanded, and two have cosigned.",
      policy: policyWitnessed,
      file: log.evidence("k7", 2, 3, [witness("w1"), witness("w3")]),
      says: rangeSays,
    },
    "witnessed-by-others-too": {
      description: "A cosignature by a key that the reader does not know is passed over.",
      policy: policyWitnessed,
      file: log.evidence("k7", 2, 3, [witness("w4"), witness("w1"), witness("w2")]),
      says: rangeSays,
    },
    "recent-enough": {
      description: "The reader wants a checkpoint of a certain time, and it is of that time.",
      policy: policyWitnessed,
      since: cosignedAt * 1000 - 10_000_000_000,
      file: log.evidence("k7", 2, 3, [witness("w1"), witness("w3")]),
      says: rangeSays,
    },
    "key-named-by-the-reader": {
      description: "The reader knows the device's key.",
      deviceKeys: [thumbprint(edKey)],
      file: log.evidence("k7", 2, 3),
      says: rangeSays,
    },
  }
}

async function smallestLog(): Promise<Uint8Array> {
  const log = newLog()
  log.enrol("k7", edKey)
  log.seal()
  return log.evidence("k7", 0, 0)
}

function enrolAnother(scene: Scene): void {
  scene.log.say(scene.n1)
  const k8 = scene.log.enrol("k8", edKey, { proofOfNew: proveKey(edKey, vectorOrigin, "k8", 1, edKey.publicKey) })
  scene.log.say(k8)
  scene.log.say(k8)
}

async function enrolledInTheRange(): Promise<Uint8Array> {
  return playScene({ 3: enrolAnother }).log.evidence("k8", 2, 3)
}

async function ofP256(): Promise<Uint8Array> {
  const log = newLog()
  log.seal()
  const k7 = log.enrol("k7", ecKey)
  log.say(k7)
  log.say(k7)
  log.seal()
  return log.evidence("k7", 1, 1)
}

async function requestedBefore(): Promise<Uint8Array> {
  const scene = openScene()
  scene.log.say(scene.k7)
  scene.log.seal()
  requestKey({ ...scene })
  scene.log.seal()
  scene.log.seal()
  scene.log.say(scene.k7)
  scene.log.say(scene.k7)
  scene.log.seal()
  return scene.log.evidence("k7", 3, 3)
}

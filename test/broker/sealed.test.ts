import { expect, test } from "vitest"
import type { AnswerSealed } from "../../broker/submit.ts"
import { RawClient } from "./raw-client.ts"
import { ScriptedSubmit, acceptAll, refused } from "./scripted-submit.ts"
import { standBroker } from "./stand.ts"

const topic = "v1/k7/sealed"

/** Answers that the test gives when it likes. */
function makeAnswers() {
  const asked: { device: string; question: Uint8Array; answer: (bytes: Uint8Array) => void }[] = []
  const answerSealed: AnswerSealed = (device, question) =>
    new Promise((answer) => asked.push({ device, question, answer }))
  return { asked, answerSealed }
}

test("a question for a sealed receipt is answered on its topic, before its PUBACK, whether or not the device subscribed", async () => {
  const { asked, answerSealed } = makeAnswers()
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, { answerSealed })
  const client = await RawClient.connect(stand.port, "k7")
  // A subscription asks nothing: the head is told on the other topic.
  expect(await client.subscribe([topic])).toEqual([0])
  client.publish(Uint8Array.of(7), { topic, qos: 1, messageId: 9 })
  await client.ping()
  expect(asked.map(({ device, question }) => [device, question])).toEqual([["k7", Uint8Array.of(7)]])
  asked[0]!.answer(new Uint8Array(900))
  const answer = await client.expect("publish")
  expect([answer.topic, answer.payload.length, answer.qos]).toEqual([topic, 900, 0])
  expect((await client.expect("puback")).messageId).toBe(9)
})

test("a slow answer keeps the order of acknowledgements, and statements behind it are judged meanwhile", async () => {
  const { asked, answerSealed } = makeAnswers()
  const submit = new ScriptedSubmit(acceptAll)
  const stand = await standBroker(submit, {}, { answerSealed })
  const client = await RawClient.connect(stand.port, "k7")
  client.publish(new Uint8Array(0), { topic, qos: 1, messageId: 1 })
  client.publish("a statement", { qos: 1, messageId: 2 })
  await submit.until(() => submit.asked.length === 1)
  asked[0]!.answer(Uint8Array.of(1))
  await client.expect("publish")
  expect((await client.expect("puback")).messageId).toBe(1)
  expect((await client.expect("puback")).messageId).toBe(2)
})

test("a device that floods with questions for sealed receipts has one place in the way to the log, and others go past it", async () => {
  const { asked, answerSealed } = makeAnswers()
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, { answerSealed })
  const flooder = await RawClient.connect(stand.port, "k7")
  for (let seq = 1; seq <= 20; seq++) flooder.publish(Uint8Array.of(seq), { topic, qos: 1 })
  await flooder.ping()
  const other = await RawClient.connect(stand.port, "k8")
  other.publish(Uint8Array.of(1), { topic: "v1/k8/sealed", qos: 1 })
  await other.ping()
  expect(asked.map(({ device }) => device)).toEqual(["k7", "k8"])
  for (let seq = 1; seq <= 20; seq++) {
    const next = asked.findLast(({ device }) => device === "k7")!
    expect(next.question).toEqual(Uint8Array.of(seq))
    next.answer(Uint8Array.of(seq))
    expect((await flooder.expect("publish")).payload).toEqual(Buffer.of(seq))
    await flooder.expect("puback")
  }
  // What a connection that is gone still had to ask is not asked.
  for (let seq = 1; seq <= 5; seq++) flooder.publish(Uint8Array.of(seq), { topic, qos: 1 })
  await flooder.ping()
  await flooder.destroy()
  await stand.until(() => stand.count.disconnected === 1)
  const before = asked.length
  asked.at(-1)!.answer(Uint8Array.of(1))
  await other.ping()
  expect(asked.length).toBe(before)
})

test("nobody asks on another device's topic, nor behind a refusal, nor where the service does not answer such questions", async () => {
  const { asked, answerSealed } = makeAnswers()
  const submit = new ScriptedSubmit((message) => (message.kind === "question" ? null : refused(15)))
  const stand = await standBroker(submit, {}, { answerSealed })
  const other = await RawClient.connect(stand.port, "k7")
  expect(await other.subscribe(["v1/k8/sealed"])).toEqual([0x80])
  other.publish("", { topic: "v1/k8/sealed", qos: 1 })
  expect(await other.readUntilClose()).toEqual([])
  const behind = await RawClient.connect(stand.port, "k7")
  behind.publish("refused", { qos: 1 })
  behind.publish("", { topic, qos: 1 })
  // It may have been asked, and is neither answered nor acknowledged.
  const heard = await behind.readUntilClose()
  expect(heard.map((packet) => [packet.cmd, packet.cmd === "publish" ? packet.topic : null])).toEqual([
    ["publish", "v1/k7/receipts"],
  ])
  expect(asked.every(({ device }) => device === "k7")).toBe(true)
  const without = await standBroker(new ScriptedSubmit(acceptAll))
  const client = await RawClient.connect(without.port, "k7")
  expect(await client.subscribe([topic])).toEqual([0x80])
  client.publish("", { topic, qos: 1 })
  expect(await client.readUntilClose()).toEqual([])
  expect(without.refusals).toEqual(["wrong-topic"])
})

test("a question of 100 KB is thrown away as it comes and answered as what is none", async () => {
  const { asked, answerSealed } = makeAnswers()
  const stand = await standBroker(new ScriptedSubmit(acceptAll), {}, { answerSealed })
  const client = await RawClient.connect(stand.port, "k7")
  client.publish(new Uint8Array(100_000), { topic, qos: 1 })
  await client.ping()
  expect(asked.map(({ question }) => question)).toEqual([Uint8Array.of(0xff)])
  asked[0]!.answer(Uint8Array.of(1))
  await client.expect("publish")
  await client.expect("puback")
})

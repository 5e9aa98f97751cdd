/** The part that devices talk to: broker and intake. */
import type { FastifyInstance } from "fastify"
import type { Logger } from "pino"
import { type BrokerLimits, limitsDefault } from "../../broker/limits.ts"
import type { AnswerSealed } from "../../broker/submit.ts"
import type { Transport } from "../../broker/transport.ts"
import { decodeSealedQuestion, encodeSealedAnswer } from "../../chain/sealed-answer.ts"
import { openPool } from "../../ingest/database/pool.ts"
import { type IntakeEvents, openIntake } from "../../ingest/intake.ts"
import type { IngestKeys } from "../../ingest/log-keys.ts"
import { sha256Native, sodiumMissing } from "../../ingest/native.ts"
import { type Verifier, openVerifier } from "../../ingest/verifier.ts"
import { PublishedLog } from "../../research/log-published.ts"
import type { QueryLog } from "../../research/log-tiles.ts"
import { answerSealed } from "../../research/sealed-answer.ts"
import { type Connecting, openConnections } from "../connecting.ts"
import { readDescriptors, shareDescriptors } from "../descriptors.ts"
import { makeIngestMetrics } from "../metrics.ts"
import type { Readiness } from "../readiness.ts"
import { ReceiptFeed } from "../receipt-feed.ts"
import type { Guard } from "../../research/guard.ts"
import { makeReceiptRoute } from "../receipt-stream.ts"
import type { Base } from "./base.ts"

export interface IngestOptions {
  readonly connecting: Connecting
  readonly limits?: Partial<BrokerLimits>
  /** Who may see receipts. */
  readonly guard: Guard
}

export interface IngestPart {
  /** Those that were opened. */
  readonly ports: Readonly<Partial<Record<Transport, number>>>
  /** What this part shows over HTTP. */
  readonly plugin: (app: FastifyInstance) => Promise<void>
  /** Reads certificate and key again; see `Connections`. */
  reloadTls(): Promise<void>
  /** Answers what came in, then closes. */
  close(): Promise<void>
}

/** Connections of each process for logins and for enrolments by certificate. */
const loginConnectionsMax = 3
const enrolmentConnectionsMax = 1

export async function startIngest(
  { database: { pool, url }, keys, registry, readiness, log, opens }: Base<IngestKeys>,
  { connecting, limits = {}, guard }: IngestOptions,
): Promise<IngestPart> {
  const metrics = makeIngestMetrics(registry)
  opens(loginConnectionsMax + enrolmentConnectionsMax + sealedConnectionsMax)
  readiness.add("database")
  const verifier = openPartVerifier(log)
  const intake = openIntake({
    pool,
    keys,
    verifier,
    events: joinEvents(metrics.intake, logEvents(log), watchDatabase(readiness)),
  })
  const feed = new ReceiptFeed()
  const sealed = openSealedReceipts(url, log)
  // An enrolment by certificate waits while a block is made: never on a connection that statements or logins need.
  const enrolments = openPool(url, enrolmentConnectionsMax)
  const logins = openPool(url, loginConnectionsMax)
  const connections = await openConnections(connecting, {
    pool: logins,
    enrolmentPool: enrolments,
    keys,
    submit: feed.watch(intake),
    answerSealed: sealed.answer,
    limits: fitLimits(limits, log),
    counters: metrics.broker,
    tell: (event) => feed.tellEvent(event),
    certificateNotAfter: (seconds) => metrics.certificateNotAfter(seconds),
    log,
  }).catch(async (error: unknown) => {
    await intake.close()
    await verifier.close()
    await logins.end()
    await enrolments.end()
    await sealed.close()
    throw error
  })
  return {
    ports: connections.ports,
    plugin: makeReceiptRoute(feed, guard),
    reloadTls: () => connections.reloadTls(),
    close: async () => {
      await connections.close()
      await intake.close()
      await verifier.close()
      await logins.end()
      await enrolments.end()
      await sealed.close()
    },
  }
}

/**
 * As many devices as descriptors are left for, where the operator named no other limit: a device beyond it is refused and
 * counted, where without a descriptor its socket would vanish without a word.
 */
function fitLimits(limits: Partial<BrokerLimits>, log: Logger): Partial<BrokerLimits> {
  const descriptors = readDescriptors()
  const { http, mqtt } = shareDescriptors(descriptors)
  const wanted = limits.connectionsMax ?? limitsDefault.connectionsMax
  if (wanted <= mqtt) return limits
  const facts = { descriptors, devices: mqtt, http, wanted }
  if (limits.connectionsMax === undefined) {
    log.warn(facts, `only ${mqtt} devices fit into ulimit -n: raise its hard limit for ${wanted}`)
    return { ...limits, connectionsMax: mqtt }
  }
  log.warn(
    facts,
    `${wanted} devices do not fit into ulimit -n, which has room for ${mqtt}: raise its hard limit`,
  )
  return limits
}

/** One connection is enough: a device asks for few of these, and none may take what statements need. */
const sealedConnectionsMax = 1

/** Receipts of sealed statements, for the devices that made them. They are signed already: no key is needed. */
function openSealedReceipts(
  url: string,
  log: Logger,
): { readonly answer: AnswerSealed; close(): Promise<void> } {
  const pool = openPool(url, sealedConnectionsMax)
  const query: QueryLog = async (sql, values) => (await pool.query(sql, [...values])).rows
  const published = new PublishedLog(query, sha256Native)
  return {
    answer: async (device, bytes) => {
      const question = decodeSealedQuestion(bytes)
      if (question === null) return encodeSealedAnswer({ seq: null, receipt: null })
      try {
        return encodeSealedAnswer(await answerSealed(query, published, device, question))
      } catch (error) {
        // The database is away, or its tiles were changed: the device asks again.
        log.warn({ device, error: (error as Error).message }, "a receipt could not be made")
        const seq = question.kind === "seq" ? question.seq : null
        return encodeSealedAnswer({ seq, receipt: null })
      }
    },
    close: () => pool.end(),
  }
}

/** Signatures are checked off the main thread. Where that is slow on this platform, its operator is told. */
function openPartVerifier(log: Logger): Verifier {
  if (sodiumMissing !== null) {
    log.warn(
      { reason: sodiumMissing },
      "libsodium has no build for this platform: Ed25519 is verified by node:crypto, at half the speed",
    )
  }
  return openVerifier({
    failed: (error) =>
      log.error(
        { error: error.message },
        "a verifier's thread ended: signatures are checked on the main one",
      ),
  })
}

function joinEvents(...all: readonly IntakeEvents[]): IntakeEvents {
  return {
    judged: (...args) => all.forEach((events) => events.judged?.(...args)),
    answeredQuestion: (...args) => all.forEach((events) => events.answeredQuestion?.(...args)),
    dropped: () => all.forEach((events) => events.dropped?.()),
    committed: (...args) => all.forEach((events) => events.committed?.(...args)),
    troubled: (...args) => all.forEach((events) => events.troubled?.(...args)),
  }
}

/** A line for each refusal, with the rule: what a device maker looks for first. */
function logEvents(log: Logger): IntakeEvents {
  return {
    judged: (device, verdict, rule, seq) => {
      if (verdict === "accepted" || verdict === "duplicate") return
      log.warn(
        { device, seq, verdict, rule },
        verdict.startsWith("accepted") ? "accepted with a remark" : "refused",
      )
    },
    troubled: (error) => {
      if (error !== null)
        log.error(
          { error: error.message },
          "the database did not take a transaction; it is kept and tried again",
        )
      else log.info("the database works again")
    },
  }
}

function watchDatabase(readiness: Readiness): IntakeEvents {
  return {
    troubled: (error) => {
      if (error === null) readiness.mend("database")
      else
        readiness.fail(
          "database",
          "the database does not take transactions; nothing is acknowledged until it does",
        )
    },
  }
}

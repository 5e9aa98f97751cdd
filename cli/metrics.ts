/** Counters and gauges in Prometheus's text format: base units, no device ids as labels. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client"
import { statementVerdicts } from "../chain/verdict.ts"
import type { BrokerCounters } from "../broker/counters.ts"
import type { HttpCounters } from "../research/counters.ts"
import { httpRefusals } from "../research/problem.ts"
import type { IntakeEvents } from "../ingest/intake.ts"

export interface IngestMetrics {
  readonly broker: BrokerCounters
  readonly intake: IntakeEvents
  /** Of the service's own certificate, Unix seconds. */
  certificateNotAfter(seconds: number): void
}

export interface SealMetrics {
  sealed(block: {
    readonly height: number
    readonly statements: number
    readonly tookMs: number
    readonly toMs: number
  }): void
  sealFailed(): void
}

export interface WitnessMetrics {
  cosigned(witness: string): void
  failed(witness: string, kind: string): void
}

/** What no quorum has seen: how many blocks, and where the first of them ends (Unix ms). */
export interface WitnessLag {
  /** Of the last block that is witnessed; -1 before the first. */
  readonly height: number
  readonly blocks: number
  readonly sinceMs: number | null
}

/**
 * What every process counts; each part adds its own.
 *
 * @param isReady asked whenever the metrics are read
 */
export function makeRegistry(isReady: () => boolean): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  registry.registerMetric(
    new Gauge({
      name: "tidemark_ready",
      help: "1 while all parts of this process work, as /readyz says; else 0.",
      registers: [],
      collect(): void {
        this.set(isReady() ? 1 : 0)
      },
    }),
  )
  return registry
}

/** Every refusal under its own reason; a reason that never was is a 0. */
export function makeHttpMetrics(registry: Registry): HttpCounters {
  const refusals = new Counter({
    name: "tidemark_http_refusals_total",
    help: "Requests and sockets that were refused or cut, by reason.",
    labelNames: ["reason"],
    registers: [registry],
  })
  for (const reason of httpRefusals) refusals.inc({ reason }, 0)
  return { refused: (reason) => refusals.inc({ reason }) }
}

export function makeIngestMetrics(registry: Registry): IngestMetrics {
  const registers = [registry]
  const received = new Counter({
    name: "tidemark_statements_received_total",
    help: "Statements that were judged: the sum of tidemark_verdicts_total.",
    registers,
  })
  const verdicts = new Counter({
    name: "tidemark_verdicts_total",
    help: "Statements by verdict.",
    labelNames: ["verdict"],
    registers,
  })
  // A verdict that never came is a 0, not a missing line.
  for (const verdict of statementVerdicts) verdicts.inc({ verdict }, 0)
  const dropped = new Counter({
    name: "tidemark_messages_dropped_total",
    help: "Messages behind a refusal or an old epoch: not judged, not received, not acknowledged.",
    registers,
  })
  const questions = new Counter({
    name: "tidemark_questions_total",
    help: "Questions for the head, by answer.",
    labelNames: ["answer"],
    registers,
  })
  const readings = new Counter({
    name: "tidemark_readings_stored_total",
    help: "Readings stored as series.",
    registers,
  })
  const connections = new Gauge({
    name: "tidemark_mqtt_connections",
    help: "Devices that are connected.",
    registers,
  })
  const connects = new Counter({
    name: "tidemark_mqtt_connects_total",
    help: "Connections that were accepted.",
    registers,
  })
  const delayedConnects = new Counter({
    name: "tidemark_mqtt_connects_delayed_total",
    help: "Connects that waited, since their device connects too often.",
    registers,
  })
  const refusedConnections = new Counter({
    name: "tidemark_mqtt_connections_refused_total",
    help: "Connections that were refused or closed for what the client did, by reason.",
    labelNames: ["reason"],
    registers,
  })
  const deniedSubscriptions = new Counter({
    name: "tidemark_mqtt_subscriptions_denied_total",
    help: "Topics of SUBSCRIBEs that were answered by 0x80, since a device hears its own receipts only.",
    registers,
  })
  const unanswered = new Counter({
    name: "tidemark_mqtt_unanswered_total",
    help: "Messages whose connection closed before their answer could be given; they are judged all the same.",
    registers,
  })
  const commitSeconds = new Histogram({
    name: "tidemark_commit_duration_seconds",
    help: "Time of a group commit.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
  const commitStatements = new Histogram({
    name: "tidemark_commit_statements",
    help: "Statements stored by a group commit.",
    buckets: [0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000],
    registers,
  })
  const databaseFailures = new Counter({
    name: "tidemark_database_failures_total",
    help: "Transactions that the database did not take and that were tried again.",
    registers,
  })
  let certificateEnd: Gauge | null = null

  return {
    broker: {
      connected: () => {
        connects.inc()
        connections.inc()
      },
      disconnected: () => connections.dec(),
      delayed: () => delayedConnects.inc(),
      refusedConnection: (reason) => refusedConnections.inc({ reason }),
      deniedSubscription: () => deniedSubscriptions.inc(),
      dropped: (count) => unanswered.inc(count),
    },
    intake: {
      judged: (_device, verdict, _rule, _seq, count) => {
        received.inc()
        verdicts.inc({ verdict })
        readings.inc(count)
      },
      answeredQuestion: (answer) => questions.inc({ answer }),
      dropped: () => dropped.inc(),
      committed: (statements, tookMs) => {
        commitSeconds.observe(tookMs / 1000)
        commitStatements.observe(statements)
      },
      troubled: (error) => {
        if (error !== null) databaseFailures.inc()
      },
    },
    certificateNotAfter: (seconds) => {
      // Not there without TLS: a 0 would look like a certificate that expired in 1970.
      certificateEnd ??= new Gauge({
        name: "tidemark_tls_certificate_not_after_timestamp_seconds",
        help: "When the certificate that devices are shown expires.",
        registers,
      })
      certificateEnd.set(seconds)
    },
  }
}

export function makeSealMetrics(registry: Registry): SealMetrics {
  const registers = [registry]
  const blockHeight = new Gauge({
    name: "tidemark_block_height",
    help: "Height of the last block sealed here; -1 before the first.",
    registers,
  })
  blockHeight.set(-1)
  const blockEnd = new Gauge({
    name: "tidemark_block_end_timestamp_seconds",
    help: "Where the last block ends.",
    registers,
  })
  const sealSeconds = new Histogram({
    name: "tidemark_seal_duration_seconds",
    help: "Time to seal a block.",
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60],
    registers,
  })
  const sealedStatements = new Counter({
    name: "tidemark_statements_sealed_total",
    help: "Devices' statements sealed here.",
    registers,
  })
  const sealFailures = new Counter({
    name: "tidemark_seal_failures_total",
    help: "Seals that failed and will be tried again.",
    registers,
  })
  return {
    sealed: ({ height, statements, tookMs, toMs }) => {
      blockHeight.set(height)
      blockEnd.set(toMs / 1000)
      sealSeconds.observe(tookMs / 1000)
      sealedStatements.inc(statements)
    },
    sealFailed: () => sealFailures.inc(),
  }
}

/**
 * @param witnesses their names in the policy, which the operator wrote: a label each
 * @param readLag asked whenever the metrics are read, since other processes seal too; where it fails the last one stands
 */
export function makeWitnessMetrics(
  registry: Registry,
  witnesses: readonly string[],
  readLag: () => Promise<WitnessLag>,
  nowMs: () => number,
): WitnessMetrics {
  const registers = [registry]
  const addGauge = (name: string, help: string, valueOf: (lag: WitnessLag) => number): void => {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        async collect(): Promise<void> {
          await readLag().then((lag) => this.set(valueOf(lag)), ignore)
        },
      }),
    )
  }
  addGauge(
    "tidemark_block_witnessed_height",
    "Height of the last block that a quorum of witnesses has seen; -1 before the first.",
    ({ height }) => height,
  )
  addGauge(
    "tidemark_blocks_unwitnessed",
    "Sealed blocks that no quorum of witnesses has seen yet.",
    ({ blocks }) => blocks,
  )
  addGauge(
    "tidemark_witness_lag_seconds",
    "How long the first block that no quorum has seen has been waiting; 0 where there is none.",
    ({ sinceMs }) => (sinceMs === null ? 0 : Math.max(0, nowMs() - sinceMs) / 1000),
  )
  const cosignatures = new Counter({
    name: "tidemark_witness_cosignatures_total",
    help: "Cosignatures that a witness gave.",
    labelNames: ["witness"],
    registers,
  })
  const failures = new Counter({
    name: "tidemark_witness_failures_total",
    help: "Requests to a witness that ended without a cosignature, by what was wrong; they are made again.",
    labelNames: ["witness", "kind"],
    registers,
  })
  for (const witness of witnesses) {
    cosignatures.inc({ witness }, 0)
    for (const kind of ["unreachable", "refused", "nonsense", "disagrees", "failed"])
      failures.inc({ witness, kind }, 0)
  }
  return {
    cosigned: (witness) => cosignatures.inc({ witness }),
    failed: (witness, kind) => failures.inc({ witness, kind }),
  }
}

function ignore(): void {}

import { onTestFinished } from "vitest"
import { type Broker, type BrokerOptions, startBroker } from "../../broker/broker.ts"
import type { BrokerEvent, RefusedReason } from "../../broker/counters.ts"
import type { BrokerLimits } from "../../broker/limits.ts"
import type { Submit } from "../../broker/submit.ts"

/** A running broker and what it counted. */
export interface Stand {
  readonly broker: Broker
  readonly port: number
  readonly refusals: RefusedReason[]
  readonly events: BrokerEvent[]
  readonly count: { connected: number; disconnected: number; dropped: number }
  /** Connects that had to wait for their turn. */
  readonly delays: { count: number }
  /** Topics of SUBSCRIBEs that were not granted. */
  readonly denials: { count: number }
  /** Resolves once `done()` holds; it is looked at after each count. */
  until(done: () => boolean): Promise<void>
}

/** A broker on a free port, closed when the test is over. */
export async function standBroker(
  submit: Submit,
  limits: Partial<BrokerLimits> = {},
  options: Partial<BrokerOptions> = {},
): Promise<Stand> {
  const refusals: RefusedReason[] = []
  const events: BrokerEvent[] = []
  const count = { connected: 0, disconnected: 0, dropped: 0 }
  const delays = { count: 0 }
  const denials = { count: 0 }
  let watching: { done: () => boolean; resolve: () => void }[] = []
  const look = (): void => {
    const ready = watching.filter((each) => each.done())
    watching = watching.filter((each) => !ready.includes(each))
    for (const each of ready) each.resolve()
  }
  const broker = await startBroker({
    submit,
    listeners: [{ transport: "mqtt", host: "127.0.0.1", port: 0 }],
    limits: { drainMsMax: 200, lingerMsMax: 200, ...limits },
    counters: {
      connected() {
        count.connected++
        look()
      },
      delayed() {
        delays.count++
        look()
      },
      disconnected() {
        count.disconnected++
        look()
      },
      refusedConnection(reason) {
        refusals.push(reason)
        look()
      },
      deniedSubscription() {
        denials.count++
        look()
      },
      dropped(messages) {
        count.dropped += messages
        look()
      },
    },
    say(event) {
      events.push(event)
      look()
    },
    ...options,
  })
  onTestFinished(() => broker.close())
  return {
    broker,
    port: broker.listeners[0]!.port,
    refusals,
    events,
    count,
    delays,
    denials,
    until: (done) =>
      done() ? Promise.resolve() : new Promise((resolve) => watching.push({ done, resolve })),
  }
}

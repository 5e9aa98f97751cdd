/** A broker with a model service behind it and a proxy before it, closed after each test. */
import { afterEach } from "vitest"
import { type Broker, startBroker } from "../../broker/broker.ts"
import type { Submit } from "../../broker/submit.ts"
import { type FleetOptions, runFleet } from "../../devices-sim/fleet.ts"
import { ModelService } from "./device-service.ts"
import { Proxy } from "./fleet-proxy.ts"

const opened: { broker: Broker; proxy: Proxy }[] = []

afterEach(async () => {
  for (const { broker, proxy } of opened.splice(0)) {
    await proxy.kill().catch(() => undefined)
    await broker.close()
  }
})

export interface Stand {
  readonly service: ModelService
  readonly broker: Broker
  readonly proxy: Proxy
}

/** @param wrap what stands between the broker and the model, such as something that waits */
export async function stand(wrap: (service: ModelService) => Submit = (service) => service): Promise<Stand> {
  const service = new ModelService(Date.UTC(2027, 0, 1))
  const broker = await startBroker({
    submit: wrap(service),
    listeners: [{ transport: "mqtt", host: "127.0.0.1", port: 0 }],
  })
  const proxy = await Proxy.open(broker.listeners[0]!.port)
  opened.push({ broker, proxy })
  return { service, broker, proxy }
}

/** Delays short enough to try many of them. */
export const hurried = {
  reconnectMsMin: 1,
  backoffMsBase: 4,
  backoffMsMax: 20,
  waitLongMsMin: 5,
  waitLongMsMax: 10,
}

export function runOn({ service, proxy }: Stand, options: Partial<FleetOptions> = {}) {
  return runFleet({
    service: { url: `mqtt://127.0.0.1:${proxy.port}` },
    seed: 7,
    devices: 4,
    statements: 10,
    readings: 20,
    intervalMs: 0,
    startsAt: 1_795_000_000,
    rules: hurried,
    enrol: (devices) => {
      for (const { id, publicKey } of devices) service.enrol(id, publicKey)
      return Promise.resolve()
    },
    countStored: (ids) => Promise.resolve(new Map(ids.map((id) => [id, service.headOf(id).seq]))),
    ...options,
  })
}

/** One MQTT 3.1.1 connection of a device by mqtt.js: opened once, closed once, and never opened again by itself. */
import { type IClientOptions, connect } from "mqtt"
import type { Signer } from "./device-sign.ts"
import { makeJwt } from "./jwt.ts"

/** Where the service listens, how it is trusted, and how the device logs in (FORMAT §5). */
export interface Service {
  /** `mqtt://host:port`, `mqtts://…`, `ws://…` or `wss://…`. */
  readonly url: string
  /** PEM: CAs that the service's certificate may be of; those of Node by default. */
  readonly ca?: string | Uint8Array
  /** The name in the service's certificate, where it is reached by another: through a proxy, say. */
  readonly servername?: string
  /** PEM: a client certificate, with its chain, and its key. It is a login by itself. */
  readonly certificate?: string | Uint8Array
  readonly key?: string | Uint8Array
  /** Log in by this static token. */
  readonly token?: string
  /** Log in by a JWT of the device's own key, a fresh one for each connection; `origin` is the log's. */
  readonly jwt?: { readonly origin: string }
  readonly keepaliveSeconds?: number
  /** From the first byte to CONNACK. */
  readonly connectMsMax?: number
}

/** How a connection ended. */
export type LinkFailure =
  /** The service refused CONNECT with this code (MQTT 3.1.1 §3.2.2.3). */
  | { readonly kind: "connack"; readonly code: number }
  /** CONNACK did not come in this time. */
  | { readonly kind: "silent"; readonly waitedMs: number }
  /** An error of the socket, TLS, WebSocket or MQTT; `code` as Node gives it. */
  | { readonly kind: "error"; readonly code: string | null; readonly message: string }
  /** The other side closed without a word. */
  | { readonly kind: "closed" }

export interface LinkListener {
  connected(): void
  receipt(payload: Uint8Array): void
  /** The answer to a question for a sealed receipt. */
  sealed?(payload: Uint8Array): void
  /** PUBACK of the publish with this number. */
  acknowledged(number: number): void
  /** Called once, whichever side closed. `reason` is for a log; `failure` says more about it, where it is known. */
  closed(reason: string | null, failure?: LinkFailure): void
}

export interface Link {
  subscribe(): void
  /** QoS 1, without waiting for those before. */
  publish(number: number, bytes: Uint8Array): void
  /** Asks for a sealed receipt; the answers come in the order of the questions. */
  askSealed?(question: Uint8Array): void
  /** Bytes as they are, also such as are no MQTT. */
  write(bytes: Uint8Array): void
  /** Sends DISCONNECT and resolves when the socket is closed, at the latest after a second. */
  end(): Promise<void>
  /** Closes at once. `closed` is called before this returns, if it was not before. */
  cut(): void
}

const endMsMax = 1_000
export const connectMsMaxDefault = 10_000

/** With what a JWT is made: the device's key and its clock. */
export interface LinkKey {
  readonly signer: Signer
  readonly nowSeconds: number
}

/** Opens a connection of a device. Its listener hears nothing before this has returned. */
export type OpenLink = (deviceId: string, service: Service, key: LinkKey, listener: LinkListener) => Link

/** Opens a connection with a clean session and the device's id as client id (FORMAT §5). */
export function openLink(deviceId: string, service: Service, key: LinkKey, listener: LinkListener): Link {
  const { token, jwt } = service
  const password = jwt === undefined ? token : makeJwt(deviceId, jwt.origin, key.signer, key.nowSeconds)
  const connectMsMax = service.connectMsMax ?? connectMsMaxDefault
  const client = connect(service.url, {
    // mqtt.js leaves out the brackets of an IPv6 address (MQTT.js#1569).
    transformWsUrl: (made) => withAddress(made, service.url),
    ...(service.ca === undefined ? {} : { ca: readPem(service.ca) }),
    ...(service.certificate === undefined ? {} : { cert: readPem(service.certificate) }),
    ...(service.key === undefined ? {} : { key: readPem(service.key) }),
    ...namedAs(service),
    clientId: deviceId,
    protocolVersion: 4,
    clean: true, // the memory is the chain, not the broker
    reconnectPeriod: 0, // when to connect again is the device's decision
    resubscribe: false,
    keepalive: service.keepaliveSeconds ?? 30,
    connectTimeout: connectMsMax,
    ...(password === undefined ? {} : { username: deviceId, password }),
  })
  const sealedTopic = `v1/${deviceId}/sealed`
  let hasAskedSealed = false
  let isClosed = false
  let reason: string | null = null
  let failure: LinkFailure = { kind: "closed" }

  function close(): void {
    if (isClosed) return
    isClosed = true
    client.end(true)
    listener.closed(reason, failure)
  }

  client.on("connect", () => {
    if (!isClosed) listener.connected()
  })
  client.on("message", (topic, payload) => {
    if (isClosed) return
    if (topic === `v1/${deviceId}/receipts`) listener.receipt(new Uint8Array(payload))
    if (topic === sealedTopic) listener.sealed?.(new Uint8Array(payload))
  })
  // Behind every error comes `close`; without a listener it would end the process.
  client.on("error", (error) => {
    if (reason !== null) return
    reason = error.message === "" && "code" in error ? String(error.code) : error.message
    failure = sortError(error, connectMsMax)
  })
  client.on("close", close)

  return {
    subscribe() {
      client.subscribe(`v1/${deviceId}/receipts`, { qos: 0 }, (error) => {
        // A subscription that is not granted leaves the device without an answer: begin again.
        if (error === null || isClosed) return
        if (reason === null) failure = { kind: "error", code: null, message: error.message }
        reason ??= error.message
        close()
      })
    },
    publish(number, bytes) {
      if (isClosed) return
      const payload = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      client.publish(`v1/${deviceId}/statements`, payload, { qos: 1 }, (error) => {
        if (isClosed) return
        // mqtt.js calls back with null for PUBACK, and with an error where the connection ended first.
        if (error === null || error === undefined) listener.acknowledged(number)
      })
    },
    askSealed(question) {
      if (isClosed) return
      // Whoever never asks never hears of this topic: a service without it would not grant it.
      if (!hasAskedSealed) client.subscribe(sealedTopic, { qos: 0 })
      hasAskedSealed = true
      client.publish(sealedTopic, Buffer.from(question), { qos: 1 })
    },
    write(bytes) {
      if (!isClosed) client.stream.write(bytes)
    },
    async end() {
      if (isClosed) return
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, endMsMax)
        client.once("close", () => {
          clearTimeout(late)
          resolve()
        })
        client.end(false)
      })
      close()
    },
    cut: close,
  }
}

/** mqtt.js gives the code of a CONNACK as a number, and that of Node's errors as a text. */
function sortError(error: Error, waitedMs: number): LinkFailure {
  const { message } = error
  const code = "code" in error ? error.code : null
  if (typeof code === "number") return { kind: "connack", code }
  if (message === "connack timeout") return { kind: "silent", waitedMs }
  return { kind: "error", code: typeof code === "string" ? code : null, message }
}

/** mqtt.js's URL, whose scheme it may have changed for TLS, with host, port and path as they were given. */
function withAddress(made: string, given: string): string {
  const url = new URL(given)
  url.username = url.password = ""
  url.protocol = made.slice(0, made.indexOf(":"))
  return url.href
}

/** mqtt.js hands some options of TLS on to WebSocket, and not this one. */
function namedAs({ servername }: Service): IClientOptions {
  if (servername === undefined) return {}
  const wsOptions: NonNullable<IClientOptions["wsOptions"]> & { servername: string } = { servername }
  return { servername, wsOptions }
}

function readPem(pem: string | Uint8Array): string {
  return typeof pem === "string" ? pem : new TextDecoder().decode(pem)
}

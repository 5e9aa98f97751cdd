import type { EventEmitter } from "node:events"
import type { Aedes, AedesOptions, Client, Connection } from "aedes"
import type { Witness } from "./counters.ts"
import type { Session } from "./session.ts"

/** How aedes's packets reach a session. No hook throws: what one throws would end the process. */
export interface Hooks {
  readonly sessionOf: (connection: Connection) => Session | undefined
  /** Calls `enter` once the login was judged and is good; else the session refuses by itself. */
  readonly logIn: (
    session: Session,
    username: string | null,
    password: Uint8Array | null,
    enter: () => void,
  ) => void
  /** Calls `enter` when it is the session's turn to be accepted: at once, but for a device that reconnects too often. */
  readonly takeTurn: (session: Session, enter: () => void) => void
  /** A session knows its device and is about to be accepted: an older one of the same device has to go. */
  readonly takeOver: (session: Session) => void
  readonly witness: Witness
}

type AedesHooks = Pick<
  AedesOptions,
  "preConnect" | "authenticate" | "authorizePublish" | "authorizeSubscribe"
>

export function makeHooks(hooks: Hooks): AedesHooks {
  return {
    // Where a hook does not call back, its gate is closing, and aedes forgets the client when it has closed.
    preConnect: (client, packet, callback) =>
      withSession(hooks, client, "preConnect", (session) => {
        if (session.connect(packet)) callback(null, true)
      }),
    authenticate: (client, username, password, callback) =>
      withSession(hooks, client, "authenticate", (session) => {
        const enter = (): void => {
          if (session.hasEnded) return
          session.guard("authenticate", () => {
            hooks.takeOver(session)
            callback(null, true)
          })
        }
        if (session.hasEnded) return
        // Who cannot log in as a device neither takes its turn nor takes over its connection.
        hooks.logIn(session, username ?? null, password ?? null, () => hooks.takeTurn(session, enter))
      }),
    // Also called for wills: there are none, and one that came all the same must neither be taken nor routed.
    authorizePublish: (client, packet, callback) => {
      if (client === null || packet.cmd !== "publish") callback(new Error("a will is not published"))
      else {
        withSession(hooks, client, "authorizePublish", (session) => {
          session.publish(packet, () => callback(null))
        })
      }
    },
    authorizeSubscribe: (client, subscription, callback) =>
      withSession(hooks, client, "authorizeSubscribe", (session) => {
        // Null is answered by 0x80 [MQTT-3.9.3-2].
        callback(null, session.maySubscribe(subscription.topic) ? subscription : null)
      }),
  }
}

/** What aedes tells by events. */
export function listenTo(aedes: Aedes, hooks: Hooks): void {
  aedes.on("clientReady", (client) => withSession(hooks, client, "clientReady", (session) => session.begin()))
  aedes.on("subscribe", (subscriptions, client) =>
    withSession(hooks, client, "subscribe", (session) => {
      session.subscribe(subscriptions.some((each) => session.isReceipts(each.topic)))
    }),
  )
  aedes.on("unsubscribe", (topics, client) =>
    withSession(hooks, client, "unsubscribe", (session) => session.unsubscribe(topics)),
  )
  // An EventEmitter without a listener for `error` throws.
  const emitter: EventEmitter = aedes
  emitter.on("error", (error: unknown) =>
    hooks.witness.say({ kind: "fault", where: "aedes", deviceId: null, error }),
  )
}

function withSession(hooks: Hooks, client: Client, where: string, work: (session: Session) => void): void {
  const session = hooks.sessionOf(client.conn)
  session?.guard(where, () => work(session))
}

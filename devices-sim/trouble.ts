/**
 * Why a device does not go on, in one line for the person who runs it, and what would mend it. Never a key, a token or a
 * reading.
 */
import { type Verdict, verdictAdvice } from "../chain/verdict.ts"
import type { LinkFailure, Service } from "./connection-mqtt.ts"
import type { Alarm } from "./device-state.ts"

export interface Trouble {
  /** The same for the same reason, also where the words have a time or a number in them. */
  readonly reason: string
  /** One line. */
  readonly words: string
}

/** Where a device connects to, and what its clock says. */
export interface TroublePlace {
  readonly device: string
  readonly service: Service
  readonly nowMs: number
}

/** The service's address without credentials. */
export function nameService({ url }: Pick<Service, "url">): string {
  try {
    const { protocol, host } = new URL(url)
    return `${protocol}//${host}`
  } catch {
    return "an address that is no URL"
  }
}

/** Why there is no connection. */
export function explainFailure(failure: LinkFailure, place: TroublePlace): Trouble {
  const address = nameService(place.service)
  switch (failure.kind) {
    case "connack":
      return {
        reason: `connack ${failure.code}`,
        words: `${address} refused the connection: ${explainConnack(failure.code, place)}`,
      }
    case "silent":
      return {
        reason: "silent",
        words: `${address} did not answer within ${failure.waitedMs / 1000} s: ${hintOfPort(place.service)}`,
      }
    case "closed":
      return {
        reason: "closed",
        words: `${address} closed the connection before it answered: ${hintOfPort(place.service)}`,
      }
    default:
      return {
        reason: failure.code ?? failure.message,
        words: `no connection to ${address}: ${explainError(failure, place)}`,
      }
  }
}

function explainConnack(code: number, { device, service, nowMs }: TroublePlace): string {
  switch (code) {
    case 1:
      return "it does not speak MQTT 3.1.1"
    case 2:
      return `it does not take ${device} as a client id`
    case 3:
      return "it cannot judge logins now, and is asked again"
    case 4:
    case 5:
      return `the login is not good. ${hintOfLogin(device, service, nowMs)} The service's log has the reason, and so has tidemark_mqtt_connections_refused_total in its metrics`
    default:
      return `CONNACK ${code}`
  }
}

function hintOfLogin(device: string, service: Service, nowMs: number): string {
  const { jwt, token, certificate } = service
  if (jwt !== undefined)
    return `It showed a JWT: the device must be enrolled with this key (tidemark device show ${device}), the log's origin must be ${jwt.origin} (tidemark device enroll prints it), and the clock must be right: it says ${new Date(nowMs).toISOString()}.`
  if (token !== undefined)
    return `It showed a token: it must be one of ${device}, and neither revoked nor expired (tidemark device token list ${device}).`
  if (certificate !== undefined)
    return `It showed a certificate: its key must be enrolled for ${device}, or its CA trusted (tidemark device ca list), and it must not have expired.`
  return "It showed none: set service.jwt, service.token, or service.certificate and service.key."
}

function isSecure({ url }: Service): boolean {
  return /^(mqtts|wss|ssl|tls):/i.test(url)
}

function hintOfPort(service: Service): string {
  return isSecure(service)
    ? "is this its port for TLS, and is there nothing in between that closes?"
    : "is this its port without TLS? For one with TLS the URL begins with mqtts:// or wss://"
}

const untrusted = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_UNTRUSTED",
  "CERT_SIGNATURE_FAILURE",
])
const unreachable = new Set(["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "EADDRNOTAVAIL"])

function explainError(
  { code, message }: Extract<LinkFailure, { readonly kind: "error" }>,
  { service, nowMs }: TroublePlace,
): string {
  const said = code === null || message.includes(code) ? message : `${message} (${code})`
  if (code === null) {
    if (message.includes("Unexpected server response"))
      return `${message}: is this the port for WebSocket, and the path right?`
    return /header flag|malformed|invalid|packet/i.test(message)
      ? `the answer is not MQTT (${message}): is this the service's port for MQTT?`
      : message
  }
  if (code === "ECONNREFUSED")
    return "nothing listens there (ECONNREFUSED): is the service running, and is this its port?"
  if (code === "ENOTFOUND") return "there is no host of this name (ENOTFOUND)"
  if (code === "EAI_AGAIN") return "the name cannot be looked up now (EAI_AGAIN): is there a network?"
  if (unreachable.has(code)) return `the host does not answer (${code}): is there a network, or a firewall?`
  if (code === "ECONNRESET" || code === "EPIPE")
    return `it closed the connection before it answered (${code}): ${hintOfPort(service)}`
  if (untrusted.has(code)) {
    return service.ca === undefined
      ? `its certificate is not of a CA that is trusted here (${code}): give its CA, in PEM, as service.ca`
      : `its certificate is not of the CA in service.ca (${code})`
  }
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    const when = code === "CERT_HAS_EXPIRED" ? "has expired" : "is not good yet"
    return `its certificate ${when} (${code}), by this machine's clock, which says ${new Date(nowMs).toISOString()}`
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `its certificate is for another name: connect by a name that is in it, or give that as service.servername. ${message}`
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_EOF|^EPROTO$/.test(code))
    return `it does not speak TLS at this port (${code}): is this its port for TLS?`
  if (/ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)/.test(code))
    return `it does not take this client's TLS (${code}): look at service.certificate and service.key`
  return said
}

const waitingWords = {
  "wrong-device": "its statements are not those of this device",
  "unknown-key": "the device is not enrolled, or with another key",
  revoked: "the key or the device was revoked",
  suspended: "an operator has suspended the device",
} as const

/** Something that stops a device, or that a person should know. */
export function explainAlarm(alarm: Alarm, device: string): Trouble {
  const reason = "verdict" in alarm ? `${alarm.kind} ${alarm.verdict}` : alarm.kind
  return { reason, words: wordsOf(alarm, device) }
}

function wordsOf(alarm: Alarm, device: string): string {
  switch (alarm.kind) {
    case "waiting": {
      const words = alarm.verdict in waitingWords ? waitingWords[alarm.verdict as "revoked"] : alarm.verdict
      const mend =
        alarm.verdict === "unknown-key"
          ? `enrol it by tidemark device enroll ${device} --key KEY.pem, or look by tidemark device show ${device}`
          : `look by tidemark device show ${device}`
      return `the service takes nothing from it (${alarm.verdict}): ${words}. To mend it, ${mend}. The outbox keeps everything, and the device asks again in minutes`
    }
    case "fork":
      return `it has stopped: at seq ${alarm.seq} another statement of this key is stored (fork). Another process or device signs with the same key, or an old copy of the outbox was used. A person must look; the outbox keeps everything`
    case "service-lost-statements":
      return `the service has lost statements: it acknowledged ${alarm.acceptedSeq}, and now has ${alarm.headSeq}. Nothing is signed until it has them again; its operator must look`
    case "another-signer":
      return `another statement than its own is stored at seq ${alarm.seq}: somebody else signs with this key. Revoke it by tidemark device revoke ${device}`
    case "another-log":
      return `the service answers for another log than the one that this device belongs to: its head, at seq ${alarm.headSeq}, is not of this chain. Nothing is signed for it and the outbox keeps everything. Look at service.url, and at logVkey, which is the "log" line of /log/policy (leave it out for a log of protocol version 1)`
    case "log-changed":
      return `it was configured for another log: ${alarm.waiting} statements that wait are signed again for that one`
    case "contradiction":
      return `statement ${alarm.seq ?? "?"} is refused again and again as ${alarm.verdict} although it follows the head: look by tidemark receipts --device ${device}. The device asks again in minutes`
    default:
      return `its next key was not granted, and the old one goes on: look by tidemark device show ${device}`
  }
}

/** A statement that was refused for what it is, or for its place: the device makes it again by itself. */
export function explainRefusal(verdict: Verdict, seq: number | null): Trouble {
  const which = seq === null ? "a statement" : `statement ${seq}`
  return {
    reason: verdict,
    words: `${which} was refused as ${verdict} (${verdictAdvice[verdict]}); it is tried again`,
  }
}

/** A statement that is stored, and with which something is wrong; null where nothing is. */
export function explainStored(verdict: Verdict, seq: number | null): Trouble | null {
  if (verdict !== "accepted-unread" && verdict !== "accepted-ahead") return null
  const fault =
    verdict === "accepted-unread"
      ? "its payload could not be read: mend the encoder"
      : "its time is over 300 s ahead of the service's: mend the clock, these readings are marked"
  return { reason: verdict, words: `statement ${seq ?? "?"} is stored, and ${fault}` }
}

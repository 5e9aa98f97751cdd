/** Why a login was refused; each is counted on its own. The same names as `ingest/login.ts` has. */
export type LoginRefusal =
  | "login-missing" // no user name, or neither password nor certificate
  | "login-username" // it is not the client id
  | "login-unknown-device"
  | "login-password" // neither a JWT nor a token
  | "login-unavailable" // the login could not be judged: a fault of ours
  | "jwt-malformed"
  | "jwt-algorithm"
  | "jwt-subject"
  | "jwt-audience"
  | "jwt-lifetime"
  | "jwt-expired"
  | "jwt-future"
  | "jwt-key"
  | "token-unknown"
  | "token-expired"
  | "certificate-malformed"
  | "certificate-untrusted"
  | "certificate-expired"
  | "certificate-name"
  | "certificate-key"

/** What a client shows in its CONNECT and its TLS handshake. Secrets: never in a log, an error or a metric. */
export interface Credentials {
  /** The client id: a device id by its form. */
  readonly device: string
  readonly username: string | null
  readonly password: Uint8Array | null
  /** DER, the client's own first and then what it sent along; empty where it showed none, or without TLS. */
  readonly certificates: readonly Uint8Array[]
  /** Aborted when the connection is gone: nobody waits for the answer any more. */
  readonly gone: AbortSignal
}

export type LoginResult =
  { readonly kind: "accepted" } | { readonly kind: "refused"; readonly reason: LoginRefusal }

/**
 * Judges a login (PROTOCOL §5). May take as long as a database is away: the connect timeout bounds it. The broker is
 * given one by `cli/`; without one anybody may connect as any device, and the signatures decide.
 */
export type Login = (credentials: Credentials) => Promise<LoginResult>

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
  | "jwt-key-revoked"
  | "jwt-key-rotated" // a rotation ended the key, and another one stands
  | "token-unknown"
  | "token-expired"
  | "token-forged" // its row was written or changed past the operator's command
  | "certificate-malformed"
  | "certificate-untrusted"
  | "certificate-expired"
  | "certificate-name"
  | "certificate-key"
  | "certificate-key-revoked"
  | "certificate-key-rotated"
  | "device-revoked" // a good login of a device that was revoked as a whole

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

/** When what was shown expires: the connection ends then, for this reason. */
export interface LoginEnd {
  readonly afterMs: number
  readonly reason: LoginRefusal
}

export type LoginResult =
  | { readonly kind: "accepted"; readonly ends?: LoginEnd }
  /** `detail` names what was shown, the rule that it breaks and what mends it; never a secret. */
  | { readonly kind: "refused"; readonly reason: LoginRefusal; readonly detail?: string }

/**
 * Judges a login (FORMAT §5). May take as long as a database is away: the connect timeout bounds it. The broker is
 * given one by `cli/`; without one anybody may connect as any device, and the signatures decide.
 */
export type Login = (credentials: Credentials) => Promise<LoginResult>

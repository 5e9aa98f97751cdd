/** A device's login: a JWT by its own key (FORMAT §5; RFC 7519 in the compact form of RFC 7515 §3.1). */
import { encodeUtf8, formatBase64url } from "../chain/bytes.ts"
import { algorithmEd25519 } from "../chain/key.ts"
import type { Signer } from "./device-sign.ts"

/** Long enough for a clock that is a little behind; the service takes an hour at most. */
const lifetimeSeconds = 600

/**
 * A JWT for one connection.
 *
 * @param origin the log's, as the device was told where it was enrolled
 * @param nowSeconds the device's clock, Unix seconds; the service takes one that is up to a minute off
 */
export function makeJwt(deviceId: string, origin: string, signer: Signer, nowSeconds: number): string {
  // RFC 8037 §3.1, RFC 7518 §3.4: both signatures are 64 raw bytes, of either s.
  const alg = signer.publicKey.algorithm === algorithmEd25519 ? "EdDSA" : "ES256"
  const claims = {
    iss: deviceId,
    sub: deviceId,
    aud: origin,
    iat: nowSeconds,
    exp: nowSeconds + lifetimeSeconds,
  }
  const signed = `${encodePart({ alg, typ: "JWT" })}.${encodePart(claims)}`
  return `${signed}.${formatBase64url(signer.sign(encodeUtf8(signed)))}`
}

function encodePart(part: object): string {
  return formatBase64url(encodeUtf8(JSON.stringify(part)))
}

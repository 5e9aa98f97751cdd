/** Where a device stood when the operator spoke about it, for an audit that has not followed the device there. */
import { equalBytes } from "../chain/bytes.ts"
import { hashSize, parseHash, sha256 } from "../chain/hash.ts"
import type { Registry } from "../chain/registry.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import { type Statement, contentRegistry, decodeStatement } from "../chain/statement.ts"
import { readPayload } from "../chain/payload.ts"
import type { Chains } from "./chains.ts"
import type { AuditSource, StatementRows } from "./source.ts"

interface PlaceContext {
  readonly chains: Chains
  readonly source: AuditSource
  /** Whether the device's entries were followed up to here, though not its statements. */
  readonly isHeadKnown: boolean
  /** A device whose statements were followed. */
  readonly except: string | null
  readonly verify: VerifyEquation | undefined
}

/**
 * Takes in what a registry statement of the operator rests on: the head of its device, and the device's request for its
 * next key where it answers one. What is missing is not named here: the statement is then against the rules.
 */
export async function learnRegistryPlace(rows: StatementRows, context: PlaceContext): Promise<void> {
  const { chains, source, isHeadKnown } = context
  const registry = readRegistry(rows, chains.origin)
  const chain = registry === null ? undefined : chains.devices.get(registry.device)
  if (registry === null || chain === undefined || registry.device === context.except) return
  if (!isHeadKnown) {
    const head = await source.readHeadBefore(registry.device, rows.id)
    if (head?.entry.length === hashSize) chains.advance(chain, head.seq, head.entry)
  }
  const { device, request } = registry
  const bytes = request === undefined ? null : await source.readStatement(request)
  if (request === undefined || bytes === null || !equalBytes(sha256(bytes), request)) return
  const decoded = decodeStatement(bytes)
  if (decoded.kind !== "statement" || !isAtHead(decoded.statement, device, chain.head.seq)) return
  const payload = chains.readPayload(decoded.statement, request, context.verify)
  if (payload.kind === "registry")
    chains.expectRotation(device, { entry: parseHash(request), registry: payload.registry })
}

function isAtHead({ iss, seq }: Statement, device: string, headSeq: number): boolean {
  return iss === device && seq === headSeq
}

function readRegistry({ statements }: StatementRows, origin: string): Registry | null {
  const bytes = statements[0]?.bytes
  const decoded = bytes === undefined ? null : decodeStatement(bytes, origin)
  if (decoded?.kind !== "statement") return null
  const { statement } = decoded
  if (statement.iss !== origin || statement.content !== contentRegistry) return null
  const payload = readPayload(statement)
  return payload.kind === "registry" ? payload.registry : null
}

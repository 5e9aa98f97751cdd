/** Who reads: by which key, and what that reaches. */

/** Devices that a reader may see; null: all. */
export type Scope = ReadonlySet<string> | null

export interface Reader {
  /** Of the API key; null: somebody on this machine, where no key is asked for. */
  readonly keyId: string | null
  readonly name: string
  readonly scope: Scope
  /** Bulk formats too. */
  readonly mayExport: boolean
}

export const localReader: Reader = { keyId: null, name: "this machine", scope: null, mayExport: true }

/** The operator's own commands beside the service. */
export const operatorReader: Reader = { ...localReader, name: "operator" }

export function mayRead(scope: Scope, device: string): boolean {
  return scope === null || scope.has(device)
}

/** What a route adds to the record of the read; see `access.ts`. */
export interface AccessNote {
  rows: number
  /** `whole` is said when all of a stream went out. */
  outcome: "whole" | null
  /** Of the answer, where the request does not name them. */
  devices: readonly string[] | null
  /** The block that the answer speaks of. */
  height: number | null
}

declare module "fastify" {
  interface FastifyRequest {
    reader: Reader
    access: AccessNote
  }
}

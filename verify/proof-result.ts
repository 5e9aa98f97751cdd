/** What a check of a proof or a receipt is asked, and what it says. */
import type { Hash, Sha256 } from "../chain/hash.ts"
import type { PublicKey } from "../chain/key.ts"
import type { VerifyEquation } from "../chain/signature.ts"
import type { Statement } from "../chain/statement.ts"
import type { EvidenceCode } from "./evidence-fault.ts"
import type { Cosigned } from "./evidence-trust.ts"

/** What the file is about, where its reader has it beside the file. */
export type GivenStatement =
  | { readonly kind: "statement"; readonly bytes: Uint8Array }
  | { readonly kind: "entry"; readonly entry: Hash }

export interface ProofOptions {
  /** Null: the file must hold the statement. */
  readonly given: GivenStatement | null
  /** The signer's, as the reader knows them: then the statement must be by one of them. None: its signature is not checked. */
  readonly signerKeys: readonly PublicKey[]
  /** noble's where nothing is given, here and below. */
  readonly sha256?: Sha256
  readonly verify?: VerifyEquation
}

export type ProofResult = ProofFindings | ProofRefusal

export interface ProofRefusal {
  readonly kind: "refused"
  readonly code: EvidenceCode
  /** `the path` */
  readonly what: string
  /** Reads on after it. */
  readonly rule: string
}

export interface ProofFindings {
  readonly kind: "verified"
  readonly form: "proof" | "receipt" | "transparent"
  readonly origin: string
  readonly entry: Hash
  /** Of the log. */
  readonly leafIndex: number
  readonly tree: { readonly size: number; readonly root: Hash }
  readonly signedBy:
    | { readonly kind: "log"; readonly vkey: string; readonly cosigned: readonly Cosigned[] }
    | {
        readonly kind: "receipt-key"
        readonly key: PublicKey
        /** Receipts by others. */ readonly others: number
      }
  /** Null where the reader has its entry alone. */
  readonly statement: Statement | null
  /** The key among the reader's under which the statement's signature is good; null where none were named. */
  readonly signerKey: PublicKey | null
}

/** What a device is answered that asks for the receipt of a statement of its own. */
import { type SealedAnswer, type SealedQuestion } from "../chain/sealed-answer.ts"
import type { PublishedLog } from "./log-published.ts"
import type { QueryLog } from "./log-tiles.ts"
import { makeReceipt, proveLeaf } from "./sealed-statement.ts"

const selects: Readonly<Record<SealedQuestion["kind"], string>> = {
  seq: "select seq, leaf_of(id) as leaf_index from entries where device_id = $1 and seq = $2",
  newest: `select e.seq, leaf_of(e.id) as leaf_index from sealed_heads h join entries e using (device_id, seq)
           where h.device_id = $1 and h.seq > $2 order by h.height desc limit 1`,
}

export async function answerSealed(
  query: QueryLog,
  log: PublishedLog,
  device: string,
  question: SealedQuestion,
): Promise<SealedAnswer> {
  const seqAsked = question.kind === "seq" ? question.seq : 0
  const [row] = await query<{ seq: number; leaf_index: number | null }>(selects[question.kind], [
    device,
    seqAsked,
  ])
  const seq = row?.seq ?? (question.kind === "seq" ? question.seq : null)
  const leaf = row?.leaf_index == null ? null : await proveLeaf(log, row.leaf_index)
  return { seq, receipt: leaf === null ? null : await makeReceipt(query, log, leaf) }
}

/** What following a log has shown, in words for who runs it and as JSON for programs. */
import { formatBase64 } from "../chain/bytes.ts"
import { formatVkey } from "../chain/note.ts"
import { type TlogPolicy, isQuorum } from "../chain/tlog-policy.ts"
import type { Followed, SignedCheckpoint } from "./follow.ts"
import { listWitnesses } from "./split-view.ts"

/** Whether nothing has to be done about it. */
export function isWell({ kind }: Followed): boolean {
  return kind === "same" || kind === "grown" || kind === "older"
}

/**
 * Lines; of a split the first says what has happened.
 *
 * @param policy of this one log, with the reader's witnesses
 */
export function formatFollowed(followed: Followed, policy: TlogPolicy): string[] {
  switch (followed.kind) {
    case "grown":
      return [
        `copied ${leaves(followed.checkpoint.size - followed.from)}; the log has ${describe(followed.checkpoint, policy)}`,
      ]
    case "same":
      return [`nothing new; the log has ${describe(followed.checkpoint, policy)}`]
    case "older":
      return [
        `an older checkpoint of the same history: ${describe(followed.checkpoint, policy)}; ${leaves(followed.latestSize)} are known`,
      ]
    case "split":
      return [
        "THE LOG HAS SIGNED TWO HISTORIES. Nothing more is copied.",
        `the proof, for everybody who relies on this log: ${followed.path}`,
        `check it anywhere with: tidemark verify ${followed.path} --log-key ${vkeyOf(policy)}`,
      ]
    case "was-split":
      return [
        "THE LOG HAS SIGNED TWO HISTORIES, as was found earlier. Nothing more is copied.",
        ...followed.paths.map((path) => `the proof: ${path}`),
        `check it anywhere with: tidemark verify ${followed.paths[0]} --log-key ${vkeyOf(policy)}`,
      ]
    case "fault":
      return [
        `the log is at fault: ${followed.what} ${followed.rule}`,
        ...(followed.unproven === null
          ? []
          : [
              `the checkpoint that it signed is kept: ${followed.unproven}. If these were two histories, its tiles would prove it: ask the log for them`,
            ]),
      ]
    default:
      return [`not to be reached: ${followed.rule}`]
  }
}

function describe({ size, root, note }: SignedCheckpoint, policy: TlogPolicy): string {
  const witnesses = listWitnesses(note, policy)
  const isWitnessed = isQuorum(policy.quorum, new Set(witnesses))
  const seen =
    policy.witnesses.length === 0
      ? ""
      : `, ${witnesses.length === 0 ? "cosigned by none of your witnesses" : `cosigned by ${witnesses.join(", ")}`}${isWitnessed ? "" : ": not witnessed as your policy demands"}`
  return `${leaves(size)}, root ${formatBase64(root)}${seen}`
}

function vkeyOf({ logs }: TlogPolicy): string {
  return formatVkey(logs[0]!)
}

/** For programs. */
export function describeFollowed(followed: Followed, policy: TlogPolicy): Record<string, unknown> {
  switch (followed.kind) {
    case "split":
      return { kind: followed.kind, paths: [followed.path] }
    case "grown":
    case "same":
    case "older": {
      const { checkpoint, ...rest } = followed
      const { size, root, origin, note } = checkpoint
      const witnesses = listWitnesses(note, policy)
      const isWitnessed = policy.quorum.kind === "none" ? null : isQuorum(policy.quorum, new Set(witnesses))
      return { ...rest, checkpoint: { origin, size, root: formatBase64(root), witnesses, isWitnessed } }
    }
    default:
      return { ...followed }
  }
}

function leaves(size: number): string {
  return size === 1 ? "1 leaf" : `${size} leaves`
}

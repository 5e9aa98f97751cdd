/**
 * What can be wrong with the embedded Postgres. Callers switch on the kind; the message is for whoever reads the
 * terminal: what is wrong, with which folder, and how to mend it. Never a password.
 */
export type EmbeddedDatabaseFault =
  | "unsupported" // no binaries for this platform, or they are not installed
  | "account" // the account that runs us cannot run this cluster, or cannot become one that can
  | "absent" // no cluster here, and none may be made
  | "missing" // a cluster was made, and its folder is gone
  | "foreign" // a cluster that is not ours, or of another major version
  | "corrupt" // files of the cluster are damaged or gone
  | "disk" // full, read-only, or not writable
  | "orphans" // processes of a dead server still hold the cluster
  | "start" // the server does not start, for none of the reasons above
  | "unreachable" // the server runs and does not answer
  | "stop" // the server does not stop

export class EmbeddedDatabaseError extends Error {
  override readonly name = "EmbeddedDatabaseError"
  readonly kind: EmbeddedDatabaseFault

  constructor(kind: EmbeddedDatabaseFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

/** Why a server gave up, as read from the lines that it wrote to its log. */
export type StartFailure =
  | { readonly kind: "port-taken" } // somebody was quicker: try another port
  | { readonly kind: "already-running" } // another postmaster holds the folder: attach to it
  | { readonly kind: "broken-lock" } // an empty or cut pid file: what a power cut left
  | { readonly kind: "shared-memory" } // backends of a dead postmaster
  | { readonly kind: "fault"; readonly fault: EmbeddedDatabaseFault }

// Messages of Postgres 18 with LC_MESSAGES=C. The order counts: a full disk also says "could not write".
const failures: readonly (readonly [RegExp, StartFailure])[] = [
  [/Address already in use|could not create any TCP\/IP sockets/, { kind: "port-taken" }],
  [/lock file "[^"]*" already exists/, { kind: "already-running" }],
  [/lock file "[^"]*" is empty|bogus data in lock file/, { kind: "broken-lock" }],
  [/pre-existing shared memory block/, { kind: "shared-memory" }],
  [
    /No space left on device|Disk quota exceeded|Read-only file system|File too large/,
    { kind: "fault", fault: "disk" },
  ],
  [/database files are incompatible with server|not compatible with/, { kind: "fault", fault: "foreign" }],
  [
    /wrong ownership|could not look up effective user ID|cannot be run as root/,
    { kind: "fault", fault: "account" },
  ],
  [/Permission denied|Operation not permitted/, { kind: "fault", fault: "disk" }],
  [
    /incorrect checksum|invalid checkpoint|could not locate a valid checkpoint|could not (open|read|access|find) |invalid page|PANIC|contains invalid data|is not a valid data directory|required file/,
    { kind: "fault", fault: "corrupt" },
  ],
]

/** Reads a reason out of the log's last lines; "start" when none is known. */
export function readStartFailure(log: string): StartFailure {
  // What it only remarks on (LOG) is not why it gave up: after a crash that looks like damage, and is none.
  const last = log.split("\n").filter((line) => /\b(FATAL|PANIC): |^(initdb|postgres): /.test(line))
  for (const [pattern, failure] of failures) {
    if (last.some((line) => pattern.test(line))) return failure
  }
  return { kind: "fault", fault: "start" }
}

/** What to do about a fault of the disk or the files, in words. */
export function adviseOn(fault: EmbeddedDatabaseFault): string {
  switch (fault) {
    case "disk":
      return "Make room, or make the folder writable, and start again: nothing that was acknowledged is lost."
    case "foreign":
      return "Give another data folder, or put back the database that belongs to this one."
    case "corrupt":
      return "Do not delete it: keep a copy of the whole folder, then restore the database from a backup."
    case "account":
      return "Start as the account that made it, or name a server in DATABASE_URL."
    default:
      return "See the log; or name another server in DATABASE_URL."
  }
}

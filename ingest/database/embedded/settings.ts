/**
 * Settings that a new cluster is born with, in its postgresql.conf: sizes for a small machine, which its owner may
 * change there. `wal_compression = on` is pglz, the only method that every build has.
 */
export const bornSettings: readonly string[] = [
  "shared_buffers=256MB",
  "effective_cache_size=1GB",
  "work_mem=16MB",
  "maintenance_work_mem=128MB",
  "max_connections=50",
  "max_wal_size=2GB",
  "min_wal_size=256MB",
  "checkpoint_timeout=10min",
  "wal_compression=on",
  "jit=off",
  "timezone=UTC",
  "log_timezone=UTC",
  "log_checkpoints=off",
]

/**
 * Settings that each start repeats on the command line, over whatever the file says: the first promise rests on them
 * (an acknowledged statement is on disk), and a log line must never hold a reading (the context of a failed COPY and
 * the text of a failed statement would).
 */
export const heldSettings: readonly string[] = [
  "listen_addresses=127.0.0.1",
  "fsync=on",
  "full_page_writes=on",
  "synchronous_commit=on",
  "password_encryption=scram-sha-256",
  "log_error_verbosity=terse",
  "log_min_error_statement=panic",
  "log_statement=none",
  "log_min_duration_statement=-1",
  "log_parameter_max_length_on_error=0",
  "logging_collector=off",
  "log_destination=stderr",
  "lc_messages=C",
]

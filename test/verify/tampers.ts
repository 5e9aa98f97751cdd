/** What somebody with full rights on the database may change, and what the audit must say of it. */
export interface Tamper {
  readonly column: string
  /** One change; written for the log of `log.ts`. */
  readonly sql: string
  /** What must be named. */
  readonly table: string
  readonly columnNamed: string | null
  readonly row: RegExp
  readonly rule: RegExp
}

const idOf = (device: string, seq: number): string =>
  `(select id from entries where device_id = '${device}' and seq = ${seq})`

/** The k-th byte with its lowest bit turned. */
const flip = (column: string, byte = 0): string =>
  `${column} = set_byte(${column}, ${byte}, get_byte(${column}, ${byte}) # 1)`

/** A tamper that is named by its own table and column, or by those that are given. */
function tamper(
  place: string,
  sql: string,
  row: RegExp,
  rule: RegExp,
  named: { readonly table?: string; readonly column?: string | null } = {},
): Tamper {
  const [table, column] = place.split(".") as [string, string]
  return {
    column: place,
    sql,
    table: named.table ?? table,
    columnNamed: named.column === undefined ? column : named.column,
    row,
    rule,
  }
}

const k1s2 = /^statement 2 of device k1$/
const ofK1 = "where device_id = 'k1' and seq = 2"
const bytesOfK1 = `where id = ${idOf("k1", 2)}`
const seriesOfK1 = `where statement_id = ${idOf("k1", 2)} and position = 0`
const seriesRow = /^series 0 of statement 2 of device k1$/
/** The pack of every kind, k2's statement 2, whose packs begin with what has no unit. */
const everyKind = (position: number): string =>
  `where statement_id = ${idOf("k2", 2)} and position = ${position}`
const kindRow = (position: number): RegExp => new RegExp(`^series ${position} of statement 2 of device k2$`)
const payload = /differs from the signed payload/
const ofEntry = /differs from that of its entry/
const ofManifest = /differs from the signed manifest/
const ofStatements = /differs from what its statements give/
const block0 = /^block 0$/
const series = (column: string, sql: string, rule = payload): Tamper =>
  tamper(`series.${column}`, `update series set ${sql} ${seriesOfK1}`, seriesRow, rule)
const kind = (column: string, position: number, sql: string): Tamper =>
  tamper(`series.${column}`, `update series set ${sql} ${everyKind(position)}`, kindRow(position), payload)
const block = (
  column: string,
  sql: string,
  rule = ofManifest,
  named: { column?: string | null } = {},
): Tamper => tamper(`blocks.${column}`, `update blocks set ${sql} where height = 0`, block0, rule, named)
const key = (column: string, sql: string): Tamper =>
  tamper(
    `device_keys.${column}`,
    `update device_keys set ${sql} where device_id = 'k3' and first_seq = 1`,
    /^key [0-9a-f]{16} of device k3$/,
    /differs from what the operator's chain says/,
  )

const differs = /differs from what the operator's chain says/
const authority = (column: string, sql: string, rule = differs, name = "maker"): Tamper =>
  tamper(
    `certificate_authorities.${column}`,
    `update certificate_authorities set ${sql} where name = '${name}'`,
    new RegExp(`^CA ${name}$`),
    rule,
  )

const arrivalTile = (
  column: string,
  sql: string,
  rule: RegExp,
  named: { column?: string | null } = {},
): Tamper =>
  tamper(
    `arrival_tiles.${column}`,
    `update arrival_tiles set ${sql}`,
    /^arrivals tile 1\/0 of block 0$/,
    rule,
    named,
  )

/** Tables that have rows only where a block is long: their tampers are for the long log of `log.ts`. */
export const longLogTables: ReadonlySet<string> = new Set(["arrival_tiles"])

/** At least one per column that evidence rests on. */
export const changes: readonly Tamper[] = [
  tamper(
    "log.origin",
    "update log set origin = 'other.invalid/log'",
    /^the log's row$/,
    /differs from the signed policy/,
  ),
  tamper(
    "log.vkey",
    "update log set vkey = vkey || 'A'",
    /^the log's row$/,
    /differs from the signed policy/,
  ),
  tamper(
    "log.operator_key",
    `update log set ${flip("operator_key", 10)}`,
    /^the log's row$/,
    /differs from the signed policy/,
  ),
  tamper(
    "log.receipt_key",
    `update log set ${flip("receipt_key", 10)}`,
    /^the log's row$/,
    /differs from the signed policy/,
  ),
  tamper("log.version", "update log set version = 1", /^the log's row$/, /differs from the signed policy/),

  tamper(
    "entries.id",
    `update entries set id = 1000000 ${ofK1}`,
    /^id \d+$/,
    /has a statement and no entry/,
    {
      table: "statements",
      column: null,
    },
  ),
  tamper("entries.device_id", `update entries set device_id = 'k5' ${ofK1}`, k1s2, /differs from iss/),
  tamper("entries.seq", `update entries set seq = 99 ${ofK1}`, k1s2, /differs from the signed seq/),
  tamper("entries.entry", `update entries set ${flip("entry")} ${ofK1}`, k1s2, /is not the SHA-256/),
  tamper(
    "entries.received_at",
    `update entries set received_at = received_at + interval '1 ms' ${ofK1}`,
    k1s2,
    /differs from that of its bytes/,
  ),
  tamper(
    "entries.received_at",
    `update entries set received_at = received_at + interval '1 us' ${ofK1}`,
    k1s2,
    /differs from that of its bytes/,
  ),
  tamper(
    "entries.received_at",
    `update entries set received_at = 'infinity' ${ofK1}`,
    k1s2,
    /differs from that of its bytes/,
  ),
  tamper(
    "entries.signed_digest",
    `update entries set ${flip("signed_digest")} ${ofK1}`,
    k1s2,
    /is not the keyed SHA-256/,
  ),
  tamper(
    "entries.code",
    `update entries set code = 4 ${ofK1}`,
    k1s2,
    /is 4, and the signed payload and its arrival give 1/,
  ),
  tamper("entries.code", `update entries set code = 3, fault = 'a rule' ${ofK1}`, k1s2, /is 3, and/),
  tamper(
    "entries.code",
    "update entries set code = 1 where device_id = 'k2' and seq = 4",
    /^statement 4 of device k2$/,
    /is 1, and the signed payload and its arrival give 4/,
  ),
  tamper(
    "entries.code",
    "update entries set code = 1, fault = null where device_id = 'k2' and seq = 3",
    /^statement 3 of device k2$/,
    /give 3 \(accepted-unread\)/,
  ),
  tamper(
    "entries.fault",
    "update entries set fault = fault || ' ' where device_id = 'k2' and seq = 3",
    /^statement 3 of device k2$/,
    /is not what the signed payload gives/,
  ),
  tamper(
    "entries.readings",
    `update entries set readings = readings + 1 ${ofK1}`,
    k1s2,
    /is not what the signed payload gives/,
  ),
  tamper(
    "entries.starts_at",
    `update entries set starts_at = starts_at - 1e-6 ${ofK1}`,
    k1s2,
    /is not what the signed payload gives/,
  ),
  tamper(
    "entries.ends_at",
    "update entries set ends_at = 0, starts_at = 0, readings = 1 where device_id = 'k2' and seq = 3",
    /^statement 3 of device k2$/,
    /is not what the signed payload gives/,
    { column: "readings" },
  ),
  tamper(
    "entries.ends_at",
    `update entries set ends_at = ends_at + 1e-6 ${ofK1}`,
    k1s2,
    /is not what the signed payload gives/,
  ),

  tamper("statements.id", `update statements set id = 1000000 ${bytesOfK1}`, k1s2, /is missing/, {
    column: null,
  }),
  tamper(
    "statements.received_at",
    `update statements set received_at = received_at - interval '1 us' ${bytesOfK1}`,
    k1s2,
    ofEntry,
  ),
  // Every part of a statement: tag, header, payload, signature.
  tamper(
    "statements.bytes",
    `update statements set ${flip("bytes", 0)} ${bytesOfK1}`,
    k1s2,
    /is no statement/,
  ),
  tamper(
    "statements.bytes",
    `update statements set ${flip("bytes", 40)} ${bytesOfK1}`,
    k1s2,
    /is not the statement that was accepted here|is no statement/,
  ),
  tamper(
    "statements.bytes",
    `update statements set bytes = set_byte(bytes, length(bytes) - 70, get_byte(bytes, length(bytes) - 70) # 1) ${bytesOfK1}`,
    k1s2,
    /is not the statement that was accepted here/,
  ),
  tamper(
    "statements.bytes",
    `update statements set bytes = set_byte(bytes, length(bytes) - 1, get_byte(bytes, length(bytes) - 1) # 1) ${bytesOfK1}`,
    k1s2,
    /is not the statement that was accepted here/,
  ),
  // A good statement of the same device, and one that the device signed for this very place: the fork.
  tamper(
    "statements.bytes",
    `update statements set bytes = (select bytes from statements where id = ${idOf("k1", 3)}) ${bytesOfK1}`,
    k1s2,
    /is not the statement that was accepted here/,
  ),
  tamper(
    "statements.bytes",
    `update statements set bytes = (select other from forks) ${bytesOfK1}`,
    k1s2,
    /is not the statement that was accepted here/,
  ),
  tamper(
    "statements.bytes",
    `update statements set ${flip("bytes", 100)} where id = (select min(id) from statements)`,
    /^statement 1 of the operator$/,
    /./,
  ),
  tamper(
    "statements.bytes",
    `update statements set ${flip("bytes", 150)} where id = (select manifest_id from blocks where height = 2)`,
    /^statement \d+ of the operator$/,
    /./,
  ),

  tamper(
    "series.statement_id",
    `update series set statement_id = 1000000 ${seriesOfK1}`,
    seriesRow,
    /is missing/,
    { column: null },
  ),
  tamper(
    "series.statement_id",
    `update series set statement_id = ${idOf("k2", 5)} ${everyKind(5)}`,
    kindRow(5),
    /is missing/,
    { column: null },
  ),
  tamper("series.position", `update series set position = 7 ${seriesOfK1}`, seriesRow, /is missing/, {
    column: null,
  }),
  series("received_at", "received_at = received_at + interval '1 us'", ofEntry),
  series("device_id", "device_id = 'k2'", ofEntry),
  series("metric", "metric = 'glucose'"),
  series("name", "name = 'k1/heart-rate'"),
  series("unit", "unit = null"),
  kind("unit", 0, "unit = ''"),
  series("kind", "kind = 'sum'"),
  series("starts_at", "starts_at = starts_at - 1"),
  series("ends_at", "ends_at = ends_at + 1"),
  series("times", "times[2] = times[2] + 1"),
  series("numbers", "numbers[2] = numbers[2] + 1e-9"),
  series("numbers", "numbers = numbers[1:2]"),
  series("numbers", "numbers[2] = null"),
  series("numbers", "numbers = '[0:2]={60,61.5,62}'"),
  // 0 in place of -0, which is equal to it and was not signed.
  kind("numbers", 3, "numbers[2] = 0"),
  kind("numbers", 1, "numbers[2] = 1"),
  kind("texts", 0, "texts[1] = 'running'"),
  kind("blobs", 2, "blobs[2] = '\\x0204'"),
  kind("period_ms", 5, "period_ms = 5"),
  kind("factor", 5, "factor = 0.006"),
  kind("origin", 5, "origin = 0"),
  kind("samples", 5, "samples[4] = 32766"),
  series("ahead", "ahead = true", /differs from the code of its entry/),

  tamper(
    "leaf_runs.first_leaf",
    "update leaf_runs set first_leaf = 1000 where first_leaf = 0",
    /^leaves 1000 to 10\d\d$/,
    /is not the leaf of statement 1 of the operator, which is 0/,
  ),
  tamper(
    "leaf_runs.first_id",
    "update leaf_runs set first_id = first_id + 1 where first_leaf = 0",
    /^leaves 0 to \d+$/,
    /is not the id of statement 1 of the operator/,
  ),
  tamper(
    "leaf_runs.first_id",
    "update leaf_runs set first_id = 1000000 where first_leaf = 0",
    /^leaves 0 to \d+$/,
    /are missing: the first is statement 1 of the operator/,
    { column: null },
  ),
  tamper(
    "leaf_runs.leaf_count",
    "update leaf_runs set leaf_count = leaf_count - 1 where first_leaf = 0",
    /^leaves 0 to \d+$/,
    /is not \d+, the leaves up to the next gap of ids/,
  ),
  // Over what waits for the next block.
  tamper(
    "leaf_runs.leaf_count",
    "update leaf_runs set leaf_count = leaf_count + 1 where first_leaf = (select max(first_leaf) from leaf_runs)",
    /^leaves \d+ to 28$/,
    /is not \d+, the leaves up to the next gap of ids/,
  ),

  arrivalTile("height", "height = 1", /is missing/, { column: null }),
  arrivalTile("level", "level = 2", /is missing/, { column: null }),
  arrivalTile("tile_index", "tile_index = 1", /is missing/, { column: null }),
  arrivalTile("hashes", flip("hashes", 31), /is not what the block's arrivals give/),
  arrivalTile("hashes", "hashes = hashes || hashes", /is not what the block's arrivals give/),

  tamper("tiles.level", "update tiles set level = 3", /^tile 0\/0$/, /lacks the hash at place 0/, {
    column: "hashes",
  }),
  tamper("tiles.tile_index", "update tiles set tile_index = 3", /^tile 0\/0$/, /lacks the hash at place 0/, {
    column: "hashes",
  }),
  tamper("tiles.hashes", `update tiles set ${flip("hashes", 37)}`, /^tile 0\/0$/, /differs at place 1/),
  tamper(
    "tiles.hashes",
    "update tiles set hashes = substr(hashes, 1, length(hashes) - 32)",
    /^tile 0\/0$/,
    /lacks the hash at place 27/,
  ),
  tamper(
    "tiles.hashes",
    "update tiles set hashes = hashes || substr(hashes, 1, 32)",
    /^tile 0\/0$/,
    /holds more hashes than the 28/,
  ),

  tamper(
    "blocks.height",
    "update blocks set height = 9 where height = 1",
    /^block 1$/,
    /is missing: statement \d+ of the operator is its manifest/,
    { column: null },
  ),
  block("from_ms", "from_ms = from_ms - 1"),
  block("to_ms", "to_ms = to_ms + 1"),
  tamper(
    "blocks.first_leaf",
    "update blocks set first_leaf = first_leaf - 1 where height = 2",
    /^block 2$/,
    ofManifest,
  ),
  block("size", "size = size + 1"),
  block("root", flip("root")),
  block("heads_root", flip("heads_root")),
  block("blocks_root", flip("blocks_root")),
  block("arrivals_root", flip("arrivals_root")),
  block("summary", flip("summary")),
  block("salt", flip("salt"), /does not open the summary/),
  block("devices", "devices = devices + 1", ofStatements),
  block("statements", "statements = statements - 1", ofStatements),
  block("readings", "readings = readings + 1", ofStatements),
  block("earliest_ms", "earliest_ms = earliest_ms + 1", ofStatements),
  block("latest_ms", "latest_ms = null", ofStatements),
  block("manifest_id", "manifest_id = 1000000", /is not the id of its manifest/),

  tamper(
    "sealed_heads.device_id",
    "update sealed_heads set device_id = 'k9' where device_id = 'k1' and height = 0",
    /^head of device k9 in block 0$/,
    /did not move/,
    { column: null },
  ),
  tamper(
    "sealed_heads.height",
    "update sealed_heads set height = 1 where device_id = 'k1' and height = 0",
    /^head of device k1 in block 0$/,
    /is missing/,
    { column: null },
  ),
  tamper(
    "sealed_heads.seq",
    "update sealed_heads set seq = seq - 1 where device_id = 'k1' and height = 0",
    /^head of device k1 in block 0$/,
    /is not 4/,
  ),
  tamper(
    "sealed_heads.entry",
    `update sealed_heads set ${flip("entry")} where device_id = 'k1' and height = 0`,
    /^head of device k1 in block 0$/,
    /last entry/,
  ),
  tamper(
    "sealed_heads.registry",
    `update sealed_heads set ${flip("registry")} where device_id = 'k1' and height = 0`,
    /^head of device k1 in block 0$/,
    /last registry statement/,
  ),

  tamper(
    "checkpoints.height",
    "update checkpoints set height = 9 where height = 1",
    /^checkpoint of block 1$/,
    /is missing/,
    { column: null },
  ),
  tamper(
    "checkpoints.size",
    "update checkpoints set size = size + 1000 where height = 1",
    /^checkpoint of block 1$/,
    /is not \d+, the leaves/,
  ),
  tamper(
    "checkpoints.root",
    `update checkpoints set ${flip("root")} where height = 1`,
    /^checkpoint of block 1$/,
    /is not the root that the log signed/,
  ),
  tamper(
    "checkpoints.note",
    "update checkpoints set note = replace(note, ' ', '  ') where height = 1",
    /^checkpoint of block 1$/,
    /is not a checkpoint signed by the log's key/,
  ),
  tamper(
    "checkpoints.note",
    "update checkpoints set note = (select note from checkpoints where height = 0) where height = 1",
    /^checkpoint of block 1$/,
    /signed for another size/,
  ),
  tamper(
    "checkpoints.note",
    "update checkpoints set note = note || split_part(note, E'\\n\\n', 2) where height = 1",
    /^checkpoint of block 1$/,
    /is not a checkpoint/,
  ),

  tamper(
    "checkpoints.receipt_signature",
    `update checkpoints set ${flip("receipt_signature")} where height = 1`,
    /^checkpoint of block 1$/,
    /is not the receipt key's signature over this tree/,
  ),
  tamper(
    "checkpoints.receipt_signature",
    "update checkpoints set receipt_signature = null where height = 1",
    /^checkpoint of block 1$/,
    /is missing: the blocks before have one/,
  ),

  tamper(
    "chain_heads.device_id",
    "update chain_heads set device_id = 'k9' where device_id = 'k5'",
    /^head of device k[59]$/,
    /was never enrolled|is missing/,
    { column: null },
  ),
  tamper(
    "chain_heads.seq",
    "update chain_heads set seq = seq - 1 where device_id = 'k1'",
    /^head of device k1$/,
    /is not 7/,
  ),
  tamper(
    "chain_heads.entry",
    `update chain_heads set ${flip("entry")} where device_id = 'k1'`,
    /^head of device k1$/,
    /last entry/,
  ),
  tamper(
    "devices.device_id",
    "update devices set device_id = 'k9' where device_id = 'k5'",
    /^device k9$/,
    /was never enrolled/,
    { column: null },
  ),
  tamper(
    "devices.status",
    "update devices set status = 'active' where device_id = 'k4'",
    /^device k4$/,
    /the operator's chain says suspended/,
  ),
  tamper(
    "devices.registry",
    `update devices set ${flip("registry")} where device_id = 'k1'`,
    /^device k1$/,
    /last registry statement/,
  ),
  tamper(
    "devices.attributes",
    `update devices set attributes = '{"make": "Other"}' where device_id = 'k5'`,
    /^device k5$/,
    /differs from the signed enrolment/,
  ),
  tamper(
    "device_keys.device_id",
    "update device_keys set device_id = 'k5' where device_id = 'k3' and first_seq = 3",
    /^key [0-9a-f]{16} of device k5$/,
    /was never enrolled/,
    { column: null },
  ),
  tamper(
    "device_keys.kid",
    `update device_keys set ${flip("kid")} where device_id = 'k1'`,
    /^key [0-9a-f]{16} of device k1$/,
    /is not the key's thumbprint/,
  ),
  key("cose_key", flip("cose_key", 20)),
  key("first_seq", "first_seq = 2"),
  key("last_seq", "last_seq = 3"),
  key("ended_by", "ended_by = 'revocation'"),
  key("possession_proven", "possession_proven = true"),
  key("introduced_by", "introduced_by = 'old-key'"),
  tamper(
    "devices.ca_digest",
    "update devices set ca_digest = sha256(registry) where device_id = 'k5'",
    /^device k5$/,
    /differs from the signed enrolment/,
  ),
  tamper(
    "certificate_authorities.name",
    "update certificate_authorities set name = 'other' where name = 'maker'",
    /^CA other$/,
    /was never trusted/,
    { column: null },
  ),
  authority("digest", flip("digest")),
  authority("certificate", flip("certificate"), /is not the certificate that the operator trusted/),
  authority("trusted", "trusted = true", differs, "maker.2024"),
  authority("registry", flip("registry"), /last registry statement about the CA/),

  tamper(
    "forks.device_id",
    "update forks set device_id = 'k2'",
    /^fork at seq 2 of device k2$/,
    /is not the statement that is stored/,
    { column: "stored" },
  ),
  tamper(
    "forks.seq",
    "update forks set seq = 3",
    /^fork at seq 3 of device k1$/,
    /is not the statement that is stored/,
    { column: "stored" },
  ),
  tamper(
    "forks.stored",
    `update forks set ${flip("stored", 60)}`,
    /^fork at seq 2 of device k1$/,
    /is not the statement that is stored/,
  ),
  tamper(
    "forks.stored",
    "update forks set stored = other",
    /^fork at seq 2 of device k1$/,
    /is not the statement that is stored/,
  ),
  tamper(
    "forks.other",
    "update forks set other = set_byte(other, length(other) - 1, get_byte(other, length(other) - 1) # 1)",
    /^fork at seq 2 of device k1$/,
    /it accuses nobody/,
  ),
  tamper("forks.other", "update forks set other = stored", /^fork at seq 2 of device k1$/, /that is no fork/),
  tamper(
    "forks.other",
    `update forks set other = (select bytes from statements where id = ${idOf("k1", 3)})`,
    /^fork at seq 2 of device k1$/,
    /another place/,
  ),

  tamper(
    "cosignatures.height",
    "update cosignatures set height = 9 where height = 0",
    /^cosignature of block 9 by witness\.example\/w1$/,
    /is of a block that has no checkpoint/,
  ),
  tamper(
    "cosignatures.height",
    "update cosignatures set height = 1 where height = 0",
    /^cosignature of block 1 by witness\.example\/w1$/,
    /does not verify for the block's checkpoint/,
    { column: "line" },
  ),
  tamper(
    "cosignatures.vkey",
    "update cosignatures set vkey = replace(vkey, 'w1', 'w2') where height = 0",
    /^cosignature of block 0 by an unknown witness$/,
    /is no witness's key/,
  ),
  tamper(
    "cosignatures.line",
    "update cosignatures set line = (select line from cosignatures where height = 2) where height = 0",
    /^cosignature of block 0 by witness\.example\/w1$/,
    /does not verify for the block's checkpoint/,
  ),
  tamper(
    "cosignatures.line",
    "update cosignatures set line = line || line where height = 0",
    /^cosignature of block 0 by witness\.example\/w1$/,
    /is no signature line of a note/,
  ),
  tamper(
    "cosignatures.line",
    "update cosignatures set line = replace(line, 'w1', 'w2') where height = 0",
    /^cosignature of block 0 by witness\.example\/w1$/,
    /is by another witness/,
  ),
  tamper(
    "cosignatures.cosigned_at",
    "update cosignatures set cosigned_at = cosigned_at + interval '1 microsecond' where height = 0",
    /^cosignature of block 0 by witness\.example\/w1$/,
    /is not the time that the witness signed/,
  ),
  tamper(
    "witness_policies.policy",
    "update witness_policies set policy = 'quorum w1'",
    /^policy 1 of witnesses$/,
    /is no tlog-policy/,
  ),
  tamper(
    "witness_policies.policy",
    "update witness_policies set policy = convert_to(replace(convert_from(policy, 'UTF8'), '+', '+0'), 'UTF8')",
    /^policy 1 of witnesses$/,
    /is no tlog-policy/,
  ),
  tamper(
    "witness_policies.policy_id",
    "update witness_policies set policy_id = default",
    /^block 0, as witnessed$/,
    /names policy 1, which is not there/,
    { table: "witnessed", column: "policy_id" },
  ),
  tamper(
    "witnessed.policy_id",
    "update witnessed set policy_id = 7 where height = 0",
    /^block 0, as witnessed$/,
    /names policy 7, which is not there/,
  ),
  tamper(
    "witnessed.height",
    "update witnessed set height = 1 where height = 0",
    /^block 1, as witnessed$/,
    /was cosigned by no witness of its policy, whose quorum is w1/,
  ),
]

/** Columns on which no evidence rests. `table.*` stands for all of a table. */
export const noEvidence: Readonly<Record<string, string>> = {
  "log.only_row": "a constraint gives it one value",
  "chain_heads.epoch": "the fence of live connections, which says nothing of what was accepted",
  "forks.found_at": "when the fork was noticed: the two statements speak for themselves",
  "refusals.*": "counters are not evidence",
  "cosignatures.received_at": "when it came here: the witness signed its own time",
  "witness_policies.since": "from when on the operator demanded it: each witnessed block names its policy",
  "witnessed.at": "by our clock: the witnesses signed theirs",
  "login_tokens.*": "who may connect is access, not evidence: the signature decides what enters",
  "api_keys.*": "who may read changes nothing that was said",
  "accesses.*": "who read what is not in the log yet",
  "access_ends.*": "who read what is not in the log yet",
  "access_refusals.*": "who was refused a read is not in the log",
  "publisher.*": "from which folder it is sealed: the published checkpoint itself is what counts",
  "publications.*": "whoever has read the log knows what was published: the notes themselves are evidence",
  "schema_migrations.*": "which migrations ran: the schema itself is what counts",
}

/** One row less. */
export const removals: Readonly<
  Record<string, readonly [sql: string, table: string, row: RegExp, rule: RegExp]>
> = {
  log: ["delete from log", "log", /^the log's row$/, /is missing/],
  entries: [`delete from entries ${ofK1}`, "statements", /^id \d+$/, /has a statement and no entry/],
  statements: [`delete from statements ${bytesOfK1}`, "statements", k1s2, /is missing/],
  series: [`delete from series ${everyKind(5)}`, "series", kindRow(5), /is missing/],
  leaf_runs: [
    "delete from leaf_runs where first_leaf = 0",
    "leaf_runs",
    /^leaves 0 to \d+$/,
    /are missing: the first is statement 1 of the operator/,
  ],
  arrival_tiles: [
    "delete from arrival_tiles",
    "arrival_tiles",
    /^arrivals tile 1\/0 of block 0$/,
    /is missing/,
  ],
  tiles: ["delete from tiles", "tiles", /^tile 0\/0$/, /lacks the hash/],
  blocks: ["delete from blocks where height = 2", "blocks", /^block 2$/, /is missing/],
  sealed_heads: [
    "delete from sealed_heads where device_id = 'k5'",
    "sealed_heads",
    /^head of device k5 in block 0$/,
    /is missing/,
  ],
  checkpoints: [
    "delete from checkpoints where height = 1",
    "checkpoints",
    /^checkpoint of block 1$/,
    /is missing/,
  ],
  cosignatures: [
    "delete from cosignatures where height = 0",
    "witnessed",
    /^block 0, as witnessed$/,
    /was cosigned by no witness/,
  ],
  witness_policies: [
    "delete from witness_policies",
    "witnessed",
    /^block 0, as witnessed$/,
    /names policy 1, which is not there/,
  ],
  chain_heads: [
    "delete from chain_heads where device_id = 'k5'",
    "chain_heads",
    /^head of device k5$/,
    /is missing/,
  ],
  devices: ["delete from devices where device_id = 'k5'", "devices", /^device k5$/, /is missing/],
  certificate_authorities: [
    "delete from certificate_authorities where name = 'maker.2024'",
    "certificate_authorities",
    /^CA maker\.2024$/,
    /is missing/,
  ],
  device_keys: [
    "delete from device_keys where device_id = 'k5'",
    "device_keys",
    /^key [0-9a-f]{16} of device k5$/,
    /is missing/,
  ],
}

/** One row more. */
export const additions: Readonly<
  Record<string, readonly [sql: string, table: string, row: RegExp, rule: RegExp]>
> = {
  entries: [
    "insert into entries (id, device_id, seq, entry, received_at, signed_digest, code, readings) select 1000000, 'k5', 1, sha256(entry), now(), signed_digest, 1, 0 from entries limit 1",
    "statements",
    /^statement 1 of device k5$/,
    /is missing/,
  ],
  statements: [
    `insert into statements (id, received_at, bytes) select id, received_at + interval '1 day', bytes from statements ${bytesOfK1}`,
    "statements",
    k1s2,
    /has 2 rows of bytes/,
  ],
  series: [
    `insert into series select statement_id, 1, received_at, device_id, metric, name, unit, kind, starts_at, ends_at, times, numbers, texts, blobs, period_ms, factor, origin, samples, ahead from series ${seriesOfK1}`,
    "series",
    /^series 1 of statement 2 of device k1$/,
    /is not in the signed payload/,
  ],
  leaf_runs: [
    `insert into leaf_runs (first_leaf, first_id, leaf_count) values (28, ${idOf("k2", 6)}, 1)`,
    "leaf_runs",
    /^leaves 28 to 28$/,
    /are not leaves that a block has sealed/,
  ],
  arrival_tiles: [
    "insert into arrival_tiles select 0, 1, 1, hashes from arrival_tiles",
    "arrival_tiles",
    /^arrivals tile 1\/1 of block 0$/,
    /is of no place/,
  ],
  tiles: [
    "insert into tiles select 5, 0, hashes from tiles",
    "tiles",
    /^tile 5\/0$/,
    /is of no place in the log's tree/,
  ],
  blocks: [
    `insert into blocks select 9, from_ms, to_ms, first_leaf, size, root, heads_root, blocks_root, arrivals_root, summary,
            salt, devices, statements, readings, earliest_ms, latest_ms, 1000000 from blocks where height = 2`,
    "blocks",
    /^block 9$/,
    /has no signed manifest/,
  ],
  sealed_heads: [
    "insert into sealed_heads select device_id, 1, seq, entry, registry from sealed_heads where device_id = 'k5'",
    "sealed_heads",
    /^head of device k5 in block 1$/,
    /did not move/,
  ],
  checkpoints: [
    "insert into checkpoints select 9, 1000, root, note from checkpoints where height = 2",
    "checkpoints",
    /^checkpoint of block 9$/,
    /has no signed manifest/,
  ],
  cosignatures: [
    "insert into cosignatures select 1, vkey, line, cosigned_at from cosignatures where height = 0",
    "cosignatures",
    /^cosignature of block 1 by witness\.example\/w1$/,
    /does not verify for the block's checkpoint/,
  ],
  witnessed: [
    "insert into witnessed (height, policy_id) values (1, 1)",
    "witnessed",
    /^block 1, as witnessed$/,
    /was cosigned by no witness/,
  ],
  chain_heads: [
    "insert into chain_heads select 'k9', seq, entry from chain_heads limit 1",
    "chain_heads",
    /^head of device k9$/,
    /was never enrolled/,
  ],
  devices: [
    "insert into devices select 'k9', status, registry, attributes, ca_digest from devices limit 1",
    "devices",
    /^device k9$/,
    /was never enrolled/,
  ],
  certificate_authorities: [
    "insert into certificate_authorities select 'other', digest, certificate, true, registry from certificate_authorities where name = 'maker'",
    "certificate_authorities",
    /^CA other$/,
    /was never trusted/,
  ],
  device_keys: [
    "insert into device_keys select 'k5', substr(sha256(kid), 1, 8), cose_key, 9, null, null, true, 'operator' from device_keys where device_id = 'k1'",
    "device_keys",
    /^key [0-9a-f]{16} of device k5$/,
    /was never enrolled/,
  ],
  forks: [
    `insert into forks select 'k1', 3, bytes, bytes, now() from statements where id = ${idOf("k1", 3)}`,
    "forks",
    /^fork at seq 3 of device k1$/,
    /that is no fork/,
  ],
}

/** Tables in which a row more or less is nothing that an audit can find, and why. */
export const rowsNotEvidence: Readonly<Record<string, string>> = {
  "log more": "a constraint allows one row",
  "witnessed less": "a block counts for less than it is: its cosignatures speak for themselves",
  "witness_policies more": "what is demanded of witnesses is the operator's own word",
  "forks less": "a fork is no part of the log: who holds the two statements holds the evidence",
  "refusals less": "counters are not evidence",
  "refusals more": "counters are not evidence",
  "login_tokens less": "a missing token keeps a client out and changes nothing that was said",
  "login_tokens more": "a token more lets a client connect, and the signature still decides what enters",
  "api_keys less": "who may read changes nothing that was said",
  "api_keys more": "who may read changes nothing that was said",
  "accesses less": "who read what is not in the log yet",
  "accesses more": "who read what is not in the log yet",
  "access_ends less": "who read what is not in the log yet",
  "access_ends more": "who read what is not in the log yet",
  "access_refusals less": "who was refused a read is not in the log",
  "access_refusals more": "who was refused a read is not in the log",
  "publisher less": "the next folder that seals takes its place, and the checkpoint is compared all the same",
  "publisher more": "it has one row",
  "schema_migrations less": "not evidence",
  "publications less": "it is published again: the same bytes",
  "publications more": "a checkpoint that is served early is the log's all the same",
  "schema_migrations more": "not evidence",
}

/**
 * The schema of a log as lines, one an object, to compare with what this version makes (`schema.txt`): an owner of the
 * database may change views, functions, triggers and grants without touching a row. Names of constraints and indexes are
 * left out, since a hypertable's differ.
 */
import { readFile } from "node:fs/promises"
import type { ClientBase, Pool } from "pg"

const expectedFile = new URL("schema.txt", import.meta.url)

/** A role's right to change something, or to read what researchers do not. */
export interface Grant {
  readonly role: string
  /** Such as `UPDATE`. */
  readonly right: string
  /** Such as `table entries`. */
  readonly on: string
}

export interface Catalogue {
  /** Sorted. */
  readonly lines: readonly string[]
  /** To roles other than the owner of each thing; PUBLIC is all roles. */
  readonly grants: readonly Grant[]
  readonly hasHypertables: boolean
}

const ours = "(select oid from pg_namespace where nspname = current_schema())"
const isOfExtension = (catalog: string, oid: string): string =>
  `exists (select from pg_depend where classid = '${catalog}'::regclass and objid = ${oid} and deptype = 'e')`

const linesQuery = `
  with relation as (
    select c.* from pg_class c
    where relnamespace = ${ours} and not ${isOfExtension("pg_class", "c.oid")}
  ), whole as (select * from relation where not relispartition)
  select 'table ' || relname || case when relrowsecurity or relforcerowsecurity then ' with row security' else '' end
         || case when relpersistence <> 'p' then ' not permanent' else '' end as line
  from whole where relkind in ('r', 'p', 'f', 'm')
  union all
  select 'partitioned ' || relname || ' by ' || pg_get_partkeydef(oid) from whole where relkind = 'p'
  union all
  select 'sequence ' || relname || ' increment ' || seqincrement || case when seqcycle then ' cycle' else '' end
  from whole join pg_sequence on seqrelid = oid
  union all
  select 'column ' || relname || '.' || attname || ' ' || format_type(atttypid, atttypmod)
         || case when attnotnull then ' not null' else '' end
         || case attidentity when '' then '' else ' identity ' || attidentity::text end
         || case attgenerated when '' then '' else ' generated' end
         || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
  from whole join pg_attribute on attrelid = oid left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where relkind in ('r', 'p', 'f', 'm') and attnum > 0 and not attisdropped
  union all
  select 'constraint ' || relname || ' ' || pg_get_constraintdef(o.oid) || case when convalidated then '' else ' not valid' end
  from whole c join pg_constraint o on conrelid = c.oid where contype in ('p', 'u', 'f', 'c', 'x')
  union all
  select 'index ' || relname || ' ' || regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING', '\\1USING')
         || case when indisvalid and indisready then '' else ' not valid' end
  from whole c join pg_index on indrelid = c.oid
  where not exists (select from pg_constraint where conindid = indexrelid)
  union all
  select 'view ' || relname || coalesce(' with ' || reloptions::text, '') || ' ' || regexp_replace(pg_get_viewdef(oid), '\\s+', ' ', 'g')
  from whole where relkind in ('v', 'm')
  union all
  select 'rule ' || relname || ' ' || pg_get_ruledef(w.oid)
  from relation c join pg_rewrite w on ev_class = c.oid where rulename <> '_RETURN'
  union all
  select 'policy ' || relname || '.' || polname from relation c join pg_policy on polrelid = c.oid
  union all
  select 'trigger ' || relname || '.' || tgname || ' ' || regexp_replace(pg_get_triggerdef(t.oid), '^CREATE TRIGGER \\S+ | ON \\S+', '', 'g')
         || case tgenabled when 'O' then '' when 'A' then '' else ' disabled' end
  from relation c join pg_trigger t on tgrelid = c.oid
  where not tgisinternal and tgparentid = 0 and tgname <> 'ts_insert_blocker'
  union all
  select 'function ' || proname || '(' || pg_get_function_arguments(p.oid) || ') returns '
         || coalesce(pg_get_function_result(p.oid), 'nothing') || ' ' || lanname || ' ' || provolatile::text || proparallel::text
         || case when prosecdef then ' as its owner' else '' end || coalesce(' with ' || replace(proconfig::text, 'search_path=' || quote_ident(current_schema()), 'search_path=ours'), '')
         || ' ' || encode(sha256(convert_to(prosrc, 'UTF8')), 'hex')
  from pg_proc p join pg_language l on l.oid = prolang
  where pronamespace = ${ours} and not ${isOfExtension("pg_proc", "p.oid")}
  union all
  select 'operator ' || oprname from pg_operator o where oprnamespace = ${ours} and not ${isOfExtension("pg_operator", "o.oid")}
  union all
  select 'type ' || typname from pg_type t
  where typnamespace = ${ours} and typtype in ('d', 'e', 'r') and not ${isOfExtension("pg_type", "t.oid")}
  union all
  select 'event trigger ' || evtname from pg_event_trigger e where not ${isOfExtension("pg_event_trigger", "e.oid")}`

const grantsQuery = `
  select coalesce(rolname, 'PUBLIC') as role, privilege_type as right, kind || ' ' || name as on
  from (
    select case relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind, relname as name, relowner as owner, relacl as acl
    from pg_class c where relnamespace = ${ours} and not ${isOfExtension("pg_class", "c.oid")}
    union all
    select 'column', relname || '.' || attname, relowner, attacl
    from pg_class c join pg_attribute on attrelid = c.oid where relnamespace = ${ours}
    union all
    select 'function', proname, proowner, proacl
    from pg_proc p where pronamespace = ${ours} and not ${isOfExtension("pg_proc", "p.oid")}
    union all
    select 'schema', nspname, nspowner, nspacl from pg_namespace where oid = ${ours}
  ) as thing cross join lateral aclexplode(acl) as right_of
  left join pg_roles on pg_roles.oid = grantee
  where grantee <> owner and grantee <> (select oid from pg_roles where rolname = current_user)
  order by 1, 3, 2`

export async function readCatalogue(pool: Pool | ClientBase): Promise<Catalogue> {
  const { rows: lines } = await pool.query<{ line: string }>(
    `select line from (${linesQuery}) as all_lines order by line collate "C"`,
  )
  const { rows: grants } = await pool.query<Grant>(grantsQuery)
  const { rows } = await pool.query<{ has: boolean }>("select has_hypertables() as has")
  return { lines: lines.map(({ line }) => plainView(line)), grants, hasHypertables: rows[0]!.has }
}

/** Since 16 Postgres leaves out the name of the only relation that a view reads. */
function plainView(line: string): string {
  const only = /^view .* FROM (\w+);$/.exec(line)?.[1]
  return only === undefined ? line : line.replaceAll(` ${only}.`, " ")
}

/** What this version makes. */
export async function readExpectedLines(): Promise<readonly string[]> {
  return (await readFile(expectedFile, "utf8")).trimEnd().split("\n")
}

/** Something that this version did not make so. */
export interface SchemaFault {
  /** Its table, view or function, for whoever looks it up. */
  readonly of: string
  /** Such as `trigger entries.only_added`. */
  readonly what: string
  /** Reads on after it: `is missing`. */
  readonly rule: string
}

export interface SchemaComparison {
  readonly faults: readonly SchemaFault[]
  /** What changes no answer and should be known. */
  readonly remarks: readonly string[]
}

/** Of a virtual run, whose clock is a table: no session of ours finds them before Postgres's own. */
const simulatedClock =
  /^(table simulated_clock not permanent|column simulated_clock\.at timestamp with time zone not null|function clock_timestamp\(\) )/

/** Rights by which somebody could change what is stored, or what is made of it. */
const changingRights = new Set("INSERT UPDATE DELETE TRUNCATE TRIGGER MAINTAIN REFERENCES CREATE".split(" "))

/**
 * Holds a schema against the one of this version. Tables, views and functions that others keep next to ours are no fault,
 * nor are indexes that an operator added.
 */
export function compareCatalogue(found: Catalogue, expected: readonly string[]): SchemaComparison {
  const wanted = expected.filter((line) => !found.hasHypertables || !line.startsWith("partitioned "))
  const [wantedSet, foundSet] = [new Set(wanted), new Set(found.lines)]
  const own = new Set(expected.map(ownerOf))
  const missing = wanted.filter((line) => !foundSet.has(line))
  const extra = found.lines.filter((line) => !wantedSet.has(line) && !simulatedClock.test(line))
  const faults: SchemaFault[] = []
  const others: string[] = []
  const changed = new Set(extra.map(nameOf))
  for (const line of missing) {
    const isChanged = isNamed(line) && changed.has(nameOf(line))
    faults.push(faultOf(line, isChanged ? "is not the one of this version" : "is missing"))
  }
  const gone = new Set(missing.map(nameOf))
  for (const line of extra) {
    if (isNamed(line) && gone.has(nameOf(line))) continue
    const isHarmless =
      !own.has(ownerOf(line)) || line.startsWith("index ") || line.startsWith("event trigger ")
    if (isHarmless) others.push(line.startsWith("column ") ? "" : nameOf(line))
    else faults.push(faultOf(line, "is not of this version"))
  }
  const remarks: string[] = []
  const named = [...new Set(others.filter((name) => name !== ""))]
  if (named.length > 0)
    remarks.push(
      `next to the log's own things are ${named.length} of others: ${named.slice(0, 5).join(", ")}${named.length > 5 ? ", …" : ""}`,
    )
  for (const { role, right, on } of found.grants) {
    const [kind = "", name = ""] = on.split(" ")
    if (kind !== "schema" && !own.has(parentOf(name.split(".")[0]!))) continue
    if (changingRights.has(right) || (kind === "sequence" && right !== "SELECT"))
      faults.push({ of: name, what: on, rule: `may be changed by ${role} (${right})` })
    else if (!isForResearchers(kind, name)) remarks.push(`${on} may be read by ${role} (${right})`)
  }
  return { faults, remarks }
}

/** What `grant_research` gives, and what everybody has of a schema. */
function isForResearchers(kind: string, name: string): boolean {
  const views = [
    "readings",
    "waveforms",
    "research_blocks",
    "research_devices",
    "research_refusals",
    "research_series",
  ]
  return kind === "function" || kind === "schema" || (kind === "view" && views.includes(name))
}

const firstWords = (line: string): readonly string[] =>
  /^(event trigger|\S+) ([^\s(]+)/.exec(line)?.slice(1) ?? []

/** Constraints and indexes have no names here: each is what it says. */
function isNamed(line: string): boolean {
  return !/^(constraint|index) /.test(line)
}

/** Such as `trigger entries.only_added`; of a function with its arguments. */
function nameOf(line: string): string {
  if (!isNamed(line)) return line
  return /^function [^(]+\(.*?\)(?= returns )/.exec(line)?.[0] ?? firstWords(line).join(" ")
}

/** The table, view or function that a line is of; of a partition its parent. */
function ownerOf(line: string): string {
  return parentOf((firstWords(line)[1] ?? "").split(".")[0]!)
}

function parentOf(table: string): string {
  return table.replace(/^(statements|series)_(default|\d{4}w\d{2})$/, "$1")
}

function faultOf(line: string, rule: string): SchemaFault {
  return { of: ownerOf(line), what: nameOf(line), rule }
}

/** Reads the schema and compares it. */
export async function examineSchema(pool: Pool | ClientBase): Promise<SchemaComparison> {
  return compareCatalogue(await readCatalogue(pool), await readExpectedLines())
}

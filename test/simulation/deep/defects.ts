/**
 * Defects that somebody might make, each as a change of the source. `npm run simulate:defects` makes one at a time in a
 * copy of the source, and looks for the first seed that finds it: a simulation that finds none of them shows nothing.
 */

export interface Edit {
  readonly file: string
  /** Stands there exactly once. */
  readonly find: string
  readonly replace: string
}

export interface Defect {
  readonly name: string
  readonly edits: readonly Edit[]
  /** What it breaks first of all, as one would say it; 0: something that must never be. What a seed says first may differ. */
  readonly promise: number
}

const store = "test/simulation/deep/queries-chain.ts"

/** The store in memory stands for Postgres, so what is taken out of a query is taken out there. */
export const defects: readonly Defect[] = [
  {
    name: "a device is told before the commit",
    promise: 1,
    edits: [
      {
        file: "ingest/group.ts",
        find: `  await client.query("commit")\n  for (const item of items)`,
        replace: `  client.query("commit").catch(() => {})\n  for (const item of items)`,
      },
    ],
  },
  {
    name: "a group is rolled back, and told as if it were committed",
    promise: 1,
    edits: [
      {
        file: "ingest/group.ts",
        find: `  await client.query("commit")\n  for (const item of items)`,
        replace: `  await client.query(Math.floor(nowMs) % 7 === 0 ? "rollback" : "commit")\n  for (const item of items)`,
      },
    ],
  },
  {
    name: "no low-s check",
    promise: 2,
    edits: [
      {
        file: "ingest/candidate.ts",
        find: `  if (isHighS) return refuse(statement, "high-s", "s is above n / 2")\n`,
        replace: "",
      },
    ],
  },
  {
    name: "no signature check",
    promise: 2,
    edits: [
      {
        file: "ingest/candidate.ts",
        find: `if (!isVerified) return`,
        replace: `if (!isVerified && isHighS) return`,
      },
    ],
  },
  {
    name: "iss is not compared with the topic",
    promise: 2,
    edits: [
      {
        file: "ingest/candidate.ts",
        find: `if (statement.iss !== device) {`,
        replace: `if (statement.iss === "") {`,
      },
    ],
  },
  {
    name: "heads are read without their locks, and moved from wherever they are",
    promise: 3,
    edits: [
      {
        file: store,
        find: '    yield { name: `chain_heads ${device}`, mode: "exclusive" }\n    rows.push(',
        replace: "    rows.push(",
      },
      {
        file: store,
        find: "    if (head.seq !== seqsBefore[index] || !equalBytes(head.entry, entriesBefore[index]!)) continue\n",
        replace: "",
      },
    ],
  },
  {
    name: "heads are read without their locks",
    promise: 3,
    edits: [
      {
        file: store,
        find: '    yield { name: `chain_heads ${device}`, mode: "exclusive" }\n    rows.push(',
        replace: "    rows.push(",
      },
    ],
  },
  {
    name: "no fence: an old connection goes on being judged",
    promise: 4,
    edits: [
      { file: "ingest/group.ts", find: `    return epoch === chain.epoch\n`, replace: `    return true\n` },
    ],
  },
  {
    name: "where a chain begins is not compared",
    promise: 2,
    edits: [{ file: "chain/link.ts", find: `seq === 1 ? state.firstPrev()`, replace: `seq === 1 ? prev` }],
  },
  {
    name: "a service answers with the empty head of another log",
    promise: 4,
    edits: [
      {
        file: "ingest/registry-rows.ts",
        find: `firstPrevOf(binding, device, sha256Native)`,
        replace: `firstPrevOf({ ...binding, logVkey: "another" }, device, sha256Native)`,
      },
    ],
  },
  {
    name: "a late copy is a fork",
    promise: 4,
    edits: [
      {
        file: "chain/link.ts",
        find: `if (same !== null && equalBytes(same.entry, candidate.entry)) {`,
        replace: `if (same !== null && seq === head.seq && equalBytes(same.entry, candidate.entry)) {`,
      },
      {
        file: "chain/link.ts",
        find: `if (same !== null && equalBytes(same.signedDigest, candidate.signedDigest)) {`,
        replace: `if (same !== null && seq === head.seq && equalBytes(same.signedDigest, candidate.signedDigest)) {`,
      },
    ],
  },
  {
    name: "what was checked by an old registry is not checked again",
    promise: 6,
    edits: [
      {
        file: "ingest/group.ts",
        find: `if (checked.kind !== "question" && !isSameRegistry(item.record, chain.registry)) {`,
        replace: `if (checked.kind !== "question" && item.record === null && chain.isEnrolled) {`,
      },
    ],
  },
  {
    name: "a seal loses the last statement",
    promise: 5,
    edits: [
      {
        file: "ingest/seal.ts",
        find: `idMax: rows[0]?.id ?? 0,`,
        replace: `idMax: (rows[0]?.id ?? 0) - 1,`,
      },
    ],
  },
  {
    name: "a seal does not wait for writers",
    promise: 5,
    edits: [
      {
        file: "ingest/seal.ts",
        find: `    await barrier.query("select pg_advisory_xact_lock($1)", [locks.seal])\n`,
        replace: "",
      },
    ],
  },
  {
    name: "the order of ids is not the order of the chain",
    promise: 3,
    edits: [
      {
        file: store,
        find: `    const ids = Array.from({ length: values[0]! }, () => nextId())\n`,
        replace: `    const ids = Array.from({ length: values[0]! }, () => nextId()).toReversed()\n`,
      },
      {
        file: store,
        find: `    return [{ first: ids[0] ?? null, ids: null }]`,
        replace: `    return [{ first: ids[0] ?? null, ids }]`,
      },
    ],
  },
  {
    name: "a block ends at the clock, also where that was set back",
    promise: 10,
    edits: [
      {
        file: "ingest/seal.ts",
        find: `const toMs = Math.max(cut.clockMs, builder.toMsMin())`,
        replace: `const toMs = Math.max(cut.clockMs, start.fromMs)`,
      },
    ],
  },
  {
    name: "the clock is the device's",
    promise: 10,
    edits: [
      {
        file: "ingest/group.ts",
        find: `        receivedAtMs: nowMs,\n        signedDigest`,
        replace: `        receivedAtMs: Math.min(nowMs, statement.iat * 1000),\n        signedDigest`,
      },
    ],
  },
  {
    name: "two sealers publish at once, and an older checkpoint over a newer one",
    promise: 6,
    edits: [
      {
        file: "ingest/publication.ts",
        find: `    await client.query("select pg_advisory_xact_lock($1)", [locks.publication])\n`,
        replace: "",
      },
      {
        file: "ingest/publication.ts",
        find: `if (sizeOf(await readText(dataFolder)) > sizeOf(rows[0].note))`,
        replace: `if (sizeOf(await readText(dataFolder)) < 0)`,
      },
    ],
  },
  {
    name: "a checkpoint is renamed before it is on disk",
    promise: 6,
    edits: [
      {
        file: "disk/durable.ts",
        find: `    await file.sync()\n`,
        replace: ``,
      },
    ],
  },
  {
    name: "a service starts on a database that is behind what it has published",
    promise: 6,
    edits: [
      {
        file: "ingest/publication.ts",
        find: `  if (published !== null) await checkAgainst(database,`,
        replace: `  if (published !== null && dataFolder === "") await checkAgainst(database,`,
      },
      {
        file: "ingest/publication.ts",
        find: `if (sizeOf(await readText(dataFolder)) > sizeOf(rows[0].note))`,
        replace: `if (sizeOf(await readText(dataFolder)) < 0)`,
      },
    ],
  },
  {
    name: "evidence leaves out what the device said last",
    promise: 7,
    edits: [
      {
        file: "test/simulation/deep/evidence.ts",
        find: `const isInside = leafIndex >= first.firstLeaf && leafIndex < end.leafIndex`,
        replace: `const isInside = leafIndex >= first.firstLeaf && leafIndex < end.leafIndex - 1`,
      },
    ],
  },
  {
    name: "something is published beside the log",
    promise: 8,
    edits: [
      {
        file: "ingest/publication.ts",
        find: `  await replaceFile(path, text)\n`,
        replace: `  await replaceFile(path, text)\n  await replaceFile(join(dirname(path), "devices"), "k0, k1")\n`,
      },
    ],
  },
  {
    name: "a counter of /metrics misses a kind",
    promise: 9,
    edits: [
      {
        file: "cli/metrics.ts",
        find: `        verdicts.inc({ verdict })\n`,
        replace: `        if (verdict !== "gap") verdicts.inc({ verdict })\n`,
      },
    ],
  },
  {
    name: "a refusal is not counted in the database",
    promise: 9,
    edits: [
      {
        file: "ingest/group.ts",
        find: `    counted.count += 1\n`,
        replace: `    counted.count += verdict === "broken" ? 0 : 1\n`,
      },
    ],
  },
  {
    name: "a fork is refused and its evidence is not kept",
    promise: 9,
    edits: [
      {
        file: "ingest/group.ts",
        find: `  await keepForks(client, group)\n`,
        replace: "",
      },
    ],
  },
  {
    name: "after a lost answer to COMMIT a group is thrown away instead of being tried again",
    promise: 4,
    edits: [
      {
        file: "ingest/intake.ts",
        find: `        if (isDataError(error)) throw error\n`,
        replace: `        if (isDataError(error)) throw error\n        if (!("code" in (error as Error))) await new Promise(() => {})\n`,
      },
    ],
  },
  {
    name: "a connection is given back inside its transaction",
    promise: 0,
    edits: [
      {
        file: "ingest/seal.ts",
        find: `    await client.query("rollback")\n    return "slot-is-sealed"`,
        replace: `    return "slot-is-sealed"`,
      },
    ],
  },
  {
    name: "what the database will not take is thrown away, again and again, instead of being stored unread",
    promise: 4,
    edits: [
      {
        file: "ingest/intake.ts",
        find: `      if (!item.isUnreadable) {\n`,
        replace: `      if (item.isUnreadable) {\n`,
      },
    ],
  },
]

import { openEmbedded } from "../../ingest/database/embedded.ts"

// A process of its own that holds an embedded Postgres until its standard input ends. It prints one line of JSON.
const [, , dataFolder, create] = process.argv
try {
  const database = await openEmbedded({
    dataFolder: dataFolder ?? "",
    create: create === "create",
    say: (line) => process.stderr.write(`${line}\n`),
  })
  const { url, pid, attached, adopted } = database
  process.stdout.write(`${JSON.stringify({ url, pid, attached, adopted })}\n`)
  for await (const _ of process.stdin) continue
  await database.close()
} catch (error) {
  const { kind, message } = error as { kind?: string; message: string }
  process.stdout.write(`${JSON.stringify({ fault: kind ?? "", message })}\n`)
}

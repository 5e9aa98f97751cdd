/** `npm run soak:makers -- --rounds 20`: exit 0 when no round of commands that start at once went wrong. */
import { parseArgs } from "node:util"
import { type Meeting, meetInFolder, meetings } from "./makers-soak.ts"

const { values } = parseArgs({
  options: {
    /** Of each kind. */
    rounds: { type: "string", default: "20" },
    /** Only those whose name has this in it. */
    only: { type: "string", default: "" },
  },
})

// Until it is known to be so: a soak that ends early has shown nothing.
process.exitCode = 1
let failed = 0
for (const meeting of (Object.keys(meetings) as Meeting[]).filter((name) => name.includes(values.only))) {
  let failedHere = 0
  for (let round = 1; round <= Number(values.rounds); round++) {
    const faults = await meetInFolder(meeting)
    if (faults.length > 0) failedHere += 1
    for (const fault of faults) process.stderr.write(`${meeting}, round ${round}: ${fault}\n`)
  }
  process.stdout.write(`${meeting}: ${failedHere} of ${values.rounds} rounds went wrong\n`)
  failed += failedHere
}
if (failed === 0) process.exitCode = 0

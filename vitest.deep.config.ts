import { defineConfig } from "vitest/config"

/** Minutes of load, faults and seeds: `npm run test:deep`, which CI runs too. `npm test` leaves them out. */
export const deepTests = [
  "test/simulation/{deep,fuzz,neighbours}.test.ts",
  "test/promises/two-processes.test.ts",
  "test/**/*.deep.test.ts",
]

export default defineConfig({
  test: {
    include: deepTests,
    globalSetup: ["test/postgres-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // They measure and load the machine themselves: two at a time would disturb each other.
    maxWorkers: 1,
  },
})

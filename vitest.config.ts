import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Needs toolchains: `npm run test:peers`.
    exclude: ["test/peers/**"],
    globalSetup: ["test/postgres-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A real Postgres and real sockets on two cores: two files at a time is what the machine bears.
    maxWorkers: 2,
  },
})

import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Need toolchains and a browser: `npm run test:peers`, `npm run test:browser`.
    exclude: ["test/peers/**", "test/browser/**"],
    globalSetup: ["test/postgres-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A real Postgres and real sockets on two cores: two files at a time is what the machine bears.
    maxWorkers: 2,
  },
})

import { defineConfig } from "vitest/config"
import { deepTests } from "./vitest.deep.config.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: [
      // Need toolchains and a browser: `npm run test:peers`, `npm run test:browser`.
      "test/peers/**",
      "test/browser/**",
      // Vectors that lie beside the clone where somebody put them there: `npm run test:vectors`.
      "test/vectors-by-others/**",
      ...deepTests,
    ],
    globalSetup: ["test/postgres-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A real Postgres and real sockets on two cores: two files at a time is what the machine bears.
    maxWorkers: 2,
  },
})

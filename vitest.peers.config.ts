import { defineConfig } from "vitest/config"

// Devices in other languages against a running service: they need toolchains that `npm test` does not.
export default defineConfig({
  test: {
    include: ["test/peers/**/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
})

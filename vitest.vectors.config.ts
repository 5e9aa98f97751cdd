import { defineConfig } from "vitest/config"

// The vectors by others live beside the clone, never in it; see test/vectors-by-others/.
export default defineConfig({
  test: { include: ["test/vectors-by-others/**/*.test.ts"], testTimeout: 300_000, maxWorkers: 2 },
})

import { existsSync } from "node:fs"
import { defineConfig } from "vitest/config"

// The pages in a real Chromium against `tidemark demo`, as a person sees them. Screenshots go to test/browser/screenshots.
const chromium = process.env["CHROMIUM"] ?? "/usr/bin/chromium"
const isThere = existsSync(chromium)
if (!isThere && process.env["CI"] !== undefined)
  throw new Error(`there is no Chromium at ${chromium}: apt-get install chromium, or name one in CHROMIUM`)
if (!isThere)
  console.log(
    `Skipped: there is no Chromium at ${chromium}. apt-get install chromium, or name one in CHROMIUM.`,
  )

export default defineConfig({
  test: {
    include: isThere ? ["test/browser/**/*.test.ts"] : [],
    passWithNoTests: !isThere,
    globalSetup: isThere ? ["test/browser/demo-setup.ts"] : [],
    env: { CHROMIUM: chromium },
    testTimeout: 120_000,
    hookTimeout: 240_000,
    // One demo, two cores, and a browser that wants one of them.
    fileParallelism: false,
    maxWorkers: 1,
  },
})

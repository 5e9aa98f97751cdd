import { expect, test } from "vitest"
import { hasVectors, vectorsPlace } from "./folder.ts"

if (!hasVectors)
  console.warn(`The vectors by others did not run: there is no folder ${vectorsPlace} beside the clone.`)

test("in CI the vectors by others are there", () => {
  expect(hasVectors || process.env["CI"] === undefined || process.env["CI"] === "").toBe(true)
})

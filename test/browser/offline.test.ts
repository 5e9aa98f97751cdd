/** The offline verifier as it is used: one HTML file, opened from disk, without a network. */
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { repository } from "../cli/program.ts"
import { type EvidenceVector, policyAlone } from "../vectors/evidence-scene.ts"
import { draftProof } from "../vectors/proof-scene.ts"
import { type WatchedPage, looks, openBrowser, openPage } from "./browser.ts"

const url = inject("demoUrl")
const built = join(repository, "dist", "verify", "page", "verifier.html")
const vectors = join(repository, "test", "vectors", "evidence")
let browser: Browser
let folder: string
let verifier: string
beforeAll(async () => {
  browser = await openBrowser()
  folder = await mkdtemp(join(tmpdir(), "tidemark-offline-"))
  // Away from its build, so that nothing beside it can be loaded.
  verifier = join(folder, "verifier.html")
  await copyFile(built, verifier)
})
afterAll(async () => {
  await browser.close()
  await rm(folder, { recursive: true, force: true })
})

async function openVerifier(look = looks[0]!): Promise<WatchedPage> {
  const watched = await openPage(browser, { look, offline: true })
  await watched.page.goto(pathToFileURL(verifier).href)
  return watched
}

interface Given {
  readonly evidence: Uint8Array
  readonly policy?: string
  readonly key?: string
  readonly deviceKeys?: readonly string[]
  readonly since?: number
}

function file(name: string, bytes: Uint8Array) {
  return { name, mimeType: "application/octet-stream", buffer: Buffer.from(bytes) }
}

/** Gives the files as a person would by the buttons, and waits for the verdict. */
async function verify(
  page: Page,
  given: Given,
): Promise<{ kind: string | null; code: string | null; text: string }> {
  await page.locator("#evidence").setInputFiles(file("some.evidence", given.evidence))
  await page
    .locator("#policy")
    .setInputFiles(
      given.policy === undefined ? [] : file("policy.txt", new TextEncoder().encode(given.policy)),
    )
  if (given.policy === undefined) await page.locator("#vkey").fill(given.key ?? "")
  await page.locator("details").evaluate((details) => ((details as HTMLDetailsElement).open = true))
  await page.locator("#device-keys").fill((given.deviceKeys ?? []).join("\n"))
  await page.locator("#since").fill(given.since === undefined ? "" : new Date(given.since).toISOString())
  await page.getByRole("button", { name: "Verify" }).click()
  const verdict = page.locator(".verdict[data-kind]")
  await verdict.waitFor()
  return {
    kind: await verdict.getAttribute("data-kind"),
    code: await verdict.getAttribute("data-code"),
    text: (await page.locator("#result").textContent()) ?? "",
  }
}

async function readVectors(kind: "valid" | "invalid"): Promise<{ name: string; vector: EvidenceVector }[]> {
  const names = (await readdir(join(vectors, kind))).filter((name) => name.endsWith(".json")).toSorted()
  return Promise.all(
    names.map(async (name) => ({
      name,
      vector: JSON.parse(await readFile(join(vectors, kind, name), "utf8")) as EvidenceVector,
    })),
  )
}

describe("from disk, without a network", () => {
  test.each(looks)("on $name evidence of the demo is verified under the log's key", async (look) => {
    const { vkey } = (await (await fetch(`${url}/page.json`)).json()) as { vkey: string }
    const answer = await fetch(`${url}/v1/evidence?device=sim-1-0006`)
    const evidence = new Uint8Array(await answer.arrayBuffer())
    const watched = await openVerifier(look)
    await watched.shoot(`offline-empty-${look.name}`)
    const bare = await verify(watched.page, { evidence })
    expect(bare).toMatchObject({ kind: "consistent" })
    expect(bare.text).toContain("nobody you trust has signed it")
    await watched.shoot(`offline-consistent-${look.name}`)
    const verified = await verify(watched.page, { evidence, key: vkey })
    expect(verified).toMatchObject({ kind: "verified" })
    expect(verified.text).toContain("20 statements of device sim-1-0006 with 1,200 readings")
    expect(verified.text).toContain("What it cannot show")
    await watched.shoot(`offline-verified-${look.name}`)
    expect(await watched.findFaults()).toEqual([])
    await watched.close()
  })

  test("a proof of one statement is verified under the log's key, and refused where a bit of it was changed", async () => {
    const proof = draftProof()
    const watched = await openVerifier()
    const { page } = watched
    const evidence = new TextEncoder().encode(proof)
    const verified = await verify(page, { evidence, policy: policyAlone })
    expect(verified).toMatchObject({ kind: "verified" })
    expect(verified.text).toContain("Statement 1 of device k7 is in the log tidemark.example/vectors")
    await watched.shoot("offline-proof")
    const changed = new TextEncoder().encode(draftProof({ index: "index 2" }))
    expect(await verify(page, { evidence: changed, policy: policyAlone })).toMatchObject({
      kind: "refused",
      code: "root",
    })
    expect(await watched.findFaults()).toEqual([])
    await watched.close()
  })

  test("it reaches nothing, though it tried", async () => {
    const watched = await openVerifier()
    const { page } = watched
    const reached = await page.evaluate(async (address) => {
      const tries = [
        fetch(address).then(
          () => "fetch",
          () => "",
        ),
        new Promise<string>((resolve) => {
          const image = new Image()
          image.addEventListener("load", () => resolve("image"))
          image.addEventListener("error", () => resolve(""))
          image.src = `${address}mark.svg`
        }),
      ]
      return (await Promise.all(tries)).filter((way) => way !== "")
    }, `${url}/`)
    expect(reached).toEqual([])
    await watched.close()
  })

  test("a file can be dropped, also beside its place", async () => {
    const [first] = await readVectors("valid")
    const path = join(folder, "dropped.evidence")
    await writeFile(path, Buffer.from(first!.vector.evidence, "hex"))
    const watched = await openVerifier()
    const { page } = watched
    const dropped = await page.evaluateHandle((hex) => {
      const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16))
      const transfer = new DataTransfer()
      transfer.items.add(new File([bytes], "dropped.evidence"))
      return transfer
    }, first!.vector.evidence)
    await page.dispatchEvent("#drop-evidence", "drop", { dataTransfer: dropped })
    expect(await page.locator("#evidence-hint").textContent()).toContain("dropped.evidence")
    await page.getByRole("button", { name: "Verify" }).click()
    await page.locator('.verdict[data-kind="consistent"]').waitFor()
    expect(await watched.findFaults()).toEqual([])
    await watched.close()
  })

  test("every invalid vector is refused by the rule that it breaks, with the statement that breaks it", async () => {
    const cases = await readVectors("invalid")
    expect(cases.length).toBeGreaterThanOrEqual(20)
    const watched = await openVerifier()
    const wrong: string[] = []
    for (const { name, vector } of cases) {
      const { kind, code, text } = await verify(watched.page, {
        ...vector,
        evidence: Uint8Array.from(Buffer.from(vector.evidence, "hex")),
      })
      const isNamed = text.toLowerCase().includes(vector.names?.toLowerCase() ?? "")
      if (kind !== "refused" || code !== vector.code || !isNamed)
        wrong.push(`${name}: ${kind} ${code}: ${text.slice(0, 200)}`)
    }
    await watched.shoot("offline-refused")
    expect(wrong).toEqual([])
    expect(watched.troubles).toEqual([])
    await watched.close()
  })

  test("every valid vector is verified", async () => {
    const cases = await readVectors("valid")
    expect(cases.length).toBeGreaterThanOrEqual(10)
    const watched = await openVerifier()
    const verdicts: string[] = []
    for (const { name, vector } of cases) {
      const { kind } = await verify(watched.page, {
        ...vector,
        evidence: Uint8Array.from(Buffer.from(vector.evidence, "hex")),
      })
      verdicts.push(`${name}: ${kind}`)
    }
    expect(verdicts).toEqual(cases.map(({ name }) => `${name}: verified`))
    expect(watched.troubles).toEqual([])
    await watched.close()
  })
})

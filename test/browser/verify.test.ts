import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, expect, inject, test } from "vitest"
import { type WatchedPage, looks, openBrowser, openPage } from "./browser.ts"

const url = inject("demoUrl")
let browser: Browser
beforeAll(async () => {
  browser = await openBrowser()
})
afterAll(() => browser.close())

async function openDevice(watched: WatchedPage, device: string): Promise<Page> {
  const { page } = watched
  await page.goto(`${url}/#/devices/${device}`)
  await page.locator(".chart .u-over").first().waitFor()
  return page
}

/** The picture of a chart, to be told from another one. */
async function drawingOf(page: Page, metric: string): Promise<string> {
  return page
    .locator(`.chart[data-metric="${metric}"] canvas`)
    .evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL())
}

/** How many pixels of a chart have about this colour of the palette. */
async function countPixels(page: Page, metric: string, name: string): Promise<number> {
  return page.locator(`.chart[data-metric="${metric}"] canvas`).evaluate((canvas, wanted) => {
    const { width, height } = canvas as HTMLCanvasElement
    // On a copy: reading back from the page's own canvas would make it a slower one.
    const copy = document.createElement("canvas")
    copy.width = width
    copy.height = height
    const ctx = copy.getContext("2d", { willReadFrequently: true })!
    ctx.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(wanted).trim()
    ctx.fillRect(0, 0, 1, 1)
    const [red, green, blue] = ctx.getImageData(0, 0, 1, 1).data
    ctx.clearRect(0, 0, 1, 1)
    ctx.drawImage(canvas as HTMLCanvasElement, 0, 0)
    const { data } = ctx.getImageData(0, 0, width, height)
    let found = 0
    for (let at = 0; at < data.length; at += 4)
      if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255)
        found += 1
    return found
  }, `--${name}`)
}

test.each(looks)(
  "on $name a device is verified in the browser, and its charts say up to which block",
  async (look) => {
    const watched = await openPage(browser, { look })
    const page = await openDevice(watched, "sim-1-0003")
    const before = await drawingOf(page, "heart-rate")
    expect(await countPixels(page, "heart-rate", "good")).toBe(0)
    await page.getByRole("button", { name: "Verify in this browser" }).click()
    const verdict = page.locator(".verdict[data-kind]")
    await verdict.waitFor()
    expect(await verdict.getAttribute("data-kind")).toBe("verified")
    expect(await verdict.textContent()).toMatch(
      /^Verified to block \d+20 statements of device sim-1-0003 with 1,200 readings: nothing is missing/,
    )
    const states = await page
      .locator(".steps > li")
      .evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset["state"]))
    expect(states).toEqual(["good", "good", "open", "good", "good", "good", "good", "good"])
    expect(await page.locator(".chart .pill.good").first().textContent()).toMatch(/^verified to block \d+$/)
    expect(await drawingOf(page, "heart-rate")).not.toBe(before)
    expect(await countPixels(page, "heart-rate", "good")).toBeGreaterThan(100)
    await watched.shoot(`verified-${look.name}`)
    expect(await watched.findFaults()).toEqual([])
    await watched.close()
  },
)

test.each([looks[0]!, looks[3]!])(
  "on $name a changed byte turns the page red at that reading, and its statement is named",
  async (look) => {
    const watched = await openPage(browser, { look })
    const page = await openDevice(watched, "sim-1-0004")
    await page.getByRole("button", { name: "Tamper with a copy" }).click()
    const verdict = page.locator(".verdict[data-kind]")
    await verdict.waitFor({ timeout: 60_000 })
    const told = await page.locator(".verdict").first().textContent()
    const [, seq, metric] = /statement (\d+) was changed: (\S+) at /.exec(told ?? "") ?? []
    expect(told).toContain(
      `Statement ${seq} of device sim-1-0004: column bytes is not the statement that was accepted here`,
    )
    expect(await verdict.getAttribute("data-kind")).toBe("refused")
    expect(await verdict.textContent()).toContain(
      `Statement ${seq} of device sim-1-0004 has a signature that does not verify under its key.`,
    )
    const broken = page.locator(".chart.broken")
    expect(await broken.getAttribute("data-metric")).toBe(metric)
    expect(await countPixels(page, metric!, "bad")).toBeGreaterThan(100)
    await watched.shoot(`tampered-${look.name}`)
    expect(await watched.findFaults()).toEqual([])
    // The log itself was not touched.
    await page.getByRole("button", { name: "Verify in this browser" }).click()
    await page.locator(".verdict.good").waitFor()
    expect(await page.locator(".chart.broken").count()).toBe(0)
    await watched.close()
  },
)

test("another key than the log's verifies nothing, and what is no key is said to be none", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/#/verify/sim-1-0005`)
  const key = page.getByLabel("The log's key that you trust")
  await key.waitFor()
  const given = await key.inputValue()
  // The key of another log, well-formed.
  await key.fill("tidemark.example/vectors+22a91125+ARBgCxh+qz+0KvjAYZhpx96AtV1xWHwGZgwvSDJFcZty")
  await page.getByRole("button", { name: "Verify" }).click()
  await page.locator('.verdict[data-kind="refused"]').waitFor()
  expect(await page.locator(".verdict").textContent()).toContain("which you do not trust")
  await key.fill("abc")
  await page.getByRole("button", { name: "Verify" }).click()
  await page.getByText("This is no log key.").first().waitFor()
  await key.fill(given)
  await page.getByRole("button", { name: "Verify" }).click()
  await page.locator('.verdict[data-kind="verified"]').waitFor()
  expect(await watched.findFaults()).toEqual([])
  await watched.close()
})

import type { Browser } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest"
import { type WatchedPage, looks, openBrowser, openPage } from "./browser.ts"

const url = inject("demoUrl")
let browser: Browser
beforeAll(async () => {
  browser = await openBrowser()
})
afterAll(() => browser.close())

/** Whether all charts have drawn what they asked for. */
async function waitForCharts({ page }: WatchedPage): Promise<void> {
  await page.locator(".chart .u-over").first().waitFor()
  await page.waitForFunction(() => document.querySelector(".chart[aria-busy]") === null)
}

const views = [
  { name: "fleet", hash: "#/", ready: "tbody tr" },
  { name: "device-recording", hash: "#/devices/rec-1-0001", ready: ".chart .u-over" },
  { name: "device-gap", hash: "#/devices/rec-1-0006", ready: ".chart .u-over" },
  { name: "device-many", hash: "#/devices/rec-1-0004", ready: ".chart .u-over" },
  { name: "device-simulated", hash: "#/devices/sim-1-0001", ready: ".chart .u-over" },
  { name: "blocks", hash: "#/blocks", ready: ".timeline svg" },
  { name: "block", hash: "#/blocks/0", ready: ".pill.good" },
  { name: "verify", hash: "#/verify/sim-1-0001", ready: "form" },
] as const

describe.each(looks)("on $name", (look) => {
  test.each(views)(
    "the view $name can be read by eyes and by a screen reader",
    async ({ name, hash, ready }) => {
      const watched = await openPage(browser, { look })
      await watched.page.goto(`${url}/${hash}`)
      await watched.page.locator(ready).first().waitFor()
      if (ready.startsWith(".chart")) await waitForCharts(watched)
      await watched.shoot(`${name}-${look.name}`)
      expect(await watched.findFaults()).toEqual([])
      await watched.close()
    },
  )
})

test("colours follow the system until a person chooses, and the choice is kept", async () => {
  const watched = await openPage(browser, { look: looks[1]! })
  const { page } = watched
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
  await page.goto(`${url}/`)
  const dark = await paper()
  await page.getByRole("button", { name: "Colours: as the system" }).click()
  const light = await paper()
  expect(light).not.toBe(dark)
  await page.reload()
  expect(await paper()).toBe(light)
  await page.getByRole("button", { name: "Colours: light" }).click()
  expect(await paper()).toBe(dark)
  await watched.close()
})

test("the fleet shows what comes in now", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/`)
  const accepted = page.locator(".figures > div", { hasText: "Statements accepted" })
  // The live devices say something every two seconds.
  await expect
    .poll(() => accepted.locator("dd").textContent(), { timeout: 30_000 })
    .toMatch(/^[0-9.]*[1-9][0-9.]* per second/)
  await page.getByPlaceholder("Device or metric").fill("live-")
  await expect.poll(() => page.locator("tbody tr").count()).toBe(6)
  expect(watched.troubles).toEqual([])
  await watched.close()
})

test("by keys alone one comes from the fleet to a reading and its way to the checkpoint", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/`)
  await page.locator("tbody tr").first().waitFor()
  await page.keyboard.press("Tab")
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to the content")
  const focusOn = async (wanted: string, pressesMax: number): Promise<void> => {
    for (let press = 0; press < pressesMax; press += 1) {
      if (await page.evaluate((selector) => document.activeElement?.matches(selector) ?? false, wanted))
        return
      await page.keyboard.press("Tab")
    }
    throw new Error(`${wanted} cannot be reached with Tab`)
  }
  await focusOn('tbody a[href="#/devices/sim-1-0001"]', 200)
  await page.keyboard.press("Enter")
  await waitForCharts(watched)
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("main")
  await focusOn(".plot", 60)
  await page.keyboard.press("+")
  await expect.poll(() => page.evaluate(() => location.hash)).toContain("from=")
  await waitForCharts(watched)
  await page.keyboard.press("ArrowRight")
  await expect
    .poll(() => page.locator("#announcement").textContent())
    .toMatch(/^2026-01-01 .*, Enter or click traces it$/)
  await watched.shoot("chart-by-keys", false)
  await page.keyboard.press("Enter")
  await page.locator(".way").waitFor()
  expect(await page.locator(".way > li > h2").allTextContents()).toEqual(
    ["Reading", "Statement", "Key and signature", "Leaf", "Block", "Checkpoint"].map(
      (name) => `${name}verified`,
    ),
  )
  await watched.shoot("way")
  expect(await watched.findFaults()).toEqual([])
  await watched.close()
})

test("a chart has its numbers as a table too, and a link shows the same range again", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/#/devices/sim-1-0002?from=1767226200&to=1767226500`)
  await waitForCharts(watched)
  const chart = page.locator('.chart[data-metric="heart-rate"]')
  await chart.getByText("As a table").click()
  await expect.poll(() => chart.locator("tbody tr").count()).toBeGreaterThan(20)
  expect(await chart.locator("tbody td").first().textContent()).toMatch(/^2026-01-01 00:1\d:\d\d/)
  expect(await watched.findFaults()).toEqual([])
  await watched.close()
})

test("field Q5: a gap of 22 days is hatched with its reason at every zoom, and is the gap that coverage tells of", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  const readout = page.locator('.chart[data-metric="heart-rate"] .readout')
  const day = Date.UTC(2026, 0, 1) / 1000
  // All of it: 22 days and the day without end.
  await page.goto(`${url}/#/devices/rec-1-0006?from=${day}&to=${day + 24 * 86_400}`)
  await waitForCharts(watched)
  await expect.poll(() => readout.textContent()).toContain("One gap, of 22 days.")
  for (const [from, to] of [
    [day + 5 * 86_400, day + 6 * 86_400],
    [day + 9 * 86_400, day + 9 * 86_400 + 60],
  ]) {
    await page.goto(`${url}/#/devices/rec-1-0006?from=${from}&to=${to}`)
    await waitForCharts(watched)
    await expect
      .poll(() => readout.textContent())
      .toBe("This range lies in a gap of 22 days, from 2026-01-02 00:00:00: never sent: later readings came.")
    const inkShare = await hatchedShare(watched)
    expect(inkShare).toBeGreaterThan(0.1)
  }
  // A stretch without a gap has no hatch.
  await page.goto(`${url}/#/devices/rec-1-0006?from=${day + 3_600}&to=${day + 7_200}`)
  await waitForCharts(watched)
  await expect.poll(() => readout.textContent()).toContain("No gaps.")
  expect(watched.troubles).toEqual([])
  await watched.close()
})

/** Share of the plot's pixels, in a strip above the line's middle, that are neither empty nor grid. */
async function hatchedShare({ page }: WatchedPage): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>(".chart canvas")!
    const pen = canvas.getContext("2d")!
    const { width, height } = canvas
    const { data } = pen.getImageData(width * 0.2, height * 0.1, width * 0.2, height * 0.15)
    let painted = 0
    for (let place = 3; place < data.length; place += 4) if (data[place]! > 20) painted += 1
    return painted / (data.length / 4)
  })
}

test("field Q12: a value of -1 lies outside the axis with a mark and a way to it, and readings open in their stretch", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/#/devices/rec-1-0006`)
  await waitForCharts(watched)
  // 34 hours among 24 days: the longest stretch opens, and both are there to be chosen.
  expect(await page.locator(".range").textContent()).toContain("to 2026-01-02 00:")
  expect(await page.locator(".stretches button").allTextContents()).toEqual([
    "2026-01-01 00:00, 24 h",
    "2026-01-24 00:00, 10 h",
  ])
  const outside = page.locator(".chart .outside")
  expect(await outside.textContent()).toBe("1 reading outside the axis, down to -1")
  await outside.click()
  expect(await outside.textContent()).toBe("Axis to every value")
  await page.getByRole("button", { name: "All of the time" }).click()
  await expect.poll(() => page.evaluate(() => location.hash)).toContain("from=")
  expect(watched.troubles).toEqual([])
  await watched.close()
})

test("field Q12: a historical import has a mark of its own, and nothing of it reads as late", async () => {
  const watched = await openPage(browser)
  await watched.page.goto(`${url}/#/devices/rec-1-0006`)
  await waitForCharts(watched)
  expect(await watched.page.locator(".chart .pill.import").textContent()).toBe("imported")
  expect(await watched.page.locator(".chart").textContent()).not.toMatch(/came late|late/)
  await watched.close()
})

test("field Q12: the search and the order of the fleet are in the address, and come back with it", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/`)
  await page.locator("tbody tr").first().waitFor()
  await page.getByPlaceholder("Device or metric").fill("rec-1-0006")
  await page.getByRole("button", { name: "Device", exact: true }).click()
  expect(await page.evaluate(() => location.hash)).toBe("#/?search=rec-1-0006&sort=id&order=asc")
  await page.getByRole("link", { name: "rec-1-0006" }).click()
  await waitForCharts(watched)
  await page.goBack()
  await expect.poll(() => page.locator("tbody tr").count()).toBe(1)
  expect(await page.getByPlaceholder("Device or metric").inputValue()).toBe("rec-1-0006")
  await watched.close()
})

test("what is not there is said in a sentence, and is no dead end", async () => {
  const watched = await openPage(browser)
  const { page } = watched
  await page.goto(`${url}/#/devices/nobody`)
  const trouble = page.locator(".trouble")
  await trouble.waitFor()
  expect(await trouble.textContent()).toContain("Device nobody is not enrolled.")
  await watched.shoot("not-here", false)
  await trouble.getByRole("link", { name: "To the fleet" }).click()
  await page.locator("tbody tr").first().waitFor()
  await watched.close()
})

/** Chromium for a test file, and pages that fail a test for what a person would not see: errors, refused loads, requests elsewhere. */
import { mkdir } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import axe from "axe-core"
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core"

const folder = join(dirname(fileURLToPath(import.meta.url)), "screenshots")

export interface Look {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly scheme: "light" | "dark"
}

export const looks: readonly Look[] = [
  { name: "desktop-light", width: 1280, height: 900, scheme: "light" },
  { name: "desktop-dark", width: 1280, height: 900, scheme: "dark" },
  { name: "phone-light", width: 390, height: 844, scheme: "light" },
  { name: "phone-dark", width: 390, height: 844, scheme: "dark" },
]

export async function openBrowser(): Promise<Browser> {
  await mkdir(folder, { recursive: true })
  return chromium.launch({
    executablePath: process.env["CHROMIUM"]!,
    args: [
      // Chromium has no sandbox as root; it sees nothing here but our own pages.
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  })
}

/** A page, and everything that went wrong in it. */
export interface WatchedPage {
  readonly page: Page
  readonly context: BrowserContext
  /** Errors that the page logged, breaches of its policy, requests to another host: in a line each. */
  readonly troubles: readonly string[]
  /** The same, and what is wider than the screen, and what axe finds. */
  findFaults(): Promise<string[]>
  /** Into the folder that is looked at. */
  shoot(name: string, isWhole?: boolean): Promise<void>
  close(): Promise<void>
}

export interface PageOptions {
  readonly look?: Look
  /** Nothing is reachable. */
  readonly offline?: boolean
}

export async function openPage(
  browser: Browser,
  { look = looks[0]!, offline = false }: PageOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({
    viewport: { width: look.width, height: look.height },
    colorScheme: look.scheme,
    reducedMotion: "reduce",
    offline,
    acceptDownloads: true,
  })
  const page = await context.newPage()
  const troubles: string[] = []
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      troubles.push(`console: ${message.text()}`)
  })
  page.on("pageerror", (error) => troubles.push(`error: ${error.message}`))
  page.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url())
    if (!["file:", "blob:", "data:"].includes(protocol) && hostname !== "127.0.0.1")
      troubles.push(`request: ${request.url()}`)
  })
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)
    })
  })
  return {
    page,
    context,
    troubles,
    findFaults: async () => {
      const wider = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      )
      return [
        ...troubles,
        ...(wider > 0 ? [`width: ${wider} pixels beyond the screen`] : []),
        ...(await findBarriers(page)),
      ]
    },
    shoot: async (name, isWhole = true) => {
      await page.screenshot({ path: join(folder, `${name}.png`), fullPage: isWhole })
    },
    close: () => context.close(),
  }
}

/** What axe finds against WCAG 2.2 A and AA and its own best practices, in a line each. */
async function findBarriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const found = await page.evaluate(async () => {
    const { axe: here } = globalThis as unknown as { axe: typeof axe }
    const { violations } = await here.run(document)
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary ?? ""}`),
    )
  })
  return found
}

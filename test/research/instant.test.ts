import { expect, it, test } from "vitest"
import { readInstant } from "../../research/instant.ts"

const read = (text: string): number | string => {
  const found = readInstant(text)
  return "rule" in found ? found.rule : found.seconds
}

test.each([
  ["2026-01-31", 1_769_817_600],
  ["2024-02-29", 1_709_164_800],
  ["2026-01-31T12:00Z", 1_769_860_800],
  ["2026-01-31T12:00:00z", 1_769_860_800],
  ["2026-01-31T13:00:00+01:00", 1_769_860_800],
  ["2026-01-31T13:00:00 01:00", 1_769_860_800],
  ["2026-01-31T12:00:00.25Z", 1_769_860_800.25],
  ["2026-01-31T12:00:00.000250Z", 1_769_860_800.00025],
  ["1769860800", 1_769_860_800],
  ["1769860800.5", 1_769_860_800.5],
  ["-5", -5],
  ["0", 0],
])("%s is an instant", (text, seconds) => {
  expect(read(text)).toBe(seconds)
})

it.each([
  ["1780272000000", "looks like milliseconds. Give 1780272000, or 2026-06-01T00:00:00.000Z"],
  ["1780272000000.5", "looks like milliseconds"],
  ["1780272000000000", "looks like microseconds. Give 1780272000, or"],
  ["1780272000000000000", "looks like nanoseconds"],
  ["-1780272000000", "looks like milliseconds"],
])("field Q2: %s is named for what it looks like", (text, words) => {
  expect(read(text)).toContain(words)
})

it.each([
  ["2026-01-31T12:00:00", "must have its zone"],
  ["2026-01-31T12:00", "must have its zone"],
  ["2026-01-31 12:00:00", "must have its zone"],
  ["2026-01-31 12:00:00Z", "must have a T"],
  ["31.01.2026", "must begin with the year, such as 2026-01-31"],
  ["31/01/2026", "must begin with the year"],
  ["02/03/2026 12:00", "02 and 03 may each be the month"],
  ["2026-31-01", "must be in the order year-month-day: 2026-31-01 has no month 31"],
  ["2026-31-01T12:00:00Z", "must be in the order year-month-day"],
  ["2026/01/31", "must have two digits each for month and day, and - between them"],
  ["2026-1-31", "must have two digits each for month and day"],
  // Date takes them for days of the month after.
  ["2026-02-30", "must be a day of the calendar, and 2026-02-30 is none"],
  ["2026-04-31T12:00:00Z", "must be a day of the calendar"],
  ["2026-13-32", "must be a day of the calendar"],
  ["2026-01-31T25:00:00Z", "must be a date (UTC)"],
  ["2026-01-31T12:00:00+99:00", "must be a date (UTC)"],
  ["now-6h", "must be a date (UTC)"],
  ["1.78e9", "must be a date (UTC)"],
  ["1e309", "must be a date (UTC)"],
  ["9".repeat(64), "must be a date (UTC)"],
  ["${__from}", "must be a date (UTC)"],
  ["", "must be a date (UTC)"],
  ["2026-01-31T12:00:00Z\n", "must be a date (UTC)"],
])("field Q2: %j is refused in words, for nothing plausible and wrong may come out", (text, words) => {
  expect(read(text)).toContain(words)
})

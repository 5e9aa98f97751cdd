import { readFileSync, readdirSync } from "node:fs"
import { expect, test } from "vitest"
import { formatDuration, parseDuration } from "../../devices-sim/duration.ts"
import { Measures } from "../../devices-sim/measure.ts"
import { onTimes, troubleTimes } from "../../devices-sim/scenario.ts"
import { parseScenario } from "../../devices-sim/scenario-file.ts"
import type { ScenarioFault } from "../../devices-sim/scenario-place.ts"
import { checkThreshold, findThresholdFault } from "../../devices-sim/threshold.ts"

const folder = new URL("../../devices-sim/scenarios/", import.meta.url)
const builtIn = readdirSync(folder).filter((name) => name.endsWith(".yaml"))

function faultsOf(text: string): readonly ScenarioFault[] {
  const parsed = parseScenario(text)
  if (parsed.kind !== "faulty") throw new Error("this text has no fault")
  return parsed.faults
}

const valid = `name: mine
about: A scenario of this test
groups:
  - devices: 2
    statements: 3
`

/** A scenario that replays, with one more line. */
function replay(line: string): string {
  return `${valid.replace("    statements: 3\n", "    recordings:\n      - mine.csv\n")}    ${line}\n`
}

test("how recordings are read is said in the group that replays them", () => {
  const lines = [
    "dates: dmy",
    "timezone: Europe/Berlin",
    "rate: 117.3",
    "metric: ppg",
    "start: 2026-03-02T08:00:00Z",
  ]
  expect(parseScenario(replay(lines.join("\n    ")))).toMatchObject({
    kind: "scenario",
    scenario: {
      groups: [
        {
          source: {
            kind: "recordings",
            paths: ["mine.csv"],
            options: {
              dates: "dmy",
              timezone: "Europe/Berlin",
              rateHz: 117.3,
              metric: "ppg",
              startsAt: Date.UTC(2026, 2, 2, 8) / 1000,
            },
          },
        },
      ],
    },
  })
})

test.each(builtIn)(
  "the built-in scenario %s is one, is named as its file, and says what must come out",
  (name) => {
    const text = readFileSync(new URL(name, folder), "utf8")
    const parsed = parseScenario(text)
    expect(parsed).toMatchObject({ kind: "scenario", scenario: { name: name.slice(0, -".yaml".length) } })
    expect(text).toContain("# yaml-language-server: $schema=./scenario.schema.json")
    expect(parsed.kind === "scenario" && parsed.scenario.description).toMatch(/must come out/i)
  },
)

test("what a file leaves out has a default, and durations may be of several units", () => {
  const parsed = parseScenario(
    `${valid}    every: 1h30m\n    stages:\n      - { ramp: 2, over: 10s }\n      - { hold: 1d }\n`,
  )
  expect(parsed).toMatchObject({
    kind: "scenario",
    scenario: {
      seed: 1,
      speed: 1,
      groups: [
        {
          name: "device",
          keys: "both",
          everyMs: 5_400_000,
          source: { kind: "worn", readings: null, ecgSamples: 0 },
          stages: [
            { kind: "ramp", to: 2, durationMs: 10_000 },
            { kind: "hold", durationMs: 86_400_000 },
          ],
        },
      ],
    },
  })
})

test.each([
  [
    "an unknown key, with what was meant",
    valid.replace("statements", "statments"),
    5,
    5,
    "did you mean statements?",
  ],
  ["a number that is a word", valid.replace("devices: 2", "devices: many"), 4, 14, "must be integer"],
  ["a number out of its range", valid.replace("devices: 2", "devices: 0"), 4, 14, "must be >= 1"],
  ["a duration without a unit", `${valid}    every: 10\n`, 6, 12, "must be a duration such as"],
  ["a key that is missing", "name: mine\nabout: x\n", 1, 1, "groups is missing"],
  ["a group that would never end", valid.replace("    statements: 3\n", ""), 4, 5, "it would never end"],
  [
    "two groups of one name",
    `${valid}  - devices: 1\n    statements: 1\n`,
    6,
    5,
    "there is a group named device already",
  ],
  [
    "a stage of two kinds",
    `${valid}    every: 1s\n    stages:\n      - { hold: 1s, storm: 2, over: 1s }\n`,
    8,
    9,
    "one of ramp, hold, storm and offline",
  ],
  [
    "a ramp without its duration",
    `${valid}    every: 1s\n    stages:\n      - { ramp: 2 }\n`,
    8,
    9,
    "ramp needs `over`",
  ],
  ["stages without a pace", `${valid}    stages:\n      - { hold: 1s }\n`, 4, 5, "so it needs `every`"],
  [
    "a metric that is none",
    `${valid}thresholds:\n  pubacks: p(95) < 3\n`,
    7,
    3,
    "is not known: did you mean puback_ms?",
  ],
  [
    "a threshold that is none",
    `${valid}thresholds:\n  puback_ms: fast\n`,
    7,
    14,
    "must be such as p(95) < 300",
  ],
  [
    "an aggregate that does not fit",
    `${valid}thresholds:\n  made: [count > 1, p(95) < 3]\n`,
    7,
    21,
    "made is a counter: it has count, rate",
  ],
  ["an event of no kind", `${valid}events:\n  - { at: 1s }\n`, 7, 5, "must be one of seal, kill and stop"],
  ["an order of dates that is none", replay("dates: dym"), 7, 12, "must be one of dmy, mdy, ymd"],
  ["a zone that is none", replay("timezone: Mars/Olympus"), 7, 15, "a name of the IANA time zone database"],
  ["a rate of nothing", replay("rate: 0"), 7, 11, "must be samples a second, above 0"],
  ["a metric that is no name", replay("metric: Heart Rate"), 7, 13, "must be a metric's name"],
  ["a start that is no instant", replay("start: noon"), 7, 12, "must be an instant such as"],
  ["a zone without recordings", `${valid}    timezone: UTC\n`, 6, 5, "is for a group with recordings"],
  ["YAML that is none", "name: [mine\n", 2, 1, "Flow sequence"],
  ["a key twice", `${valid}name: again\n`, 6, 1, "unique"],
  ["no document at all", "", 1, 1, "a scenario is a map"],
])("%s is said with its line and column", (_, text, line, column, rule) => {
  const faults = faultsOf(text)
  expect(faults.map((fault) => ({ ...fault, path: "" }))).toContainEqual({
    line,
    column,
    path: "",
    rule: expect.stringContaining(rule) as string,
  })
})

test("every fault of a file is said at once, in the order of the file", () => {
  const faults = faultsOf("name: Mine!\nabout: x\nspeed: 0\ngroups:\n  - devices: 1.5\n    keys: rsa\n")
  expect(faults.map(({ line, path }) => [line, path])).toEqual([
    [1, "name"],
    [3, "speed"],
    [5, "groups[0].devices"],
    [6, "groups[0].keys"],
  ])
})

test("field A6: several mistakes of all kinds are said at once, each with its place and what was meant", () => {
  const faults = faultsOf(`name: mine
about: x
groups:
  - devices: 2
    statements: 3
    faults:
      - fault: clonee
  - device: 3
    statements: 2
  - name: third
    devices: 1
    every: 1s
    stages: [{ ramp: 1 }]
events:
  - { at: 1s }
thresholds:
  acknowledgd: count == 6
  puback_ms: fast
  verdicts{verdict:frok}: count == 0
`)
  expect(faults.map(({ line, column, path, rule }) => `${line}:${column}: ${path}: ${rule}`)).toEqual([
    "7:16: groups[0].faults[0].fault: is not known: did you mean clone?",
    "8:5: groups[1]: devices is missing",
    "8:5: groups[1].device: is not known here: did you mean devices?",
    "13:14: groups[2].stages[0]: ramp needs `over`",
    "15:5: events[0]: must be one of seal, kill and stop",
    "17:3: thresholds.acknowledgd: is not known: did you mean acknowledged?",
    "18:14: thresholds.puback_ms: must be such as p(95) < 300, avg < 50, count == 0, rate > 10 or value < 0.5",
    "19:27: thresholds.verdicts{verdict:frok}: frok is not known: did you mean fork?",
  ])
})

const listed = "name: x\ngroups:\n  - devices: 1\n"
test.each([
  [
    "an item too far to the left",
    `${listed}    statements: 2\n - devices: 3\n`,
    '5: is indented by 1 space, where nothing can stand: indent it by 4 for the next member of that item, 2 for the next item ("- ") of groups, 0 for the next member of the scenario',
  ],
  [
    "a member too far to the left",
    `${listed}   statements: 2\n`,
    "4: is indented by 3 spaces, where nothing can stand: indent it by 4 for the next member of that item",
  ],
  [
    "a member without its item",
    `${listed}  statements: 2\n`,
    '4: stands where an item begins, and has no "- ": indent it by 4 for the next member of that item',
  ],
  [
    "a member too far to the right",
    `${listed}     statements: 2\n`,
    "4: is indented by 5 spaces, where nothing can stand: indent it by 4",
  ],
  [
    "an item too far to the right",
    `${listed}    - devices: 2\n`,
    '4: is an item ("- ") where a member stands',
  ],
  [
    "an item of an inner list",
    `${listed}    faults:\n      - { fault: gap }\n     - { fault: clone }\n`,
    '6: is indented by 5 spaces, where nothing can stand: indent it by 6 for the next item ("- ") of faults',
  ],
  ["a tab", "name: x\ngroups:\n\t- devices: 1\n", "3: is indented by a tab: indent with spaces"],
  ["a colon in a value", "name: x\nabout: a: b\n", '2: has a value with ": " in it: put it in quotes'],
  [
    "a line that is nothing",
    "name: x\nabout y\n",
    "2: is neither a member (name: value) nor an item of a list (- value)",
  ],
])("field A6: %s is said once, in the scenario's words", (_, text, words) => {
  const said = faultsOf(text).map(({ line, rule }) => `${line}: ${rule}`)
  expect(said).toHaveLength(1)
  expect(said[0]).toContain(words)
})

test("a ramp switches its devices on one after the other, and off from the last one", () => {
  const stages = [
    { kind: "ramp", to: 2, durationMs: 100 },
    { kind: "hold", durationMs: 50 },
    { kind: "ramp", to: 0, durationMs: 100 },
  ] as const
  expect(onTimes(stages, 3, 0)).toEqual([{ fromMs: 0, toMs: 250 }])
  expect(onTimes(stages, 3, 1)).toEqual([{ fromMs: 50, toMs: 200 }])
  expect(onTimes(stages, 3, 2)).toEqual([])
  expect(onTimes([{ kind: "hold", durationMs: 10 }], 3, 2)).toEqual([{ fromMs: 0, toMs: null }])
})

test("a storm cuts everybody so often, and offline is from here to there", () => {
  const stages = [
    { kind: "storm", times: 2, durationMs: 100 },
    { kind: "offline", durationMs: 30 },
  ] as const
  expect(troubleTimes(stages)).toEqual({ cutsMs: [25, 75], offlineMs: [{ fromMs: 100, toMs: 130 }] })
})

test("durations are read and said", () => {
  expect(["0", "250ms", "1.5s", "2h30m", "1w"].map(parseDuration)).toEqual([
    0, 250, 1_500, 9_000_000, 604_800_000,
  ])
  expect(["", "5", "s", "1s!", "-1s", "1 s"].map(parseDuration)).toEqual([null, null, null, null, null, null])
  expect([40, 1_500, 59_000, 3_700_000, 90_000_000].map(formatDuration)).toEqual([
    "40 ms",
    "1.5 s",
    "59 s",
    "1 h 1 m",
    "1 d 1 h",
  ])
})

test("a threshold is about what was measured: percentiles to one in a hundred, counts and rates exactly", () => {
  const measures = new Measures()
  for (let ms = 1; ms <= 1000; ms++) measures.time("puback_ms", ms, "group:a")
  measures.add("made", 30, "group:a")
  measures.wallMs = 2_000
  const check = (metric: string, expression: string) => checkThreshold({ metric, expression }, measures)
  const p95 = check("puback_ms{group:a}", "p(95) < 960")
  expect(p95.passed).toBe(true)
  expect(Math.abs(p95.value! - 950)).toBeLessThan(9.5)
  expect(check("puback_ms", "p(95) < 930").passed).toBe(false)
  expect(check("puback_ms", "max <= 1000")).toMatchObject({ passed: true, value: 1000 })
  expect(check("puback_ms", "avg == 500.5").passed).toBe(true)
  expect(check("made", "rate > 15")).toMatchObject({ passed: false, value: 15 })
  expect(check("verdicts{verdict:fork}", "count == 0").passed).toBe(true)
  // What was not measured holds no bound: a run in which nothing was acknowledged is not a fast one.
  expect(check("puback_ms{group:b}", "p(95) < 960")).toMatchObject({ passed: false, value: null })
  expect(findThresholdFault({ metric: "made{verdict:fork}", expression: "count > 1" })).toContain(
    "not by verdict",
  )
  expect(() => check("made", "p(1) < 2")).toThrow(RangeError)
})

/** The faults that wait for one device, and what came of them so far. */
import type { Verdict } from "../chain/verdict.ts"
import { type Expectation, type FaultFinding, type PlannedFault, expectationOf } from "./fault.ts"

/** A fault that happens, has happened, or waits for its place. */
export interface Act {
  readonly planned: PlannedFault
  /** Its number among the device's faults: what it draws follows from it. */
  readonly index: number
  /** Where it waits now: its planned place, or one behind that. */
  place: number
  state: "armed" | "under-way" | "done"
  /** Narrower than the fault's own where it is known what was drawn. */
  expected: Expectation
  verdict: Verdict | null
  /** How often it was begun: the service may have judged each. */
  tries: number
  detail: string
}

/** Of one device, in order of their places. */
export class Acts {
  readonly all: readonly Act[]
  /** Who waits until nothing is under way. */
  private waiting: (() => void)[] = []

  constructor(planned: readonly PlannedFault[]) {
    this.all = planned.map((one, index) => ({
      planned: one,
      index,
      place: one.place,
      state: "armed",
      expected: expectationOf(one.fault),
      verdict: null,
      tries: 0,
      detail: "it never came to its place",
    }))
  }

  /** The first that waits for this place or has missed it, of those that `isMeant`. */
  next(place: number, isMeant: (act: Act) => boolean): Act | null {
    return this.all.find((act) => act.state === "armed" && act.place <= place && isMeant(act)) ?? null
  }

  begin(act: Act, detail: string): void {
    act.state = "under-way"
    act.tries += 1
    act.detail = detail
  }

  /** @param verdict null where none is given */
  finish(act: Act, verdict: Verdict | null): void {
    if (act.state !== "under-way") return
    act.state = "done"
    act.verdict = verdict
    this.tell()
  }

  /** Its answer did not come, for another reason than itself: it waits for the next statement. */
  interrupt(act: Act): void {
    if (act.state !== "under-way") return
    act.state = "armed"
    this.tell()
  }

  /** Until nothing is under way any more. */
  async settle(): Promise<void> {
    if (this.isBusy) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  private get isBusy(): boolean {
    return this.all.some(({ state }) => state === "under-way")
  }

  private tell(): void {
    if (this.isBusy) return
    for (const resolve of this.waiting) resolve()
    this.waiting = []
  }

  findings(device: string): FaultFinding[] {
    return this.all.map((act) => {
      const { planned, expected, verdict, tries, detail } = act
      const isMet = verdict === null ? expected.verdicts.length === 0 : expected.verdicts.includes(verdict)
      const result = act.state !== "done" ? "skipped" : isMet ? "met" : "unmet"
      return { ...planned, device, expected, result, verdict, tries, detail }
    })
  }
}

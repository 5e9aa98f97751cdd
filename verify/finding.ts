/** What an audit finds: which row breaks which rule, in words for an operator. Never the value of a reading. */
export interface Finding {
  readonly table: string
  readonly column: string | null
  /** `statement 118 of device k7`, `block 3`, `leaf 17`. */
  readonly row: string
  /** Reads on after the row: `differs from the signed payload`. */
  readonly rule: string
}

/** `series 0 of statement 12 of device k7: column numbers differs from the signed payload` */
export function formatFinding({ column, row, rule }: Finding): string {
  return column === null ? `${row} ${rule}` : `${row}: column ${column} ${rule}`
}

/** More is no help to anybody. */
const findingsMax = 1_000

interface Pending {
  readonly order: number
  readonly finding: Finding
  readonly isGood: Promise<boolean>
}

/** Collects findings in the order of the rows, and waits for signatures that are still being checked. */
export class Findings {
  readonly remarks: string[] = []
  private readonly isStoppingAtFirst: boolean
  private readonly found: { readonly order: number; readonly finding: Finding }[] = []
  private pending: Pending[] = []
  private due: Pending[] = []
  private order = 0

  constructor(isStoppingAtFirst: boolean) {
    this.isStoppingAtFirst = isStoppingAtFirst
  }

  /** What is added from now on is about a later row. */
  nextRow(): void {
    this.order += 1
  }

  add(table: string, column: string | null, row: string, rule: string): void {
    this.found.push({ order: this.order, finding: { table, column, row, rule } })
  }

  /** A finding unless this is true, or resolves to it. */
  expect(isGood: boolean | Promise<boolean>, finding: Finding): void {
    if (typeof isGood === "boolean") {
      if (!isGood) this.found.push({ order: this.order, finding })
      return
    }
    // Awaited by `settle`; a rejection in between must not count as one that nobody handles.
    isGood.catch(() => undefined)
    this.pending.push({ order: this.order, finding, isGood })
  }

  /**
   * Waits for the signatures that were asked for before the last call, or for all of them. One page behind, the threads
   * that check them have work while the next page is judged.
   */
  async settle(isAll: boolean): Promise<void> {
    const due = isAll ? [...this.due, ...this.pending] : this.due
    this.due = isAll ? [] : this.pending
    this.pending = []
    for (const { order, finding, isGood } of due) {
      if (!(await isGood)) this.found.push({ order, finding })
    }
  }

  get count(): number {
    return this.found.length
  }

  /** Whether there is nothing more to look for. */
  get isDone(): boolean {
    return this.found.length >= (this.isStoppingAtFirst ? 1 : findingsMax)
  }

  /** In the order of the rows; the first one only where the audit stops there. */
  list(): Finding[] {
    const sorted = this.found.toSorted((a, b) => a.order - b.order).map(({ finding }) => finding)
    return this.isStoppingAtFirst ? sorted.slice(0, 1) : sorted.slice(0, findingsMax)
  }
}

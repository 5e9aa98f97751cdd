import { expect, test } from "vitest"
import { Budget } from "../../broker/budget.ts"

test("who waits for a full budget is woken in order, until it is full again", () => {
  const budget = new Budget(10)
  budget.take(12)
  const woken: string[] = []
  const wait = (name: string, bytes: number): (() => void) => {
    const wake = (): void => {
      woken.push(name)
      budget.take(bytes)
    }
    budget.wait(wake)
    return wake
  }
  wait("a", 4)
  const b = wait("b", 6)
  wait("c", 5)
  wait("d", 1)
  expect(budget.isFull()).toBe(true)
  budget.release(2)
  expect(woken).toEqual([])
  budget.forget(b)
  budget.release(4)
  expect(woken).toEqual(["a"])
  budget.release(1)
  expect(woken).toEqual(["a", "c"])
  budget.release(10)
  expect(woken).toEqual(["a", "c", "d"])
  expect(budget.bytes).toBe(5)
})

test("one who finds the budget full again waits anew, and is not asked for ever", () => {
  const budget = new Budget(10)
  budget.take(10)
  let asked = 0
  const wake = (): void => {
    asked++
    budget.take(10)
    budget.wait(wake)
  }
  budget.wait(wake)
  budget.release(10)
  expect(asked).toBe(1)
  budget.release(10)
  expect(asked).toBe(2)
})

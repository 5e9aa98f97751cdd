/** Locks as Postgres gives them: in order of asking, until the transaction ends, and a circle of waiters is an error. */

export type LockMode = "shared" | "exclusive"

/** Whoever holds locks and may wait for one. */
export interface LockOwner {
  readonly held: Set<Lock>
  waitsFor: Lock | null
}

interface Waiter {
  readonly owner: LockOwner
  readonly mode: LockMode
  readonly granted: () => void
}

export class Lock {
  readonly name: string
  readonly holders = new Map<LockOwner, LockMode>()
  readonly queue: Waiter[] = []

  constructor(name: string) {
    this.name = name
  }

  canGrant(owner: LockOwner, mode: LockMode): boolean {
    if (this.queue.length > 0 && !this.holders.has(owner)) return false
    return this.isCompatible(owner, mode)
  }

  isCompatible(owner: LockOwner, mode: LockMode): boolean {
    for (const [holder, held] of this.holders)
      if (holder !== owner && (mode === "exclusive" || held === "exclusive")) return false
    return true
  }
}

export class LockTable {
  private readonly locks = new Map<string, Lock>()

  /**
   * @param granted called later, where the lock has to be waited for
   * @returns whether the owner has it now; `deadlock` where it would wait for itself
   */
  acquire(owner: LockOwner, name: string, mode: LockMode, granted: () => void): "now" | "later" | "deadlock" {
    const lock = this.find(name)
    const held = lock.holders.get(owner)
    if (held === "exclusive" || held === mode) return "now"
    if (lock.canGrant(owner, mode)) {
      this.give(lock, owner, mode)
      return "now"
    }
    if (this.waitsForItself(owner, lock)) return "deadlock"
    lock.queue.push({ owner, mode, granted })
    owner.waitsFor = lock
    return "later"
  }

  isFree(owner: LockOwner, name: string): boolean {
    const lock = this.locks.get(name)
    return lock === undefined || lock.canGrant(owner, "exclusive")
  }

  /** Ends the owner's waiting and holding; those who waited for it go on. */
  release(owner: LockOwner): void {
    const touched = new Set(owner.held)
    if (owner.waitsFor !== null) {
      const { queue } = owner.waitsFor
      const at = queue.findIndex((waiter) => waiter.owner === owner)
      if (at >= 0) queue.splice(at, 1)
      touched.add(owner.waitsFor)
      owner.waitsFor = null
    }
    for (const lock of owner.held) lock.holders.delete(owner)
    owner.held.clear()
    for (const lock of touched) this.wake(lock)
  }

  private wake(lock: Lock): void {
    for (let next = lock.queue[0]; next !== undefined; next = lock.queue[0]) {
      if (!lock.isCompatible(next.owner, next.mode)) return
      lock.queue.shift()
      next.owner.waitsFor = null
      this.give(lock, next.owner, next.mode)
      next.granted()
    }
    if (lock.holders.size === 0) this.locks.delete(lock.name)
  }

  private give(lock: Lock, owner: LockOwner, mode: LockMode): void {
    lock.holders.set(owner, mode)
    owner.held.add(lock)
  }

  private find(name: string): Lock {
    let lock = this.locks.get(name)
    if (lock === undefined) this.locks.set(name, (lock = new Lock(name)))
    return lock
  }

  private waitsForItself(owner: LockOwner, wanted: Lock): boolean {
    const seen = new Set<LockOwner>()
    const blockers = (lock: Lock): LockOwner[] => [
      ...lock.holders.keys(),
      ...lock.queue.map((waiter) => waiter.owner),
    ]
    const open = blockers(wanted).filter((one) => one !== owner)
    for (let one = open.pop(); one !== undefined; one = open.pop()) {
      if (one === owner) return true
      if (seen.has(one)) continue
      seen.add(one)
      if (one.waitsFor !== null) open.push(...blockers(one.waitsFor))
    }
    return false
  }
}

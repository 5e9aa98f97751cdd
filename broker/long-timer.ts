/** The longest time that a timer of Node can have, some 24 days; a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1

/** Calls `run` after any time, a year or a minute, and gives the function that prevents it. */
export function setLongTimer(afterMs: number, run: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (leftMs: number): void => {
    const stepMs = Math.min(Math.max(0, leftMs), timerMsMax)
    timer = setTimeout(() => (leftMs > stepMs ? wait(leftMs - stepMs) : run()), stepMs)
  }
  wait(afterMs)
  return () => clearTimeout(timer)
}

/** The verifier for the page of the service, which loads this file by its address; its worker is a file beside it. */
import {
  type RunOptions,
  type Verification,
  type VerificationOptions,
  runVerification,
  startVerification,
} from "./panel.ts"

function makeWorker(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })
}

export function startServedVerification(options: Omit<VerificationOptions, "makeWorker">): Verification {
  return startVerification({ ...options, makeWorker })
}

/** The same without a panel. */
export function runServedVerification(options: Omit<RunOptions, "makeWorker">): Verification {
  return runVerification({ ...options, makeWorker })
}

/** The page for researchers, at `/` of the HTTP port. */
import { join } from "node:path"
import type { FastifyInstance } from "fastify"
import { type CheckpointSigner, logVkeyOf } from "../../ingest/log-keys.ts"
import { pageRoutes } from "../../research/page-files.ts"
import { packageRoot } from "../package-root.ts"
import type { Base } from "./base.ts"

/** Where `npm run build` leaves the page, and what verifies in it. */
const folders = [
  { path: "/", folder: join(packageRoot, "dist", "research", "page") },
  { path: "/verify/", folder: join(packageRoot, "dist", "verify", "page") },
]

/** The offline verifier, one HTML file. */
export const verifierFile = join(packageRoot, "dist", "verify", "page", "verifier.html")

/** @param canTamper whether the process lets a copy of its database be tampered with: the demo */
export function makePage({ keys }: Pick<Base<CheckpointSigner>, "keys">, canTamper = false) {
  const facts = { origin: keys.origin, vkey: logVkeyOf(keys), tamper: canTamper }
  return async (app: FastifyInstance): Promise<void> => {
    await app.register(pageRoutes, { folders, facts })
  }
}

/** What each part of the API, a plugin, is given. */
import type { Desk } from "./desk.ts"

export interface ResearchOptions {
  readonly desk: Desk
}

/** How many sockets fit into what the system lets a process open. */

/** Null: as many as there are. */
export function readDescriptors(): number | null {
  // Node itself raises the soft limit to the hard one when it starts, where the system has the two.
  const { userLimits } = process.report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } }
  }
  const soft = Number(userLimits?.open_files?.soft)
  return Number.isSafeInteger(soft) ? soft : null
}

export interface DescriptorShares {
  /** Sockets of HTTP. */
  readonly http: number
  /** Connections of devices, as many as fit. */
  readonly mqtt: number
}

/** The database's connections, files of the log, listeners and Node's own. */
const reserved = 128
const httpMax = 1_024
const httpMin = 16

/** HTTP gets a quarter and at most 1,024, so that whatever readers open, devices find a descriptor. */
export function shareDescriptors(descriptors: number | null): DescriptorShares {
  if (descriptors === null) return { http: httpMax, mqtt: Infinity }
  const http = Math.max(httpMin, Math.min(httpMax, Math.floor(descriptors / 4)))
  return { http, mqtt: Math.max(1, descriptors - http - reserved) }
}

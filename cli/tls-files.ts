/** The service's certificate and key as files: read, checked, and read again when they change. */
import { X509Certificate } from "node:crypto"
import { type FSWatcher, watch } from "node:fs"
import { dirname } from "node:path"
import { createSecureContext } from "node:tls"
import type { TlsOptions } from "../broker/listener.ts"
import { CommandFault } from "./fault.ts"
import { readNamedFile } from "./option.ts"

/** Paths of PEM files. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
  readonly ca?: string
}

export interface ReadTls {
  readonly tls: TlsOptions
  /** When the first certificate of the file expires, Unix seconds. */
  readonly notAfterSeconds: number
}

/** Throws a CommandFault that names the file and what is wrong with it; never with what is in it. */
export async function readTlsFiles(files: TlsFiles): Promise<ReadTls> {
  const cert = await readNamedFile(files.cert, "the certificate")
  const key = await readNamedFile(files.key, "the certificate's key")
  const ca = files.ca === undefined ? null : await readNamedFile(files.ca, "the file of CAs")
  const notAfterSeconds = attempt(`the certificate ${files.cert} cannot be read`, () =>
    Math.floor(Date.parse(new X509Certificate(cert).validTo) / 1000),
  )
  attempt(`the certificate ${files.cert} and the key ${files.key} cannot be used together`, () =>
    createSecureContext({ cert: Buffer.from(cert), key: Buffer.from(key) }),
  )
  if (ca !== null) {
    attempt(`the file of CAs ${files.ca} cannot be read`, () => new X509Certificate(ca))
    attempt(`the file of CAs ${files.ca} cannot be used`, () => createSecureContext({ ca: Buffer.from(ca) }))
  }
  return { tls: { cert, key, ...(ca === null ? {} : { ca }) }, notAfterSeconds }
}

function attempt<T>(what: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    // OpenSSL's reason, which quotes nothing of the file.
    throw new CommandFault(`${what}: ${(error as Error).message}`, "PEM is read", { cause: error })
  }
}

const quietMs = 300

/**
 * Calls `changed` when something changed in the files' folders and then was quiet for a moment: certificates are
 * replaced by renaming, and as symbolic links to folders, which a watch on the file itself would not see.
 *
 * @returns ends it
 */
export function watchTlsFiles(
  files: TlsFiles,
  changed: () => void,
  failed: (error: unknown) => void,
): () => void {
  let timer: NodeJS.Timeout | undefined
  const touched = (): void => {
    clearTimeout(timer)
    timer = setTimeout(changed, quietMs)
  }
  const folders = new Set([files.cert, files.key, ...(files.ca === undefined ? [] : [files.ca])].map(dirname))
  const watchers: FSWatcher[] = []
  for (const folder of folders) {
    try {
      watchers.push(watch(folder, { persistent: false }, touched).on("error", failed))
    } catch (error) {
      failed(error)
    }
  }
  return () => {
    clearTimeout(timer)
    for (const watcher of watchers) watcher.close()
  }
}

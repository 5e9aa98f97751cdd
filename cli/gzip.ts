/** Evidence is kept and sent gzipped (RFC 1952) or as it is: of a day it is 1.2 or 1.8 times the statements' own bytes. */
import { Readable, pipeline } from "node:stream"
import { createGunzip, createGzip } from "node:zlib"
import { CommandFault } from "./fault.ts"

export function gzip(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  // Whoever reads the last stream is told of a failure of the first.
  return pipeline(Readable.from(chunks, { objectMode: false }), createGzip(), ignore)
}

/** What was gzipped as it was, anything else as it is. A CommandFault where it is gzipped and damaged. */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  const first = await iterator.next()
  const whole = rejoin(first, iterator)
  if (first.done === true || first.value[0] !== 0x1f || first.value[1] !== 0x8b) {
    yield* whole
    return
  }
  try {
    yield* pipeline(
      Readable.from(whole, { objectMode: false }),
      createGunzip(),
      ignore,
    ) as AsyncIterable<Uint8Array>
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code?.startsWith("Z_") !== true) throw error
    throw new CommandFault(`${path} is damaged, or was cut: it cannot be unpacked (${message})`, null, {
      cause: error,
    })
  }
}

async function* rejoin(
  first: IteratorResult<Uint8Array>,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

function ignore(): void {}

/** `conntrack-wasm/node`: captures from paths, standard input and live, on Node. */
import { open } from 'node:fs/promises'
import type { PacketBatch } from './batch.js'
import { type CaptureOptions, readCapture as readSource } from './capture/reader.js'
import type { CaptureSource } from './capture/source.js'

export type { PacketBatch } from './batch.js'
export type { CaptureOptions } from './capture/reader.js'
export type { CaptureSource } from './capture/source.js'
export { liveCapture, type LiveCaptureOptions } from './node/live.js'

/** Bytes read from a file at once. */
const READ_SIZE = 512 * 1024

/**
 * `readCapture` of `conntrack-wasm/capture`, for paths too.
 *
 * @param source the path of a file, `-` for standard input, a `file:` URL, or any source that `readCapture` of
 * `conntrack-wasm/capture` takes, streams of Node included
 * @returns batches, each good until the next is asked for
 * @throws as `readCapture` of `conntrack-wasm/capture`; while iterating, Node's own errors (`ENOENT` and so on, in
 * `code`) for files that cannot be opened or read
 */
export function readCapture(
  source: string | URL | CaptureSource, options: CaptureOptions = {},
): AsyncGenerator<PacketBatch, void, undefined> {
  if (source === '-') return readSource(process.stdin, options)
  if (typeof source === 'string' || source instanceof URL) return readSource(fileChunks(source), options)
  return readSource(source, options)
}

/** The file's bytes. While the reader is at one piece, the next is being read into the other of two buffers. */
async function* fileChunks(path: string | URL): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await open(path)
  const buffers = [new Uint8Array(READ_SIZE), new Uint8Array(READ_SIZE)]
  const read = async (buffer: Uint8Array) => buffer.subarray(0, (await file.read(buffer, 0, READ_SIZE)).bytesRead)
  let next = read(buffers[0])
  try {
    for (let i = 1; ; i ^= 1) {
      const bytes = await next
      if (bytes.length === 0) return
      next = read(buffers[i])
      // What it fails with is thrown when its turn comes, or nobody's concern if the reader stops before.
      next.catch(() => undefined)
      yield bytes
    }
  } finally {
    await next.catch(() => undefined)
    await file.close()
  }
}

/**
 * Any source of bytes, as chunks. In: what users have a capture in. Out: an async iterator of byte arrays, each good
 * until the next is asked for. It must never hold more than one chunk.
 */
import { ConntrackError } from '../errors.js'

/** What a capture can be read from. A `File` is a `Blob`; a `Response` must not have been read yet. */
export type CaptureSource =
  | Uint8Array
  | ArrayBuffer
  | Blob
  | Response
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>

const NO_BYTES = new Uint8Array(0)

/**
 * The source's bytes in order. Chunks without bytes are left out: those whose buffer was given away throw if they are touched.
 *
 * @throws ConntrackError `invalid-argument` at once for what is no source, and later for a chunk that is not bytes;
 * errors of the source itself come through as they are
 */
export function chunksOf(source: CaptureSource): AsyncGenerator<Uint8Array, void, undefined> {
  if (typeof source === 'object' && source !== null) {
    if (isBytes(source)) return single(source)
    if (isArrayBuffer(source)) return single(source.byteLength > 0 ? new Uint8Array(source) : NO_BYTES)
    if (isStream(source)) return fromStream(source)
    if (isIterable(source)) return fromIterable(source)
    if (isBlob(source)) return fromStream(source.stream())
    if (isResponse(source)) return source.body === null ? single(NO_BYTES) : fromStream(source.body)
  }
  throw new ConntrackError('invalid-argument', 'a capture is read from a Uint8Array, ArrayBuffer, Blob, Response, ' +
    'ReadableStream or AsyncIterable of Uint8Array; paths are for readCapture of conntrack-wasm/node')
}

// Told by shape: classes differ between realms (frames, test environments) while what they can do does not.

function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]'
}

function isArrayBuffer(value: object): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]'
}

function isStream(value: object): value is ReadableStream<Uint8Array> {
  return 'getReader' in value && typeof value.getReader === 'function'
}

function isIterable(value: object): value is AsyncIterable<Uint8Array> {
  return Symbol.asyncIterator in value
}

function isBlob(value: object): value is Blob {
  return 'stream' in value && typeof value.stream === 'function'
}

function isResponse(value: object): value is Response {
  return 'body' in value && 'arrayBuffer' in value
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  if (bytes.length > 0) yield bytes
}

async function* fromIterable(iterable: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of iterable) if (asBytes(chunk).length > 0) yield chunk
}

/** A stream by its reader: Safari's streams are not iterable. Stopping early cancels the stream. */
async function* fromStream(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader()
  let ended = false
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (asBytes(value).length > 0) yield value
    }
    ended = true
  } finally {
    // A stream that failed rejects its cancel with the same error, which is on its way to the caller already.
    if (!ended) await reader.cancel().catch(() => undefined)
    reader.releaseLock()
  }
}

function asBytes(chunk: unknown): Uint8Array {
  if (isBytes(chunk)) return chunk
  throw new ConntrackError('invalid-argument', `a capture's source gave ${typeof chunk} instead of a Uint8Array`)
}

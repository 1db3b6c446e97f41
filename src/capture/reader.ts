/**
 * A capture from its first byte to its last. In: a source. Out: batches. It must yield whatever packets are at hand
 * before it waits for more bytes, so that a live capture is read as it comes.
 */
import { BATCH_SIZE, type PacketBatch } from '../batch.js'
import { ConntrackError, shown } from '../errors.js'
import { BatchBuilder } from './batch-builder.js'
import { damaged } from './damage.js'
import type { Format } from './format.js'
import { GzipError } from './gzip-error.js'
import { isGzip, MAGIC_BYTES, whyNotACapture } from './magic.js'
import { isPcap, Pcap } from './pcap.js'
import { isPcapng, Pcapng } from './pcapng.js'
import { type CaptureSource, chunksOf } from './source.js'
import { Window } from './window.js'

/** Options of `readCapture`. */
export interface CaptureOptions {
  /** Packets in a batch at most, 1 to 65,536; `BATCH_SIZE` if left out. */
  readonly batchSize?: number
}

const MAX_BATCH_SIZE = 65_536

/**
 * Reads a capture: pcap (all byte orders, micro- and nanoseconds, the modified variants), pcapng, and gzip of either.
 *
 * Memory does not depend on the capture's length. A batch is yielded as soon as the bytes at hand are used up, it is
 * never waited for more to fill it. **Batches use their buffers again**: a batch, its `data` and its columns are good
 * until the next one is asked for; what is to be kept must be copied.
 *
 * Bounds: a packet has 262,144 captured bytes at most, or as many as a pcap header's snaplen says, up to 16 MiB; a
 * pcapng packet or interface block has 16 MiB, a section 65,536 interfaces. A batch's `data` is 1 MiB at most, or one
 * packet. Beyond its buffers, twice the longest record at most, the reader holds one chunk of the source, or what
 * 8 KiB of gzip decompress to. gzip may decompress to 256 MiB, beyond that to 200 times the compressed bytes read by then,
 * and to 1 TiB in all; more is `capture-damaged`, after all packets up to there.
 *
 * @param source where the bytes come from; a `Uint8Array` is read in place and must not change while it is read
 * @returns the batches; iterating ends the source, also when it is stopped early
 * @throws ConntrackError `invalid-argument` at once, for a source or option of the wrong kind. While iterating, after
 * all packets before it were yielded: `not-a-capture` if the first bytes are those of no format read here;
 * `capture-damaged` for a file that is cut off or damaged, with the offset of the damaged record, which for gzip counts
 * decompressed bytes. Errors of the source itself come through as they are.
 */
export function readCapture(
  source: CaptureSource, options: CaptureOptions = {},
): AsyncGenerator<PacketBatch, void, undefined> {
  if (typeof options !== 'object' || options === null) throw new ConntrackError('invalid-argument', 'options must be an object')
  const { batchSize = BATCH_SIZE } = options
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH_SIZE) {
    const expected = `expected a number from 1 to ${MAX_BATCH_SIZE}`
    throw new ConntrackError('invalid-argument', `batchSize ${shown(batchSize)}: ${expected}`)
  }
  return readChunks(chunksOf(source), new BatchBuilder(batchSize))
}

type Chunks = AsyncGenerator<Uint8Array, void, undefined>

async function* readChunks(source: Chunks, batch: BatchBuilder): AsyncGenerator<PacketBatch, void, undefined> {
  try {
    const { head, chunks } = await openCompressed(source)
    yield* readFormat(formatOf(head), chunks, batch)
  } finally {
    // Also where nothing was read of it but the head.
    await source.return()
  }
}

async function* readFormat(
  format: Format, chunks: Chunks, batch: BatchBuilder,
): AsyncGenerator<PacketBatch, void, undefined> {
  const window = new Window()
  try {
    for await (const chunk of chunks) {
      window.push(chunk)
      while (window.extend()) yield* batchesAtHand(format, window, batch)
      window.hold()
    }
  } catch (error) {
    throw error instanceof GzipError ? damaged(format.recordOffset(window), error.message) : error
  }
  format.end(window)
}

/** Walks the window, batch by batch, until the format needs more bytes. */
function* batchesAtHand(format: Format, window: Window, batch: BatchBuilder): Generator<PacketBatch, void, undefined> {
  for (let more = true; more;) {
    let damage: { error: unknown } | null = null
    batch.clear()
    try {
      more = format.walk(window, batch)
    } catch (error) {
      damage = { error }
    }
    if (batch.count > 0) yield batch.close(window.bytes)
    if (damage) throw damage.error
  }
}

interface Opened {
  /** The first bytes, as many as tell the format, or all there are. */
  readonly head: Uint8Array
  /** All bytes, the first ones included. */
  readonly chunks: Chunks
}

/** Opens the source and what gzip there is around the capture. */
async function openCompressed(source: Chunks): Promise<Opened> {
  const outer = await open(source)
  if (!isGzip(outer.head)) return outer
  // Loaded where it is needed: its tables take longer to make than all else of the package.
  const { gunzip } = await import('./gzip.js')
  try {
    return await open(gunzip(outer.chunks))
  } catch (error) {
    throw error instanceof GzipError ? damaged(0, error.message) : error
  }
}

async function open(source: Chunks): Promise<Opened> {
  let head: Uint8Array = new Uint8Array(0)
  while (head.length < MAGIC_BYTES) {
    const next = await source.next()
    if (next.done) break
    // A chunk too short to tell by is copied: it is gone with the next.
    const whole = head.length === 0 && next.value.length >= MAGIC_BYTES
    head = whole ? next.value : join(head, next.value)
  }
  return { head: head.slice(0, MAGIC_BYTES), chunks: rejoin(head, source) }
}

async function* rejoin(first: Uint8Array, rest: Chunks): Chunks {
  yield first
  yield* rest
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}

function formatOf(head: Uint8Array): Format {
  if (head.length >= 4 && isPcap(head)) return new Pcap(head)
  if (head.length >= 4 && isPcapng(head)) return new Pcapng()
  throw new ConntrackError('not-a-capture', whyNotACapture(head))
}

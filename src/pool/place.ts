/**
 * A place for a batch in the memory of cores, which all workers of a pool look at where memory can be shared:
 *
 *     what workers tell each other (see share.ts) | columns in | verdicts out | whose each packet is | bytes of packets
 *
 * Columns, verdicts and shards lie as the core lays them out (`useBatchAt`), for `PIECE` packets.
 */
import { MAX_PACKET, VERDICT_COLUMNS, type Piece } from '../border.js'
import type { PacketBatch } from '../batch.js'
import type { VerdictBatch } from '../types.js'

/** Packets of a place: a batch of more is tracked in pieces. A worker's lists of them fit into its cache. */
export const PIECE = 16_384
const PLACE_SIZE = 4 << 20
const PAGE = 1 << 16
/** Bytes before the columns; also what follows begins on a cache line. */
const HEADER = 64
/** Bytes a packet: of columns, verdicts and shards. */
const WIDTH = 26 + 27 + 1
/** Bytes of packets, behind those that align them with where they come from. */
export const ROOM = PLACE_SIZE - HEADER - WIDTH * PIECE - 8

export class Place {
  /** Words of the header. */
  readonly control: Int32Array
  /** Address of the columns. */
  readonly batch: number
  readonly #input: number
  readonly #bytes: Uint8Array
  readonly #columns: Omit<PacketBatch, 'count' | 'data'>
  readonly #verdicts: Omit<VerdictBatch, 'count'>

  constructor(buffer: ArrayBufferLike, at: number) {
    let next = at + HEADER
    const take = (width: number) => {
      const from = next
      next += width * PIECE
      return from
    }
    const words = () => new Uint32Array(buffer, take(4), PIECE)
    const floats = () => new Float64Array(buffer, take(8), PIECE)
    const bytes = () => new Uint8Array(buffer, take(1), PIECE)
    this.control = new Int32Array(buffer, at, HEADER / 4)
    this.batch = next
    this.#columns = {
      offset: words(), length: words(), originalLength: words(), seconds: floats(), nanoseconds: words(),
      linkType: new Uint16Array(buffer, take(2), PIECE),
    }
    this.#verdicts = {
      timeoutNs: floats(), connection: words(), networkOffset: words(), transportOffset: words(), state: bytes(), direction: bytes(),
      reason: bytes(), protocolState: bytes(), flags: bytes(), protocol: bytes(), family: bytes(),
    }
    take(1)
    this.#input = next
    this.#bytes = new Uint8Array(buffer)
  }

  /**
   * Brings in packets, for workers that have not begun.
   *
   * @returns the address of what has offset 0 in the batch
   */
  fill({ data, ...columns }: PacketBatch, { from, to, low, high }: Piece): number {
    // Into shared memory V8 copies byte by byte unless both sides lie alike in their words: 14 ns a packet, not 2.
    const skew = (data.byteOffset + low) & 7
    if (high > low) this.#bytes.set(data.subarray(low, high), this.#input + skew)
    for (const name of COLUMNS) this.#columns[name].set(columns[name].subarray(from, to))
    this.control.fill(0)
    return (this.#input + skew - low) >>> 0
  }

  /** Copies the verdicts of the first `count` packets to rows `to` on of others. */
  copyVerdicts(count: number, columns: VerdictBatch, to: number): void {
    for (const name of VERDICT_COLUMNS) columns[name].set(this.#verdicts[name].subarray(0, count), to)
  }

  /** The verdicts of some rows, one behind the other. */
  gather(rows: Uint32Array, columns: VerdictBatch): void {
    for (const name of VERDICT_COLUMNS) copyFrom(this.#verdicts[name], rows, columns[name])
  }
}

const COLUMNS = ['offset', 'length', 'originalLength', 'seconds', 'nanoseconds', 'linkType'] as const

function copyFrom(column: VerdictBatch[typeof VERDICT_COLUMNS[number]], rows: Uint32Array, to: typeof column): void {
  for (let i = 0; i < rows.length; i++) to[i] = column[rows[i]]
}

/** Room for places in memory that cores will have too: their addresses. */
export function reservePlaces(memory: WebAssembly.Memory, count: number): number[] {
  const first = memory.grow(count * PLACE_SIZE / PAGE) * PAGE
  return Array.from({ length: count }, (_, i) => first + i * PLACE_SIZE)
}

/** A batch in pieces that fit: neither too many packets, nor with too many bytes between the first and the last. */
export function cut({ count, data: { length: bytes }, offset, length }: PacketBatch): Piece[] | null {
  const pieces: Piece[] = []
  // Plain numbers, no Math.min: 2 ns a packet, not 7.
  let from = 0
  let low = offset[0]
  let high = low
  for (let i = 0; i < count; i++) {
    const start = offset[i]
    const size = length[i]
    if (start + size > bytes) return null
    const end = start + (size < MAX_PACKET ? size : MAX_PACKET)
    const lower = start < low ? start : low
    const higher = end > high ? end : high
    if (higher - lower > ROOM || i - from === PIECE) {
      pieces.push({ from, to: i, low, high })
      from = i
      low = start
      high = end
    } else {
      low = lower
      high = higher
    }
  }
  return count > 0 ? [...pieces, { from, to: count, low, high }] : []
}

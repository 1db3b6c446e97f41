/**
 * Where batches lie in the memory of cores: a place has columns, a byte for each packet's shard, and the bytes of packets;
 * a sheet has verdicts. Columns and verdicts are laid out as the core has them (`useBatchAt`), for `PIECE` packets.
 */
import { MAX_PACKET, VERDICT_COLUMNS, type Piece } from '../border.js'
import type { PacketBatch } from '../batch.js'
import type { VerdictBatch } from '../types.js'

/** Packets of a place: a batch of more is tracked in pieces. */
export const PIECE = 16_384
const PLACE_SIZE = 4 << 20
const SHEET_SIZE = 27 * PIECE
/** Bytes of packets, behind those that align them with where they come from. */
export const ROOM = PLACE_SIZE - 27 * PIECE - 8
export const PAGE = 1 << 16

/** Addresses in memory that several cores have. */
export interface Addresses {
  readonly ring: number
  readonly places: readonly number[]
  /** Of each place what workers write verdicts to, each its own together. */
  readonly unordered: readonly number[]
  readonly sheets: readonly number[]
}

/** Room in memory that cores will have too. */
export function reserve(memory: WebAssembly.Memory, ring: number, places: number, sheets: number): Addresses {
  const sizes = [ring, ...Array<number>(places).fill(PLACE_SIZE), ...Array<number>(places + sheets).fill(SHEET_SIZE)]
  let next = memory.grow(Math.ceil(sizes.reduce((sum, size) => sum + size) / PAGE)) * PAGE
  const [at, ...rest] = sizes.map(size => {
    next += size
    return next - size
  })
  return { ring: at, places: rest.slice(0, places), unordered: rest.slice(places, 2 * places), sheets: rest.slice(2 * places) }
}

/** Arrays of `PIECE` numbers, one behind the other. */
class Columns {
  constructor(readonly buffer: ArrayBufferLike, public next: number) {}

  #take(width: number): number {
    this.next += width * PIECE
    return this.next - width * PIECE
  }

  floats = () => new Float64Array(this.buffer, this.#take(8), PIECE)
  words = () => new Uint32Array(this.buffer, this.#take(4), PIECE)
  shorts = () => new Uint16Array(this.buffer, this.#take(2), PIECE)
  bytes = () => new Uint8Array(this.buffer, this.#take(1), PIECE)
}

export class Place {
  readonly #input: number
  readonly #bytes: Uint8Array
  readonly #columns: Omit<PacketBatch, 'count' | 'data'>

  constructor(buffer: ArrayBufferLike, at: number) {
    const columns = new Columns(buffer, at)
    const { words, floats, shorts } = columns
    this.#columns = {
      offset: words(), length: words(), originalLength: words(), seconds: floats(), nanoseconds: words(), linkType: shorts(),
    }
    columns.bytes() // of shards, which are the cores' own affair
    this.#input = columns.next
    this.#bytes = new Uint8Array(buffer)
  }

  fillColumns(batch: PacketBatch, { from, to }: Piece): void {
    for (const name of COLUMNS) this.#columns[name].set(batch[name].subarray(from, to))
  }

  /** @returns the address of what has offset 0 in the batch */
  fillBytes({ data }: PacketBatch, { low, high }: Piece): number {
    // Into shared memory V8 copies byte by byte unless both sides lie alike in their words: 14 ns a packet, not 2.
    const skew = (data.byteOffset + low) & 7
    if (high > low) this.#bytes.set(data.subarray(low, high), this.#input + skew)
    return (this.#input + skew - low) >>> 0
  }
}

export const COLUMNS = ['offset', 'length', 'originalLength', 'seconds', 'nanoseconds', 'linkType'] as const

type Verdicts = Omit<VerdictBatch, 'count'>

export class Sheet {
  readonly #verdicts: Verdicts

  constructor(buffer: ArrayBufferLike, at: number) {
    const { floats, words, bytes } = new Columns(buffer, at)
    this.#verdicts = {
      timeoutNs: floats(), connection: words(), networkOffset: words(), transportOffset: words(), state: bytes(), direction: bytes(),
      reason: bytes(), protocolState: bytes(), flags: bytes(), protocol: bytes(), family: bytes(),
    }
  }

  /** The first `count` rows, as views. */
  verdicts(count: number): VerdictBatch {
    const views = VERDICT_COLUMNS.map(name => [name, this.#verdicts[name].subarray(0, count)])
    return { count, ...Object.fromEntries(views) as Verdicts }
  }

  /** Copies `count` rows from row `from` on to others, from row `to` on. */
  copy(from: number, count: number, columns: VerdictBatch, to: number): void {
    for (const name of VERDICT_COLUMNS) columns[name].set(this.#verdicts[name].subarray(from, from + count), to)
  }
}

/**
 * A batch in pieces that fit: of neither too many packets nor more than `room` bytes from the first to the last; null where
 * some packet is not there.
 */
export function cut({ count, data: { length: bytes }, offset, length }: PacketBatch, room: number): Piece[] | null {
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
    if (higher - lower > room || i - from === PIECE) {
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

/** Traffic in slices: what one candidate tracks before it is the next one's turn. */
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'
import type { Traffic } from './traffic.js'

/** Packets, cut in two ways: as `trackBatch` takes them, and as they are laid into the memory of the core or of C. */
export interface Slice {
  readonly count: number
  readonly batches: readonly PacketBatch[]
  readonly pieces: readonly PacketBatch[]
}

/** Packets of a slice at most. */
export const SLICE = 128 * BATCH_SIZE
const SLICE_BATCHES = SLICE / BATCH_SIZE
/** Packets of a piece at most: with their columns they stay in a processor's second cache. */
export const PIECE = 16 * BATCH_SIZE
const PIECE_BATCHES = PIECE / BATCH_SIZE
/** Bytes that the packets of a piece take at most, with what lies between them. */
export const PIECE_BYTES = PIECE * 1600

/** The traffic slice by slice, again from its beginning, one pass later, when it ends. */
export class Slices {
  #at = 0

  constructor(readonly traffic: Traffic) {}

  /** Slices of one pass. */
  get inPass(): number {
    return Math.ceil(this.traffic.batches.length / SLICE_BATCHES)
  }

  next(): Slice {
    if (this.#at >= this.traffic.batches.length) {
      this.traffic.nextPass()
      this.#at = 0
    }
    const first = this.#at
    this.#at += SLICE_BATCHES
    return slice(this.traffic, first)
  }
}

/** All slices of one pass. */
export function* slicesOf(traffic: Traffic): Generator<Slice> {
  for (let first = 0; first < traffic.batches.length; first += SLICE_BATCHES) yield slice(traffic, first)
}

/** `first` and `last` count batches. */
function slice(traffic: Traffic, first: number): Slice {
  const last = Math.min(first + SLICE_BATCHES, traffic.batches.length)
  const pieces: PacketBatch[] = []
  for (let at = first; at < last; at += PIECE_BATCHES) pieces.push(piece(traffic, at, Math.min(at + PIECE_BATCHES, last)))
  return {
    count: pieces.reduce((sum, { count }) => sum + count, 0), pieces, batches: traffic.batches.slice(first, last),
  }
}

function piece(traffic: Traffic, first: number, last: number): PacketBatch {
  const from = first * BATCH_SIZE
  const to = Math.min(last * BATCH_SIZE, traffic.count)
  const base = traffic.start[from]
  const length = traffic.length.subarray(from, to)
  return {
    count: to - from,
    data: traffic.data.subarray(base, traffic.start[to - 1] + traffic.length[to - 1]),
    offset: Uint32Array.from(traffic.start.subarray(from, to), (start) => start - base),
    length,
    originalLength: length,
    seconds: traffic.seconds.subarray(from, to),
    nanoseconds: traffic.nanoseconds.subarray(from, to),
    linkType: new Uint16Array(to - from).fill(1),
  }
}

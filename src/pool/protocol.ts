/**
 * What the pool and its workers say to each other in messages. Where all of them look at the same memory a batch is told of
 * there (see ring.ts), and a message only wakes; where not each worker is sent a copy.
 */
import type { PacketBatch } from '../batch.js'
import type { ConntrackErrorCode } from '../errors.js'
import type { Shard, TrackerOptions } from '../tracker-options.js'
import type { Expectation, VerdictBatch } from '../types.js'
import type { SharedCore } from './shared-core.js'

/** Options that a worker's tracker is made with: what can be sent to another thread. */
export type PoolTrackerOptions = Omit<
  TrackerOptions, 'helpers' | 'onHelperError' | 'module' | 'hashSeed' | 'explain' | 'labels' | 'shard' | 'batchSize'>

/** What a connection of a pool has announced: no packet's number, since no worker sees all packets. */
export type PoolExpectation = Omit<Expectation, 'packet'>

export interface MakeRequest {
  readonly kind: 'make'
  readonly id: number
  readonly shard: Shard
  readonly options: PoolTrackerOptions & { readonly hashSeed: number }
  /** Helpers by name, with ports where they are not the usual ones. */
  readonly helpers: readonly { readonly name: string; readonly ports?: readonly number[] }[]
  /** Null where the worker is to have memory of its own. */
  readonly shared: SharedCore | null
}

/** A batch in a buffer of its own. */
export interface CopyRequest {
  readonly kind: 'trackCopy'
  readonly id: number
  readonly buffer: ArrayBuffer
  readonly count: number
  /** Bytes of packets. */
  readonly bytes: number
}

/** Which packets of a batch were a worker's, and their verdicts. */
export interface TrackedCopy {
  readonly buffer: ArrayBuffer
  readonly count: number
}

/** What is asked of all workers. */
export type CallRequest =
  | { readonly kind: 'statistics' | 'connections' | 'expectations'; readonly id: number }
  | { readonly kind: 'advance'; readonly id: number; readonly time: bigint }
  | { readonly kind: 'setSysctl'; readonly id: number; readonly name: string; readonly value: number }

/** There is something in the ring. */
export interface Wake {
  readonly kind: 'wake'
}

export type Request = MakeRequest | CopyRequest | CallRequest

/** What a worker says when something in the ring is finished. */
export const TELL = 'finished'

export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly code: ConntrackErrorCode; readonly message: string }
}

/** Takes arrays of so many numbers from a new buffer or one that was sent, each where it is aligned. */
class Cutter {
  #at = 0

  constructor(readonly buffer: ArrayBuffer, readonly count: number) {}

  #take(width: number): number {
    const from = this.#at
    this.#at = (from + width * this.count + 7) & ~7
    return from
  }

  floats = () => new Float64Array(this.buffer, this.#take(8), this.count)
  words = () => new Uint32Array(this.buffer, this.#take(4), this.count)
  shorts = () => new Uint16Array(this.buffer, this.#take(2), this.count)
  bytes = () => new Uint8Array(this.buffer, this.#take(1), this.count)
  rest = (length: number) => new Uint8Array(this.buffer, this.#at, length)
}

/** A batch of so many packets and bytes in one buffer. */
export function batchIn(count: number, bytes: number, buffer = new ArrayBuffer(26 * count + 6 * 8 + bytes)): PacketBatch {
  const cutter = new Cutter(buffer, count)
  const { floats, words, shorts } = cutter
  const columns = {
    seconds: floats(), offset: words(), length: words(), originalLength: words(), nanoseconds: words(), linkType: shorts(),
  }
  return { count, ...columns, data: cutter.rest(bytes) }
}

/** So many verdicts in one buffer. */
export function verdictsIn(count: number, buffer = new ArrayBuffer(31 * count + 12 * 8)): VerdictBatch & { readonly rows: Uint32Array } {
  const { floats, words, bytes } = new Cutter(buffer, count)
  return {
    count, timeoutNs: floats(), connection: words(), networkOffset: words(), transportOffset: words(), state: bytes(),
    direction: bytes(), reason: bytes(), protocolState: bytes(), flags: bytes(), protocol: bytes(), family: bytes(), rows: words(),
  }
}

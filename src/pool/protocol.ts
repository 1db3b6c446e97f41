/**
 * What the pool and its workers say to each other. A batch is dealt in memory that all of them share, and only its place is
 * told; where memory cannot be shared a worker is sent a buffer with the batch's bytes, its own packets' columns and room
 * for their verdicts, and sends it back.
 */
import type { PacketBatch } from '../batch.js'
import type { ConntrackErrorCode } from '../errors.js'
import type { TrackerOptions } from '../tracker.js'
import type { Expectation, VerdictBatch } from '../types.js'
import type { SharedCore } from './dealer.js'

/** Options that a worker's tracker is made with: what can be sent to another thread. */
export type PoolTrackerOptions = Omit<
  TrackerOptions, 'helpers' | 'onHelperError' | 'module' | 'hashSeed' | 'explain' | 'labels' | 'shard' | 'batchSize'>

/** What a connection of a pool has announced: no packet's number, since no worker sees all packets. */
export type PoolExpectation = Omit<Expectation, 'packet'>

export interface MakeRequest {
  readonly kind: 'make'
  readonly id: number
  readonly index: number
  readonly of: number
  readonly options: PoolTrackerOptions & { readonly hashSeed: number; readonly batchSize?: number }
  /** Helpers by name, with ports where they are not the usual ones. */
  readonly helpers: readonly { readonly name: string; readonly ports?: readonly number[] }[]
  readonly shared: SharedCore | null
}

/** Rows `from` to `to` of the batch that was dealt to `at`, whose offset 0 has the address `zero`. */
export interface TrackRequest {
  readonly kind: 'track'
  readonly id: number
  readonly at: number
  readonly zero: number
  readonly from: number
  readonly to: number
}

export interface TrackCopyRequest {
  readonly kind: 'trackCopy'
  readonly id: number
  readonly buffer: ArrayBuffer
  readonly low: number
  readonly count: number
  /** Bytes of packets in the buffer. */
  readonly bytes: number
}

/** What is asked of all workers, at the pool's time. */
export type CallRequest =
  | { readonly kind: 'statistics' | 'connections' | 'expectations' | 'advance'; readonly id: number; readonly time: bigint }
  | { readonly kind: 'setSysctl'; readonly id: number; readonly time: bigint; readonly name: string; readonly value: number }

export type Request = MakeRequest | TrackRequest | TrackCopyRequest | CallRequest

export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly code: ConntrackErrorCode; readonly message: string }
}

/** Bytes a packet of the columns in, and of the rows out. */
const IN = 8 + 4 + 4 + 4 + 4 + 2
const OUT = 8 + 4 + 4 + 4 + 7

/** Bytes that packets take that are sent. */
export function sizeOf(count: number, bytes: number): number {
  return (IN + OUT) * count + bytes + 16 * 8
}

/** Views of a buffer that is sent: the widest first, so that all are aligned. */
export function layOut(buffer: ArrayBuffer, count: number, bytes: number): { batch: PacketBatch; rows: VerdictBatch } {
  let at = 0
  const take = (size: number) => {
    const from = at
    at = (at + size * count + 7) & ~7
    return from
  }
  const float = () => new Float64Array(buffer, take(8), count)
  const word = () => new Uint32Array(buffer, take(4), count)
  const byte = () => new Uint8Array(buffer, take(1), count)
  const columns = {
    seconds: float(), offset: word(), length: word(), originalLength: word(), nanoseconds: word(),
    linkType: new Uint16Array(buffer, take(2), count),
  }
  const rows = {
    timeoutNs: float(), connection: word(), networkOffset: word(), transportOffset: word(), state: byte(), direction: byte(),
    reason: byte(), protocolState: byte(), flags: byte(), protocol: byte(), family: byte(),
  }
  return { batch: { count, ...columns, data: new Uint8Array(buffer, at, bytes) }, rows: { count, ...rows } }
}

/** Copies rows `from` on of some columns to rows `to` on of others, as many as `count`. */
export function copyRows<T extends PacketBatch | VerdictBatch>(source: Omit<T, 'count'>, from: number, target: T, to: number, count: number): void {
  for (const [name, column] of Object.entries(source) as [keyof T, Uint8Array][]) {
    if (ArrayBuffer.isView(column) && name !== 'data') (target[name] as Uint8Array).set(column.subarray(from, from + count), to)
  }
}

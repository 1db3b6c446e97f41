/**
 * What the pool and its workers say to each other, and how a batch lies in memory between them: one buffer with the bytes,
 * the columns and the rows of verdicts. Where memory can be shared all workers have the same buffer, and each writes the
 * rows of its own packets; otherwise each has a copy and sends it back.
 */
import type { PacketBatch } from '../batch.js'
import type { ConntrackErrorCode } from '../errors.js'
import type { TrackerOptions } from '../tracker.js'
import type { VerdictBatch } from '../types.js'

/** Options that a worker's tracker is made with: what can be sent to another thread. */
export type PoolTrackerOptions = Omit<TrackerOptions, 'helpers' | 'onHelperError' | 'module' | 'hashSeed' | 'explain' | 'labels'>

export interface MakeRequest {
  readonly kind: 'make'
  readonly id: number
  readonly options: PoolTrackerOptions & { readonly hashSeed?: number | bigint | Uint8Array }
  /** Helpers by name, with ports where they are not the usual ones. */
  readonly helpers: readonly { readonly name: string; readonly ports?: readonly number[] }[]
}

export interface TrackRequest {
  readonly kind: 'track'
  readonly id: number
  readonly buffer: ArrayBufferLike
  readonly count: number
  /** Bytes of packets in the buffer. */
  readonly bytes: number
}

export type CallRequest =
  | { readonly kind: 'statistics' | 'connections' | 'expectations'; readonly id: number }
  | { readonly kind: 'advance'; readonly id: number; readonly time: bigint }
  | { readonly kind: 'setSysctl'; readonly id: number; readonly name: string; readonly value: number }

export type Request = MakeRequest | TrackRequest | CallRequest

export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly code: ConntrackErrorCode; readonly message: string }
}

/** Bytes a packet of the columns in, and of the rows out. */
const IN = 8 + 4 + 4 + 4 + 4 + 2
const OUT = 8 + 4 + 4 + 4 + 7

/** Bytes that a batch takes between pool and workers. */
export function sizeOf(count: number, bytes: number): number {
  return (IN + OUT) * count + bytes + 16 * 8
}

export type Columns = { -readonly [name in Exclude<keyof PacketBatch, 'count' | 'data'>]: PacketBatch[name] }
export type Rows = { -readonly [name in Exclude<keyof VerdictBatch, 'count'>]: VerdictBatch[name] }

export interface Layout {
  readonly data: Uint8Array
  readonly columns: Columns
  readonly rows: Rows
}

/** Views of a buffer: the widest first, so that all are aligned. */
export function layOut(buffer: ArrayBufferLike, count: number, bytes: number): Layout {
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
  return { columns, rows, data: new Uint8Array(buffer, at, bytes) }
}

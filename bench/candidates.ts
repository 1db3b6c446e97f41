/** Who takes part in the benchmark: the package in three uses, and the peers, each behind the same few functions. */
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'
import { DIRECTIONS, REASONS, STATES, TCP_STATES } from '../src/names.js'
import type { Loaded } from './load.js'
import { STATE_ESTABLISHED, verdictColumns, type Peer, type PeerVerdicts } from './peers/peer.js'
import type { Tracker } from './sdk.js'

export type Checksum = 'verify' | 'ignore'

/** What a candidate is timed on at a time: batches, and the same packets one by one. */
export interface Slice {
  readonly packets: number
  readonly batches: readonly PacketBatch[]
  readonly single: { readonly bytes: readonly Uint8Array[]; readonly times: readonly bigint[] }
}

/** What is timed. */
export interface Timed {
  readonly name: string
  /** The work that is timed; answers how many packets were ESTABLISHED, as a caller would who looks at each verdict. */
  run(slice: Slice): number
}

export interface Candidate extends Timed {
  readonly checksum: Checksum
  /** Name of the candidate that the ratio is to. */
  readonly comparedWith: string
  /** The same work, verdicts for comparison: nothing here is timed. */
  verdicts(batch: PacketBatch): PeerVerdicts
  close(): void
}

export const TYPED = 'JavaScript, typed arrays'
export const TYPED_IGNORE = 'JavaScript, typed arrays, checksums ignored'
export const MAP = 'JavaScript, Map'

export function candidates(loaded: Loaded, maxConnections: number, withMap: boolean): Candidate[] {
  const { sdk, typedVerify, typedIgnore, map } = loaded
  const verify = { maxConnections, checksum: 'verify' } as const
  const ignore = { maxConnections, checksum: 'ignore' } as const
  const all = [
    inBatches(TYPED, 'verify', new typedVerify.TypedTracker(verify)),
    inBatches(TYPED_IGNORE, 'ignore', new typedIgnore.TypedTracker(ignore)),
  ]
  if (withMap) all.push(inBatches(MAP, 'verify', new map.MapTracker(verify)))
  if (!sdk) return all
  return [
    inBatches('conntrack-wasm', 'verify', sdk.createTracker(verify)),
    inBatches('conntrack-wasm, checksums ignored', 'ignore', sdk.createTracker(ignore)),
    oneByOne('conntrack-wasm, one track() a packet', sdk.createTracker(verify)),
    ...all,
  ]
}

function inBatches(name: string, checksum: Checksum, tracker: Peer | Tracker): Candidate {
  return {
    name,
    checksum,
    comparedWith: checksum === 'verify' ? TYPED : TYPED_IGNORE,
    run(slice) {
      let established = 0
      for (const batch of slice.batches) established += countEstablished(tracker.trackBatch(batch).state, batch.count)
      return established
    },
    verdicts: (batch) => tracker.trackBatch(batch),
    close: () => ('close' in tracker ? tracker.close() : undefined),
  }
}

export function countEstablished(state: Uint8Array, count: number): number {
  let established = 0
  for (let i = 0; i < count; i += 1) if (state[i] === STATE_ESTABLISHED) established += 1
  return established
}

function oneByOne(name: string, tracker: Tracker): Candidate {
  const columns = verdictColumns(BATCH_SIZE)
  return {
    name,
    checksum: 'verify',
    comparedWith: TYPED,
    run({ single: { bytes, times } }) {
      let established = 0
      for (let i = 0; i < bytes.length; i += 1) {
        const verdict = tracker.track(bytes[i], { time: times[i], linkType: 'ethernet' })
        if (verdict.state === 'ESTABLISHED') established += 1
      }
      return established
    },
    verdicts(batch) {
      for (let i = 0; i < batch.count; i += 1) {
        const verdict = tracker.track(bytesOf(batch, i), { time: timeOf(batch, i), linkType: 'ethernet' })
        columns.state[i] = STATES.indexOf(verdict.state)
        columns.direction[i] = DIRECTIONS.indexOf(verdict.direction)
        columns.reason[i] = REASONS.indexOf(verdict.reason)
        columns.protocolState[i] = Math.max(0, (TCP_STATES as readonly (string | null)[]).indexOf(verdict.tcpState))
        // A single verdict does not say seen-reply, but that bit is what tells NEW from ESTABLISHED here.
        columns.flags[i] = (verdict.assured ? 1 : 0) | (verdict.state === 'ESTABLISHED' ? 4 : 0)
      }
      return columns
    },
    close: () => tracker.close(),
  }
}

export function bytesOf(batch: PacketBatch, i: number): Uint8Array {
  return batch.data.subarray(batch.offset[i], batch.offset[i] + batch.length[i])
}

export function timeOf(batch: PacketBatch, i: number): bigint {
  return BigInt(batch.seconds[i]) * 1_000_000_000n + BigInt(batch.nanoseconds[i])
}

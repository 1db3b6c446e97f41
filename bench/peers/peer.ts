/** What both plain JavaScript trackers have in common: options, verdicts, and the words they use. */
import type { PacketBatch } from '../../src/batch.js'
import { REASONS, STATES, type Reason } from '../../src/names.js'

export interface PeerOptions {
  readonly maxConnections: number
  readonly checksum: 'verify' | 'ignore'
}

/** Verdicts of a batch: the columns of `VerdictBatch` that the peers fill, with the same numbers. */
export interface PeerVerdicts {
  readonly state: Uint8Array
  readonly direction: Uint8Array
  readonly reason: Uint8Array
  readonly protocolState: Uint8Array
  readonly flags: Uint8Array
}

export interface Peer {
  trackBatch(batch: PacketBatch): PeerVerdicts
}

export function verdictColumns(batchSize: number): PeerVerdicts {
  const column = () => new Uint8Array(batchSize)
  return { state: column(), direction: column(), reason: column(), protocolState: column(), flags: column() }
}

/** After a packet that destroyed its connection there is no entry whose state could be told. */
export function forgetEntry(verdicts: PeerVerdicts, i: number): void {
  verdicts.protocolState[i] = 0
  verdicts.flags[i] = 0
}

export const reasonCode = (reason: Reason): number => REASONS.indexOf(reason)

export const STATE_NEW = STATES.indexOf('NEW')
export const STATE_ESTABLISHED = STATES.indexOf('ESTABLISHED')
export const STATE_INVALID = STATES.indexOf('INVALID')

/** Reasons up to this one say that the packet never reaches the tracker; those above make it INVALID. */
export const LAST_UNREACHED = reasonCode('fragment-held')

/** Time of a packet in milliseconds since 1970; a double holds it to a quarter of a microsecond. */
export function milliseconds(batch: PacketBatch, i: number): number {
  return batch.seconds[i] * 1000 + batch.nanoseconds[i] * 1e-6
}

/** Whether two trackers gave the same verdicts: what is timed must be the same work. */
import { DIRECTIONS, REASONS, STATES, TCP_STATES } from '../src/names.js'
import type { PeerVerdicts } from './peers/peer.js'

type Column = keyof PeerVerdicts

const COLUMNS: readonly Column[] = ['state', 'direction', 'reason', 'protocolState', 'flags']

/** One line for each packet of a batch on which the two differ. */
export function differences(a: PeerVerdicts, b: PeerVerdicts, count: number, columns = COLUMNS): string[] {
  const found: string[] = []
  if (columns.every((column) => same(a[column], b[column], count))) return found
  for (let i = 0; i < count; i += 1) {
    if (differ(a, b, i, columns)) found.push(`packet ${i} of its batch: ${words(a, i)} / ${words(b, i)}`)
  }
  return found
}

/** Whole columns at once: what nearly always is the same is found so in a moment. */
function same(a: Uint8Array, b: Uint8Array, count: number): boolean {
  return Buffer.compare(a.subarray(0, count), b.subarray(0, count)) === 0
}

function differ(a: PeerVerdicts, b: PeerVerdicts, i: number, columns: readonly Column[]): boolean {
  for (const column of columns) if (a[column][i] !== b[column][i]) return true
  return false
}

function words(verdicts: PeerVerdicts, i: number): string {
  const { state, direction, reason, protocolState, flags } = verdicts
  return [
    STATES[state[i]], DIRECTIONS[direction[i]], REASONS[reason[i]], TCP_STATES[protocolState[i]], flags[i],
  ].join(' ')
}

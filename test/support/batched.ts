/**
 * Packets that were tracked one by one go the whole way through the core; in batches most go a shorter one. Whatever is held
 * against the kernel one by one is held against batches here: verdicts, table and statistics must be the same.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  packetBatch, REASONS, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED, type Tracker, type Verdict,
  type VerdictBatch,
} from 'conntrack-wasm'

export type TimedPacket = Parameters<typeof packetBatch>[0] extends Iterable<infer P> ? P : never

const FIELDS = ['state', 'direction', 'reason', 'connection', 'dropped', 'tcpState', 'sctpState', 'assured', 'timeoutMs'] as const

/** Verdict `i` of a batch in the words of `track`. */
export function objectOf(verdicts: VerdictBatch, i: number) {
  const connection = verdicts.connection[i] || null
  return {
    state: STATES[verdicts.state[i]], direction: ([null, 'original', 'reply'] as const)[verdicts.direction[i]],
    reason: REASONS[verdicts.reason[i]], connection, dropped: (verdicts.flags[i] & VERDICT_DROPPED) !== 0,
    tcpState: tcpStateName(verdicts.protocolState[i]), sctpState: sctpStateName(verdicts.protocolState[i]),
    assured: connection ? (verdicts.flags[i] & VERDICT_ASSURED) !== 0 : null,
    timeoutMs: connection ? Math.floor(verdicts.timeoutNs[i] / 1e6) : null,
  }
}

/** The first field in which a verdict of `track` is not that of a batch, or null. */
export function differingField(verdict: Verdict, verdicts: VerdictBatch, i: number): string | null {
  const expected = objectOf(verdicts, i)
  return FIELDS.find(field => verdict[field] !== expected[field]) ?? null
}

/** Of batches, in turn: a connection that is opened and goes on in one batch goes other ways than one that is known before. */
const SIZES = [1, 3, 2, 64, 1, 1, 256]

/**
 * Where a tracker that is given the packets in batches differs from one that was given them one by one.
 *
 * @param batched made as the other was, with the same hash seed, and new
 */
export function differencesInBatches(
  packets: readonly TimedPacket[], verdicts: readonly Verdict[], oneByOne: Tracker, batched: Tracker,
  sizes: readonly number[] = SIZES,
): string[] {
  const found: string[] = []
  for (let from = 0, size = 0, turn = 0; from < packets.length; from += size, turn++) {
    size = sizes[turn % sizes.length]
    const batch = batched.trackBatch(packetBatch(packets.slice(from, from + size)))
    for (let i = 0; i < batch.count; i++) {
      const verdict = verdicts[from + i]
      const field = differingField(verdict, batch, i)
      if (!field) continue
      found.push(`packet ${from + i + 1}: ${field} in batches ${JSON.stringify(objectOf(batch, i))}, one by one ${JSON.stringify(verdict)}`)
    }
  }
  if (!isDeepStrictEqual([...batched.connections()], [...oneByOne.connections()])) found.push('another table in batches')
  if (!isDeepStrictEqual(batched.statistics(), oneByOne.statistics())) found.push('other statistics in batches')
  return found
}

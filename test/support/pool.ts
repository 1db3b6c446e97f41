/** A pool of workers beside one tracker on the same packets: whatever one says the other must. */
import { createTracker, packetBatch, type Connection, type PacketBatch, type Statistics, type Tracker, type VerdictBatch } from 'conntrack-wasm'
import { createTrackerPool, type PoolExpectation, type PoolOptions, type TrackerPool } from '../../src/pool.js'
import { standardHelper } from '../../src/helpers/standard.js'
import { isFragment } from './build.js'
import type { Frame } from './frames.js'
import { localWorker } from './local-worker.js'
import type { TimedPacket } from './trace.js'

/** Helpers that a pool can have. */
export const POOL_HELPERS = ['amanda', 'ftp', 'pptp', 'sane', 'sip', 'tftp'] as const
const SAME = [
  'state', 'direction', 'reason', 'protocolState', 'flags', 'protocol', 'family', 'networkOffset', 'transportOffset', 'timeoutNs',
] as const

export function localPool(options: PoolOptions): TrackerPool {
  return createTrackerPool({ hashSeed: 1, ...options, worker: localWorker })
}

/** Packets without ICMP in fragments: a pool does not look for the hosts that an error quotes there. */
export function withoutIcmpFragments<T extends { readonly data: Uint8Array }>(packets: readonly T[]): T[] {
  return packets.filter(({ data }) => !isFragment(data) || !isIcmp(data))
}

function isIcmp(packet: Uint8Array): boolean {
  if (packet[0] >> 4 === 4) return packet[9] === 1
  let [next, at] = [packet[6], 40]
  while ([0, 43, 44, 60].includes(next) && at + 2 <= packet.length) {
    [next, at] = [packet[at], at + (next === 44 ? 8 : (packet[at + 1] + 1) * 8)]
  }
  return next === 58
}

/** Packets in batches of so many. */
export function batchesOf(packets: readonly (TimedPacket | Frame)[], size: number, linkType = 101): PacketBatch[] {
  const all = packets.map(packet => 'data' in packet
    ? { ...packet, linkType }
    : { data: packet.bytes, time: packet.time, linkType: packet.linkType, originalLength: packet.wireLength })
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => packetBatch(all.slice(i * size, (i + 1) * size)))
}

/**
 * All ways in which a pool and one tracker differ; the batches are given to the pool without waiting for answers.
 *
 * @param forPool the same batches as the pool is to have them
 */
export async function differences(
  batches: readonly PacketBatch[], options: PoolOptions, forPool: (pool: TrackerPool) => readonly PacketBatch[] = () => batches,
): Promise<string[]> {
  const { workers: _workers, helpers = [], ...rest } = options
  const one = createTracker({ hashSeed: 1, ...rest, batchSize: 65_536, helpers: helpers.flatMap(name => standardHelper(name)) })
  const pool = localPool(options)
  const ids = new Ids()
  const answers = forPool(pool).map(batch => pool.trackBatch(batch))
  const found: string[] = []
  for (const [i, batch] of batches.entries()) {
    found.push(...verdictDifferences(one.trackBatch(batch), await answers[i], ids).map(text => `batch ${i}, ${text}`))
  }
  found.push(...await tableDifferences(one, pool, ids))
  pool.close()
  return found
}

function verdictDifferences(expected: VerdictBatch, given: VerdictBatch, ids: Ids): string[] {
  const found = expected.count === given.count ? [] : [`${given.count} verdicts instead of ${expected.count}`]
  for (let i = 0; i < expected.count; i++) {
    for (const name of SAME) {
      if (expected[name][i] !== given[name][i]) found.push(`packet ${i}: ${name} ${given[name][i]} instead of ${expected[name][i]}`)
    }
    if (!ids.meet(expected.connection[i], given.connection[i])) found.push(`packet ${i}: another connection`)
  }
  return found
}

async function tableDifferences(one: Tracker, pool: TrackerPool, ids: Ids): Promise<string[]> {
  const tables = [[...one.connections()], await pool.connections()]
  const found = tables[0].filter(connection => !tables[1].some(({ id }) => ids.meet(connection.id, id)))
    .map(({ id }) => `connection ${id} is not in the pool`)
  compare('connections', tables[0].map(withoutIds), tables[1].map(withoutIds), found)
  compare('expectations', one.expectations().map(withoutIds), (await pool.expectations()).map(withoutIds), found)
  compare('statistics', [comparable(one.statistics())], [comparable(await pool.statistics())], found)
  return found
}

function withoutIds<T extends Pick<Connection, 'master'> | PoolExpectation>(item: T): string {
  return JSON.stringify({ ...item, packet: undefined, id: 0, master: item.master === null ? null : 0 }, bigints)
}

/** Each worker has its share of the table, rounded up. */
function comparable(statistics: Statistics): string {
  const sorted = (_: string, value: unknown) => typeof value === 'object' ? Object.fromEntries(Object.entries(value!).sort()) : value
  return JSON.stringify({ ...statistics, maxConnections: 0 }, sorted)
}

const bigints = (_: string, value: unknown) => typeof value === 'bigint' ? `${value}n` : value

function compare(what: string, expected: readonly string[], given: readonly string[], found: string[]): void {
  const [one, pool] = [[...expected].sort(), [...given].sort()]
  if (one.join('\n') === pool.join('\n')) return
  const [missing, odd] = [one.filter(text => !pool.includes(text)), pool.filter(text => !one.includes(text))]
  found.push(`${what}: ${one.length} and ${pool.length}; of one alone ${missing.slice(0, 2)}; of the pool alone ${odd.slice(0, 2)}`)
}

/** Numbers of connections differ; which packets share one must not. */
class Ids {
  readonly #pool = new Map<number, number>([[0, 0]])
  readonly #one = new Map<number, number>([[0, 0]])

  meet(one: number, pool: number): boolean {
    if (!this.#pool.has(one) && !this.#one.has(pool)) {
      this.#pool.set(one, pool)
      this.#one.set(pool, one)
    }
    return this.#pool.get(one) === pool && this.#one.get(pool) === one
  }
}

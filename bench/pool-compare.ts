/**
 * One tracker and a pool of workers on the same packets in turn, what it takes to hand them out included. Wall time: a pool
 * is about using several cores at once. Runs in Node and in a page (see pool.ts).
 */
import type { PacketBatch } from '../src/batch.js'
import type { TrackerPool } from '../src/pool.js'
import type { VerdictBatch } from '../src/types.js'
import type { Sdk, Tracker } from './sdk.js'
import { quartiles, type Quartiles } from './statistics.js'
import { handshakes, steady, type Traffic } from './traffic.js'

const SEED = 1
/** Batches that are timed together, and how many of them the pool has at a time. */
const SLICE = 24
const UNDER_WAY = 4

export interface Settings {
  readonly workers: number
  readonly connections: number
  /** Packets of a batch. */
  readonly batch: number
  readonly rounds: number
  /** Whether packets lie in memory that the pool gave, so that it need not copy them. */
  readonly inPlace: boolean
}

/** Processor time so far, nanoseconds: of the calling thread and of all. */
export type Processor = () => { readonly caller: number; readonly all: number }

export interface Report {
  /** Nanoseconds a packet. */
  readonly one: Quartiles
  readonly pool: Quartiles
  readonly speedup: Quartiles
  /** Processor time a packet: of one tracker, and of the pool's calling thread and workers. */
  readonly processor: { readonly one: Quartiles; readonly caller: Quartiles; readonly workers: Quartiles } | null
}

export interface Package {
  readonly createTracker: Sdk['createTracker']
  readonly createTrackerPool: (options: { workers: number; maxConnections: number; hashSeed: number }) => TrackerPool
}

/** Opens the connections in both, compares each verdict, and then times them. */
export async function comparePool(
  { createTracker, createTrackerPool }: Package, settings: Settings, processor: Processor | null = null,
): Promise<Report> {
  const { workers, connections, batch: size } = settings
  const maxConnections = Math.max(262_144, 2 ** Math.ceil(Math.log2(connections)))
  const one = createTracker({ maxConnections, hashSeed: 1n, batchSize: size })
  const pool = createTrackerPool({ workers, maxConnections, hashSeed: SEED })
  for (const piece of handshakes(connections)) for (const batch of merged(piece, size)) await check(one, pool, batch)
  const traffic = steady({ connections, packets: Math.max(1_000_000, 2 * connections), payload: 0, seed: SEED })
  const report = await measure(one, pool, traffic, settings, processor)
  pool.close()
  return report
}

/** Both must say the same of every packet. */
async function check(one: Tracker, pool: TrackerPool, batch: PacketBatch): Promise<void> {
  const answer = pool.trackBatch(batch)
  const expected = one.trackBatch(batch)
  const found: VerdictBatch = await answer
  for (let i = 0; i < batch.count; i++) {
    const same = expected.state[i] === found.state[i] && expected.direction[i] === found.direction[i]
      && expected.protocolState[i] === found.protocolState[i] && expected.timeoutNs[i] === found.timeoutNs[i]
    if (!same) throw new Error(`packet ${i} of a batch: the pool's verdict is another`)
  }
}

/** Slices of batches, tracked by one and by the other in turn; the pool has some of them at a time. */
async function measure(
  one: Tracker, pool: TrackerPool, traffic: Traffic, { batch: size, rounds, inPlace }: Settings, processor: Processor | null,
): Promise<Report> {
  const samples: Sample[] = []
  const move = inPlace ? mover(pool, traffic) : (batches: readonly PacketBatch[]) => batches
  let batches = merged(traffic, size)
  let poolBatches = move(batches)
  let next = 0
  for (let round = -2; round < rounds; round++, next += SLICE) {
    if (next + SLICE > batches.length) {
      traffic.nextPass()
      batches = merged(traffic, size)
      poolBatches = move(batches)
      next = 0
    }
    const slice = [batches, poolBatches].map(all => all.slice(next, next + SLICE))
    const packets = slice[0].reduce((sum, { count }) => sum + count, 0)
    const ways = {
      one: () => { for (const batch of slice[0]) one.trackBatch(batch) },
      pool: () => track(pool, slice[1]),
    }
    const sample = {} as Sample
    for (const who of round % 2 === 0 ? ['one', 'pool'] as const : ['pool', 'one'] as const) {
      sample[who] = await timed(ways[who], packets, processor)
    }
    if (round >= 0) samples.push(sample)
  }
  const of = (value: (sample: Sample) => number) => quartiles(samples.map(value))
  return {
    one: of(sample => sample.one.wall), pool: of(sample => sample.pool.wall), speedup: of(({ one, pool }) => one.wall / pool.wall),
    processor: processor && {
      one: of(sample => sample.one.caller), caller: of(sample => sample.pool.caller), workers: of(sample => sample.pool.others),
    },
  }
}

type Sample = Record<'one' | 'pool', { wall: number; caller: number; others: number }>

/** Nanoseconds a packet. */
async function timed(use: () => unknown, packets: number, processor: Processor | null): Promise<Sample['one']> {
  const before = processor?.() ?? { caller: 0, all: 0 }
  const start = performance.now()
  await use()
  const wall = (performance.now() - start) * 1e6
  const after = processor?.() ?? before
  const caller = after.caller - before.caller
  return { wall: wall / packets, caller: caller / packets, others: (after.all - before.all - caller) / packets }
}

/** Brings batches to memory of the pool: the same for each pass of the traffic. */
function mover(pool: TrackerPool, traffic: Traffic): (batches: readonly PacketBatch[]) => readonly PacketBatch[] {
  const bytes = traffic.batches.reduce((most, { data }) => Math.max(most, data.byteOffset + data.length), 0)
  const memory = pool.allocate(bytes)
  return batches => batches.map(batch => {
    const { byteOffset, length } = batch.data
    const data = memory.subarray(byteOffset, byteOffset + length)
    data.set(batch.data)
    return { ...batch, data }
  })
}

async function track(pool: TrackerPool, batches: readonly PacketBatch[]): Promise<void> {
  const underWay: Promise<VerdictBatch>[] = []
  for (const batch of batches) {
    underWay.push(pool.trackBatch(batch))
    if (underWay.length >= UNDER_WAY) await underWay.shift()
  }
  await Promise.all(underWay)
}

/** Traffic in batches of so many packets. */
function merged(traffic: Pick<Traffic, 'batches'>, size: number): PacketBatch[] {
  const perBatch = Math.max(1, Math.floor(size / traffic.batches[0].count))
  const all: PacketBatch[] = []
  for (let i = 0; i < traffic.batches.length; i += perBatch) all.push(joined(traffic.batches.slice(i, i + perBatch)))
  return all
}

/** Batches that lie one behind the other in one buffer, as one. */
function joined(batches: readonly PacketBatch[]): PacketBatch {
  const first = batches[0].data.byteOffset
  const last = batches[batches.length - 1].data
  const count = batches.reduce((sum, batch) => sum + batch.count, 0)
  const columns = {
    offset: new Uint32Array(count), length: new Uint32Array(count), originalLength: new Uint32Array(count),
    seconds: new Float64Array(count), nanoseconds: new Uint32Array(count), linkType: new Uint16Array(count),
  }
  let at = 0
  for (const batch of batches) {
    const shift = batch.data.byteOffset - first
    for (const name of ['length', 'originalLength', 'seconds', 'nanoseconds', 'linkType'] as const) {
      columns[name].set(batch[name].subarray(0, batch.count), at)
    }
    for (let i = 0; i < batch.count; i++) columns.offset[at + i] = batch.offset[i] + shift
    at += batch.count
  }
  const bytes = last.byteOffset + last.byteLength - first
  return { count, data: new Uint8Array(last.buffer, first, bytes), ...columns }
}

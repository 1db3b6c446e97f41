/**
 * The longest call: a table of a million entries whose timeouts all run, UDP queries that come and expire, and the time
 * of every single batch of 256 packets. The same packets are tracked several times by new trackers: what the machine
 * does in between hits another batch each time, what the tracker does hits the same one.
 */
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'
import type { Statistics, VerdictBatch } from '../src/types.js'
import { BatchWriter } from './segments.js'
import { random } from './traffic.js'

export interface PausesTracker {
  trackBatch(batch: PacketBatch): VerdictBatch
  statistics(): Statistics
  close(): void
}

export interface Pauses {
  readonly batches: number
  readonly entries: number
  readonly expired: number
  /** Microseconds a batch: median of all, and the longest of each repetition. */
  readonly median: number
  readonly longest: readonly number[]
  /** The longest batch when of each batch the shortest repetition counts. */
  readonly longestOfShortest: number
}

/** Packets come so far apart that a third of them being new keeps a million entries of 30 seconds alive. */
const APART = 10_000
const SERVER = 0x0a00_0001

export function pauses(make: () => PausesTracker, entries: number, batches: number, repetitions: number): Pauses {
  const all: Float64Array[] = []
  const longest: number[] = []
  let table = { entries: 0, deletes: 0 }
  for (let i = 0; i < repetitions; i++) {
    const tracker = make()
    all.push(timeBatches(tracker, entries, batches))
    longest.push(all[i].reduce((most, time) => Math.max(most, time), 0))
    table = tracker.statistics()
    tracker.close()
  }
  const shortest = Float64Array.from({ length: batches }, (_, i) => Math.min(...all.map(times => times[i])))
  return {
    batches, entries: table.entries, expired: table.deletes,
    median: shortest.slice().sort()[batches >> 1],
    longest, longestOfShortest: shortest.reduce((most, time) => Math.max(most, time), 0),
  }
}

/** Microseconds of each batch, after the table has filled and expiry has begun. */
function timeBatches(tracker: PausesTracker, entries: number, batches: number): Float64Array {
  const writer = new BatchWriter()
  const next = random(2)
  const times = new Float64Array(batches)
  // New queries a packet, so that as many expire in thirty seconds as the table is to hold.
  const fresh = entries / (30e9 / APART)
  let time = 0
  let opened = 0
  const fill = Math.ceil(33e9 / APART / BATCH_SIZE)
  for (let batch = 0; batch < fill + batches; batch++) {
    writer.begin()
    for (let i = 0; i < BATCH_SIZE; i++) {
      time += APART
      const isNew = next() / 2 ** 32 < fresh || opened === 0
      // Others are answers to queries of the last seconds.
      const query = isNew ? opened++ : Math.max(0, opened - 1 - next() % Math.ceil(entries / 4))
      if (isNew) writer.udp(clientOf(query), SERVER, 4000 << 16 | 53, time)
      else writer.udp(SERVER, clientOf(query), 53 << 16 | 4000, time)
    }
    const begin = process.hrtime.bigint()
    tracker.trackBatch(writer.batch)
    if (batch >= fill) times[batch - fill] = Number(process.hrtime.bigint() - begin) / 1000
  }
  return times
}

/** Addresses in no order, each once. */
function clientOf(query: number): number {
  return Math.imul(query, 0x9e3779b1) >>> 0
}

/**
 * Packets that nobody would send, several ways: how they are split into batches, whether they come one by one, and what
 * they are wrapped in must change nothing. (That the books balance whatever comes is `npm run fuzz:packets`.)
 *
 *     SEED=7 PACKETS=5000000 npx vitest run --project fuzz
 *
 * Every failure names the seed and the packet.
 */
import {
  createTracker, packetBatch, type Connection, type Tracker, type TrackerOptions, type VerdictBatch,
} from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { differingField } from '../support/batched.js'
import { flood, mixed, occupied, wrap, type Frame, type Source } from '../support/frame-sources.js'
import { PacketGenerator } from '../support/generator.js'
import { Random } from '../support/random.js'

const SEED = Number(process.env.SEED ?? 1)
const PACKETS = Number(process.env.PACKETS ?? 200_000)
const CHUNK = 4096
const BATCH = 256
const MINUTES = 10 * 60_000

/** Frames by the chunk; the last chunk is what is left. */
function* chunks(source: Source, total: number, size = CHUNK): Generator<Frame[]> {
  for (let made = 0; made < total; made += size) yield Array.from({ length: Math.min(size, total - made) }, source)
}

const where = (packet: number) => `SEED=${SEED}, packet ${packet + 1}`

function feed(tracker: Tracker, frames: readonly Frame[], from: number): VerdictBatch {
  try {
    return tracker.trackBatch(packetBatch(frames))
  } catch (error) {
    throw new Error(`${where(from)} or one of the ${frames.length - 1} after it throws`, { cause: error })
  }
}

const COLUMNS = [
  'state', 'direction', 'reason', 'connection', 'protocolState', 'flags', 'timeoutNs', 'protocol', 'family',
  'networkOffset', 'transportOffset',
] as const

/** One way to feed frames: row by row what comes of them. */
type Feeder = (tracker: Tracker, frames: readonly Frame[], from: number) => string[]

const inBatches = (size: number): Feeder => (tracker, frames, from) => {
  const rows: string[] = []
  for (let i = 0; i < frames.length; i += size) {
    const verdicts = feed(tracker, frames.slice(i, i + size), from + i)
    for (let j = 0; j < verdicts.count; j++) rows.push(COLUMNS.map(column => verdicts[column][j]).join())
  }
  return rows
}

/** Feeds the same frames in several ways to a tracker each; rows and tables must be equal all along. */
function agree(
  source: Source, total: number, options: TrackerOptions, feeders: Readonly<Record<string, Feeder>>,
): void {
  const runs = Object.entries(feeders).map(([name, feeder]) => ({
    name, feeder, tracker: createTracker({ hashSeed: SEED, ...options }),
  }))
  let from = 0
  for (const frames of chunks(source, total)) {
    const [first, ...others] = runs.map(({ name, feeder, tracker }) => ({ name, rows: feeder(tracker, frames, from) }))
    expect(first.rows).toHaveLength(frames.length)
    for (const { name, rows } of others) {
      const i = first.rows.findIndex((row, i) => row !== rows[i])
      if (i >= 0) throw new Error(`${where(from + i)}: ${first.name} ${first.rows[i]}, ${name} ${rows[i]}`)
    }
    from += frames.length
  }
  const [first, ...others] = runs.map(({ tracker }) => {
    const table = [...tracker.connections()]
    return { table, statistics: tracker.statistics() }
  })
  expect(first.table.length).toBeGreaterThan(0)
  for (const other of others) {
    expect(other.table satisfies Connection[], `SEED=${SEED}`).toEqual(first.table)
    expect(other.statistics, `SEED=${SEED}`).toEqual(first.statistics)
  }
}

describe(`SEED=${SEED} PACKETS=${PACKETS}`, () => {
  const SPLITS = { 'by 256': inBatches(256), 'by 64': inBatches(64), 'by 3': inBatches(3), 'by 1': inBatches(1) }

  test('however packets are split into batches, verdicts and table are the same', () => {
    agree(mixed(SEED + 1), PACKETS / 2, { checksum: 'ignore', maxConnections: 4096, sysctl: { acct: 1 } }, SPLITS)
  }, MINUTES)

  test('the same with a table that is always full, so that connections are evicted', () => {
    agree(mixed(SEED + 2), PACKETS / 2, { checksum: 'ignore', maxConnections: 12 }, SPLITS)
  }, MINUTES)

  const OCCUPIED = { checksum: 'ignore', maxConnections: 3, sysctl: { tcp_timeout_established: 100 } } as const

  test('the same with a table that refuses connections', () => {
    agree(occupied(SEED + 6), PACKETS / 2, OCCUPIED, SPLITS)
  }, MINUTES)

  test('the same with thousands of connections, so that buckets overflow', () => {
    agree(flood(SEED + 5), PACKETS / 2, { checksum: 'ignore', maxConnections: 1500 }, SPLITS)
  }, MINUTES)

  test('the tables of those tests do evict, and do refuse', () => {
    const counts = [[OCCUPIED, occupied(SEED + 6)], [{ maxConnections: 1500 }, flood(SEED + 5)]] as const
    const [small, large] = counts.map(([options, source]) => {
      const tracker = createTracker({ hashSeed: SEED, checksum: 'ignore', ...options })
      for (const frames of chunks(source, 20_000, BATCH)) tracker.trackBatch(packetBatch(frames))
      return tracker.statistics().counters
    })
    expect(small.early_drop).toBeGreaterThan(100)
    expect(small.drop).toBeGreaterThan(100)
    expect(large.early_drop).toBeGreaterThan(100)
  }, MINUTES)

  test('packet by packet through track() the verdicts are those of a batch', () => {
    const tracker = createTracker({ hashSeed: SEED, checksum: 'verify', maxConnections: 64 })
    const batched = createTracker({ hashSeed: SEED, checksum: 'verify', maxConnections: 64 })
    let from = 0
    for (const frames of chunks(mixed(SEED + 3), PACKETS / 2, BATCH)) {
      const verdicts = feed(batched, frames, from)
      frames.forEach(({ data, time, linkType, originalLength }, i) => {
        const verdict = tracker.track(data, { time, linkType, originalLength })
        const different = differingField(verdict, verdicts, i)
        if (different || verdict.packet !== from + i + 1) {
          throw new Error(`${where(from + i)}: ${different} is ${verdict[(different ?? 'state') as 'state']} from track`)
        }
      })
      from += frames.length
    }
    expect([...tracker.connections()]).toEqual([...batched.connections()])
    expect(tracker.statistics()).toEqual(batched.statistics())
  }, MINUTES)

  test('what a whole packet is wrapped in changes neither verdict nor table', () => {
    const random = new Random(SEED + 4)
    const generator = new PacketGenerator(SEED + 4, { conversations: 40 })
    const [plain, wrapped] = [1, 2].map(() => createTracker({ hashSeed: SEED, maxConnections: 64 }))
    for (let i = 0; i < PACKETS / 8; i++) {
      const packet = generator.next()
      const { data, linkType } = wrap(random, packet)
      expect(wrapped.track(data, { linkType }), where(i)).toEqual(plain.track(packet))
    }
    expect([...wrapped.connections()]).toEqual([...plain.connections()])
    expect(plain.statistics().states.ESTABLISHED).toBeGreaterThan(PACKETS / 80)
  }, MINUTES)
})

/**
 * Snapshots at random points of a mixed trace: restored and continued, outputs and final snapshot must be those of the
 * run that was not interrupted, byte for byte. `SEED` and `POINTS` choose others and more.
 */
import {
  createTracker, restoreTracker, type PacketBatch, type Tracker, type TrackerOptions, type VerdictBatch,
} from 'conntrack-wasm'
import { allHelpers } from 'conntrack-wasm/helpers'
import { expect, test } from 'vitest'
import { helpedTrace } from '../support/helped-trace.js'
import { Random } from '../support/random.js'
import { asBatch, EVERYTHING, mixedTrace, type TimedPacket } from '../support/trace.js'

const seed = Number(process.env.SEED ?? 1)
const points = Number(process.env.POINTS ?? 10_000)
const PACKETS = 12_000
const BATCH = 64

test(`seed ${seed}: ${points} points of a trace of ${PACKETS} packets`, { timeout: 1_800_000 }, () => {
  // A table with room for half of the connections, and every side array but what explains packets.
  interrupt({ ...EVERYTHING, maxConnections: 24, explain: false }, mixedTrace(seed, PACKETS), points)
})

const helped = Math.ceil(points / 10)
test(`seed ${seed}: ${helped} points of a trace of ${PACKETS} packets with helpers`, { timeout: 1_800_000 }, () => {
  const options = { ...EVERYTHING, maxConnections: 60, explain: false, zone: [], helpers: allHelpers() }
  interrupt(options, helpedTrace(seed, PACKETS), helped)
})

function interrupt(options: TrackerOptions, trace: readonly TimedPacket[], points: number): void {
  whole.clear()
  const { helpers } = options
  const expected = rows()
  const straight = createTracker(options)
  run(straight, trace, 0, PACKETS, (at, verdicts) => copy(verdicts, expected, at))
  const end = straight.snapshot()
  const random = new Random(seed)
  const chosen = Array.from({ length: points }, () => random.below(PACKETS + 1)).sort((a, b) => a - b)

  const going = createTracker(options)
  let at = 0
  for (const point of chosen) {
    run(going, trace, at, point, () => {})
    at = point
    const restored = restoreTracker(going.snapshot(), { helpers })
    run(restored, trace, point, PACKETS, (first, verdicts) => {
      if (!isEqual(verdicts, expected, first)) throw new Error(`restored at packet ${point}: verdicts differ from ${first} on`)
    })
    expect(Buffer.compare(restored.snapshot(), end), `snapshot at the end, restored at packet ${point}`).toBe(0)
    restored.close()
  }
}

/** Columns for the whole trace. */
function rows() {
  return {
    state: new Uint8Array(PACKETS), direction: new Uint8Array(PACKETS), reason: new Uint8Array(PACKETS),
    connection: new Uint32Array(PACKETS), protocolState: new Uint8Array(PACKETS), flags: new Uint8Array(PACKETS),
    timeoutNs: new Float64Array(PACKETS),
  } satisfies Partial<Record<keyof VerdictBatch, unknown>>
}

type Rows = ReturnType<typeof rows>
const COLUMNS = Object.keys(rows()) as (keyof Rows)[]

/** Tracks packets `from` to `to`; batches end at the same packets, wherever a run begins. */
function run(
  tracker: Tracker, trace: readonly TimedPacket[], from: number, to: number, look: (first: number, verdicts: VerdictBatch) => void,
): void {
  for (let first = from; first < to;) {
    const next = Math.min(to, first + BATCH - first % BATCH)
    look(first, tracker.trackBatch(batchOf(trace, first, next)))
    first = next
  }
}

/** Whole batches are the same in all runs of a trace. */
const whole = new Map<number, PacketBatch>()

function batchOf(trace: readonly TimedPacket[], from: number, to: number): PacketBatch {
  if (to - from !== BATCH) return asBatch(trace.slice(from, to))
  const batch = whole.get(from) ?? asBatch(trace.slice(from, to))
  whole.set(from, batch)
  return batch
}

function copy(verdicts: VerdictBatch, to: Rows, at: number): void {
  for (const column of COLUMNS) to[column].set(verdicts[column].subarray(0, verdicts.count), at)
}

function isEqual(verdicts: VerdictBatch, expected: Rows, at: number): boolean {
  const bytes = (array: Uint8Array | Uint32Array | Float64Array, from: number, to: number) => {
    const part = array.subarray(from, to)
    return new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
  }
  return COLUMNS.every(column => Buffer.compare(
    bytes(verdicts[column], 0, verdicts.count), bytes(expected[column], at, at + verdicts.count)) === 0)
}

/** One row of the table: the same packets for all candidates, who take turns slice by slice. */
import { Bench } from 'tinybench'
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'
import { differences } from './agree.js'
import { MAP, bytesOf, candidates, timeOf, type Candidate, type Slice, type Timed } from './candidates.js'
import type { Loaded } from './load.js'
import { quartiles, type Quartiles } from './statistics.js'
import { handshakes, type Traffic } from './traffic.js'

export interface Row {
  readonly name: string
  /** Connections that are opened before anything is timed. */
  readonly established: number
  readonly maxConnections: number
  readonly make: () => Traffic
  /** Slices that are timed; the `Map` takes part in the first `mapSlices` only, 0: not at all. */
  readonly slices: number
  readonly mapSlices: number
}

export interface Measured {
  readonly name: string
  readonly checksum: string
  /** Nanoseconds a packet. */
  readonly latency: Quartiles
  /** Of this candidate's time to that of `comparedWith` on the same slice: median. */
  readonly ratio: number
  readonly comparedWith: string
}

/** Packets that one candidate tracks before it is the next one's turn. */
const SLICE = 128 * BATCH_SIZE
/** Slices before the first that is timed: verdicts are compared, code gets warm. */
const CHECKED_SLICES = 4

export function measure(loaded: Loaded, row: Row): Measured[] {
  const all = candidates(loaded, row.maxConnections, row.mapSlices > 0)
  for (const piece of handshakes(row.established)) check(all, piece.batches)
  const source = new Slices(row.make())
  for (let i = 0; i < CHECKED_SLICES; i += 1) check(all, source.next().batches)
  const samples = new Map(all.map((candidate) => [candidate.name, [] as number[]]))
  for (let i = 0; i < row.slices; i += 1) {
    const slice = source.next()
    for (const [name, nanoseconds] of timeSlice(turn(all, i, i < row.mapSlices), slice)) {
      samples.get(name)?.push(nanoseconds)
    }
  }
  for (const candidate of all) candidate.close()
  return all.map((candidate) => summary(candidate, samples))
}

/** All candidates must give the first one's verdicts. */
function check(all: readonly Candidate[], batches: readonly PacketBatch[]): void {
  for (const batch of batches) {
    const [first, ...others] = all
    const expected = first.verdicts(batch)
    for (const other of others) {
      const found = differences(expected, other.verdicts(batch), batch.count)
      if (found.length > 0) throw new Error(`${first.name} and ${other.name} differ: ${found[0]}`)
    }
  }
}

/** Another candidate begins every time, so that nobody always follows the same one. */
export function turn<T extends Timed>(all: readonly T[], round: number, withMap = true): T[] {
  const taking = all.filter((candidate) => withMap || candidate.name !== MAP)
  const first = round % taking.length
  return [...taking.slice(first), ...taking.slice(0, first)]
}

/** Nanoseconds a packet of each candidate on this slice, by a clock of milliseconds. */
export function timeSlice(taking: readonly Timed[], slice: Slice, now?: () => number): Map<string, number> {
  const bench = new Bench({ iterations: 1, time: 0, warmup: false, throws: true, ...(now && { now }) })
  const established = new Set<number>()
  for (const candidate of taking) {
    // `async` given: tinybench would call the function once more to find out, and every call moves the connections on.
    bench.add(candidate.name, () => void established.add(candidate.run(slice)), { async: false })
  }
  bench.runSync()
  if (established.size !== 1) throw new Error(`verdicts differ: ${[...established].join(', ')} packets ESTABLISHED`)
  return new Map(bench.tasks.map((task) => [task.name, latency(task.result) / slice.packets]))
}

function latency(result: Bench['tasks'][number]['result']): number {
  if (!('latency' in result)) throw new Error(`tinybench: ${result.state}`)
  return result.latency.p50 * 1e6
}

function summary(candidate: Candidate, samples: ReadonlyMap<string, readonly number[]>): Measured {
  const { name, checksum, comparedWith } = candidate
  const own = samples.get(name) ?? []
  const base = samples.get(comparedWith) ?? []
  const ratios = own.map((nanoseconds, i) => nanoseconds / base[i])
  return { name, checksum, latency: quartiles(own), ratio: quartiles(ratios).p50, comparedWith }
}

/** The traffic in slices, again from its beginning, one pass later, when it ends. */
export class Slices {
  private at = 0
  private readonly batches: readonly PacketBatch[]

  constructor(private readonly traffic: Traffic) {
    this.batches = traffic.batches
  }

  next(): Slice {
    if (this.at >= this.batches.length) {
      this.traffic.nextPass()
      this.at = 0
    }
    const batches = this.batches.slice(this.at, this.at + SLICE / BATCH_SIZE)
    this.at += batches.length
    return slice(batches)
  }
}

function slice(batches: readonly PacketBatch[]): Slice {
  const bytes: Uint8Array[] = []
  const times: bigint[] = []
  for (const batch of batches) {
    for (let i = 0; i < batch.count; i += 1) {
      bytes.push(bytesOf(batch, i))
      times.push(timeOf(batch, i))
    }
  }
  return { packets: bytes.length, batches, single: { bytes, times } }
}

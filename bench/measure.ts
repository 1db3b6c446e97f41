/** One row: the same packets for all candidates, who take turns slice by slice. */
import { Bench } from 'tinybench'
import { differences } from './agree.js'
import { baseOf, candidates, MAP, NATIVE, type Candidate, type Kind, type Timed } from './candidates.js'
import type { Loaded } from './load.js'
import { Slices, slicesOf, type Slice } from './slices.js'
import { quartiles, type Quartiles } from './statistics.js'
import { handshakes, type IpVersion, type Traffic } from './traffic.js'

/** Traffic and those who track it. */
export interface Lane {
  readonly kinds: readonly Kind[]
  /** Connections that are opened before anything is timed. */
  readonly established: number
  readonly version: IpVersion
  readonly make: () => Traffic
}

export interface Row {
  readonly name: string
  readonly maxConnections: number
  /** One, or two whose candidates are compared with each other. */
  readonly lanes: readonly Lane[]
  /** Slices that are timed; the `Map` takes part in the first `mapSlices` only. */
  readonly slices: number
  readonly mapSlices: number
}

export interface Measured {
  readonly name: string
  readonly checksum: string
  readonly version: IpVersion
  /** Nanoseconds a packet. */
  readonly latency: Quartiles
  /** Of this candidate's time to that of `comparedWith` on the same slice: median. */
  readonly ratio: number
  readonly comparedWith: string
}

/** Slices at least before the first that is timed: verdicts are compared, code gets warm. */
const CHECKED_SLICES = 4

/** A lane at work: its candidates, its slices, and nanoseconds a packet slice by slice. */
interface Running {
  readonly lane: Lane
  readonly all: readonly Candidate[]
  readonly source: Slices
  readonly samples: ReadonlyMap<string, number[]>
}

export async function measure(loaded: Loaded, row: Row): Promise<Measured[]> {
  const running: Running[] = []
  for (const lane of row.lanes) running.push(await start(loaded, row, lane))
  for (let i = 0; i < row.slices; i += 1) {
    for (const one of running) await timeNext(one, i, i < row.mapSlices)
  }
  for (const { all } of running) for (const candidate of all) candidate.close()
  return running.flatMap((one) => one.all.map((candidate) => summary(one, candidate, running[0])))
}

async function start(loaded: Loaded, row: Row, lane: Lane): Promise<Running> {
  const kinds = lane.kinds.filter((kind) => kind !== 'map' || row.mapSlices > 0)
  const all = candidates(loaded, row.maxConnections, kinds)
  for (const piece of handshakes(lane.established, { version: lane.version })) {
    for (const slice of slicesOf(piece)) await check(all, slice)
  }
  const source = new Slices(lane.make())
  for (let i = 0; i < untimed(lane, source); i += 1) await check(all, source.next())
  return { lane, all, source, samples: new Map(all.map(({ name }) => [name, []])) }
}

/**
 * Where connections come and go, the first pass is not timed: it touches memory for the first time, and what the system does
 * then to back it took as long as tracking.
 */
const untimed = (lane: Lane, source: Slices) => (lane.established > 0 ? CHECKED_SLICES : source.inPass)

/** All candidates must give the first one's verdicts. */
async function check(all: readonly Candidate[], slice: Slice): Promise<void> {
  const [first, ...others] = all
  const expected = await first.verdicts(slice)
  for (const other of others) {
    const found = differences(expected, await other.verdicts(slice), slice.count)
    if (found.length > 0) throw new Error(`${first.name} and ${other.name} differ: ${found[0]}`)
  }
}

async function timeNext({ all, source, samples }: Running, round: number, withMap: boolean): Promise<void> {
  const slice = source.next()
  for (const [name, nanoseconds] of await timeSlice(turn(withMap ? all : withoutMap(all), round), slice)) {
    samples.get(name)?.push(nanoseconds)
  }
}

const withoutMap = (all: readonly Candidate[]) => all.filter(({ name }) => name !== MAP)

/** Another candidate begins every time, so that nobody always follows the same one. */
export function turn<T extends Timed>(taking: readonly T[], round: number): T[] {
  const first = round % taking.length
  return [...taking.slice(first), ...taking.slice(0, first)]
}

/** Nanoseconds a packet of each candidate on this slice, by a clock of milliseconds. */
export async function timeSlice(
  taking: readonly Timed[], slice: Slice, now?: () => number,
): Promise<Map<string, number>> {
  const bench = new Bench({ iterations: 1, time: 0, warmup: false, throws: true, ...(now && { now }) })
  for (const candidate of taking) {
    // `async` given: tinybench would call the function once more to find out, and every call moves the connections on.
    const options = { async: candidate.name.startsWith(NATIVE), beforeEach: () => candidate.load?.(slice) }
    bench.add(candidate.name, () => candidate.run(slice), options)
  }
  await bench.run()
  const established = new Set(taking.map((candidate) => candidate.established))
  if (established.size !== 1) throw new Error(`verdicts differ: ${[...established].join(', ')} packets ESTABLISHED`)
  return new Map(bench.tasks.map((task) => [task.name, latency(task.result) / slice.count]))
}

function latency(result: Bench['tasks'][number]['result']): number {
  if (!('latency' in result)) throw new Error(`tinybench: ${result.state}`)
  return result.latency.p50 * 1e6
}

/** Compared within its lane; candidates of a second lane, each with its like in the first. */
function summary({ lane, samples }: Running, candidate: Candidate, first: Running): Measured {
  const { name, checksum } = candidate
  const comparedWith = lane === first.lane ? baseOf(candidate) : name
  const own = samples.get(name) ?? []
  const base = first.samples.get(comparedWith) ?? []
  const ratio = quartiles(own.map((nanoseconds, i) => nanoseconds / base[i])).p50
  return { name, checksum, version: lane.version, latency: quartiles(own), ratio, comparedWith }
}

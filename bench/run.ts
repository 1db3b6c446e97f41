/**
 * `npm run bench`: nanoseconds a packet, of the built package and of the same work in plain JavaScript. What the
 * columns are is told in README.md.
 */
import { parseArgs } from 'node:util'
import { costs, peerBytesPerConnection } from './costs.js'
import { CORE, load, type Loaded } from './load.js'
import { measure, type Row } from './measure.js'
import { machine, text, type Report } from './report.js'
import { lifeCycles, steady } from './traffic.js'

const SEED = 1

/** The package's own default, which every row uses that has room in it. */
const DEFAULT_MAX = 262_144

type Opened = Pick<Row, 'established' | 'maxConnections' | 'make'>

function established(connections: number, packets: number, payload = 64): Opened {
  return {
    established: connections,
    maxConnections: Math.max(DEFAULT_MAX, 2 ** Math.ceil(Math.log2(connections))),
    make: () => steady({ connections, packets, payload, seed: SEED }),
  }
}

function rows(quick: boolean): Row[] {
  const slices = quick ? 12 : 64
  const mapSlices = quick ? 3 : 12
  const short = { established: 0, maxConnections: DEFAULT_MAX }
  return [
    { name: '1,000 connections', ...established(1_000, 262_144), slices, mapSlices },
    { name: '100,000', ...established(100_000, 1_000_000), slices, mapSlices },
    { name: '1,000,000', ...established(1_000_000, 2_000_000), slices, mapSlices: quick ? 0 : 8 },
    {
      name: 'short lives', ...short, slices, mapSlices,
      make: () => lifeCycles({ connections: 80_000, alive: 20_000, seed: SEED }),
    },
    { name: '1,000, 1,460-byte data', ...established(1_000, 131_072, 1460), slices, mapSlices },
  ]
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, row: { type: 'string', default: '' } },
  })
  const loaded = await load()
  const quick = values.quick ?? false
  const chosen = rows(quick).filter((row) => row.name.startsWith(values.row))
  const report = await run(loaded, chosen, quick)
  console.log(values.json ? JSON.stringify(report) : text(report))
}

async function run(loaded: Loaded, chosen: readonly Row[], quick: boolean): Promise<Report> {
  const measured = chosen.map((row) => {
    console.error(`${row.name} ...`)
    return { name: row.name, candidates: measure(loaded, row) }
  })
  return {
    machine: machine(),
    quick,
    rows: measured,
    package: loaded.sdk && costs(loaded.sdk, CORE),
    peerBytesPerConnection: peerBytesPerConnection(),
  }
}

await main()

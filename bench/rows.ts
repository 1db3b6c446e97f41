/** The rows of the benchmark: what traffic, over how many connections, and who takes part. */
import type { Kind } from './candidates.js'
import type { Row } from './measure.js'
import { lifeCycles, steady, type IpVersion, type SteadyOptions } from './traffic.js'

const SEED = 1
/** The package's own default, which every row uses that has room in it. */
const DEFAULT_MAX = 262_144
/** Payload of a data packet without TCP options: over IPv4 66 bytes, as an acknowledgement with timestamps. */
const SMALL = 12

const ALL: readonly Kind[] = ['core', 'native', 'batch', 'single', 'typed', 'map']
/** At four million connections each takes more than half a gigabyte. */
const FEW: readonly Kind[] = ['core', 'native', 'batch', 'typed']
/** The peers in JavaScript know no IPv6. */
const BOTH_VERSIONS: readonly Kind[] = ['core', 'native', 'batch']

export const IPV6_ROW = 'IPv6 and IPv4'

export function rows(quick: boolean): Row[] {
  const turns = { slices: quick ? 12 : 48, mapSlices: quick ? 3 : 8 }
  return [
    { name: '1,000', ...turns, ...established(1_000, 262_144) },
    { name: '100,000', ...turns, ...established(100_000, 1_000_000) },
    { name: '1,000,000', ...turns, ...established(1_000_000, 2_000_000), mapSlices: quick ? 0 : 4 },
    ...(quick ? [] : [{ name: '4,000,000', ...turns, ...established(4_000_000, 2_000_000, FEW), mapSlices: 0 }]),
    { name: 'new', ...turns, ...lives(true) },
    { name: 'short lives', ...turns, ...lives(false) },
    { name: '1,460 bytes', ...turns, ...large() },
    { name: IPV6_ROW, ...turns, ...versions(100_000) },
  ]
}

type What = Pick<Row, 'maxConnections' | 'lanes'>

function established(connections: number, packets: number, kinds = ALL): What {
  return { maxConnections: roomFor(connections), lanes: [lane(kinds, { connections, packets })] }
}

const roomFor = (connections: number) => Math.max(DEFAULT_MAX, 2 ** Math.ceil(Math.log2(connections)))

function lane(kinds: readonly Kind[], options: Pick<SteadyOptions, 'connections' | 'packets'>, version: IpVersion = 4) {
  return {
    kinds, version, established: options.connections,
    make: () => steady({ ...options, payload: SMALL, dataOptions: 0, version, seed: SEED }),
  }
}

function lives(bare: boolean): What {
  const make = () => lifeCycles({ connections: bare ? 160_000 : 80_000, alive: 20_000, seed: SEED, bare })
  return { maxConnections: DEFAULT_MAX, lanes: [{ kinds: ALL, version: 4, established: 0, make }] }
}

function large(): What {
  const make = () => steady({ connections: 1_000, packets: 131_072, payload: 1460, seed: SEED })
  return { maxConnections: DEFAULT_MAX, lanes: [{ kinds: ALL, version: 4, established: 1_000, make }] }
}

/** The same over both versions of IP, slice by slice in turn. */
function versions(connections: number): What {
  const options = { connections, packets: connections * 4 }
  return { maxConnections: DEFAULT_MAX, lanes: [lane(BOTH_VERSIONS, options, 4), lane(BOTH_VERSIONS, options, 6)] }
}

/** What a tracker costs before the first packet: bytes to download, compiling, creating, memory. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { bundled } from './bundle.js'
import { CORE, MAIN } from './load.js'
import { MapTracker } from './peers/map-tracker.js'
import { TypedTracker } from './peers/typed-tracker.js'
import type { Sdk } from './sdk.js'
import { quartiles } from './statistics.js'
import { handshakes } from './traffic.js'

export interface Costs {
  /** The core module compiled from its bytes. */
  readonly compileMs: number
  readonly coreBytes: number
  readonly coreGzipBytes: number
  /** The package's main entry as a bundler makes one file of it, the core inlined. */
  readonly entryGzipBytes: number
  readonly createMs: number
  readonly maxConnections: number
  readonly memoryBytes: number
  /** What room for one connection more takes, index included. What every tracker has whatever its size is not in it. */
  readonly bytesPerConnection: number
}

const REPETITIONS = 9
const MAX_CONNECTIONS = 262_144

export function costs(sdk: Sdk): Costs {
  const bytes = readFileSync(CORE)
  const memoryBytes = memoryOf(sdk, MAX_CONNECTIONS)
  return {
    compileMs: median(() => compile(bytes)),
    coreBytes: bytes.length,
    coreGzipBytes: gzipped(bytes),
    entryGzipBytes: gzipped(bundled(fileURLToPath(MAIN))),
    createMs: creating(),
    maxConnections: MAX_CONNECTIONS,
    memoryBytes,
    bytesPerConnection: (memoryOf(sdk, 4 * MAX_CONNECTIONS) - memoryBytes) / (3 * MAX_CONNECTIONS),
  }
}

const gzipped = (bytes: Uint8Array) => gzipSync(bytes, { level: 9 }).length

let compiled = 0

/** V8 remembers modules by their bytes: an empty custom section of another name makes each one new to it. */
function compile(bytes: Uint8Array): void {
  compiled += 1
  const section = Uint8Array.of(0, 3, 2, 0x30 + (compiled >> 6), 0x30 + (compiled & 63))
  const unique = new Uint8Array(bytes.length + section.length)
  unique.set(bytes)
  unique.set(section, bytes.length)
  new WebAssembly.Module(unique)
}

/**
 * A tracker of a process that has nothing else: where the heap is large, memory that is reserved makes the collector look
 * through it, and so do 64 MB of it that were reserved before; what is left of the tracker before is collected first. The
 * first is not counted, since V8 still reads the wrapper's code then.
 */
const CREATING = `
  const { createTracker } = await import(process.argv[1])
  createTracker({ maxConnections: ${MAX_CONNECTIONS} })
  const times = Array.from({ length: ${REPETITIONS} }, () => {
    gc()
    const start = performance.now()
    createTracker({ maxConnections: ${MAX_CONNECTIONS} })
    return performance.now() - start
  })
  console.log(JSON.stringify(times))`

function creating(): number {
  const output = execFileSync(
    process.execPath, ['--expose-gc', '--input-type=module', '-e', CREATING, MAIN.href], { encoding: 'utf8' })
  return quartiles(JSON.parse(output) as number[]).p50
}

/** Milliseconds of `work`. */
function median(work: () => void): number {
  const times: number[] = []
  for (let i = 0; i < REPETITIONS; i += 1) {
    const start = performance.now()
    work()
    times.push(performance.now() - start)
  }
  return quartiles(times).p50
}

/** The verdict columns are views of the tracker's one memory, so their buffer tells its size. */
function memoryOf(sdk: Sdk, maxConnections: number): number {
  const tracker = sdk.createTracker({ maxConnections, checksum: 'verify' })
  const [piece] = handshakes(1)
  const bytes = tracker.trackBatch(piece.batches[0]).state.buffer.byteLength
  tracker.close()
  return bytes
}

/** Bytes a connection of the peers: that of the typed arrays by their sizes, that of the `Map` by the heap's growth. */
export function peerBytesPerConnection(): { readonly typed: number; readonly map: number } {
  const connections = 50_000
  const before = heapUsed()
  const tracker = new MapTracker({ maxConnections: connections, checksum: 'ignore' })
  for (const piece of handshakes(connections)) for (const batch of piece.batches) tracker.trackBatch(batch)
  const map = (heapUsed() - before) / connections
  // Used once more after the heap was looked at: it is not collected before.
  tracker.trackBatch([...handshakes(1)][0].batches[0])
  const typed = new TypedTracker({ maxConnections: MAX_CONNECTIONS, checksum: 'ignore' })
  return { typed: typed.bytes / MAX_CONNECTIONS, map }
}

/** No flag need be given to Node for it. */
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function heapUsed(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

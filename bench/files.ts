/** Whole capture files: the command line as a process, from its start to its end, next to the core alone. */
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BareCore } from './core.js'
import type { Loaded } from './load.js'
import { PIECE, PIECE_BYTES, slicesOf } from './slices.js'
import { quartiles, type Quartiles } from './statistics.js'
import { handshakes, lifeCycles, writeCapture, type Traffic } from './traffic.js'

export interface FilesReport {
  readonly packets: number
  readonly bytes: number
  /** Nanoseconds a packet of the core alone on the same packets, checksums verified. */
  readonly core: Quartiles
  readonly programs: readonly MeasuredProgram[]
  /** Connections of the second file: three packets each, and no more. */
  readonly connections: number
}

export interface MeasuredProgram {
  readonly name: string
  readonly seconds: Quartiles
  readonly nsPerPacket: number
  /** What the file takes more than a quarter of it: without start, end and warming up. */
  readonly secondsOfRest: Quartiles
  /** The same a packet. */
  readonly nsPerFurtherPacket: number
  /** Time a packet to that of the core: median of the ratios round by round. */
  readonly toCore: number
  /** Lines it writes, 0 if they are not counted. */
  readonly lines: number
  readonly peakBytes: number
  /** The same for a file of a quarter of the packets. */
  readonly peakBytesOfQuarter: number
}

interface Program {
  readonly name: string
  readonly args: readonly string[]
  readonly countsLines: boolean
  /** It reads the file of many connections that live to its end. */
  readonly ofConnections?: boolean
}

/** Connections of a pass over the traffic; it has 6.5 packets for each. */
const CONNECTIONS = 80_000
const MAX_CONNECTIONS = 262_144
/** The part of a file that is not in the file of a quarter of the packets. */
export const REST = 3 / 4
/** Connections of the file for `connections`, all there at its end. */
const ESTABLISHED = 250_000

// Seen from build/bench/, where the benchmark runs.
const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const READER = fileURLToPath(new URL('./read-pcap.js', import.meta.url))
const PEAK = new URL('./peak.js', import.meta.url).href

export async function measureFiles(loaded: Loaded, quick: boolean): Promise<FilesReport> {
  const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-bench-'))
  try {
    console.error('capture files ...')
    return await measureIn(folder, loaded, quick)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function measureIn(folder: string, loaded: Loaded, quick: boolean): Promise<FilesReport> {
  const passes = quick ? 4 : 12
  const whole = join(folder, 'whole.pcap')
  const quarter = join(folder, 'quarter.pcap')
  const { packets, bytes } = write(whole, passes)
  write(quarter, passes / 4)
  const [many, fewer] = [join(folder, 'many.pcap'), join(folder, 'fewer.pcap')]
  writeHandshakes(many, ESTABLISHED)
  writeHandshakes(fewer, ESTABLISHED / 4)
  const measuring = programs().map((program) => program.ofConnections
    ? new Measuring(program, ESTABLISHED * 3, many, fewer) : new Measuring(program, packets, whole, quarter))
  for (const one of measuring) await one.prepare()
  const core: number[] = []
  for (let round = 0; round < (quick ? 1 : 3); round += 1) {
    core.push(timeCore(loaded.module, passes))
    for (const one of measuring) await one.time()
  }
  return { packets, bytes, core: quartiles(core), programs: measuring.map((one) => one.result(core)), connections: ESTABLISHED }
}

function programs(): Program[] {
  const own = (args: string, countsLines = false, ofConnections = false) => {
    return { name: `conntrack-wasm ${args}`, args: [CLI, ...args.split(' ')], countsLines, ofConnections }
  }
  const all = [
    own('statistics'), own('classify --json', true), own('connections --json', true, true), own('connections', true, true),
  ]
  return hasPcapParser() ? [...all, { name: 'pcap-parser, reading only', args: [READER], countsLines: false }] : all
}

function hasPcapParser(): boolean {
  try {
    createRequire(import.meta.url).resolve('pcap-parser')
    return true
  } catch {
    return false
  }
}

const traffic = (): Traffic => lifeCycles({ connections: CONNECTIONS, alive: 20_000, seed: 1 })

/** Writes so many passes over the traffic, as a capture with microseconds. */
function write(path: string, passes: number): { packets: number; bytes: number } {
  const file = openSync(path, 'w')
  const source = traffic()
  let bytes = 0
  for (let pass = 0; pass < passes; pass += 1) {
    if (pass > 0) source.nextPass()
    writeCapture(source, pass === 0, (piece) => {
      bytes += writeSync(file, piece)
    })
  }
  closeSync(file)
  return { packets: source.count * passes, bytes }
}

/** Writes the handshakes of so many connections. */
function writeHandshakes(path: string, connections: number): void {
  const file = openSync(path, 'w')
  let first = true
  for (const piece of handshakes(connections)) {
    writeCapture(piece, first, (bytes) => writeSync(file, bytes))
    first = false
  }
  closeSync(file)
}

/** Nanoseconds a packet of the core alone, which is new as the processes are. */
function timeCore(module: WebAssembly.Module, passes: number): number {
  const core = new BareCore(module, {
    maxConnections: MAX_CONNECTIONS, checksum: 'verify', packets: PIECE, bytes: PIECE_BYTES,
  })
  const source = traffic()
  let milliseconds = 0
  for (let pass = 0; pass < passes; pass += 1) {
    if (pass > 0) source.nextPass()
    for (const piece of [...slicesOf(source)].flatMap(({ pieces }) => pieces)) {
      core.load(piece)
      const start = performance.now()
      core.run()
      milliseconds += performance.now() - start
    }
  }
  return (milliseconds * 1e6) / (source.count * passes)
}

class Measuring {
  readonly #seconds: number[] = []
  readonly #secondsOfRest: number[] = []
  #lines = 0
  #peak = 0
  #peakOfQuarter = 0

  constructor(readonly program: Program, readonly packets: number, readonly whole: string, readonly quarter: string) {}

  /** Counts its lines and looks at its memory; nothing is timed. */
  async prepare(): Promise<void> {
    this.#lines = this.program.countsLines ? await countLines(this.#args(this.whole)) : 0
    this.#peakOfQuarter = (await execute(this.#args(this.quarter))).peakBytes
  }

  async time(): Promise<void> {
    const { seconds, peakBytes } = await execute(this.#args(this.whole))
    this.#seconds.push(seconds)
    this.#secondsOfRest.push(seconds - (await execute(this.#args(this.quarter))).seconds)
    this.#peak = Math.max(this.#peak, peakBytes)
  }

  #args(file: string): string[] {
    return [...this.program.args, file]
  }

  result(core: readonly number[]): MeasuredProgram {
    const seconds = quartiles(this.#seconds)
    const secondsOfRest = quartiles(this.#secondsOfRest)
    const ratios = this.#seconds.map((time, round) => (time * 1e9) / this.packets / core[round])
    return {
      name: this.program.name, seconds, nsPerPacket: (seconds.p50 * 1e9) / this.packets, secondsOfRest,
      nsPerFurtherPacket: (secondsOfRest.p50 * 1e9) / (this.packets * REST),
      toCore: quartiles(ratios).p50, lines: this.#lines, peakBytes: this.#peak,
      peakBytesOfQuarter: this.#peakOfQuarter,
    }
  }
}

/** Runs Node to its end. What it writes is thrown away; its peak of memory it tells at its end (`peak.ts`). */
function execute(args: readonly string[]): Promise<{ seconds: number; peakBytes: number }> {
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const child = spawn(process.execPath, ['--import', PEAK, ...args], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    let told = ''
    child.stdio[3]?.on('data', (data: Buffer) => {
      told += data.toString()
    })
    let seconds = 0
    child.on('exit', () => {
      seconds = (performance.now() - start) / 1000
    })
    child.on('close', (code) => {
      if (code === 0) resolve({ seconds, peakBytes: Number(told) * 1024 })
      else reject(new Error(`${args.join(' ')} ended with ${code}`))
    })
  })
}

function countLines(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    let lines = 0
    child.stdout.on('data', (data: Buffer) => {
      for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) lines += 1
    })
    child.on('error', reject).on('close', () => resolve(lines))
  })
}

/** The tracker in C: compiled where there is a gcc, run as a process of its own, talked to over its standard streams. */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { PacketBatch } from '../../src/batch.js'
import type { PeerVerdicts } from '../peers/peer.js'

// Seen from build/bench/, where the benchmark runs.
const SOURCE = fileURLToPath(new URL('../../bench/native/tracker.c', import.meta.url))
const BINARY = fileURLToPath(new URL('./native/tracker', import.meta.url))
const FLAGS = ['-O2', '-march=native', '-std=gnu11']

export interface Native {
  readonly binary: string
  /** What the compiler calls itself, and how it was called. */
  readonly compiler: string
}

/** Compiles the tracker; null where there is no gcc or it cannot. */
export function buildNative(): Native | null {
  try {
    const version = execFileSync('gcc', ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    mkdirSync(new URL('./native/', import.meta.url), { recursive: true })
    execFileSync('gcc', [...FLAGS, '-o', BINARY, SOURCE], { stdio: ['ignore', 'ignore', 'inherit'] })
    return { binary: BINARY, compiler: `${version.split('\n')[0]}, ${FLAGS.slice(0, 2).join(' ')}` }
  } catch {
    return null
  }
}

export interface NativeOptions {
  readonly maxConnections: number
  readonly checksum: 'verify' | 'ignore'
  readonly packets: number
  readonly bytes: number
}

export interface NativeRun {
  readonly nanoseconds: number
  readonly established: number
}

export class NativeTracker {
  readonly #child: ChildProcessWithoutNullStreams
  #count = 0

  constructor({ binary }: Native, { maxConnections, checksum, packets, bytes }: NativeOptions) {
    this.#child = spawn(binary, [maxConnections, checksum, packets, bytes].map(String))
    this.#child.stderr.pipe(process.stderr)
    // Writing to a process that has ended is noticed where its answer is read.
    this.#child.stdin.on('error', () => {})
  }

  async load(batch: PacketBatch): Promise<void> {
    const { data, offset, length, originalLength, seconds, nanoseconds, linkType } = batch
    this.#count = batch.count
    this.#ask('L', batch.count, data.length)
    for (const column of [offset, length, originalLength, seconds, nanoseconds, linkType, data]) {
      this.#child.stdin.write(Buffer.from(column.buffer, column.byteOffset, column.byteLength))
    }
    await this.#read(8)
  }

  async run(): Promise<NativeRun> {
    this.#ask('R')
    return this.#outcome()
  }

  async verdicts(): Promise<PeerVerdicts> {
    this.#ask('V')
    await this.#outcome()
    const bytes = await this.#read(this.#count * 5)
    const column = (place: number) => bytes.subarray(place * this.#count, (place + 1) * this.#count)
    return { state: column(0), direction: column(1), reason: column(2), protocolState: column(3), flags: column(4) }
  }

  close(): void {
    this.#child.stdin.end()
  }

  #ask(letter: string, packets = 0, bytes = 0): void {
    this.#child.stdin.write(Buffer.from(Uint32Array.of(letter.charCodeAt(0), packets, bytes).buffer))
  }

  async #outcome(): Promise<NativeRun> {
    const answer = await this.#read(16)
    return { nanoseconds: Number(answer.readBigUInt64LE(0)), established: Number(answer.readBigUInt64LE(8)) }
  }

  async #read(bytes: number): Promise<Buffer> {
    const { stdout } = this.#child
    const parts: Buffer[] = []
    for (let left = bytes; left > 0;) {
      const part = stdout.read(Math.min(left, stdout.readableLength)) as Buffer | null
      if (part) {
        parts.push(part)
        left -= part.length
      } else {
        await readable(stdout)
      }
    }
    return Buffer.concat(parts)
  }
}

function readable(stream: ChildProcessWithoutNullStreams['stdout']): Promise<void> {
  return new Promise((resolve, reject) => {
    const onReadable = () => {
      stream.off('end', onEnd)
      resolve()
    }
    const onEnd = () => {
      stream.off('readable', onReadable)
      reject(new Error('the tracker in C has ended'))
    }
    stream.once('readable', onReadable).once('end', onEnd)
  })
}

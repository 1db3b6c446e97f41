/**
 * Live capture through a program that may do it. In: an interface. Out: batches as packets arrive. It must never leave
 * the program running once iteration stops.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import type { PacketBatch } from '../batch.js'
import { type CaptureOptions, readCapture } from '../capture/reader.js'
import { ConntrackError } from '../errors.js'

/** Options of `liveCapture`. */
export interface LiveCaptureOptions extends CaptureOptions {
  /** The interface's name; `any` for all of them, where the system has that. */
  readonly interface: string
  /** Which packets, in the language of pcap-filter(7). All if left out. */
  readonly filter?: string
  /** Bytes captured of a packet at most; the program's own limit, 262,144, if left out. */
  readonly snaplen?: number
  /** Packets after which the capture ends; never if left out. */
  readonly count?: number
  /** Ends the capture: what was captured by then is still yielded, and then the iteration is over. */
  readonly signal?: AbortSignal
}

type Child = ChildProcessByStdio<null, Readable, Readable>

/** What is kept of what the program says: its last words tell why it ended. */
const STDERR_KEPT = 4096

/**
 * Captures packets as they arrive, by `tcpdump` or, where that is not installed, `dumpcap`; capturing needs the
 * rights that these programs need. The program runs from the first request for a batch until iteration stops.
 *
 * @returns batches, each good until the next is asked for, yielded as soon as there are packets
 * @throws ConntrackError `invalid-argument` at once; while iterating `live-capture` if neither program is installed, or
 * if it fails, with what it said
 */
export function liveCapture(options: LiveCaptureOptions): AsyncGenerator<PacketBatch, void, undefined> {
  check(options)
  return untilAborted(readCapture(liveChunks(options), options), options.signal)
}

/** A capture that was ended on request may be cut anywhere, also before it began. */
async function* untilAborted(
  batches: AsyncGenerator<PacketBatch, void, undefined>, signal: AbortSignal | undefined,
): AsyncGenerator<PacketBatch, void, undefined> {
  try {
    yield* batches
  } catch (error) {
    if (!signal?.aborted) throw error
  }
}

function check({ interface: name, filter, snaplen, count }: LiveCaptureOptions): void {
  if (typeof name !== 'string' || name === '') throw invalid('interface', 'the name of one')
  if (filter !== undefined && typeof filter !== 'string') throw invalid('filter', 'a string')
  if (snaplen !== undefined && !isCount(snaplen)) throw invalid('snaplen', 'a number of bytes')
  if (count !== undefined && !isCount(count)) throw invalid('count', 'a number of packets')
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 0x7fffffff
}

function invalid(option: string, expected: string): ConntrackError {
  return new ConntrackError('invalid-argument', `liveCapture: ${option}: expected ${expected}`)
}

/** The programs in the order in which they are tried. */
const PROGRAMS: readonly (readonly [program: string, args: (options: LiveCaptureOptions) => string[]])[] = [
  // -U: each packet is written as it comes.
  ['tcpdump', ({ filter, ...options }) => [...commonArgs(options), '-U', ...(filter ? ['--', filter] : [])]],
  ['dumpcap', ({ filter, ...options }) => [...commonArgs(options), '-q', ...(filter ? ['-f', filter] : [])]],
]

function commonArgs({ interface: name, snaplen, count }: LiveCaptureOptions): string[] {
  const args = ['-i', name, '-w', '-']
  if (snaplen !== undefined) args.push('-s', String(snaplen))
  if (count !== undefined) args.push('-c', String(count))
  return args
}

async function* liveChunks(options: LiveCaptureOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const [program, child] = await start(options)
  const lastWords = collect(child.stderr)
  const exited = exitOf(child)
  const stop = (): void => void child.kill()
  options.signal?.addEventListener('abort', stop)
  if (options.signal?.aborted) stop()
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>
    const { code, signal } = await exited
    if (code !== 0 && !options.signal?.aborted) {
      throw new ConntrackError('live-capture', `${program} ended with ${signal ?? `code ${code}`}: ${lastWords()}`)
    }
  } finally {
    options.signal?.removeEventListener('abort', stop)
    stop()
  }
}

/** Starts the first program that is there. */
async function start(options: LiveCaptureOptions): Promise<[program: string, child: Child]> {
  for (const [program, args] of PROGRAMS) {
    const child = spawn(program, args(options), { stdio: ['ignore', 'pipe', 'pipe'] })
    try {
      await once(child, 'spawn')
      return [program, child]
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      throw new ConntrackError('live-capture', `${program} cannot be started: ${(error as Error).message}`)
    }
  }
  throw new ConntrackError('live-capture', 'neither tcpdump nor dumpcap is installed, live capture needs one of them')
}

/** When the program has ended and its output was read. Must be called at once, or its end may be missed. */
function exitOf(child: Child): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })))
}

function collect(stream: Readable): () => string {
  let text = ''
  stream.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-STDERR_KEPT)
  })
  return () => text.trim()
}

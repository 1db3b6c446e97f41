/**
 * `conntrack-wasm/pool`: a tracker on several cores. All workers see all packets; each tracks those of its hosts (see
 * {@link Shard}), so that no packet needs two of them and the order of packets is kept where it matters.
 */
import type { PacketBatch } from './batch.js'
import { ConntrackError, type ConntrackErrorCode } from './errors.js'
import { layOut, sizeOf, type Answer, type Layout, type PoolTrackerOptions, type Request, type Rows } from './pool/protocol.js'
import { startThread, type Thread, type WebWorker } from './pool/thread.js'
import { checkBatch } from './tracker.js'
import type { Connection, Expectation, Statistics, VerdictBatch } from './types.js'

export { ConntrackError } from './errors.js'
export type { ConntrackErrorCode } from './errors.js'
export type { WebWorker } from './pool/thread.js'

/** What a pool is made with: a tracker's options, but for those that are functions or about single packets. */
export interface PoolOptions extends Omit<PoolTrackerOptions, 'shard' | 'batchSize'> {
  /** How many workers, 1 to 255. Default 2. */
  readonly workers?: number
  /**
   * Seed of the tables' hashes and of the way packets are shared out, a whole number, for reproducible runs; random
   * otherwise.
   */
  readonly hashSeed?: number
  /**
   * Helpers by name, `ftp` or `ftp=2121,2122`: those whose announcements are about the two hosts that speak. `irc`, `h323`,
   * `netbios-ns` and `snmp` expect other hosts, whose packets other workers would get; they are refused.
   */
  readonly helpers?: readonly string[]
  /** Makes a Web Worker that runs `conntrack-wasm/pool-worker`, for bundlers that must see where it comes from. */
  readonly worker?: () => WebWorker
}

/** Helpers that expect nothing of hosts that do not speak. */
const HELPERS: readonly string[] = ['amanda', 'ftp', 'pptp', 'sane', 'sip', 'tftp']
const MAX_WORKERS = 255
const DEFAULT_MAX = 262_144
const TRACKER_OPTIONS = [
  'maxConnections', 'sysctl', 'notrack', 'drop', 'zone', 'timeouts', 'history', 'checksum',
] as const satisfies readonly (keyof PoolTrackerOptions)[]
const OPTIONS: readonly string[] = [...TRACKER_OPTIONS, 'workers', 'hashSeed', 'helpers', 'worker']

/**
 * Makes a tracker that works on several cores at once. Batches should be large, thousands of packets, since each is a
 * message to every worker: `readCapture(source, { batchSize: 16_384 })`.
 *
 * Verdicts are those of one tracker. Each worker has its part of `maxConnections`, and its own memory for fragments: what
 * a full table does depends on which hosts fall to one worker.
 *
 * @throws ConntrackError `invalid-argument`; what a tracker's options have wrong is told by the first call
 */
export function createTrackerPool(options: PoolOptions = {}): TrackerPool {
  return new TrackerPool(options)
}

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: ConntrackError) => void
}

/** A worker and the answers that are awaited from it. */
class Member {
  readonly #waiting = new Map<number, Waiting>()
  readonly #thread: Promise<Thread>
  #failure: ConntrackError | null = null
  #lastId = 0

  constructor(make: (() => WebWorker) | undefined) {
    const failed = (why: string) => this.fail(new ConntrackError('worker-failed', `a worker of the pool has failed: ${why}`))
    this.#thread = startThread(make, { answered: answer => this.#answered(answer), failed })
    this.#thread.catch(error => failed(String(error)))
  }

  /** Asks for something; requests are answered in order. */
  async ask(make: (id: number) => Request, transfer: ArrayBuffer[] = []): Promise<unknown> {
    const thread = await this.#thread.catch(() => null)
    if (this.#failure || !thread) throw this.#failure
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      thread.post(make(id), transfer)
    })
  }

  #answered({ id, result, error, ...rest }: Answer & { readonly buffer?: ArrayBuffer }): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) waiting?.reject(new ConntrackError(error.code, error.message))
    else waiting?.resolve(rest.buffer ?? result)
  }

  /** No answer will come any more. */
  fail(error: ConntrackError): void {
    this.#failure ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
  }

  end(): void {
    this.fail(new ConntrackError('closed', 'the pool is closed'))
    void this.#thread.then(thread => thread.end(), () => {})
  }
}

/** A tracker on several cores; every answer is a promise, and answers come in the order of the questions. */
export class TrackerPool implements AsyncDisposable {
  readonly #members: readonly Member[]
  readonly #ready: Promise<unknown>
  /** Memory of batches that have been answered. */
  #spare: SharedArrayBuffer[] = []
  #closed = false

  /** Use `createTrackerPool`. */
  constructor(options: PoolOptions) {
    const { workers, helpers, tracker, seed } = checkOptions(options)
    this.#members = Array.from({ length: workers }, () => new Member(options.worker))
    this.#ready = Promise.all(this.#members.map((member, index) => member.ask(id => ({
      kind: 'make', id, helpers, options: { ...tracker, hashSeed: seed, shard: { index, of: workers, seed } },
    }))))
    this.#ready.catch(() => {}) // it is told by the calls
  }

  /**
   * Classifies a batch of packets, in order. Further batches may be given before this one is answered; their bytes are
   * copied before the call returns.
   *
   * @returns columns of its own, as `Tracker.trackBatch` gives them; `connection` ids are those of `connections()`
   * @throws ConntrackError `invalid-argument`, `closed`, `worker-failed`
   */
  async trackBatch(batch: PacketBatch): Promise<VerdictBatch> {
    this.#open()
    checkBatch(batch, Infinity)
    const { low, high } = extent(batch)
    const bytes = high - low
    if (canShare()) return this.#trackShared(batch, low, bytes)
    const parts = this.#members.map(() => fill(new ArrayBuffer(sizeOf(batch.count, bytes)), batch, low, bytes))
    return this.#trackCopied(parts, batch.count, bytes)
  }

  async #trackShared(batch: PacketBatch, low: number, bytes: number): Promise<VerdictBatch> {
    const { count } = batch
    const buffer = this.#buffer(sizeOf(count, bytes))
    const { rows } = fill(buffer, batch, low, bytes)
    await this.#ask(id => ({ kind: 'track', id, buffer, count, bytes }))
    const result = { count, ...mapRows(rows, column => column.slice()) } // slices of shared memory are not shared
    this.#spare.push(buffer)
    return result
  }

  async #trackCopied(parts: readonly Layout[], count: number, bytes: number): Promise<VerdictBatch> {
    const buffers = await Promise.all(this.#members.map((member, i) => {
      const buffer = parts[i].data.buffer as ArrayBuffer
      return member.ask(id => ({ kind: 'track', id, buffer, count, bytes }), [buffer]) as Promise<ArrayBuffer>
    }))
    return { count, ...merged(buffers.map(buffer => layOut(buffer, count, bytes).rows)) }
  }

  /** Memory for a batch: what an earlier one no longer needs, if it is large enough. */
  #buffer(size: number): SharedArrayBuffer {
    const found = this.#spare.findIndex(buffer => buffer.byteLength >= size)
    if (found >= 0) return this.#spare.splice(found, 1)[0]
    this.#spare = []
    return new SharedArrayBuffer(2 ** Math.ceil(Math.log2(size)))
  }

  /** Counters of all workers together. */
  async statistics(): Promise<Statistics> {
    return (await this.#ask(id => ({ kind: 'statistics', id })) as Statistics[]).reduce(sum)
  }

  /** The live connections of all workers, each worker's in the order in which they were first seen. */
  async connections(): Promise<Connection[]> {
    return (await this.#ask(id => ({ kind: 'connections', id })) as Connection[][]).flat()
  }

  /** What connections have announced and nobody has opened yet. */
  async expectations(): Promise<Expectation[]> {
    return (await this.#ask(id => ({ kind: 'expectations', id })) as Expectation[][]).flat()
  }

  /** Lets time pass without a packet, nanoseconds since 1970. */
  async advance(time: bigint): Promise<void> {
    await this.#ask(id => ({ kind: 'advance', id, time }))
  }

  /** Changes a sysctl of all workers; see `Tracker.setSysctl`. */
  async setSysctl(name: string, value: number): Promise<void> {
    await this.#ask(id => ({ kind: 'setSysctl', id, name, value }))
  }

  /** Ends the workers; what they have not answered is rejected with `closed`. */
  close(): void {
    this.#closed = true
    for (const member of this.#members) member.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  async #ask(make: (id: number) => Request): Promise<unknown[]> {
    this.#open()
    const [, ...answers] = await Promise.all([this.#ready, ...this.#members.map(member => member.ask(make))])
    return answers
  }

  #open(): void {
    if (this.#closed) throw new ConntrackError('closed', 'the pool is closed')
  }
}

/** Whether workers can look at the same memory; in pages only where they are isolated from other origins. */
function canShare(): boolean {
  const { crossOriginIsolated = true } = globalThis as { crossOriginIsolated?: boolean }
  return typeof SharedArrayBuffer === 'function' && crossOriginIsolated
}

/** Where the bytes of a batch begin and end. */
function extent({ count, data, offset, length }: PacketBatch): { low: number; high: number } {
  let low = count > 0 ? Infinity : 0
  let high = 0
  for (let i = 0; i < count; i++) {
    low = Math.min(low, offset[i])
    high = Math.max(high, offset[i] + length[i])
  }
  if (high > data.length) throw invalid('a packet of the batch lies outside of its data')
  return { low, high }
}

function fill(buffer: ArrayBufferLike, batch: PacketBatch, low: number, bytes: number): Layout {
  const { count, data } = batch
  const layout = layOut(buffer, count, bytes)
  layout.data.set(data.subarray(low, low + bytes))
  for (const name of ['seconds', 'length', 'originalLength', 'nanoseconds', 'linkType'] as const) {
    layout.columns[name].set(batch[name].subarray(0, count))
  }
  for (let i = 0; i < count; i++) layout.columns.offset[i] = batch.offset[i] - low
  return layout
}

function mapRows(rows: Rows, map: (column: Rows[keyof Rows]) => Rows[keyof Rows]): Rows {
  return Object.fromEntries(Object.entries(rows).map(([name, column]) => [name, map(column)])) as unknown as Rows
}

/** Every row was written by one worker, and is zeros with the others. */
function merged([first, ...others]: readonly Rows[]): Rows {
  for (const rows of others) {
    for (const name of Object.keys(first) as (keyof Rows)[]) {
      for (let i = 0; i < rows[name].length; i++) if (rows[name][i] !== 0) first[name][i] = rows[name][i]
    }
  }
  return first
}

/** Numbers are added up, objects field by field; what is neither is the first's. */
function sum<T>(one: T, other: T): T {
  if (typeof one === 'number' && typeof other === 'number') return one + other as T
  if (typeof one !== 'object' || one === null) return one
  const fields = new Set([...Object.keys(one), ...Object.keys(other as object)]) as Set<keyof T>
  const at = (object: T, name: keyof T, like: unknown) => object[name] ?? (typeof like === 'number' ? 0 : {})
  return Object.fromEntries([...fields].map(name => [name, sum(at(one, name, other[name]), at(other, name, one[name]))])) as T
}

function checkOptions(options: PoolOptions) {
  if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
  const unknown = Object.keys(options).find(name => !OPTIONS.includes(name))
  if (unknown !== undefined) throw invalid(`unknown option '${unknown}'`)
  const { workers = 2, hashSeed, helpers = [], maxConnections = options.sysctl?.max ?? DEFAULT_MAX } = options
  if (!Number.isInteger(workers) || workers < 1 || workers > MAX_WORKERS) throw invalid(`workers must be from 1 to ${MAX_WORKERS}`)
  if (hashSeed !== undefined && !Number.isSafeInteger(hashSeed)) throw invalid('hashSeed must be a whole number')
  if (!Array.isArray(helpers)) throw invalid('helpers must be an array of names')
  const given = Object.fromEntries(TRACKER_OPTIONS.flatMap(name => options[name] === undefined ? [] : [[name, options[name]]]))
  return {
    workers, helpers: helpers.map(readHelper), seed: hashSeed === undefined ? randomSeed() : Math.abs(hashSeed),
    tracker: { ...given, maxConnections: Math.ceil(maxConnections / workers) } as PoolTrackerOptions,
  }
}

function readHelper(text: unknown): { name: string; ports?: readonly number[] } {
  const [, name, ports] = /^([a-z-]+)(?:=([\d,]+))?$/.exec(String(text)) ?? []
  if (!HELPERS.includes(name)) throw invalid(`helper '${String(text)}': a pool can have ${HELPERS.join(', ')}`)
  return { name, ...(ports === undefined ? {} : { ports: ports.split(',').map(Number) }) }
}

function randomSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2))
  return (high & 0x1fffff) * 2 ** 32 + low
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument' satisfies ConntrackErrorCode, message)
}

/**
 * `conntrack-wasm/pool`: a tracker on several cores. Packets are shared out by their hosts (see {@link Shard}), so that no
 * packet needs two workers and the order of packets is kept where it matters.
 */
import type { PacketBatch } from './batch.js'
import { ConntrackError, type ConntrackErrorCode } from './errors.js'
import { VERDICT_COLUMNS, type Piece } from './border.js'
import { cut } from './pool/place.js'
import { Places } from './pool/places.js'
import {
  batchIn, verdictsIn, type Answer, type PoolExpectation, type PoolTrackerOptions, type Request, type TrackedCopy,
} from './pool/protocol.js'
import { startThread, type Thread, type WebWorker } from './pool/thread.js'
import { checkBatch } from './tracker.js'
import type { Connection, Statistics, VerdictBatch } from './types.js'

export { ConntrackError } from './errors.js'
export type { ConntrackErrorCode } from './errors.js'
export type { PoolExpectation } from './pool/protocol.js'
export type { WebWorker } from './pool/thread.js'

/** What a pool is made with: a tracker's options, but for those that are functions or about single packets. */
export interface PoolOptions extends PoolTrackerOptions {
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
 * Verdicts are those of one tracker, but for three things that hosts of several workers share. Each worker has its part of
 * `maxConnections`: what a full table does depends on which hosts fall to one worker. Each has its own memory for
 * fragments and counts the distance between them (`ipfrag_max_dist`) over its own hosts. And an ICMP error that comes in
 * fragments (RFC 1812 and RFC 4443 want it short enough not to) is told by its own addresses, not by those it quotes.
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

  constructor(make: (() => WebWorker) | undefined, fail: (error: ConntrackError) => void) {
    const failed = (why: string) => fail(new ConntrackError('worker-failed', `a worker of the pool has failed: ${why}`))
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

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) waiting?.reject(new ConntrackError(error.code, error.message))
    else waiting?.resolve(result)
  }

  /** Ends the worker: no answer will come any more. */
  end(error: ConntrackError): void {
    this.#failure ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
    void this.#thread.then(thread => thread.end(), () => {})
  }
}

/** A tracker on several cores; every answer is a promise, and answers come in the order of the questions. */
export class TrackerPool implements AsyncDisposable {
  readonly #members: readonly Member[]
  readonly #places = new Places()
  readonly #ready: Promise<unknown>
  #closed = false

  /** Use `createTrackerPool`. */
  constructor(options: PoolOptions) {
    const { workers, helpers, tracker, seed } = checkOptions(options)
    const { shared, addresses: places } = this.#places
    // Others wait for what a worker was about to do: none goes on without it.
    this.#members = Array.from({ length: workers }, () => new Member(options.worker, error => this.#end(error)))
    this.#ready = Promise.all(this.#members.map((member, index) => member.ask(id => ({
      kind: 'make', id, shard: { index, of: workers, seed }, helpers, options: { ...tracker, hashSeed: seed }, shared, places,
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
    const pieces = cut(batch)
    if (!pieces) throw invalid('a packet of the batch lies outside of its data')
    const verdicts = emptyVerdicts(batch.count)
    const kept = this.#places.has(pieces.length) ? batch : copyOf(batch)
    await Promise.all([this.#ready, ...pieces.map(piece => this.#inTurn(place => this.#track(kept, piece, place, verdicts)))])
    return verdicts
  }

  /** Does something with a place for a batch, after all that was asked for before. */
  #inTurn<T>(use: (place: number) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#places.take(number => {
        use(number).then(resolve, reject).finally(() => this.#places.give(number))
      })
    })
  }

  async #track(batch: PacketBatch, piece: Piece, number: number, verdicts: VerdictBatch): Promise<void> {
    const place = this.#places.at(number)
    if (!place) return this.#trackCopies(batch, piece, verdicts)
    const zero = place.fill(batch, piece)
    const count = piece.to - piece.from
    await Promise.all(this.#members.map(member => member.ask(id => ({ kind: 'track', id, place: number, count, zero }))))
    place.copyVerdicts(count, verdicts, piece.from)
  }

  /** Sends each worker a copy, and puts together the verdicts that each sends back. */
  async #trackCopies(batch: PacketBatch, { from, to, low, high }: Piece, verdicts: VerdictBatch): Promise<void> {
    const [count, bytes] = [to - from, high - low]
    const answers = this.#members.map(member => {
      const copy = batchIn(count, bytes)
      copy.data.set(batch.data.subarray(low, high))
      for (const name of COLUMNS) copy[name].set(batch[name].subarray(from, to))
      for (let i = 0; i < count; i++) copy.offset[i] -= low
      const buffer = copy.data.buffer as ArrayBuffer
      return member.ask(id => ({ kind: 'trackCopy', id, buffer, count, bytes }), [buffer]) as Promise<TrackedCopy>
    })
    for (const { buffer, count: own } of await Promise.all(answers)) scatter(verdictsIn(own, buffer), verdicts, from)
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
  async expectations(): Promise<PoolExpectation[]> {
    return (await this.#ask(id => ({ kind: 'expectations', id })) as PoolExpectation[][]).flat()
  }

  /** Lets time pass without a packet, nanoseconds since 1970. */
  async advance(time: bigint): Promise<void> {
    if (typeof time !== 'bigint') throw invalid('time must be a bigint, in nanoseconds')
    await this.#ask(id => ({ kind: 'advance', id, time }))
  }

  /** Changes a sysctl of all workers; see `Tracker.setSysctl`. */
  async setSysctl(name: string, value: number): Promise<void> {
    await this.#ask(id => ({ kind: 'setSysctl', id, name, value }))
  }

  /** Ends the workers; what they have not answered is rejected with `closed`. */
  close(): void {
    this.#closed = true
    this.#end(new ConntrackError('closed', 'the pool is closed'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #end(error: ConntrackError): void {
    for (const member of this.#members) member.end(error)
  }

  /** Asks all workers the same, after all that was asked before. */
  async #ask(make: (id: number) => Request): Promise<unknown[]> {
    this.#open()
    const answers = this.#inTurn(() => Promise.all(this.#members.map(member => member.ask(make))))
    const [, found] = await Promise.all([this.#ready, answers])
    return found
  }

  #open(): void {
    if (this.#closed) throw new ConntrackError('closed', 'the pool is closed')
  }
}

const COLUMNS = ['offset', 'length', 'originalLength', 'seconds', 'nanoseconds', 'linkType'] as const

/** Brings verdicts to the rows that they are of, `from` rows further on. */
function scatter(part: VerdictBatch & { readonly rows: Uint32Array }, verdicts: VerdictBatch, from: number): void {
  const { rows } = part
  for (const name of VERDICT_COLUMNS) {
    const [source, target] = [part[name], verdicts[name]]
    for (let i = 0; i < rows.length; i++) target[from + rows[i]] = source[i]
  }
}

function emptyVerdicts(count: number): VerdictBatch {
  const byte = () => new Uint8Array(count)
  const word = () => new Uint32Array(count)
  return {
    count, timeoutNs: new Float64Array(count), connection: word(), networkOffset: word(), transportOffset: word(), state: byte(),
    direction: byte(), reason: byte(), protocolState: byte(), flags: byte(), protocol: byte(), family: byte(),
  }
}

/** A batch that nobody else changes. */
function copyOf({ count, data, ...columns }: PacketBatch): PacketBatch {
  const own = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column.slice(0, count)]))
  return { count, data: data.slice(), ...own as unknown as typeof columns }
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
  if (!Number.isSafeInteger(maxConnections)) throw invalid('maxConnections must be a whole number')
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

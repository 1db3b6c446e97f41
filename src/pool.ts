/**
 * `conntrack-wasm/pool`: a tracker on several cores. Packets are shared out by their hosts (see {@link Shard}), so that no
 * packet needs two workers and the order of packets is kept where it matters.
 */
import { checkBatch, type PacketBatch } from './batch.js'
import { ConntrackError, type ConntrackErrorCode } from './errors.js'
import type { Piece } from './border.js'
import { trackApart } from './pool/apart.js'
import { Member } from './pool/member.js'
import { cut, ROOM } from './pool/place.js'
import type { CallRequest, PoolExpectation, PoolTrackerOptions } from './pool/protocol.js'
import { ENTRIES } from './pool/ring.js'
import { shareCore } from './pool/shared-core.js'
import type { WebWorker } from './pool/thread.js'
import { Together } from './pool/together.js'
import { Turns } from './pool/turns.js'
import { emptyVerdicts } from './pool/verdicts.js'
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
 * Makes a tracker that works on several cores at once. Batches should be large, thousands of packets, since each has a
 * price of its own, `readCapture(source, { batchSize: 16_384 })`, and some of them given before the first is answered.
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

/** A tracker on several cores; every answer is a promise, and answers come in the order of the questions. */
export class TrackerPool implements AsyncDisposable {
  readonly #members: readonly Member[]
  readonly #turns = new Turns(ENTRIES, busy => { for (const member of this.#members) member.hold(busy) })
  /** Null where workers have memory of their own. */
  readonly #together: Together | null
  readonly #ready: Promise<unknown>
  #closed = false

  /** Use `createTrackerPool`. */
  constructor(options: PoolOptions) {
    const { workers, helpers, tracker, seed } = checkOptions(options)
    const shared = shareCore()
    // Others wait for what a worker was about to do: none goes on without it.
    const listeners = { told: () => this.#together!.told(), failed: (error: ConntrackError) => this.#end(error) }
    this.#members = Array.from({ length: workers }, () => new Member(options.worker, listeners))
    this.#together = shared && new Together(shared, this.#members, seed)
    this.#ready = this.#turns.take(() => Promise.all(this.#members.map((member, index) => member.ask(id => ({
      kind: 'make', id, shard: { index, of: workers, seed }, helpers, options: { ...tracker, hashSeed: seed }, shared,
    })))))
    this.#ready.catch(error => this.#end(error as ConntrackError)) // the calls tell it
  }

  /**
   * Classifies a batch of packets, in order. Further batches may be given before this one is answered; their bytes are
   * copied before the call returns.
   *
   * @returns columns as `Tracker.trackBatch` gives them, over the pool's memory, good until four batches more have been given;
   * `connection` ids are those of `connections()`
   * @throws ConntrackError `invalid-argument`, `closed`, `worker-failed`
   */
  async trackBatch(batch: PacketBatch): Promise<VerdictBatch> {
    this.#open()
    checkBatch(batch, Infinity)
    const inPlace = this.#together?.has(batch) ?? false
    const pieces = cut(batch, inPlace ? Infinity : ROOM)
    if (!pieces) throw invalid('a packet of the batch lies outside of its data')
    this.#together?.count()
    const kept = this.#turns.has(pieces.length) ? { batch, pieces } : copyOf(batch, pieces, inPlace)
    const into = pieces.length === 1 ? null : emptyVerdicts(batch.count)
    const answers = Promise.all(kept.pieces.map(piece => this.#turns.take(turn => this.#track(kept.batch, piece, turn, into))))
    const [, [verdicts = into]] = await Promise.all([this.#ready, answers])
    return verdicts!
  }

  /**
   * Memory for packets, so many bytes of zeros, that all workers see: packets of batches whose `data` lies in it are not
   * copied, and must stay as they are until the batch is answered. It is part of the pool's memory (4 GiB, tables included)
   * to the end. Where memory cannot be shared it is like any other.
   *
   * @throws ConntrackError `invalid-argument` where there is none left, `closed`
   */
  allocate(bytes: number): Uint8Array {
    this.#open()
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw invalid('bytes must be a whole number')
    return this.#together?.allocate(bytes) ?? new Uint8Array(bytes)
  }

  #track(batch: PacketBatch, piece: Piece, turn: number, into: VerdictBatch | null): Promise<VerdictBatch> {
    if (this.#together) return this.#together.track(batch, piece, turn, into)
    return trackApart(batch, piece, this.#members, into)
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
    this.#together?.end(error)
    for (const member of this.#members) member.end(error)
  }

  /** Asks all workers the same, after all that was asked before. */
  async #ask(make: (id: number) => CallRequest): Promise<unknown[]> {
    this.#open()
    const answers = this.#turns.take(() => {
      this.#together?.call()
      return Promise.all(this.#members.map(member => member.ask(make)))
    })
    const [, found] = await Promise.all([this.#ready, answers])
    return found
  }

  #open(): void {
    if (this.#closed) throw new ConntrackError('closed', 'the pool is closed')
  }
}

/** A batch in pieces that nobody else changes, but for packets `inPlace`. */
function copyOf(batch: PacketBatch, pieces: readonly Piece[], inPlace: boolean): { batch: PacketBatch; pieces: readonly Piece[] } {
  const { count, data, offset, length, originalLength, seconds, nanoseconds, linkType } = batch
  const first = pieces.reduce((lowest, { low }) => Math.min(lowest, low), Infinity)
  const end = pieces.reduce((highest, { high }) => Math.max(highest, high), first)
  const shift = inPlace ? 0 : first
  const own = {
    count, data: inPlace ? data : data.slice(first, end), offset: offset.slice(0, count).map(at => at - shift),
    length: length.slice(0, count), originalLength: originalLength.slice(0, count), seconds: seconds.slice(0, count),
    nanoseconds: nanoseconds.slice(0, count), linkType: linkType.slice(0, count),
  }
  return { batch: own, pieces: pieces.map(({ from, to, low, high }) => ({ from, to, low: low - shift, high: high - shift })) }
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

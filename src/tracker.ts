/** The tracker: the SDK's one object. */
import type { PacketBatch } from './batch.js'
import { BATCH_SIZE, Core, HASH_KEYS } from './border.js'
import { coreModule } from './core-module.js'
import { ConntrackError } from './errors.js'
import { explainPacket } from './explain.js'
import { LINK_TYPES, linkTypeNumber, type LinkTypeName } from './link-types.js'
import { addressBytes, compileMatch, protocolNumber } from './match.js'
import {
  DIRECTIONS, REASONS, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED, type Reason,
  type State,
} from './names.js'
import { checkThresholds, SYSCTLS, sysctlName, sysctlValue } from './sysctl.js'
import type {
  Connection, ConnectionEvent, ConnectionEventKind, Explanation, PacketMatch, Statistics, TupleQuery, Verdict, VerdictBatch,
} from './types.js'

/** How checksums are taken. */
export type ChecksumMode = 'verify' | 'offload' | 'ignore'
const CHECKSUM_MODES: readonly ChecksumMode[] = ['verify', 'offload', 'ignore']

/** What a tracker is made with. Everything may be left out. */
export interface TrackerOptions {
  /** Connections the table holds at most (`nf_conntrack_max`), 1 to 16,777,216. Memory is sized by it, once. Default 262,144. */
  readonly maxConnections?: number
  /** Seed of the table's hash, for reproducible runs; random otherwise, as it must be where others choose the packets. */
  readonly hashSeed?: number | bigint | Uint8Array
  /**
   * Sysctls by Linux's names without `nf_conntrack_`, and `ipfrag_` ones of `net.ipv4`; see `SYSCTLS`. Memory is laid
   * out for the high thresholds of reassembly that are given here, or their defaults: they can be set no higher later.
   */
  readonly sysctl?: Readonly<Record<string, number>>
  /** Packets not to be tracked (the raw table's NOTRACK); 64 matches at most. */
  readonly notrack?: readonly PacketMatch[]
  /** Packets that rules drop behind the tracker, so that they confirm no connection; 64 matches at most. */
  readonly drop?: readonly PacketMatch[]
  /**
   * `verify` (default): as Linux does with packets from the wire. `offload`: a checksum that the capturing host left to
   * its network card counts as right. `ignore`: none is looked at.
   */
  readonly checksum?: ChecksumMode
  /** Packets that `trackBatch` takes at most, 1 to 65,536. Default 256. */
  readonly batchSize?: number
  /** Remember which packet set what, for `explain` of batches and for `entry`; 64 bytes a connection. */
  readonly explain?: boolean
  /** The core, compiled; for hosts that have it as a module (`conntrack-wasm/core.wasm`). */
  readonly module?: WebAssembly.Module
}

/** The names of all options: what is not among them is refused, not overlooked. */
const OPTIONS: readonly string[] = Object.keys({
  maxConnections: 0, hashSeed: 0, sysctl: 0, notrack: 0, drop: 0, checksum: 0, batchSize: 0, explain: 0, module: 0,
} satisfies Record<keyof TrackerOptions, 0>)

/** What `track` needs to know of a packet. */
export interface PacketInfo {
  /** Nanoseconds since 1970. Default: the tracker's clock, so that no time has passed. */
  readonly time?: bigint
  /** How the bytes start: a name from `LINK_TYPES` or a LINKTYPE_ number. Default `raw`: with the IP header. */
  readonly linkType?: LinkTypeName | number
  /** Bytes the packet had on the wire, where fewer were captured. */
  readonly originalLength?: number
}

export type ConnectionListener = (event: ConnectionEvent) => void

/** Places of the core's counters (COUNTER_ in assembly/01-records.ts). */
const Counter = {
  packets: 0, invalid: 1, error: 2, drop: 3, earlyDrop: 4, insertFailed: 5, offloaded: 6, confirmed: 7, removed: 8,
  states: 16, reasons: 24, protocols: 96,
} as const

const RAW = LINK_TYPES.raw
const MAX_CONNECTIONS = 1 << 24
const MAX_BATCH = 1 << 16

/**
 * Makes a tracker: a connection table of its own, with Linux's defaults.
 *
 * @throws ConntrackError `invalid-argument`, `unknown-sysctl`, `sysctl-range`, `wrong-core`
 */
export function createTracker(options: TrackerOptions = {}): Tracker {
  return new Tracker(options)
}

/** A connection tracker: packets in, Linux's verdicts out. Its clock is that of the packets and never goes back. */
export class Tracker implements Disposable {
  readonly #core: Core
  readonly #listeners: Record<ConnectionEventKind, Set<ConnectionListener>> = { new: new Set(), update: new Set(), destroy: new Set() }
  readonly #sysctl: Record<string, number> = {}
  /** What memory was laid out for: these are set no higher. */
  readonly #most: Record<string, number> = { ipfrag_high_thresh: 0, frag6_high_thresh: 0 }
  readonly #explain: boolean
  readonly #maxConnections: number
  #last: VerdictBatch | null = null
  #recorded = false
  #busy = false
  #closed = false

  /** Use `createTracker`. */
  constructor(options: TrackerOptions) {
    if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
    const unknown = Object.keys(options).find(name => !OPTIONS.includes(name))
    if (unknown !== undefined) throw invalid(`unknown option '${unknown}'; known are: ${OPTIONS.join(', ')}`)
    this.#maxConnections = whole('maxConnections', options.maxConnections ?? 262_144, 1, MAX_CONNECTIONS)
    const batchSize = whole('batchSize', options.batchSize ?? BATCH_SIZE, 1, MAX_BATCH)
    const mode = CHECKSUM_MODES.indexOf(options.checksum ?? 'verify')
    if (mode < 0) throw invalid(`checksum must be one of ${CHECKSUM_MODES.join(', ')}`)
    const sysctl = Object.entries(options.sysctl ?? {}).map(([name, value]) => {
      const known = sysctlName(name)
      return [known, sysctlValue(known, value)] as const
    })
    const notrack = list('notrack', options.notrack).map(compileMatch)
    const drop = list('drop', options.drop).map(compileMatch)
    for (const [name, { initial }] of Object.entries(SYSCTLS)) this.#sysctl[name] = initial
    for (const [name, value] of sysctl) this.#sysctl[name] = value
    this.#explain = options.explain ?? false
    checkThresholds(this.#sysctl)
    for (const name of Object.keys(this.#most)) this.#most[name] = Math.max(this.#sysctl[name], SYSCTLS[name].initial)
    const fragmentBytes = [this.#most.ipfrag_high_thresh, this.#most.frag6_high_thresh] as const
    const acct = this.#sysctl.acct === 1
    this.#core = new Core(
      options.module ?? coreModule, this.#maxConnections, batchSize, this.#explain, acct, fragmentBytes)
    for (const [name, value] of sysctl) this.#core.setSysctl(name, value)
    this.#core.setHashKeys(hashKeys(options.hashSeed))
    this.#core.configure(mode, notrack, drop)
  }

  /**
   * Classifies one packet.
   *
   * @param bytes the packet as captured, from its link-layer header on (`raw`: from its IP header)
   * @throws ConntrackError only for misuse (`invalid-argument`, `closed`, `re-entrant`): any bytes get a verdict
   */
  track(bytes: Uint8Array, info: PacketInfo = {}): Verdict {
    if (!(bytes instanceof Uint8Array)) throw invalid('a packet must be a Uint8Array')
    if (typeof info !== 'object' || info === null) throw invalid('what is known of a packet must be an object')
    const time = info.time ?? this.#clock()
    if (typeof time !== 'bigint') throw invalid('time must be a bigint, in nanoseconds')
    const wireLength = originalLength(bytes, info.originalLength)
    const linkType = info.linkType === undefined ? RAW : linkTypeNumber(info.linkType)
    this.#enter()
    this.#recorded = true
    this.#last = this.#core.trackOne(bytes, wireLength, linkType, clampTime(time))
    return this.#verdict(this.#last, 0)
  }

  /**
   * Classifies a batch of packets, in order.
   *
   * @returns columns over the tracker's memory, good until its next call
   * @throws ConntrackError `batch-too-large` over `batchSize` packets, `invalid-argument` where columns are too short or a
   * packet lies outside of the batch's data, `closed`, `re-entrant`
   */
  trackBatch(batch: PacketBatch): VerdictBatch {
    checkBatch(batch, this.#core.batchSize)
    this.#enter()
    this.#recorded = this.#explain
    this.#last = this.#core.track(batch, this.#explain)
    return this.#last
  }

  /** Verdict `index` of a batch as an object. */
  #verdict(verdicts: VerdictBatch, index: number): Verdict {
    const connection = verdicts.connection[index]
    const flags = verdicts.flags[index]
    return {
      packet: this.#core.packets - verdicts.count + index + 1,
      state: STATES[verdicts.state[index]] as State | null,
      direction: DIRECTIONS[verdicts.direction[index]],
      reason: REASONS[verdicts.reason[index]] as Reason | null,
      connection: connection || null,
      dropped: (flags & VERDICT_DROPPED) !== 0,
      tcpState: tcpStateName(verdicts.protocolState[index]),
      sctpState: sctpStateName(verdicts.protocolState[index]),
      assured: connection ? (flags & VERDICT_ASSURED) !== 0 : null,
      timeoutMs: connection ? Math.floor(verdicts.timeoutNs[index] / 1e6) : null,
    }
  }

  /** The live connections, in the order in which they were first seen. What expired by now is removed first. */
  *connections(): IterableIterator<Connection> {
    this.#enter()
    this.#core.advance(this.#core.now)
    const known = this.#core.slots().map(slot => [slot, this.#core.idIn(slot)] as const)
    for (const [slot, id] of known) {
      this.#enter()
      if (this.#core.idIn(slot) === id) yield this.#core.connection(slot)
    }
  }

  /** The live connection with this id, or `null`. Looks at the whole table. */
  connection(id: number): Connection | null {
    this.#enter()
    const slot = this.#core.slotOfId(whole('id', id, 0, 0xffffffff))
    return slot ? this.#core.connection(slot) : null
  }

  /**
   * The live connection that a tuple belongs to, in either direction, or `null`.
   *
   * @throws ConntrackError `invalid-argument` for what is no tuple
   */
  find(tuple: TupleQuery): Connection | null {
    this.#enter()
    if (typeof tuple !== 'object' || tuple === null) throw invalid('a tuple must be an object')
    const slot = this.#slotOf(tuple)
    return slot ? this.#core.connection(slot) : null
  }

  #slotOf(tuple: TupleQuery): number {
    const protocol = protocolNumber(tuple.protocol)
    const src = addressBytes(tuple.src)
    const dst = addressBytes(tuple.dst)
    if (src.length !== dst.length) throw invalid('src and dst of a tuple are of different IP versions')
    return this.#core.slotOfTuple(src.length === 4 ? 4 : 6, protocol, src, dst, transportBytes(protocol, tuple))
  }

  /** Removes a connection, as `conntrack -D` does. Returns whether it was there. */
  delete(id: number): boolean {
    this.#enter()
    const slot = this.#core.slotOfId(whole('id', id, 0, 0xffffffff))
    if (slot) this.#core.remove(slot)
    return slot !== 0
  }

  /**
   * The connection right after packet `index` of the last batch: the table entry that its verdict is about, or `null`.
   *
   * @throws ConntrackError `not-remembered` unless the tracker was made with `explain`
   */
  entry(index: number): Connection | null {
    const last = this.#recordedBatch()
    whole('index', index, 0, last.count - 1)
    return last.connection[index] ? this.#core.record(index).after : null
  }

  /** Counters since creation. */
  statistics(): Statistics {
    this.#open()
    const core = this.#core
    const counter = (index: number) => core.counter(index)
    const entries = <T extends string>(names: readonly (T | null)[], at: number, none: string) =>
      Object.fromEntries(names.map((name, i) => [name ?? none, counter(at + i)]))
    const reasons = Object.entries(entries(REASONS, Counter.reasons, '')).filter(([name, n]) => name !== '' && n > 0)
    const protocols = Array.from({ length: 256 }, (_, i) => [i, counter(Counter.protocols + i)]).filter(([, n]) => n > 0)
    return {
      packets: counter(Counter.packets),
      states: entries(STATES, Counter.states, 'none') as Statistics['states'],
      reasons: Object.fromEntries(reasons),
      protocols: Object.fromEntries(protocols),
      entries: core.entries,
      maxConnections: this.#maxConnections,
      offloadedChecksums: counter(Counter.offloaded),
      counters: {
        found: 0,
        invalid: counter(Counter.invalid),
        insert: 0,
        insert_failed: counter(Counter.insertFailed),
        drop: counter(Counter.drop),
        early_drop: counter(Counter.earlyDrop),
        error: counter(Counter.error),
        search_restart: 0,
        clash_resolve: 0,
        chaintoolong: 0,
      },
    }
  }

  /**
   * Lets time pass without a packet: what has expired by `time` (nanoseconds since 1970) is removed. The clock never
   * goes back.
   */
  advance(time: bigint): void {
    if (typeof time !== 'bigint') throw invalid('time must be a bigint, in nanoseconds')
    this.#enter()
    this.#core.advance(clampTime(time))
  }

  /**
   * Why a packet got its verdict: the rule, its numbers, the packets that set them, the sysctl that would change it.
   *
   * @param packet the verdict that `track` gave, or the packet's number (1 is the first this tracker was given). The
   * packets of the last call are remembered: after `track` always, after `trackBatch` with the option `explain`, which
   * also remembers who set the numbers.
   * @throws ConntrackError `not-remembered`
   */
  explain(packet: number | Verdict): Explanation {
    const last = this.#recordedBatch()
    const number = typeof packet === 'object' && packet !== null ? packet.packet : packet
    const index = number - (this.#core.packets - last.count + 1)
    if (!(typeof number === 'number' && Number.isInteger(index) && index >= 0 && index < last.count)) {
      throw new ConntrackError('not-remembered', `packet ${String(number)} is not one of the last call's`)
    }
    return explainPacket(this.#verdict(last, index), this.#core.record(index), this.#sysctl)
  }

  #recordedBatch(): VerdictBatch {
    this.#enter()
    if (this.#last && this.#recorded) return this.#last
    throw new ConntrackError('not-remembered', 'packets of batches are remembered only with the option explain')
  }

  /** The value of a sysctl. */
  sysctl(name: string): number {
    this.#open()
    return this.#sysctl[sysctlName(name)]
  }

  /**
   * Changes a sysctl. Connections that stand keep their timeouts until their next packet.
   *
   * @throws ConntrackError `unknown-sysctl`, `sysctl-range`
   */
  setSysctl(name: string, value: number): void {
    this.#enter()
    const known = sysctlName(name)
    const checked = sysctlValue(known, value)
    if (known === 'acct' && (checked === 1) !== this.#core.accounting) {
      throw invalid('acct takes memory for each connection: it can only be set when the tracker is made')
    }
    checkThresholds({ ...this.#sysctl, [known]: checked })
    if (checked > this.#most[known]) {
      const why = `this tracker was made with memory for ${this.#most[known]} bytes; more must be set when it is made`
      throw new ConntrackError('sysctl-range', `sysctl ${known}: ${why}`)
    }
    this.#sysctl[known] = checked
    this.#core.setSysctl(known, checked)
  }

  /**
   * Has a listener called for each event, in order, before the call that caused it returns.
   *
   * @returns a function that takes the listener off again
   */
  on(kind: ConnectionEventKind, listener: ConnectionListener): () => void {
    this.#open()
    const listeners = Object.hasOwn(this.#listeners, kind) ? this.#listeners[kind] : null
    if (!listeners || typeof listener !== 'function') throw invalid(`there are no '${String(kind)}' events to listen to`)
    listeners.add(listener)
    this.#core.listen(true, this.#deliver)
    return () => {
      listeners.delete(listener)
      if (Object.values(this.#listeners).every(set => set.size === 0)) this.#core.listen(false, this.#deliver)
    }
  }

  readonly #deliver = (): void => {
    this.#busy = true
    try {
      for (const event of this.#core.events()) {
        for (const listener of this.#listeners[event.kind]) listener(event)
      }
    } finally {
      this.#busy = false
    }
  }

  /** Bytes of memory the tracker has, all its life. */
  get memoryBytes(): number {
    return this.#core.memoryBytes
  }

  /** Ends the tracker; every later call throws `closed`. */
  close(): void {
    this.#closed = true
    this.#last = null
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #clock(): bigint {
    return this.#core.packets === 0 && this.#core.now < -FARTHEST ? 0n : this.#core.now
  }

  #open(): void {
    if (this.#closed) throw new ConntrackError('closed', 'the tracker is closed')
  }

  #enter(): void {
    this.#open()
    if (this.#busy) throw new ConntrackError('re-entrant', 'a listener must not call the tracker it listens to')
  }
}

function checkBatch(batch: PacketBatch, batchSize: number): void {
  if (typeof batch !== 'object' || batch === null) throw invalid('a batch must be an object')
  const { count } = batch
  if (!Number.isInteger(count) || count < 0) throw invalid('the count of a batch must be a whole number')
  if (count > batchSize) {
    throw new ConntrackError('batch-too-large', `a batch of ${count} packets; this tracker takes ${batchSize} (option batchSize)`)
  }
  if (!(batch.data instanceof Uint8Array)) throw invalid('the data of a batch must be a Uint8Array')
  for (const name of ['offset', 'length', 'originalLength', 'seconds', 'nanoseconds', 'linkType'] as const) {
    if (!ArrayBuffer.isView(batch[name])) throw invalid(`the column '${name}' of a batch must be a typed array`)
    if (batch[name].length < count) throw invalid(`the column '${name}' of a batch is shorter than its count`)
  }
}

function originalLength(bytes: Uint8Array, length: number | undefined): number {
  return length === undefined ? bytes.length : whole('originalLength', length, 0, 0xffffffff)
}

function whole(name: string, value: number, from: number, to: number): number {
  if (Number.isInteger(value) && value >= from && value <= to) return value
  throw invalid(`${name} must be a whole number from ${from} to ${to}, not ${String(value)}`)
}

function byte(value = 0): number {
  return whole('a field of a tuple', value, 0, 255)
}

/** The first eight bytes of a transport header with the tuple's values in them. */
function transportBytes(protocol: number, tuple: TupleQuery): Uint8Array {
  const { sport = 0, dport = 0, type, code, id = 0, dstKey = 0 } = tuple
  const word = (value: number) => {
    whole('a port, id or key', value, 0, 0xffff)
    return [value >> 8, value & 255]
  }
  if (protocol === 1 || protocol === 58) return Uint8Array.from([byte(type), byte(code), 0, 0, ...word(id), 0, 0])
  // Enhanced GRE, which carries PPP
  if (protocol === 47 && dstKey) return Uint8Array.from([0x20, 0x01, 0x88, 0x0b, 0, 0, ...word(dstKey)])
  return Uint8Array.from([...word(sport), ...word(dport), 0, 0, 0, 0])
}

function list<T>(name: string, value: readonly T[] | undefined): readonly T[] {
  if (value === undefined || Array.isArray(value)) return value ?? []
  throw invalid(`${name} must be an array`)
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}

/** Times are kept within three hundred years of 1970, as those of batches are: deadlines must fit 64 bits. */
const FARTHEST = 9_000_000_000_000_000_000n

function clampTime(time: bigint): bigint {
  return time > FARTHEST ? FARTHEST : time < -FARTHEST ? -FARTHEST : time
}

/** The hash's secret: from the runtime's random source, or spread from a seed. */
function hashKeys(seed: number | bigint | Uint8Array | undefined): Uint8Array {
  const keys = new Uint8Array(HASH_KEYS)
  if (seed === undefined) return crypto.getRandomValues(keys)
  if (seed instanceof Uint8Array) {
    if (seed.length < 8) throw invalid('a hashSeed of bytes needs at least eight of them')
    return spread(seed.reduce((state, value) => BigInt.asUintN(64, (state ^ BigInt(value)) * 0x100000001b3n), 0xcbf29ce484222325n))
  }
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) throw invalid('hashSeed must be a whole number')
  if (typeof seed !== 'number' && typeof seed !== 'bigint') throw invalid('hashSeed must be a number, a bigint or bytes')
  return spread(BigInt.asUintN(64, BigInt(seed)))
}

/** SplitMix64: every seed, also 0, gives keys with no pattern. */
function spread(seed: bigint): Uint8Array {
  const words = new BigUint64Array(HASH_KEYS / 8)
  let state = seed
  for (let i = 0; i < words.length; i++) {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let z = BigInt.asUintN(64, (state ^ state >> 30n) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ z >> 27n) * 0x94d049bb133111ebn)
    words[i] = z ^ z >> 31n
  }
  return new Uint8Array(words.buffer)
}

/** The tracker: the SDK's one object. */
// First, so that the bundle begins with its text: what compresses the rest finds that in one piece.
import { coreModule } from './core-module.js'
import { checkBatch, slice, type PacketBatch } from './batch.js'
import { BATCH_SIZE, Core, coreFingerprint, type Rules } from './border.js'
import {
  checkDescription, checkHelpers, checkPolicyTimeouts, describeHelpers, jsonText, RESTORE_OPTIONS, restored, type Description,
  type RestoreOptions,
} from './description.js'
import { ConntrackError, shown } from './errors.js'
import { EventStream } from './event-stream.js'
import { explainPacket } from './explain.js'
import { hashKeys, shardKeys } from './hash-keys.js'
import { HOST, type HelperMemory, type RunningHelpers } from './helpers/host.js'
import { LINK_TYPES, linkTypeNumber, type LinkTypeName } from './link-types.js'
import { addressBytes, compileMatch, protocolNumber } from './match.js'
import {
  DIRECTIONS, REASONS, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED, type Reason,
  type State,
} from './names.js'
import { bad, decodeSnapshot, encodeSnapshot } from './snapshot.js'
import { CoreParts } from './snapshot-border.js'
import { checkThresholds, SYSCTLS, sysctlName, sysctlValue } from './sysctl.js'
import {
  CHECKSUM_MODES, checkReport, compileHelpers, compilePolicy, compileZones, flag, flatten, invalid, list, MAX_BATCH, MAX_CONNECTIONS,
  OPTIONS, sizing, whole, type Shard, type TrackerOptions,
} from './tracker-options.js'
import type {
  Connection, ConnectionEvent, ConnectionEventKind, Expectation, ExpectationEvent, ExpectationEventKind,
  Explanation, Statistics, TupleQuery, Verdict, VerdictBatch,
} from './types.js'

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
export type ExpectationListener = (event: ExpectationEvent) => void

type Listeners = Record<ConnectionEventKind, Set<ConnectionListener>> & Record<ExpectationEventKind, Set<ExpectationListener>>

/** Places of the core's counters (COUNTER_ in assembly/01-records.ts). */
const Counter = {
  packets: 0, invalid: 1, error: 2, drop: 3, earlyDrop: 4, insertFailed: 5, offloaded: 6, confirmed: 7, removed: 8,
  states: 16, reasons: 24, protocols: 96,
} as const

const RAW = LINK_TYPES.raw
/** What a snapshot keeps of helpers where there are none. */
const NO_MEMORY: HelperMemory = { lastNumber: 0, errors: {}, connections: [] }

/**
 * Makes a tracker: a connection table of its own, with Linux's defaults.
 *
 * @throws ConntrackError `invalid-argument`, `unknown-sysctl`, `sysctl-range`, `wrong-core`
 */
export function createTracker(options: TrackerOptions = {}): Tracker {
  return new Tracker(options)
}

/**
 * Makes a tracker that goes on where another one was when it gave a snapshot: same verdicts, same table, same next
 * snapshot, in whatever runtime. Listeners do not come along, and helpers, being code, must be given again: the same
 * ones as the tracker had, with the same options.
 *
 * A snapshot that is damaged, of another version of this package, or not sound is refused before anything is done with
 * it; one that was made up with care can say nothing worse than false connections.
 *
 * @throws ConntrackError `bad-snapshot`, `invalid-argument` (also for other helpers than the snapshot's), `wrong-core`
 */
export function restoreTracker(snapshot: Uint8Array, options: RestoreOptions = {}): Tracker {
  if (!(snapshot instanceof Uint8Array)) throw invalid('a snapshot must be a Uint8Array')
  if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
  const unknown = Object.keys(options).find(name => !RESTORE_OPTIONS.includes(name))
  if (unknown !== undefined) throw invalid(`unknown option '${unknown}': the snapshot has the others`)
  return Tracker.restore(snapshot, options)
}

/**
 * Classifies one packet from within a core (`CoreInside`), for `trackInSteps`.
 *
 * @param time nanoseconds since 1970
 */
export type Classify = (inside: object, bytes: Uint8Array, wireLength: number, linkType: number, time: bigint) => void

/** The same for a row of the batch that was brought along; `base` as the core has it. */
export type ClassifyRow = (inside: object, row: number, base: number) => void

/** A connection tracker: packets in, Linux's verdicts out. Its clock is that of the packets and never goes back. */
export class Tracker implements Disposable {
  readonly #core: Core
  readonly #listeners: Listeners = {
    new: new Set(), update: new Set(), destroy: new Set(), 'expectation-new': new Set(), 'expectation-destroy': new Set(),
  }
  readonly #helpers: RunningHelpers | null = null
  readonly #sysctl: Record<string, number> = {}
  /** What memory was laid out for: these are set no higher. */
  readonly #most: Record<string, number> = { max: 0, ...sizing }
  readonly #explain: boolean
  readonly #maxConnections: number
  /** What it was made with, as snapshots have it. */
  readonly #made: TrackerOptions
  readonly #helperNames: readonly unknown[]
  readonly #streams = new Set<EventStream>()
  #last: VerdictBatch | null = null
  #recorded = false
  #busy = false
  /** What a listener threw during this call. */
  #thrown: { readonly error: unknown } | null = null
  #closed = false

  /**
   * Use `createTracker`.
   *
   * @internal
   * @param pool the core's memory and the tracker's share of the packets, where it is a pool's
   */
  constructor(options: TrackerOptions, pool?: { readonly memory: WebAssembly.Memory; readonly shard: Shard }) {
    if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
    const unknown = Object.keys(options).find(name => !OPTIONS.includes(name))
    if (unknown !== undefined) throw invalid(`unknown option '${unknown}'; known are: ${OPTIONS.join(', ')}`)
    const batchSize = whole('batchSize', options.batchSize ?? BATCH_SIZE, 1, MAX_BATCH)
    const mode = CHECKSUM_MODES.indexOf(options.checksum ?? 'verify')
    if (mode < 0) throw invalid(`checksum must be one of ${CHECKSUM_MODES.join(', ')}`)
    for (const name of ['labels', 'history', 'explain'] as const) flag(name, options[name])
    checkReport(options.onHelperError)
    const sysctl = Object.entries(options.sysctl ?? {}).map(([name, value]) => {
      const known = sysctlName(name)
      return [known, sysctlValue(known, value)] as const
    })
    const assigned = compileHelpers(options.helpers)
    const helpers = flatten(assigned.map(({ helper }) => helper))
    const helperRules = assigned.map(({ helper, match }) => ({
      match, helper: helpers.findIndex(({ name }) => name === helper.name) + 1,
    }))
    const rules: Rules = {
      checksums: mode,
      notrack: list('notrack', options.notrack).map(compileMatch),
      drop: list('drop', options.drop).map(compileMatch),
      zones: compileZones(options.zone),
      policies: list('timeouts', options.timeouts).map(compilePolicy),
      helpers: helperRules,
    }
    for (const [name, { initial }] of Object.entries(SYSCTLS)) this.#sysctl[name] = initial
    for (const [name, value] of sysctl) this.#sysctl[name] = value
    this.#maxConnections = whole('maxConnections', options.maxConnections ?? this.#sysctl.max, 1, MAX_CONNECTIONS)
    if (!sysctl.some(([name]) => name === 'max')) this.#sysctl.max = this.#maxConnections
    this.#most.max = this.#maxConnections
    this.#checkSysctl('max', this.#sysctl.max)
    this.#explain = options.explain ?? false
    checkThresholds(this.#sysctl)
    for (const [name, initial] of Object.entries(sizing)) this.#most[name] = Math.max(this.#sysctl[name], initial)
    this.#core = new Core(options.module ?? coreModule, {
      maxConnections: this.#maxConnections,
      maxExpectations: this.#most.expect_max,
      batchSize,
      fragments4: this.#most.ipfrag_high_thresh,
      fragments6: this.#most.frag6_high_thresh,
    }, {
      explain: this.#explain,
      acct: this.#sysctl.acct === 1,
      timestamp: this.#sysctl.timestamp === 1,
      labels: options.labels ?? false,
      history: options.history ?? false,
      helpers: helpers.length > 0,
    }, pool?.memory)
    if (assigned.length > 0) {
      this.#helpers = new assigned[0].helper[HOST](this.#core, helpers, options.onHelperError ?? ((error, helper) => {
        console.warn(`conntrack-wasm: helper ${helper}:`, error)
      }))
    }
    for (const [name, value] of Object.entries(this.#sysctl)) this.#core.setSysctl(name, value)
    this.#core.setHashKeys(hashKeys(options.hashSeed))
    if (pool) this.#setShard(pool.shard, false)
    else if (options.shard !== undefined) this.#setShard(options.shard, true)
    this.#core.configure(rules)
    const { notrack, drop, zone, timeouts, shard, labels, history, explain, checksum } = options
    const sized = Object.fromEntries(['acct', 'timestamp'].map(name => [name, this.#sysctl[name]]))
    // A copy: what the caller does to its lists later is not ours.
    this.#made = JSON.parse(JSON.stringify({
      maxConnections: this.#maxConnections, batchSize, sysctl: { ...sized, ...this.#most }, notrack, drop, zone,
      timeouts, shard, labels, history, explain, checksum,
    })) as TrackerOptions
    this.#helperNames = describeHelpers(options.helpers)
  }

  #setShard(shard: Shard, selects: boolean): void {
    if (typeof shard !== 'object' || shard === null) throw invalid('shard must be an object')
    const of = whole('of of a shard', shard.of, 1, 255)
    const index = whole('index of a shard', shard.index, 0, of - 1)
    const seed = whole('seed of a shard', shard.seed, 0, Number.MAX_SAFE_INTEGER)
    this.#core.setShard(index, of, shardKeys(seed), selects)
  }

  /** Use `restoreTracker`. */
  static restore(bytes: Uint8Array, given: RestoreOptions): Tracker {
    const module = given.module ?? coreModule
    const { description, parts } = decodeSnapshot(bytes, coreFingerprint(module))
    const { options, sysctl, policyTimeouts, helpers, memory } = checkDescription(description)
    compileHelpers(given.helpers) // refuses what is no helper
    checkHelpers(helpers, describeHelpers(given.helpers))
    const tracker = restored(() => new Tracker({ ...options, ...given, hashSeed: 0, module }))
    restored(() => tracker.#setSysctls(sysctl))
    tracker.#core.setPolicyTimeouts(checkPolicyTimeouts(policyTimeouts, options.timeouts?.length ?? 0))
    if (!new CoreParts(tracker.#core.inside).load(parts) || tracker.#helpers?.remember(memory) === false) throw bad('what it holds is not sound')
    return tracker
  }

  /**
   * All that this tracker is: what it was made with, its table, its clock. `restoreTracker` goes on from it elsewhere.
   *
   * It holds the hash's secret: who has it can choose packets that fall into one place of the table.
   *
   * @throws ConntrackError `invalid-argument` where a helper remembers something else than JSON values
   */
  snapshot(): Uint8Array {
    this.#enter()
    const parts = new CoreParts(this.#core.inside)
    const description: Description = {
      options: this.#made,
      sysctl: this.#sysctl,
      policyTimeouts: this.#core.policyTimeouts(this.#made.timeouts?.length ?? 0),
      helpers: this.#helperNames,
      memory: this.#helpers?.memory() ?? NO_MEMORY,
    }
    return encodeSnapshot({ description: jsonText(description), parts: parts.save() }, parts.fingerprint)
  }

  /** All of them, by their names in this version's table. */
  #setSysctls(values: Readonly<Record<string, unknown>>): void {
    const checked = Object.fromEntries(Object.keys(SYSCTLS).map(name => [name, sysctlValue(name, values[name])]))
    checkThresholds(checked)
    for (const [name, value] of Object.entries(checked)) {
      this.#checkSysctl(name, value)
      this.#sysctl[name] = value
      this.#core.setSysctl(name, value)
    }
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
    this.#leave()
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
    this.#leave()
    return this.#last
  }

  /**
   * Classifies one packet by a function that knows the core: how rules come around it (`rules/held.ts`).
   *
   * @internal
   */
  trackInSteps(bytes: Uint8Array, info: PacketInfo, classify: Classify): Verdict {
    if (!(bytes instanceof Uint8Array)) throw invalid('a packet must be a Uint8Array')
    const time = info.time ?? this.#clock()
    if (typeof time !== 'bigint') throw invalid('time must be a bigint, in nanoseconds')
    const wireLength = originalLength(bytes, info.originalLength)
    const linkType = info.linkType === undefined ? RAW : linkTypeNumber(info.linkType)
    this.#startSteps()
    try {
      classify(this.#core.inside, bytes, wireLength, linkType, clampTime(time))
    } finally {
      this.#busy = false
    }
    return this.#endSteps()
  }

  /**
   * Classifies the packets of a batch of any size likewise, and gives the verdict of each before the next one's turn.
   *
   * @internal
   */
  trackBatchInSteps(batch: PacketBatch, classify: ClassifyRow, give: (verdict: Verdict) => void): void {
    checkBatch(batch, Infinity)
    const { batchSize, inside } = this.#core
    for (let from = 0; from < batch.count; from += batchSize) {
      const to = Math.min(batch.count, from + batchSize)
      this.#core.eachRow(slice(batch, from, to), (row, base) => {
        this.#startSteps()
        try {
          classify(inside, row, base)
        } finally {
          this.#busy = false
        }
        give(this.#endSteps())
      })
    }
  }

  #startSteps(): void {
    this.#enter()
    this.#recorded = true
    this.#busy = true
  }

  #endSteps(): Verdict {
    const { verdicts } = this.#core.inside
    this.#last = verdicts
    this.#leave()
    return this.#verdict(verdicts, 0)
  }

  /**
   * What a function makes of the core: one that classifies packets which several trackers share (`pool/share.ts`), or reads
   * entries where they lie (`format/connection-lines.ts`).
   *
   * @internal
   */
  withCore<T>(use: (core: Core) => T): T {
    this.#enter()
    const result = use(this.#core)
    this.#leave()
    return result
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
    this.expire()
    const slots = this.#core.slots()
    for (let i = 0; i < slots.length; i += 2) {
      this.#enter()
      if (this.#core.idIn(slots[i]) === slots[i + 1]) yield this.#core.connection(slots[i])
    }
  }

  /** The live connection with this id, or `null`. Looks at the whole table. */
  connection(id: number): Connection | null {
    this.#enter()
    const slot = this.#core.slotOfId(whole('id', id, 0, 0xffffffff))
    return slot ? this.#core.connection(slot) : null
  }

  /** What connections have announced and nobody has opened yet, in the order in which it was announced. */
  expectations(): Expectation[] {
    this.#enter()
    return this.#helpers?.expectations() ?? []
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
    const zone = whole('zone', tuple.zone ?? 0, 0, 0xffff)
    if (src.length !== dst.length) throw invalid('src and dst of a tuple are of different IP versions')
    return this.#core.slotOfTuple(src.length === 4 ? 4 : 6, protocol, src, dst, transportBytes(protocol, tuple), zone)
  }

  /** Removes a connection, as `conntrack -D` does. Returns whether it was there. */
  delete(id: number): boolean {
    this.#enter()
    const slot = this.#core.slotOfId(whole('id', id, 0, 0xffffffff))
    if (slot) this.#core.remove(slot)
    this.#leave()
    return slot !== 0
  }

  /**
   * Sets the mark of a connection, as a rule or `conntrack -U --mark` would; told as an update if it changes.
   *
   * @param mark 0 to 4,294,967,295
   * @returns whether the connection was there
   */
  setMark(id: number, mark: number): boolean {
    this.#enter()
    const slot = this.#core.slotOfId(whole('id', id, 0, 0xffffffff))
    whole('mark', mark, 0, 0xffffffff)
    if (slot) this.#core.setMark(slot, mark)
    this.#leave()
    return slot !== 0
  }

  /**
   * Sets which of its 128 labels a connection has; told as an update if they change.
   *
   * @param labels numbers from 0 to 127
   * @returns whether the connection was there
   * @throws ConntrackError `invalid-argument` unless the tracker was made with `labels`
   */
  setLabels(id: number, labels: readonly number[]): boolean {
    this.#enter()
    if (!this.#core.parts.labels) throw invalid('this tracker was made without the option labels')
    const slot = this.#core.slotOfId(whole('id', id, 0, 0xffffffff))
    const bits = list('labels', labels).reduce((sum, label) => sum | 1n << BigInt(whole('a label', label, 0, 127)), 0n)
    if (slot) this.#core.setLabels(slot, bits)
    this.#leave()
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
      inserts: counter(Counter.confirmed),
      deletes: counter(Counter.removed),
      maxConnections: this.#maxConnections,
      helperErrors: this.#helpers?.errors ?? {},
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
    this.#leave()
  }

  /**
   * Removes what has expired by now.
   *
   * @internal
   */
  expire(): void {
    this.#enter()
    this.#core.advance(this.#core.now)
    this.#leave()
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
    const index = typeof number === 'number' ? number - (this.#core.packets - last.count + 1) : NaN
    if (!(Number.isInteger(index) && index >= 0 && index < last.count)) {
      throw new ConntrackError('not-remembered', `packet ${shown(number)} is not one of the last call's`)
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
   * Changes a sysctl. Connections that stand keep their timeouts until their next packet, and what they were made with:
   * `acct`, `timestamp` and `events` are about connections made from now on.
   *
   * @throws ConntrackError `unknown-sysctl`, `sysctl-range`; `invalid-argument` for `acct` and `timestamp` where the
   * tracker was made without, since they take memory for each connection
   */
  setSysctl(name: string, value: number): void {
    this.#enter()
    const known = sysctlName(name)
    const checked = sysctlValue(known, value)
    checkThresholds({ ...this.#sysctl, [known]: checked })
    this.#checkSysctl(known, checked)
    this.#sysctl[known] = checked
    this.#core.setSysctl(known, checked)
  }

  #checkSysctl(name: string, value: number): void {
    if (value > (this.#most[name] ?? Infinity)) {
      const why = `this tracker was made with memory for ${this.#most[name]}; more must be set when it is made`
      throw new ConntrackError('sysctl-range', `sysctl ${name}: ${value} is too much: ${why}`)
    }
    if ((name === 'acct' || name === 'timestamp') && value === 1 && !this.#core.parts[name]) {
      throw invalid(`${name} takes memory for each connection: a tracker made without cannot have it later`)
    }
  }

  /**
   * Has a listener called for each event, in order, before the call that caused it returns. What a listener throws stops
   * neither the call nor other listeners: the call throws the first such error when all is done.
   *
   * @returns a function that takes the listener off again
   */
  on(kind: ConnectionEventKind, listener: ConnectionListener): () => void
  on(kind: ExpectationEventKind, listener: ExpectationListener): () => void
  on(kind: ConnectionEventKind | ExpectationEventKind, listener: ConnectionListener | ExpectationListener): () => void {
    this.#open()
    const listeners = typeof kind === 'string' && Object.hasOwn(this.#listeners, kind) ? this.#listeners[kind] as Set<typeof listener> : null
    if (!listeners || typeof listener !== 'function') throw invalid(`there are no '${shown(kind)}' events to listen to`)
    listeners.add(listener)
    this.#core.listen(true, this.#deliver)
    return () => {
      listeners.delete(listener)
      this.#stopIfUnheard()
    }
  }

  /**
   * All events of connections from now on, in order, for `for await`. It ends when the tracker is closed, or by leaving the loop.
   *
   * Packets are tracked without waiting for whoever reads: where more than `capacity` events wait, the next are lost, and
   * the loop is told so by a ConntrackError `events-lost` after those that were kept.
   *
   * @param options.capacity events that may wait, 1 or more; default 65,536
   */
  events(options: { readonly capacity?: number } = {}): AsyncIterableIterator<ConnectionEvent> {
    this.#open()
    if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
    const capacity = whole('capacity', options.capacity ?? 65_536, 1, Number.MAX_SAFE_INTEGER)
    const stream = new EventStream(capacity, () => {
      this.#streams.delete(stream)
      if (!this.#closed) this.#stopIfUnheard()
    })
    this.#streams.add(stream)
    this.#core.listen(true, this.#deliver)
    return stream
  }

  #stopIfUnheard(): void {
    const unheard = this.#streams.size === 0 && Object.values(this.#listeners).every(set => set.size === 0)
    if (unheard) this.#core.listen(false, this.#deliver)
  }

  readonly #deliver = (): void => {
    this.#busy = true
    try {
      for (const event of this.#core.events()) {
        if ('connection' in event) for (const stream of this.#streams) stream.push(event)
        for (const listener of this.#listeners[event.kind]) this.#call(listener as (event: unknown) => void, event)
      }
    } finally {
      this.#busy = false
    }
  }

  #call(listener: (event: unknown) => void, event: unknown): void {
    try {
      listener(event)
    } catch (error) {
      this.#thrown ??= { error }
    }
  }

  /** Ends a call that may have told events. */
  #leave(): void {
    const thrown = this.#thrown
    this.#thrown = null
    if (thrown) throw thrown.error
  }

  /** Bytes of memory the tracker has, all its life. */
  get memoryBytes(): number {
    return this.#core.memoryBytes
  }

  /** Ends the tracker; every later call throws `closed`. */
  close(): void {
    this.#closed = true
    this.#last = null
    for (const stream of [...this.#streams]) stream.end()
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
    if (this.#busy || this.#helpers?.inspecting) {
      throw new ConntrackError('re-entrant', 'a listener or a helper must not call the tracker that calls it')
    }
  }
}

function originalLength(bytes: Uint8Array, length: number | undefined): number {
  return length === undefined ? bytes.length : whole('originalLength', length, 0, 0xffffffff)
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

/** Times are kept within three hundred years of 1970, as those of batches are: deadlines must fit 64 bits. */
const FARTHEST = 9_000_000_000_000_000_000n

function clampTime(time: bigint): bigint {
  // Up to the year 2116 this is all, and takes a fraction of the time that comparing takes.
  if (BigInt.asIntN(63, time) === time) return time
  return time > FARTHEST ? FARTHEST : time < -FARTHEST ? -FARTHEST : time
}

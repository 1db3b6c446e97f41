/**
 * The border to the core: the file that knows its addresses and layouts (`assembly/01-records.ts`). What is not for every
 * tracker comes with what needs it (`snapshot-border.ts`, `helper-border.ts`, `rules/held.ts`, `pool/place.ts`, `format/shape.ts`). Nothing else
 * holds a pointer. Views are made once, after the core has laid out its memory; it never grows again.
 */
import { BATCH_SIZE, type PacketBatch } from './batch.js'
import { connState } from './conn-state.js'
import { ConntrackError } from './errors.js'
import { ipv4Text, ipv6Text } from './format/address.js'
import type { CompiledMatch } from './match.js'
import { DIRECTIONS, EVENTS, SCTP_STATES, STATUS_BITS, TCP_FLAGS, TCP_STATES } from './names.js'
import { FIXED_TIMEOUTS, SYSCTLS } from './sysctl.js'
import type {
  Connection, ConnectionEvent, ConnectionEventKind, Expectation, ExpectationEvent, ExpectationEventKind, TcpInfo, TcpSide, Tuple,
  VerdictBatch,
} from './types.js'

const VERSION = 1
/** Side arrays that a core may have (WITH_ flags). */
const PARTS = { explain: 1, acct: 2, timestamp: 4, labels: 8, history: 16, helpers: 32 } as const
/** Bytes of packets that the core takes at a time. */
const INPUT_SIZE = 512 * 1024
/** More of one packet is not read by the core. */
export const MAX_PACKET = 72 * 1024
const HASH_KEYS = 48
const MATCHES = 64
const MATCH_SIZE = 96
export const ENTRY_SIZE = 128
const EVENT_SIZE = 256
const RECORD_SIZE = 576
const TIMEOUTS = 30
/** Bits of an entry's `attached`. */
export const ATTACHED_ACCOUNT = 1
const ATTACHED_START = 2
export const ZONE_DIRECTIONS = { original: 8, reply: 16, both: 24 } as const
const ANY = 0xffff
export const REPORTED_COUNTERS = 352
const GRE = 47
const SCTP = 132
const UDP = 17
const WITH_PORTS: readonly number[] = [6, 17, SCTP, 136]

const EVENT_KINDS = [
  'new', 'update', 'destroy', 'expectation-new', 'expectation-destroy',
] as const satisfies readonly (ConnectionEventKind | ExpectationEventKind)[]

/** Numbers of the regions, as `regionAt` counts them. */
const Region = {
  settings: 0, switches: 1, hashKeys: 2, counters: 3, notrack: 4, drop: 5, offset: 6, length: 7, wireLength: 8, seconds: 9,
  nanoseconds: 10, linkType: 11, verdict: 12, records: 13, events: 14, input: 15, index: 16, entries: 17, zones: 18,
  policies: 19, extras: 20, life: 21, accounts: 22, starts: 23, labels: 24, histories: 25, provenance: 26, buckets: 27,
  helpers: 28, helped: 29, expectations: 30, fragments: 31, expectationIndex: 32,
  grePairs: 33,
} as const

type CoreSizes = [
  maxConnections: number, maxExpectations: number, batch: number, input: number, fragments4: number, fragments6: number,
  parts: number,
]

export interface Exports {
  readonly VERSION: WebAssembly.Global
  pagesOf(...sizes: CoreSizes): number
  createCore(...sizesAndPage: [...CoreSizes, there: number]): number
  regionAt(region: number): number
  configure(
    checksums: number, notrack: number, zone: number, policy: number, helper: number, drop: number, directional: number): void
  setShard(index: number, of: number, a: bigint, b: bigint, select: number): void
  listen(on: number): void
  run(from: number, to: number, base: number, recorded: number, goOn: number): number
  useBatchAt(columns: number, verdicts: number): void
  findShards(from: number, to: number, zero: number): number
  listRows(count: number, ordered: number): number
  endRows(count: number): void
  verdictsFrom(): number
  mergeVerdicts(count: number, to: number): void
  runOne(length: number, wireLength: number, linkType: number, time: bigint, recorded: number): void
  advance(time: bigint): number
  eventsWaiting(): number
  eventsRead(): void
  now(): bigint
  packets(): number
  entryCount(): number
  highestSlot(): number
  slotOfId(id: number): number
  slotOfTuple(family: number, protocol: number, transport: number, zone: number, directions: number): number
  removeSlot(slot: number): void
  gatherExtras(slot: number): void
  setMark(slot: number, mark: number): void
  setLabels(slot: number, low: bigint, high: bigint): void
  isHandedOver(): number
  payloadAt(): number
  payloadLength(): number
  payloadSeq(): number
  handedFlags(): number
  handedSlot(): number
  resumePacket(drop: number): void
  readForRules(length: number, wireLength: number, linkType: number, time: bigint): number
  readRowForRules(row: number, base: number): number
  dropBeforeRules(): void
  trackForRules(exempt: number, local: number, zone: number, directions: number, policy: number, helper: number): number
  resumeHeldPacket(drop: number): number
  markHeld(mark: number): void
  closeHeld(): void
  setTimeLeft(slot: number, nanoseconds: bigint): void
  addExpectation(master: number, skipMaster: number, limit: number): number
  findExpectationOf(zone: number): number
  removeExpectationAt(slot: number): void
  expireExpectations(): void
  expectationSlots(): number
  firstExpectationOf(slot: number): number
  mapGreKeys(master: number, direction: number): number
  unmapGreKeys(master: number): void
  destroyGre(zone: number): void
  nextId(): number
  nextUsedBucket(from: number): number
  layoutFingerprint(): number
  fragmentsAreSound(queues: number, peers: number, blocks: number): number
  saveLife(): void
  loadLife(helpers: number): number
}

/** Numbers of one packet's record, for `explain`. */
export interface PacketRecord {
  readonly rule: number
  /** What there was: no entry, one that was found, or one that the packet made. */
  readonly entry: 'none' | 'found' | 'made'
  readonly oldState: number
  readonly newState: number
  readonly direction: 'original' | 'reply'
  readonly kind: number
  /** The window check was made, with these numbers: */
  readonly checked: boolean
  /** The packet took the place of a connection that was over, or brought an ignored SYN into force. */
  readonly restarted: 'no' | 'reopened' | 'resynchronised'
  readonly packet: number
  readonly seq: number
  readonly end: number
  readonly ack: number
  readonly sack: number
  readonly window: number
  readonly sender: TcpSide
  readonly receiver: TcpSide
  readonly before: Connection | null
  readonly after: Connection | null
  /** Number of the packet that announced the connection which this one opens; 0 for none. */
  readonly announced: number
  /** Packets that had set the values; 0 where nobody did or it is not known. */
  readonly provenance: {
    readonly created: number
    readonly original: SideProvenance
    readonly reply: SideProvenance
  }
}

export interface SideProvenance {
  readonly end: number
  readonly maxEnd: number
  readonly maxWindow: number
  readonly maxAck: number
  /** Acknowledgement and window of the packet that set `maxEnd`. */
  readonly ack: number
  readonly window: number
}

/** What memory is sized by, once. */
export interface Sizes {
  readonly maxConnections: number
  readonly maxExpectations: number
  readonly batchSize: number
  /** The most that the high thresholds of reassembly will be set to, bytes. */
  readonly fragments4: number
  readonly fragments6: number
}

/** Some packets of a batch, whose bytes lie between `low` and `high`. */
export interface Piece {
  readonly from: number
  readonly to: number
  readonly low: number
  readonly high: number
}

/** Which side arrays a core has. */
export type Parts = Readonly<Record<keyof typeof PARTS, boolean>>

/** What decides about packets besides the sysctls, fixed at creation. */
export interface Rules {
  /** 0 verify, 1 offload, 2 ignore. */
  readonly checksums: number
  readonly notrack: readonly CompiledMatch[]
  readonly drop: readonly CompiledMatch[]
  readonly zones: readonly { match: CompiledMatch; id: number; direction: 'both' | 'original' | 'reply' }[]
  /** Timeouts in seconds by their place; the sysctls' where left out. */
  readonly helpers: readonly { match: CompiledMatch; helper: number }[]
  readonly policies: readonly { match: CompiledMatch; timeouts: ReadonlyMap<number, number> }[]
}

/** What is in a core, for those that classify packets in steps and for helpers. */
export interface CoreInside {
  readonly exports: Exports
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly regions: Readonly<Record<keyof typeof Region, number>>
  readonly verdicts: { -readonly [column in keyof VerdictBatch]: VerdictBatch[column] }
  readonly core: Core
  /** Of the batch that was brought along last. */
  readonly columns: { readonly seconds: Float64Array; readonly nanoseconds: Uint32Array; readonly linkType: Uint16Array }
  /** Brings a packet to the start of the input; returns how much of it. */
  readonly bring: (bytes: Uint8Array) => number
  /** Goes on with a packet that waits for its helper. */
  readonly resume: () => void
  /** Where the entry in a slot is, and a tuple of the entry at an address. */
  readonly entry: (slot: number) => number
  readonly tuple: (at: number, side: number, reply: boolean) => Tuple
  readonly drain: () => void
}

/** What of a core's memory is there for helpers (`helper-border.ts`). */
export interface HelpedMemory {
  /** An expectation, and the entry of its master, at these addresses. */
  expectationAt(at: number, master: number, now: bigint): Expectation
  save(): Uint8Array[]
  /** Puts what `save` gave into a core that was just made; false where it does not fit. */
  load(parts: readonly Uint8Array[]): boolean
}

/** One core: its memory and its calls. */
export class Core {
  readonly #exports: Exports
  #inside: CoreInside | null = null
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #at: Record<keyof typeof Region, number>
  readonly #columns: {
    offset: Uint32Array
    length: Uint32Array
    wireLength: Uint32Array
    seconds: Float64Array
    nanoseconds: Uint32Array
    linkType: Uint16Array
  }
  readonly #verdicts: { -readonly [column in keyof VerdictBatch]: VerdictBatch[column] }
  readonly #counts: BigUint64Array
  readonly batchSize: number
  readonly maxConnections: number
  readonly maxExpectations: number
  readonly parts: Parts
  #listening = false
  #drain: () => void = () => {}

  /** Names of the helpers by their numbers, from 1 on, and of the classes of each. */
  helperNames: readonly { readonly name: string; readonly classes: readonly string[] }[] = []
  /** Looks at the packet that is handed over; whether to drop it. */
  inspect: () => boolean = () => false
  /** `null` without helpers. */
  helped: HelpedMemory | null = null

  /** @param given memory that others have too; otherwise the core has its own */
  constructor(module: WebAssembly.Module, sizes: Sizes, parts: Parts, given?: WebAssembly.Memory) {
    const wanted = Object.entries(PARTS).reduce((sum, [name, bit]) => parts[name as keyof Parts] ? sum | bit : sum, 0)
    const { maxConnections, maxExpectations, batchSize, fragments4, fragments6 } = sizes
    const all: CoreSizes = [maxConnections, maxExpectations, batchSize, INPUT_SIZE, fragments4, fragments6, wanted]
    const memory = given ?? ownMemory(module, all)
    const exports = memory && instantiate(module, memory)
    if (!memory || !exports?.createCore(...all, given ? 0 : 1)) {
      const fragments = fragments4 + fragments6
      throw new ConntrackError('invalid-argument', `no memory for maxConnections ${maxConnections} and ${fragments} bytes of fragments`)
    }
    this.#exports = exports
    this.batchSize = batchSize
    this.maxConnections = maxConnections
    this.maxExpectations = maxExpectations
    this.parts = parts
    const { buffer } = memory
    this.#bytes = new Uint8Array(buffer)
    this.#view = new DataView(buffer)
    const address = (region: number) => exports.regionAt(region) >>> 0
    this.#at = Object.fromEntries(Object.entries(Region).map(([name, n]) => [name, address(n)])) as Record<keyof typeof Region, number>
    this.#columns = {
      offset: new Uint32Array(buffer, this.#at.offset, batchSize),
      length: new Uint32Array(buffer, this.#at.length, batchSize),
      wireLength: new Uint32Array(buffer, this.#at.wireLength, batchSize),
      seconds: new Float64Array(buffer, this.#at.seconds, batchSize),
      nanoseconds: new Uint32Array(buffer, this.#at.nanoseconds, batchSize),
      linkType: new Uint16Array(buffer, this.#at.linkType, batchSize),
    }
    const verdict = (column: number) => this.#at.verdict + column * batchSize
    this.#verdicts = {
      count: 0,
      timeoutNs: new Float64Array(buffer, verdict(0), batchSize),
      connection: new Uint32Array(buffer, verdict(8), batchSize),
      networkOffset: new Uint32Array(buffer, verdict(12), batchSize),
      transportOffset: new Uint32Array(buffer, verdict(16), batchSize),
      state: new Uint8Array(buffer, verdict(20), batchSize),
      direction: new Uint8Array(buffer, verdict(21), batchSize),
      reason: new Uint8Array(buffer, verdict(22), batchSize),
      protocolState: new Uint8Array(buffer, verdict(23), batchSize),
      flags: new Uint8Array(buffer, verdict(24), batchSize),
      protocol: new Uint8Array(buffer, verdict(25), batchSize),
      family: new Uint8Array(buffer, verdict(26), batchSize),
    }
    this.#counts = new BigUint64Array(buffer, this.#at.counters, REPORTED_COUNTERS)
    for (const [place, seconds] of Object.entries(FIXED_TIMEOUTS)) this.#setTimeout(Number(place), seconds)
    for (const name of Object.keys(SYSCTLS)) this.setSysctl(name, SYSCTLS[name].initial)
  }

  /** Fills the secret of the hash: 48 bytes. */
  setHashKeys(keys: Uint8Array): void {
    this.#bytes.set(keys.subarray(0, HASH_KEYS), this.#at.hashKeys)
  }

  /** Which packets are this core's, where several share them. Those of others come too where it `selects`. */
  setShard(index: number, of: number, keys: BigUint64Array, selects: boolean): void {
    this.#exports.setShard(index, of, keys[0], keys[1], selects ? 1 : 0)
  }

  setSysctl(name: string, value: number): void {
    const sysctl = SYSCTLS[name]
    if (sysctl.timeout !== undefined) this.#setTimeout(sysctl.timeout, value)
    if (sysctl.switch !== undefined) this.#view.setUint32(this.#at.switches + sysctl.switch * 4, value, true)
  }

  /** Policy 0 is the sysctls'. */
  #setTimeout(place: number, seconds: number, policy = 0): void {
    const at = this.#at.settings + (policy * TIMEOUTS + place) * 8
    this.#view.setBigInt64(at, BigInt(seconds) * 1_000_000_000n, true)
  }

  /** Sets the rules; timeout policies take the rest of their timeouts from the sysctls as they are now. */
  configure(rules: Rules): void {
    const { notrack, drop, zones, policies, helpers } = rules
    for (const list of [notrack, drop, zones, policies, helpers]) {
      if (list.length > MATCHES) throw new ConntrackError('invalid-argument', `more than ${MATCHES} matches in one list`)
    }
    notrack.forEach((match, i) => this.#writeMatch(this.#at.notrack + i * MATCH_SIZE, match))
    drop.forEach((match, i) => this.#writeMatch(this.#at.drop + i * MATCH_SIZE, match))
    zones.forEach(({ match, id, direction }, i) => {
      this.#writeMatch(this.#at.zones + i * MATCH_SIZE, match, id, ZONE_DIRECTIONS[direction])
    })
    policies.forEach(({ match, timeouts }, i) => {
      this.#writeMatch(this.#at.policies + i * MATCH_SIZE, match, i + 1)
      this.#writePolicy(i + 1, timeouts)
    })
    helpers.forEach(({ match, helper }, i) => this.#writeMatch(this.#at.helpers + i * MATCH_SIZE, match, helper))
    const directional = zones.some(({ id, direction }) => id !== 0 && direction !== 'both')
    this.#exports.configure(
      rules.checksums, notrack.length, zones.length, policies.length, helpers.length, drop.length, directional ? 1 : 0)
  }

  #writePolicy(policy: number, timeouts: ReadonlyMap<number, number>): void {
    const { settings } = this.#at
    this.#bytes.copyWithin(settings + policy * TIMEOUTS * 8, settings, settings + TIMEOUTS * 8)
    for (const [place, seconds] of timeouts) this.#setTimeout(place, seconds, policy)
  }

  /** From now on `drain` is called whenever events wait, and reads them with `events`. */
  listen(listening: boolean, drain: () => void): void {
    this.#listening = listening
    this.#drain = drain
    this.#exports.listen(listening ? 1 : 0)
  }

  #writeMatch(at: number, match: CompiledMatch, value = 0, directions = 0): void {
    const view = this.#view
    view.setUint32(at, match.protocol, true)
    view.setUint32(at + 4, match.family, true)
    view.setUint16(at + 8, match.sport[0], true)
    view.setUint16(at + 10, match.sport[1], true)
    view.setUint16(at + 12, match.dport[0], true)
    view.setUint16(at + 14, match.dport[1], true)
    view.setUint32(at + 16, match.asksForPorts ? 1 : 0, true)
    view.setUint16(at + 20, match.dscp ?? ANY, true)
    view.setUint16(at + 22, match.vlan ?? ANY, true)
    view.setUint32(at + 24, value, true)
    view.setUint32(at + 28, directions, true)
    this.#bytes.set(match.src.address, at + 32)
    this.#bytes.set(match.src.mask, at + 48)
    this.#bytes.set(match.dst.address, at + 64)
    this.#bytes.set(match.dst.mask, at + 80)
  }

  /**
   * Classifies a batch.
   *
   * @returns its verdicts, over the core's memory
   */
  track(batch: PacketBatch, recorded: boolean): VerdictBatch {
    const { count } = batch
    let from = 0
    while (from < count) {
      const { to, base } = this.#load(batch, from, count)
      this.#run(from, to, base, recorded)
      from = to
    }
    this.#verdicts.count = count
    return this.#verdicts
  }

  /** Brings a batch along row by row; `base` as `run` has it. */
  eachRow(batch: PacketBatch, take: (row: number, base: number) => void): void {
    for (let from = 0; from < batch.count;) {
      const { to, base } = this.#load(batch, from, batch.count)
      for (; from < to; from++) take(from, base)
    }
  }

  #run(from: number, to: number, base: number, recorded: boolean): void {
    for (let goOn = 0; from < to; goOn = 1) {
      from = this.#exports.run(from, to, base, recorded ? 1 : 0, goOn)
      if (this.#exports.isHandedOver()) {
        this.#resume()
        from++
      }
      if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
    }
  }

  // A batch that several cores share: it lies elsewhere in their memory (`pool/place.ts`).

  useBatchAt(columns: number, verdicts: number): void {
    this.#exports.useBatchAt(columns, verdicts)
  }

  /**
   * Finds out whose rows `from` to `to` are, for all cores; offset 0 has the address `zero`.
   *
   * @returns whether none of them is earlier than the one before
   */
  findShards(from: number, to: number, zero: number): boolean {
    return this.#exports.findShards(from, to, zero) !== 0
  }

  /**
   * Classifies this core's own of the first `count` rows. Their verdicts lie together.
   *
   * @returns which rows they are, and where their verdicts begin
   */
  trackRows(count: number, zero: number, ordered: boolean): { rows: Uint32Array; first: number } {
    const own = this.#exports.listRows(count, ordered ? 1 : 0)
    this.#run(0, own, (this.#at.input - zero) >>> 0, false)
    this.#exports.endRows(count)
    return { rows: this.#columns.offset.subarray(0, own), first: this.#exports.verdictsFrom() >>> 0 }
  }

  /** Copies the verdicts of all cores to `to`, in the order of the rows. */
  mergeVerdicts(count: number, to: number): void {
    this.#exports.mergeVerdicts(count, to)
  }

  /**
   * Classifies one packet.
   *
   * @returns its verdict as a batch of one
   */
  trackOne(bytes: Uint8Array, wireLength: number, linkType: number, time: bigint): VerdictBatch {
    this.#exports.runOne(this.#bring(bytes), wireLength, linkType, time, 1)
    if (this.parts.helpers && this.#exports.isHandedOver()) this.#resume()
    if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
    this.#verdicts.count = 1
    return this.#verdicts
  }

  /**
   * Copies the bytes of a packet to where the core has its one packet, no more than it reads.
   *
   * @returns how many
   */
  #bring(bytes: Uint8Array): number {
    const { length } = bytes
    try {
      if (length > MAX_PACKET) this.#bytes.set(bytes.subarray(0, MAX_PACKET), this.#at.input)
      else if (length > 0) this.#bytes.set(bytes, this.#at.input)
    } catch {
      // Bytes whose buffer was given away have no length, which V8 forgets in compiled code that has also seen resizable
      // buffers; they throw if they are touched. Asking for their buffer first takes as long as the copy.
      return 0
    }
    return Math.min(length, MAX_PACKET)
  }

  /**
   * What those work with that are not part of the main entry: `rules/held.ts`, `format/connection-lines.ts`,
   * `helper-border.ts`.
   */
  get inside(): CoreInside {
    return this.#inside ??= {
      exports: this.#exports, bytes: this.#bytes, view: this.#view, regions: this.#at, verdicts: this.#verdicts, core: this,
      columns: this.#columns, bring: bytes => this.#bring(bytes), resume: () => this.#resume(), drain: () => this.#drainWaiting(),
      entry: slot => this.#entry(slot), tuple: (at, side, reply) => this.#tuple(at, side, reply),
    }
  }

  #resume(): void {
    this.#exports.resumePacket(this.inspect() ? 1 : 0)
  }

  /**
   * Brings packets into the core's memory, from `from` on as many as fit.
   *
   * @returns the first packet that did not fit, and the offset that the input's first byte has in the column
   */
  #load(batch: PacketBatch, from: number, count: number): { to: number; base: number } {
    const { data: { length: bytes }, offset, length } = batch
    let [to, low, high, total] = [from, offset[from], offset[from], 0]
    for (let i = from; i < count; i++) {
      const start = offset[i]
      const end = start + length[i]
      if (!(end <= bytes)) throw new ConntrackError('invalid-argument', 'a packet of the batch lies outside of its data')
      const lower = start < low ? start : low
      const higher = end > high ? end : high
      if (higher - lower <= INPUT_SIZE && to === i) {
        low = lower
        high = higher
        total += length[i]
        to++
      } else if (from > 0) break // all of them were looked at before
    }
    // Packets that lie close together travel in one piece, gaps and all.
    if (to === from || high - low > 4 * total + 4096) return this.#loadOneByOne(batch, from, count)
    this.#loadColumns(batch, from, to)
    if (high > low) this.#bytes.set(batch.data.subarray(low, high), this.#at.input)
    this.#columns.offset.set(part(offset, from, to), from)
    this.#columns.length.set(part(length, from, to), from)
    return { to, base: low }
  }

  #loadColumns(batch: PacketBatch, from: number, count: number): void {
    this.#columns.wireLength.set(part(batch.originalLength, from, count), from)
    this.#columns.seconds.set(part(batch.seconds, from, count), from)
    this.#columns.nanoseconds.set(part(batch.nanoseconds, from, count), from)
    this.#columns.linkType.set(part(batch.linkType, from, count), from)
  }

  #loadOneByOne(batch: PacketBatch, from: number, count: number): { to: number; base: number } {
    this.#loadColumns(batch, from, count)
    let used = 0
    let i = from
    for (; i < count; i++) {
      const length = Math.min(batch.length[i], MAX_PACKET)
      if (used + length > INPUT_SIZE) break
      const start = batch.offset[i]
      if (length > 0) this.#bytes.set(batch.data.subarray(start, start + length), this.#at.input + used)
      this.#columns.offset[i] = used
      this.#columns.length[i] = length
      // What is not brought along counts as not captured.
      this.#columns.wireLength[i] = Math.max(batch.originalLength[i], batch.length[i])
      used += length
    }
    return { to: i, base: 0 }
  }

  /** Lets time pass; events are drained on the way. */
  advance(time: bigint): void {
    let more = true
    while (more) {
      more = this.#exports.advance(time) === 0
      if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
    }
  }

  get now(): bigint {
    return this.#exports.now()
  }

  get packets(): number {
    return this.#exports.packets() >>> 0
  }

  get entries(): number {
    return this.#exports.entryCount() >>> 0
  }

  get memoryBytes(): number {
    return this.#bytes.length
  }

  counter(index: number): number {
    return Number(this.#counts[index])
  }

  /** Slots of the connections in the order in which they were first seen, each with its id behind it; to be called after `advance`. */
  slots(): Uint32Array {
    const highest = this.#exports.highestSlot() >>> 0
    const pairs = new Uint32Array(highest * 2)
    let [count, last, inOrder] = [0, 0, true]
    for (let slot = 1; slot <= highest; slot++) {
      const at = this.#entry(slot)
      if (this.#view.getUint16(at + 48, true) === 0) continue
      const id = this.#view.getUint32(at + 52, true)
      inOrder &&= id > last
      last = id
      pairs[count++] = slot
      pairs[count++] = id
    }
    // As numbers of 64 bits they are in the order of the ids.
    if (!inOrder) new BigUint64Array(pairs.buffer, 0, count / 2).sort()
    return pairs.subarray(0, count)
  }

  /** Id of a connection; that of one whose first packet is on its way is the next to be given. */
  idOf(slot: number): number {
    return this.#view.getUint32(this.#entry(slot) + 52, true) || this.#exports.nextId() >>> 0
  }

  /** Id of the live connection in a slot, 0 for none. */
  idIn(slot: number): number {
    const at = this.#entry(slot)
    const live = this.#view.getUint16(at + 48, true) !== 0 && this.#view.getBigInt64(at + 40, true) > this.now
    return live ? this.#view.getUint32(at + 52, true) : 0
  }

  /** Slot of the live connection with this id, 0 for none. */
  slotOfId(id: number): number {
    return id > 0 ? this.#exports.slotOfId(id) >>> 0 : 0
  }

  /** Slot of the live connection that a tuple belongs to, 0 for none. */
  slotOfTuple(
    family: 4 | 6, protocol: number, src: Uint8Array, dst: Uint8Array, values: Uint8Array, zone: number,
    direction: keyof typeof ZONE_DIRECTIONS = 'both',
  ): number {
    const at = this.#at.input
    const [first, width, header] = family === 4 ? [12, 4, 20] : [8, 16, 40]
    this.#bytes.set(src, at + first)
    this.#bytes.set(dst, at + first + width)
    this.#bytes.set(values, at + header)
    return this.#exports.slotOfTuple(family, protocol, header, zone, ZONE_DIRECTIONS[direction]) >>> 0
  }

  remove(slot: number): void {
    this.#exports.removeSlot(slot)
    this.#drainWaiting()
  }

  setMark(slot: number, mark: number): void {
    this.#exports.setMark(slot, mark)
    this.#drainWaiting()
  }

  /** @param labels 128 bits */
  setLabels(slot: number, labels: bigint): void {
    this.#exports.setLabels(slot, BigInt.asIntN(64, labels), BigInt.asIntN(64, labels >> 64n))
    this.#drainWaiting()
  }

  #drainWaiting(): void {
    if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
  }

  /** The connection in a slot. */
  connection(slot: number): Connection {
    this.#exports.gatherExtras(slot)
    return this.#connection(this.#entry(slot), this.#at.extras, this.now)
  }

  /** Reads and forgets the events that wait. */
  events(): (ConnectionEvent | ExpectationEvent)[] {
    const waiting = this.#exports.eventsWaiting()
    const events: (ConnectionEvent | ExpectationEvent)[] = []
    for (let i = 0; i < waiting; i++) events.push(this.#event(this.#at.events + i * EVENT_SIZE))
    this.#exports.eventsRead()
    return events
  }

  #event(at: number): ConnectionEvent | ExpectationEvent {
    const view = this.#view
    const time = view.getBigInt64(at + 16, true)
    const kind = EVENT_KINDS[view.getUint32(at, true)]
    if (kind === 'expectation-new' || kind === 'expectation-destroy') {
      return { kind, time, packet: view.getUint32(at + 8, true), expectation: this.helped!.expectationAt(at + 32, at + 160, time) }
    }
    const stop = kind === 'destroy' ? view.getBigInt64(at + 24, true) : null
    return {
      kind,
      time,
      packet: view.getUint32(at + 8, true),
      changes: bits(view.getUint32(at + 4, true), EVENTS),
      connection: this.#connection(at + 32, at + 160, time, stop),
    }
  }

  /** The record of packet `index` of the last batch, if that batch was recorded. */
  record(index: number): PacketRecord {
    const at = this.#at.records + index * RECORD_SIZE
    const view = this.#view
    const u32 = (offset: number) => view.getUint32(at + offset, true)
    const entry = view.getUint8(at + 1)
    const after = view.getUint16(at + 256 + 48, true) !== 0
    return {
      rule: view.getUint8(at),
      entry: (['none', 'found', 'made'] as const)[entry],
      oldState: view.getUint8(at + 2),
      newState: view.getUint8(at + 3),
      direction: view.getUint8(at + 4) === 0 ? 'original' : 'reply',
      kind: view.getUint8(at + 5),
      checked: view.getUint8(at + 6) === 1,
      restarted: (['no', 'reopened', 'resynchronised'] as const)[view.getUint8(at + 7)],
      packet: u32(8),
      seq: u32(12),
      end: u32(16),
      ack: u32(20),
      sack: u32(24),
      window: u32(28),
      sender: this.#tcpSide(at + 32),
      receiver: this.#tcpSide(at + 52),
      before: entry === 1 ? this.#connection(at + 128, null, this.now) : null,
      after: after ? this.#connection(at + 256, at + 384, this.#timeOf(index)) : null,
      announced: u32(544),
      provenance: {
        created: u32(480),
        original: this.#sideProvenance(at + 488),
        reply: this.#sideProvenance(at + 512),
      },
    }
  }

  /** The clock as packet `index` of the last batch found it: an entry's deadline less the time it had left. */
  #timeOf(index: number): bigint {
    const left = this.#verdicts.timeoutNs[index]
    const deadline = this.#view.getBigInt64(this.#at.records + index * RECORD_SIZE + 256 + 40, true)
    return this.#verdicts.connection[index] ? deadline - BigInt(left) : this.now
  }

  #sideProvenance(at: number): SideProvenance {
    const u32 = (offset: number) => this.#view.getUint32(at + offset, true)
    return { end: u32(0), maxEnd: u32(4), maxWindow: u32(8), maxAck: u32(12), ack: u32(16), window: u32(20) }
  }

  #entry(slot: number): number {
    return this.#at.entries + slot * ENTRY_SIZE
  }

  /**
   * @param at where the entry is
   * @param extras where its extras are; `null`: not known
   * @param stop when it was over
   */
  #connection(at: number, extras: number | null, now: bigint, stop: bigint | null = null): Connection {
    const view = this.#view
    const attached = view.getUint8(at + 75)
    const account = attached & ATTACHED_ACCOUNT ? extras : null
    const start = attached & ATTACHED_START ? extras : null
    const helpers = this.parts.helpers ? extras : null
    const status = view.getUint16(at + 48, true)
    const protocol = view.getUint8(at + 36)
    const tcp = protocol === 6
    const origin = view.getUint8(at + 51)
    const left = Number(view.getBigInt64(at + 40, true) - now)
    return {
      id: view.getUint32(at + 52, true),
      original: this.#tuple(at, origin, false),
      reply: this.#tuple(at, origin ^ 1, true),
      zone: view.getUint16(at + 38, true),
      zoneDirection: zoneDirection(attached),
      mark: view.getUint32(at + 76, true),
      labels: this.parts.labels && extras !== null ? this.#labels(extras + 48) : null,
      status: bits(status, STATUS_BITS),
      assured: (status & 4) !== 0,
      seenReply: (status & 2) !== 0,
      timeoutMs: Math.max(0, Math.floor(left / 1e6)),
      helper: helpers !== null ? this.helperNames[view.getUint8(helpers + 44) - 1]?.name ?? null : null,
      master: helpers !== null ? view.getUint32(helpers + 40, true) || null : null,
      tcpState: tcp ? TCP_STATES[view.getUint8(at + 50)] : null,
      sctpState: protocol === SCTP ? SCTP_STATES[view.getUint8(at + 50)] : null,
      tcp: tcp ? this.#tcp(at) : null,
      verificationTags: protocol === SCTP
        ? { original: view.getUint32(at + 80), reply: view.getUint32(at + 84) } : null,
      streamInMs: protocol === UDP
        ? Math.max(0, Math.floor(Number(view.getBigInt64(at + 80, true) - now) / 1e6)) : null,
      packets: account !== null ? { original: this.#u64(account), reply: this.#u64(account + 16) } : null,
      bytes: account !== null ? { original: this.#u64(account + 8), reply: this.#u64(account + 24) } : null,
      start: start !== null ? view.getBigInt64(start + 32, true) : null,
      stop: start !== null ? stop : null,
      ...this.#history(at, extras),
    }
  }

  /** Timeouts of the policies, in seconds. */
  policyTimeouts(policies: number): number[][] {
    return Array.from({ length: policies }, (_, policy) => Array.from({ length: TIMEOUTS }, (_, place) =>
      Number(this.#view.getBigInt64(this.#at.settings + ((policy + 1) * TIMEOUTS + place) * 8, true) / 1_000_000_000n)))
  }

  setPolicyTimeouts(policies: readonly (readonly number[])[]): void {
    policies.forEach((timeouts, i) => this.#writePolicy(i + 1, new Map(timeouts.entries())))
  }

  #labels(at: number): number[] {
    const numbers: number[] = []
    for (let i = 0; i < 128; i++) if (this.#bytes[at + (i >> 3)] >> (i & 7) & 1) numbers.push(i)
    return numbers
  }

  #history(at: number, extras: number | null): Pick<Connection, 'history' | 'connState'> {
    if (!this.parts.history || extras === null) return { history: null, connState: null }
    const text = extras + 64 + 8
    const history = String.fromCharCode(...this.#bytes.subarray(text, text + this.#bytes[extras + 64 + 4]))
    return { history, connState: connState(this.#view.getUint8(at + 36), history) }
  }

  #u64(at: number): number {
    return Number(this.#view.getBigUint64(at, true))
  }

  /** The tuple whose source is endpoint `side` of the key at `at`. */
  #tuple(at: number, side: number, reply: boolean): Tuple {
    const view = this.#view
    const family = view.getUint8(at + 37) === 4 ? 4 : 6
    const protocol = view.getUint8(at + 36)
    const address = (endpoint: number) =>
      family === 4 ? ipv4Text(this.#bytes, at + endpoint * 16 + 12) : ipv6Text(this.#bytes, at + endpoint * 16)
    const src = address(side)
    const dst = address(side ^ 1)
    const a = view.getUint16(at + 32, true)
    const b = view.getUint16(at + 34, true)
    if (protocol === 1 || protocol === 58) {
      const type = b & 0xff
      return { family, protocol, src, dst, type: reply ? answerType(protocol, type) : type, code: b >> 8, id: a }
    }
    const source = side === 0 ? a : b
    const destination = side === 0 ? b : a
    if (protocol === GRE) return { family, protocol, src, dst, srcKey: source, dstKey: destination }
    return WITH_PORTS.includes(protocol)
      ? { family, protocol, src, dst, sport: source, dport: destination } : { family, protocol, src, dst }
  }

  #tcp(at: number): TcpInfo {
    const view = this.#view
    return {
      original: this.#tcpSide(at + 80),
      reply: this.#tcpSide(at + 100),
      retransmissions: view.getUint8(at + 74),
      last: {
        index: view.getUint8(at + 70),
        direction: DIRECTIONS[view.getUint8(at + 71) + 1] as 'original' | 'reply',
        seq: view.getUint32(at + 56, true),
        ack: view.getUint32(at + 60, true),
        end: view.getUint32(at + 64, true),
        window: view.getUint16(at + 68, true),
        scale: view.getUint8(at + 72),
        flags: bits(view.getUint8(at + 73), TCP_FLAGS),
      },
    }
  }

  #tcpSide(at: number): TcpSide {
    const u32 = (offset: number) => this.#view.getUint32(at + offset, true)
    return {
      end: u32(0), maxEnd: u32(4), maxWindow: u32(8), maxAck: u32(12),
      scale: this.#view.getUint8(at + 16), flags: bits(this.#view.getUint8(at + 17), TCP_FLAGS),
    }
  }
}

/** The columns of a batch of verdicts. */
export const VERDICT_COLUMNS = [
  'timeoutNs', 'connection', 'networkOffset', 'transportOffset', 'state', 'direction', 'reason', 'protocolState', 'flags', 'protocol',
  'family',
] as const satisfies readonly (keyof VerdictBatch)[]

/** Rows `from` to `to` of a column; the column itself where that is all of it, since a view costs more than a copy. */
function part<T extends Uint32Array | Float64Array | Uint16Array>(column: T, from: number, to: number): T {
  return (from === 0 && to === column.length ? column : column.subarray(from, to)) as T
}

function zoneDirection(attached: number): Connection['zoneDirection'] {
  const directions = attached & ZONE_DIRECTIONS.both
  return directions === ZONE_DIRECTIONS.original ? 'original' : directions === ZONE_DIRECTIONS.reply ? 'reply' : 'both'
}

/** The answer to an ICMP request type. */
export function answerType(protocol: number, type: number): number {
  return protocol === 1 && type === 8 ? 0 : type + 1
}

const knownBits = new Map<readonly string[], (readonly string[])[]>()

/** The names of the bits that are set. What was asked for once is remembered: of 65,536 values a few occur. */
function bits(value: number, names: readonly string[]): readonly string[] {
  let known = knownBits.get(names)
  if (!known) knownBits.set(names, known = [])
  return known[value] ??= Object.freeze(names.filter((_, i) => value >> i & 1))
}

/** Pages of any memory of WebAssembly at most. */
const MAX_PAGES = 65_536

/** Memory that cores take their parts of, besides what else is to lie in it. */
export function newMemory(shared = false): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared })
}

/** Memory of which a core lays out all but the first page; `null` where it does not fit. Growing would set off V8's collector. */
function ownMemory(module: WebAssembly.Module, sizes: CoreSizes): WebAssembly.Memory | null {
  const pages = withoutMemory(module).pagesOf(...sizes)
  if (pages === 0 || pages >= MAX_PAGES) return null
  try {
    return new WebAssembly.Memory({ initial: 1 + pages, maximum: MAX_PAGES })
  } catch {
    return null // the machine has not that much
  }
}

const withoutMemories = new WeakMap<WebAssembly.Module, Exports>()

/** An instance that no tracker has been made with: it says how much memory one takes, and how it is laid out. */
function withoutMemory(module: WebAssembly.Module): Exports {
  const known = withoutMemories.get(module)
  if (known) return known
  const exports = instantiate(module, new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES }))
  withoutMemories.set(module, exports)
  return exports
}

/** The exports of a new instance of the core. */
function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Exports {
  try {
    const exports = new WebAssembly.Instance(module, { env: { abort, memory } }).exports as unknown as Exports
    if (exports.VERSION.value === VERSION) return exports
  } catch {
    // It wants imports that the core does not have, or lacks exports that it has.
  }
  throw new ConntrackError('wrong-core', 'the module is not the core of this version of conntrack-wasm')
}

/** What a debug build of the core calls where an assertion fails. */
function abort(_message: number, _file: number, line: number, column: number): never {
  throw new Error(`assertion of the core failed at ${line}:${column}`)
}

/** The fingerprint of a core that no tracker has been made with yet. */
export function coreFingerprint(module: WebAssembly.Module): number {
  return withoutMemory(module).layoutFingerprint() >>> 0
}

export { BATCH_SIZE, HASH_KEYS, TIMEOUTS }

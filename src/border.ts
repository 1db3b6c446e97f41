/**
 * The border to the core: the one file that knows its addresses and layouts (`assembly/01-records.ts`). Nothing else
 * holds a pointer. Views are made once, after the core has laid out its memory; it never grows again.
 */
import { BATCH_SIZE, type PacketBatch } from './batch.js'
import { ConntrackError } from './errors.js'
import { formatIpv4, formatIpv6 } from './format/address.js'
import type { CompiledMatch } from './match.js'
import { DIRECTIONS, EVENTS, SCTP_STATES, STATUS_BITS, TCP_FLAGS, TCP_STATES } from './names.js'
import { FIXED_TIMEOUTS, SYSCTLS } from './sysctl.js'
import type { Connection, ConnectionEvent, ConnectionEventKind, TcpInfo, TcpSide, Tuple, VerdictBatch } from './types.js'

const VERSION = 1
const WITH_EXPLAIN = 1
const WITH_ACCT = 2
/** Bytes of packets that the core takes at a time. */
const INPUT_SIZE = 512 * 1024
/** More of one packet is not read by the core. */
const MAX_PACKET = 72 * 1024
const HASH_KEYS = 48
const MATCHES = 64
const MATCH_SIZE = 96
const ENTRY_SIZE = 128
const ACCOUNT_SIZE = 32
const EVENT_SIZE = 192
const RECORD_SIZE = 512
const REPORTED_COUNTERS = 352
const GRE = 47
const SCTP = 132
const WITH_PORTS: readonly number[] = [6, 17, SCTP, 136]

/** Numbers of the regions, as `regionAt` counts them. */
const Region = {
  settings: 0, switches: 1, hashKeys: 2, counters: 3, notrack: 4, drop: 5, offset: 6, length: 7, wireLength: 8, seconds: 9,
  nanoseconds: 10, linkType: 11, verdict: 12, records: 13, events: 14, input: 15, index: 16, entries: 17, accounts: 18,
  provenance: 19,
} as const

interface Exports {
  readonly memory: WebAssembly.Memory
  readonly VERSION: WebAssembly.Global
  createCore(
    maxConnections: number, batch: number, input: number, fragments4: number, fragments6: number, parts: number,
  ): number
  regionAt(region: number): number
  configure(checksums: number, notrack: number, drop: number, listening: number): void
  run(from: number, to: number, base: number, recorded: number, goOn: number): number
  runOne(length: number, wireLength: number, linkType: number, time: bigint, recorded: number): void
  advance(time: bigint): number
  eventsWaiting(): number
  eventsRead(): void
  now(): bigint
  packets(): number
  entryCount(): number
  highestSlot(): number
  slotOfId(id: number): number
  slotOfTuple(family: number, protocol: number, transport: number): number
  removeSlot(slot: number): void
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

/** One core: its memory and its calls. */
export class Core {
  readonly #exports: Exports
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
  readonly accounting: boolean
  #listening = false
  #configuration: readonly [checksums: number, notrack: number, drop: number] = [0, 0, 0]
  #drain: () => void = () => {}

  /** @param fragmentBytes the most that the high thresholds of reassembly will be set to: IPv4, IPv6 */
  constructor(
    module: WebAssembly.Module, maxConnections: number, batchSize: number, explain: boolean, acct: boolean,
    fragmentBytes: readonly [number, number],
  ) {
    const exports = instantiate(module)
    const parts = (explain ? WITH_EXPLAIN : 0) | (acct ? WITH_ACCT : 0)
    if (!exports.createCore(maxConnections, batchSize, INPUT_SIZE, ...fragmentBytes, parts)) {
      const asked = `maxConnections ${maxConnections} and ${fragmentBytes[0] + fragmentBytes[1]} bytes of fragments`
      throw new ConntrackError('invalid-argument', `no memory for ${asked}`)
    }
    this.#exports = exports
    this.batchSize = batchSize
    this.accounting = acct
    const buffer = exports.memory.buffer
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

  setSysctl(name: string, value: number): void {
    const sysctl = SYSCTLS[name]
    if (sysctl.timeout !== undefined) this.#setTimeout(sysctl.timeout, value)
    if (sysctl.switch !== undefined) this.#view.setUint32(this.#at.switches + sysctl.switch * 4, value, true)
  }

  #setTimeout(place: number, seconds: number): void {
    this.#view.setBigInt64(this.#at.settings + place * 8, BigInt(seconds) * 1_000_000_000n, true)
  }

  /** Sets how checksums are taken, what is not tracked and what rules drop. */
  configure(checksums: number, notrack: readonly CompiledMatch[], drop: readonly CompiledMatch[]): void {
    if (notrack.length > MATCHES || drop.length > MATCHES) {
      throw new ConntrackError('invalid-argument', `more than ${MATCHES} matches in one list`)
    }
    notrack.forEach((match, i) => this.#writeMatch(this.#at.notrack + i * MATCH_SIZE, match))
    drop.forEach((match, i) => this.#writeMatch(this.#at.drop + i * MATCH_SIZE, match))
    this.#configuration = [checksums, notrack.length, drop.length]
    this.#exports.configure(checksums, notrack.length, drop.length, this.#listening ? 1 : 0)
  }

  /** From now on `drain` is called whenever events wait, and reads them with `events`. */
  listen(listening: boolean, drain: () => void): void {
    this.#listening = listening
    this.#drain = drain
    this.#exports.configure(...this.#configuration, listening ? 1 : 0)
  }

  #writeMatch(at: number, match: CompiledMatch): void {
    const view = this.#view
    view.setUint32(at, match.protocol, true)
    view.setUint32(at + 4, match.family, true)
    view.setUint16(at + 8, match.sport[0], true)
    view.setUint16(at + 10, match.sport[1], true)
    view.setUint16(at + 12, match.dport[0], true)
    view.setUint16(at + 14, match.dport[1], true)
    view.setUint32(at + 16, match.asksForPorts ? 1 : 0, true)
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
      const input = this.#load(batch, from, count)
      for (let goOn = 0; from < input.to; goOn = 1) {
        from = this.#exports.run(from, input.to, input.base, recorded ? 1 : 0, goOn)
        if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
      }
    }
    this.#verdicts.count = count
    return this.#verdicts
  }

  /**
   * Classifies one packet.
   *
   * @returns its verdict as a batch of one
   */
  trackOne(bytes: Uint8Array, wireLength: number, linkType: number, time: bigint): VerdictBatch {
    const length = Math.min(bytes.length, MAX_PACKET)
    this.#bytes.set(length === bytes.length ? bytes : bytes.subarray(0, length), this.#at.input)
    this.#exports.runOne(length, wireLength, linkType, time, 1)
    if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
    this.#verdicts.count = 1
    return this.#verdicts
  }

  /**
   * Brings packets into the core's memory, from `from` on as many as fit.
   *
   * @returns the first packet that did not fit, and the offset that the input's first byte has in the column
   */
  #load(batch: PacketBatch, from: number, count: number): { to: number; base: number } {
    const { data, offset, length } = batch
    let low = 0xffffffff
    let high = 0
    let total = 0
    for (let i = from; i < count; i++) {
      const start = offset[i]
      const end = start + length[i]
      if (start < low) low = start
      if (end > high) high = end
      total += length[i]
    }
    if (!(high <= data.length)) throw new ConntrackError('invalid-argument', 'a packet of the batch lies outside of its data')
    this.#loadColumns(batch, from, count)
    // Packets that lie close together travel in one piece, gaps and all.
    if (high - low <= INPUT_SIZE && high - low <= 4 * total + 4096) {
      this.#bytes.set(data.subarray(low, high), this.#at.input)
      this.#columns.offset.set(part(offset, from, count), from)
      this.#columns.length.set(part(length, from, count), from)
      return { to: count, base: low }
    }
    return this.#loadOneByOne(batch, from, count)
  }

  #loadColumns(batch: PacketBatch, from: number, count: number): void {
    this.#columns.wireLength.set(part(batch.originalLength, from, count), from)
    this.#columns.seconds.set(part(batch.seconds, from, count), from)
    this.#columns.nanoseconds.set(part(batch.nanoseconds, from, count), from)
    this.#columns.linkType.set(part(batch.linkType, from, count), from)
  }

  #loadOneByOne(batch: PacketBatch, from: number, count: number): { to: number; base: number } {
    let used = 0
    let i = from
    for (; i < count; i++) {
      const length = Math.min(batch.length[i], MAX_PACKET)
      if (used + length > INPUT_SIZE) break
      const start = batch.offset[i]
      this.#bytes.set(batch.data.subarray(start, start + length), this.#at.input + used)
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

  /** Slots of the live connections, in the order in which they were first seen. */
  slots(): number[] {
    const highest = this.#exports.highestSlot() >>> 0
    const slots: number[] = []
    for (let slot = 1; slot <= highest; slot++) if (this.idIn(slot) !== 0) slots.push(slot)
    return slots.sort((a, b) => this.idIn(a) - this.idIn(b))
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
  slotOfTuple(family: 4 | 6, protocol: number, src: Uint8Array, dst: Uint8Array, values: Uint8Array): number {
    const at = this.#at.input
    const [first, width, header] = family === 4 ? [12, 4, 20] : [8, 16, 40]
    this.#bytes.set(src, at + first)
    this.#bytes.set(dst, at + first + width)
    this.#bytes.set(values, at + header)
    return this.#exports.slotOfTuple(family, protocol, header) >>> 0
  }

  remove(slot: number): void {
    this.#exports.removeSlot(slot)
    if (this.#listening && this.#exports.eventsWaiting() > 0) this.#drain()
  }

  /** The connection in a slot. */
  connection(slot: number): Connection {
    const account = this.accounting ? this.#at.accounts + slot * ACCOUNT_SIZE : 0
    return this.#connection(this.#entry(slot), account, this.now)
  }

  /** Reads and forgets the events that wait. */
  events(): ConnectionEvent[] {
    const waiting = this.#exports.eventsWaiting()
    const events: ConnectionEvent[] = []
    for (let i = 0; i < waiting; i++) events.push(this.#event(this.#at.events + i * EVENT_SIZE))
    this.#exports.eventsRead()
    return events
  }

  #event(at: number): ConnectionEvent {
    const view = this.#view
    const time = view.getBigInt64(at + 16, true)
    return {
      kind: (['new', 'update', 'destroy'] as const satisfies readonly ConnectionEventKind[])[view.getUint32(at, true)],
      time,
      packet: view.getUint32(at + 8, true),
      changes: bits(view.getUint32(at + 4, true), EVENTS),
      connection: this.#connection(at + 32, this.accounting ? at + 160 : 0, time),
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
      before: entry === 1 ? this.#connection(at + 128, 0, this.now) : null,
      after: after ? this.#connection(at + 256, this.accounting ? at + 384 : 0, this.#timeOf(index)) : null,
      provenance: {
        created: u32(416),
        original: this.#sideProvenance(at + 424),
        reply: this.#sideProvenance(at + 448),
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

  #connection(at: number, account: number, now: bigint): Connection {
    const view = this.#view
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
      zoneDirection: 'both',
      mark: view.getUint32(at + 76, true),
      labels: null,
      status: bits(status, STATUS_BITS),
      assured: (status & 4) !== 0,
      seenReply: (status & 2) !== 0,
      timeoutMs: Math.max(0, Math.floor(left / 1e6)),
      helper: null,
      master: null,
      tcpState: tcp ? TCP_STATES[view.getUint8(at + 50)] : null,
      sctpState: protocol === SCTP ? SCTP_STATES[view.getUint8(at + 50)] : null,
      tcp: tcp ? this.#tcp(at) : null,
      packets: account ? { original: this.#u64(account), reply: this.#u64(account + 16) } : null,
      bytes: account ? { original: this.#u64(account + 8), reply: this.#u64(account + 24) } : null,
      start: null,
      stop: null,
      history: null,
      connState: null,
    }
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
      family === 4 ? formatIpv4(this.#bytes, at + endpoint * 16 + 12) : formatIpv6(this.#bytes, at + endpoint * 16)
    const common = { family, protocol, src: address(side), dst: address(side ^ 1) } as const
    const a = view.getUint16(at + 32, true)
    const b = view.getUint16(at + 34, true)
    if (protocol === 1 || protocol === 58) {
      const type = b & 0xff
      return { ...common, type: reply ? answerType(protocol, type) : type, code: b >> 8, id: a }
    }
    const [source, destination] = side === 0 ? [a, b] : [b, a]
    if (protocol === GRE) return { ...common, srcKey: source, dstKey: destination }
    return WITH_PORTS.includes(protocol) ? { ...common, sport: source, dport: destination } : common
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

/** Rows `from` to `to` of a column; the column itself where that is all of it, since a view costs more than a copy. */
function part<T extends Uint32Array | Float64Array | Uint16Array>(column: T, from: number, to: number): T {
  return (from === 0 && to === column.length ? column : column.subarray(from, to)) as T
}

/** The answer to an ICMP request type. */
function answerType(protocol: number, type: number): number {
  return protocol === 1 && type === 8 ? 0 : type + 1
}

function bits(value: number, names: readonly string[]): string[] {
  return names.filter((_, i) => value >> i & 1)
}

/** The exports of a new instance of the core. */
function instantiate(module: WebAssembly.Module): Exports {
  try {
    const exports = new WebAssembly.Instance(module, { env: { abort } }).exports as unknown as Exports
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

export { BATCH_SIZE, HASH_KEYS }

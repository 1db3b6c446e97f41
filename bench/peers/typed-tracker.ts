/**
 * Connection tracking as fast as plain JavaScript does it: typed arrays instead of objects, a hash index of its own,
 * and packets in groups so that the memory they need is on its way before it is used.
 *
 * Entry: 32 words of one Int32Array, number 0 unused; its tuple is kept in a canonical order (lower address and port
 * first), so both directions have the same hash and one link in the index. Index: open addressing with linear probing,
 * two words a slot (hash, entry number), at most half full; a removal moves later slots back: there are no tombstones.
 */
import { BATCH_SIZE, type PacketBatch } from '../../src/batch.js'
import { VERDICT_ASSURED, VERDICT_SEEN_REPLY } from '../../src/names.js'
import {
  ACK, DST, END, FLAG_ACK, FLAG_RST, FLAG_SYN, FLAGS, KIND, OPTIONS, OPTIONS_LENGTH, PORTS, PROTOCOL, REASON, ROW,
  ROW_SHIFT, SEQ, SRC, TCP, WINDOW, readHeaders, viewOf,
} from './headers.js'
import {
  LAST_UNREACHED, STATE_ESTABLISHED, STATE_INVALID, STATE_NEW, forgetEntry, milliseconds, reasonCode, verdictColumns,
  type Peer, type PeerOptions, type PeerVerdicts,
} from './peer.js'
import * as rules from './tcp-rules.js'
import { after, before } from './tcp-rules.js'

const NO_CONNECTION = reasonCode('tcp-no-connection')
const TRANSITION = reasonCode('tcp-transition')
const RST_BELOW_ACK = reasonCode('tcp-rst-below-ack')
const SEQ_OVER_WINDOW = reasonCode('tcp-seq-over-window')
const ACK_OVER_SENT = reasonCode('tcp-ack-over-sent')
const TABLE_FULL = reasonCode('table-full')
/** Reasons are returned above this where the same number could be a state. */
const REASON_BASE = 100

/** Packets whose memory is asked for at the same time; 8 to 32 are equally good. */
const GROUP = 16

// Words of a row that the tracker adds to the header fields.
const HASH = 13
const SWAPPED = 14
const CANDIDATE = 15

// Words of an entry: 64 bytes of key, life and last packet ...
const ENTRY_SHIFT = 5
const E_FIRST = 0
const E_SECOND = 1
const E_PORTS = 2
/** Protocol in the low 8 bits, the status bits below, TCP state from bit 16 on; 0 while the entry is free. */
const E_STATUS = 3
/** Milliseconds, a double in two words; 0 before the first packet has passed. */
const E_DEADLINE = 4
/** UDP: from when on two-way traffic makes the connection assured, a double in two words. */
const E_STREAM_FROM = 6
const E_HASH = 8
const E_LAST_KIND = 9
const E_LAST_DIRECTION = 10
const E_LAST_SEQ = 11
const E_LAST_ACK = 12
const E_LAST_END = 13
const E_LAST_WINDOW = 14
const E_RETRANSMISSIONS = 15
// ... and 64 bytes of both sides, eight words each: the other side is at the same place XOR 8.
const E_SIDES = 16
const SIDE_SHIFT = 3
const SIDE = 1 << SIDE_SHIFT
// What rarely matters fills the sides' spare words.
const E_LAST_SCALE = 22
const E_LAST_FLAGS = 23
/** In free entries: the next free one. */
const E_NEXT_FREE = 30

// Words of a side.
const END_ = 0
const MAX_END = 1
const MAX_WINDOW = 2
const MAX_ACK = 3
const SCALE = 4
const SIDE_FLAGS = 5

const ORIGINAL_SWAPPED_SHIFT = 8
const ORIGINAL_SWAPPED = 1 << ORIGINAL_SWAPPED_SHIFT
const SEEN_REPLY_SHIFT = 9
const SEEN_REPLY = 1 << SEEN_REPLY_SHIFT
const ASSURED = 1 << 10
const STATE_SHIFT = 16

export class TypedTracker implements Peer {
  private readonly entries: Int32Array
  /** The same memory; a double of entry word `w` is at `w / 2`. */
  private readonly doubles: Float64Array
  private readonly index: Int32Array
  private readonly mask: number
  private readonly seed: number
  private readonly verify: boolean
  private readonly rows = new Int32Array(GROUP * ROW)
  private readonly times = new Float64Array(GROUP)
  private readonly verdicts = verdictColumns(BATCH_SIZE)
  private view: DataView = new DataView(new ArrayBuffer(0))
  private free = 0
  private unused = 1
  private swept = 1
  /** What touched memory is added to: public, so that nothing concludes that the loads are not needed. */
  touched = 0

  constructor(options: PeerOptions, seed = 0x5bd1e995) {
    const slots = 2 ** Math.ceil(Math.log2(options.maxConnections * 2))
    const buffer = new ArrayBuffer((options.maxConnections + 1) << (ENTRY_SHIFT + 2))
    this.entries = new Int32Array(buffer)
    this.doubles = new Float64Array(buffer)
    this.index = new Int32Array(slots * 2)
    this.mask = slots - 1
    this.seed = seed
    this.verify = options.checksum === 'verify'
  }

  /** Bytes of entries and index. */
  get bytes(): number {
    return this.entries.byteLength + this.index.byteLength
  }

  trackBatch(batch: PacketBatch): PeerVerdicts {
    this.view = viewOf(batch.data)
    for (let from = 0; from < batch.count; from += GROUP) {
      const count = Math.min(GROUP, batch.count - from)
      this.readGroup(batch, from, count)
      this.touchIndex(count)
      this.pickCandidates(count)
      this.touchEntries(count)
      for (let i = 0; i < count; i += 1) this.trackPacket(from + i, i * ROW)
    }
    if (batch.count > 0) this.sweep(milliseconds(batch, batch.count - 1))
    return this.verdicts
  }

  // Staging: each loop does one thing, so that its loads do not wait for each other.

  private readGroup(batch: PacketBatch, from: number, count: number): void {
    const { rows, view, verify, times } = this
    const { offset, length, originalLength } = batch
    for (let i = 0; i < count; i += 1) {
      const p = from + i
      readHeaders(view, offset[p], length[p], originalLength[p], verify, rows, i * ROW)
    }
    for (let i = 0; i < count; i += 1) times[i] = milliseconds(batch, from + i)
    for (let i = 0; i < count; i += 1) this.hashRow(i * ROW)
  }

  private hashRow(row: number): void {
    const { rows } = this
    const src = rows[row + SRC]
    const dst = rows[row + DST]
    const ports = rows[row + PORTS]
    // -1 or 0, a mask for choosing without a branch, which would be mispredicted half of the time: the borrow of
    // dst - src as unsigned numbers.
    let swapped = ((~dst & src) | ((~dst | src) & (dst - src))) >> 31
    if (src === dst) swapped = ports >>> 16 > (ports & 0xffff) ? -1 : 0
    const difference = (src ^ dst) & swapped
    const turned = (ports << 16) | (ports >>> 16)
    rows[row + SRC] = src ^ difference
    rows[row + DST] = dst ^ difference
    rows[row + PORTS] = ports ^ ((ports ^ turned) & swapped)
    rows[row + SWAPPED] = swapped & ORIGINAL_SWAPPED
    rows[row + HASH] = this.hash(rows[row + SRC], rows[row + DST], rows[row + PORTS], rows[row + PROTOCOL])
  }

  private hash(first: number, second: number, ports: number, protocol: number): number {
    let h = Math.imul(first ^ this.seed, 0x9e3779b1)
    h = Math.imul((h ^ (h >>> 15)) + second, 0x85ebca6b)
    h = Math.imul((h ^ (h >>> 13)) + ports + protocol, 0xc2b2ae35)
    return h ^ (h >>> 16)
  }

  private touchIndex(count: number): void {
    const { rows, index, mask } = this
    let sum = 0
    for (let i = 0; i < count; i += 1) sum += index[(rows[i * ROW + HASH] & mask) << 1]
    this.touched = sum | 0
  }

  private pickCandidates(count: number): void {
    const { rows, index, mask } = this
    for (let i = 0; i < count; i += 1) {
      const hash = rows[i * ROW + HASH]
      let slot = hash & mask
      while (index[(slot << 1) + 1] !== 0 && index[slot << 1] !== hash) slot = (slot + 1) & mask
      rows[i * ROW + CANDIDATE] = index[(slot << 1) + 1]
    }
  }

  private touchEntries(count: number): void {
    const { rows, entries } = this
    let sum = 0
    for (let i = 0; i < count; i += 1) {
      const entry = rows[i * ROW + CANDIDATE] << ENTRY_SHIFT
      sum += entries[entry] + entries[entry + E_SIDES]
    }
    this.touched = sum | 0
  }

  private trackPacket(i: number, row: number): void {
    const failed = this.rows[row + REASON]
    if (failed !== 0) return this.refuse(i, failed)
    const { entries, rows } = this
    // A packet that destroys its entry is looked up once more and then opens a new one.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      let entry = this.find(row)
      const isFirst = entry === 0
      if (isFirst) entry = this.create(row)
      if (entry === 0) return this.refuse(i, TABLE_FULL)
      const direction = isFirst ? 0 : this.directionOf(entry, row)
      const result = rows[row + PROTOCOL] === TCP
        ? this.trackTcp(entry, direction, row, isFirst)
        : this.trackUdp(entry, row, isFirst)
      if (result > 0) {
        if (isFirst) this.release(entry)
        return this.refuse(i, result)
      }
      if (result === rules.REPEAT) {
        this.remove(entry)
        continue
      }
      entries[entry + E_STATUS] |= direction << SEEN_REPLY_SHIFT
      this.accept(i, entries[entry + E_STATUS], direction)
      if (result === rules.ACCEPT_DESTROYED) {
        this.remove(entry)
        forgetEntry(this.verdicts, i)
      } else if (isFirst) {
        this.link(entry)
      }
      return
    }
  }

  private accept(i: number, status: number, direction: number): void {
    const { verdicts } = this
    verdicts.state[i] = status & SEEN_REPLY ? STATE_ESTABLISHED : STATE_NEW
    verdicts.direction[i] = direction + 1
    verdicts.reason[i] = 0
    verdicts.protocolState[i] = status >>> STATE_SHIFT
    verdicts.flags[i] = (status & ASSURED ? VERDICT_ASSURED : 0) | (status & SEEN_REPLY ? VERDICT_SEEN_REPLY : 0)
  }

  private refuse(i: number, reason: number): void {
    const { verdicts } = this
    verdicts.state[i] = reason <= LAST_UNREACHED ? 0 : STATE_INVALID
    verdicts.direction[i] = 0
    verdicts.reason[i] = reason
    verdicts.protocolState[i] = 0
    verdicts.flags[i] = 0
  }

  // The table. An entry is named by its first word's place in `entries`; 0 is none.

  private find(row: number): number {
    const { rows, index, mask } = this
    const hash = rows[row + HASH]
    let entry = rows[row + CANDIDATE] << ENTRY_SHIFT
    if (entry === 0 || !this.matches(entry, row)) {
      // The candidate was a hint: an earlier packet of the group may have made or removed an entry.
      entry = 0
      for (let slot = hash & mask; index[(slot << 1) + 1] !== 0; slot = (slot + 1) & mask) {
        if (index[slot << 1] !== hash) continue
        const found = index[(slot << 1) + 1] << ENTRY_SHIFT
        if (!this.matches(found, row)) continue
        entry = found
        break
      }
    }
    if (entry === 0 || this.timeOf(row) < this.doubles[(entry + E_DEADLINE) >> 1]) return entry
    this.remove(entry)
    return 0
  }

  private matches(entry: number, row: number): boolean {
    const { rows, entries } = this
    return entries[entry + E_FIRST] === rows[row + SRC] && entries[entry + E_SECOND] === rows[row + DST] &&
      entries[entry + E_PORTS] === rows[row + PORTS] && (entries[entry + E_STATUS] & 0xff) === rows[row + PROTOCOL]
  }

  /** Where both tuples are equal Linux finds the reply one. */
  private directionOf(entry: number, row: number): number {
    const { rows, entries } = this
    const ports = rows[row + PORTS]
    if (rows[row + SRC] === rows[row + DST] && ports >>> 16 === (ports & 0xffff)) return 1
    return ((entries[entry + E_STATUS] ^ rows[row + SWAPPED]) & ORIGINAL_SWAPPED) >>> ORIGINAL_SWAPPED_SHIFT
  }

  /** A blank entry that is not in the index yet; 0 when the table is full. */
  private create(row: number): number {
    const { rows, entries } = this
    const entry = this.allocate()
    if (entry === 0) return 0
    entries.fill(0, entry, entry + (1 << ENTRY_SHIFT))
    entries[entry + E_FIRST] = rows[row + SRC]
    entries[entry + E_SECOND] = rows[row + DST]
    entries[entry + E_PORTS] = rows[row + PORTS]
    entries[entry + E_STATUS] = rows[row + PROTOCOL] | rows[row + SWAPPED]
    entries[entry + E_HASH] = rows[row + HASH]
    entries[entry + E_LAST_KIND] = rules.KIND_NONE
    return entry
  }

  private allocate(): number {
    const entry = this.free
    if (entry !== 0) {
      this.free = this.entries[entry + E_NEXT_FREE]
      return entry
    }
    const next = this.unused << ENTRY_SHIFT
    if (next >= this.entries.length) return 0
    this.unused += 1
    return next
  }

  private release(entry: number): void {
    this.entries[entry + E_STATUS] = 0
    this.entries[entry + E_NEXT_FREE] = this.free
    this.free = entry
  }

  private link(entry: number): void {
    const { index, mask } = this
    const hash = this.entries[entry + E_HASH]
    let slot = hash & mask
    while (index[(slot << 1) + 1] !== 0) slot = (slot + 1) & mask
    index[slot << 1] = hash
    index[(slot << 1) + 1] = entry >> ENTRY_SHIFT
  }

  private remove(entry: number): void {
    const { index, mask } = this
    const number = entry >> ENTRY_SHIFT
    let hole = this.entries[entry + E_HASH] & mask
    while (index[(hole << 1) + 1] !== number) hole = (hole + 1) & mask
    let slot = (hole + 1) & mask
    while (index[(slot << 1) + 1] !== 0) {
      // A slot may move back to the hole if that is not before its home.
      const home = index[slot << 1] & mask
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        index[hole << 1] = index[slot << 1]
        index[(hole << 1) + 1] = index[(slot << 1) + 1]
        hole = slot
      }
      slot = (slot + 1) & mask
    }
    index[(hole << 1) + 1] = 0
    this.release(entry)
  }

  /** A few entries a batch, so that what nobody asks for goes as well. */
  private sweep(now: number): void {
    const { entries, doubles } = this
    for (let i = 0; i < 64; i += 1) {
      if (this.swept >= this.unused) {
        this.swept = 1
        return
      }
      const entry = this.swept << ENTRY_SHIFT
      if (entries[entry + E_STATUS] !== 0 && now >= doubles[(entry + E_DEADLINE) >> 1]) this.remove(entry)
      this.swept += 1
    }
  }

  // Protocols.

  /** Seen-reply is set after this: the first reply still refreshes as if unanswered. */
  private trackUdp(c: number, row: number, isFirst: boolean): number {
    const { entries, doubles } = this
    const now = this.timeOf(row)
    if (isFirst) doubles[(c + E_STREAM_FROM) >> 1] = now + 2000
    const isStream = (entries[c + E_STATUS] & SEEN_REPLY) !== 0 && now > doubles[(c + E_STREAM_FROM) >> 1]
    if (isStream) entries[c + E_STATUS] |= ASSURED
    doubles[(c + E_DEADLINE) >> 1] = now + (isStream ? 120e3 : 30e3)
    return rules.ACCEPT
  }

  /** The whole TCP machine: `ACCEPT` and its kin, or the reason why the packet is INVALID. */
  private trackTcp(c: number, direction: number, row: number, isFirst: boolean): number {
    const { entries } = this
    const kind = this.rows[row + KIND]
    if (isFirst && !this.startTcp(c, row)) return NO_CONNECTION
    let old = entries[c + E_STATUS] >>> STATE_SHIFT
    let next = rules.TRANSITIONS[direction * 50 + kind * 10 + old]

    // Nearly all packets are acknowledgements of open connections: nothing below is about them.
    if (kind !== rules.KIND_ACK || next !== rules.ESTABLISHED) {
      const turned = this.turn(c, direction, row, old, next)
      if (turned <= 0) return turned
      if (turned > REASON_BASE) return turned - REASON_BASE
      if (next === rules.IGNORE && turned === rules.SYN_RECV) old = rules.SYN_SENT
      next = turned
    }
    const unchecked = kind === rules.KIND_RST ? this.judgeReset(c, direction, row, next) : rules.RESET_CHECKED
    if (unchecked === rules.RESET_INVALID) return RST_BELOW_ACK
    if (unchecked === rules.RESET_STAYS) next = old
    if (unchecked !== rules.RESET_UNCHECKED) {
      const result = this.checkWindow(c, direction, row)
      if (result > 0) this.shortenLife(c, direction, row)
      if (result !== rules.ACCEPT) return result
    }
    entries[c + E_LAST_KIND] = kind
    entries[c + E_LAST_DIRECTION] = direction
    if (old !== next) {
      this.setState(c, next)
      if (next === rules.FIN_WAIT) entries[c + E_SIDES + (direction << SIDE_SHIFT) + SIDE_FLAGS] |= rules.CLOSE_INIT
    }
    return this.refreshTcp(c, old, next, row)
  }

  /** Looked up where it is needed: a double handed from function to function is an object to V8. */
  private timeOf(row: number): number {
    return this.times[row >> ROW_SHIFT]
  }

  private setState(c: number, state: number): void {
    const { entries } = this
    entries[c + E_STATUS] = (entries[c + E_STATUS] & 0xffff) | (state << STATE_SHIFT)
  }

  /** The first packet of a connection: a SYN, or an ACK in the midst of one that is picked up. */
  private startTcp(c: number, row: number): boolean {
    const { rows, entries } = this
    const side = c + E_SIDES
    const end = rows[row + END]
    const window = rows[row + WINDOW] || 1
    if (rows[row + KIND] !== rules.KIND_SYN && rows[row + KIND] !== rules.KIND_ACK) return false
    entries[side + END_] = end
    entries[side + MAX_WINDOW] = window
    if (rows[row + KIND] === rules.KIND_SYN) {
      entries[side + MAX_END] = end
      this.readOptions(side, row)
      return true
    }
    entries[side + MAX_END] = end + window
    entries[side + SIDE_FLAGS] = entries[side + SIDE + SIDE_FLAGS] = rules.SACK_PERMITTED | rules.LIBERAL
    return true
  }

  private readOptions(side: number, row: number): void {
    const { rows, entries } = this
    if (rows[row + OPTIONS_LENGTH] === 0) return
    const found = rules.synOptions(this.view, rows[row + OPTIONS], rows[row + OPTIONS_LENGTH])
    entries[side + SCALE] = found & 0xff
    entries[side + SIDE_FLAGS] = (entries[side + SIDE_FLAGS] & rules.LIBERAL) | (found >>> 8)
  }

  /** What the table's answer comes to: the new state, an outcome (0 or less), or a reason above `REASON_BASE`. */
  private turn(c: number, direction: number, row: number, old: number, next: number): number {
    const { entries, rows } = this
    const kind = rows[row + KIND]
    if (next === rules.SYN_SENT && old >= rules.TIME_WAIT) {
      if (this.mayReopen(c, direction)) return rules.REPEAT
      return this.recordIgnored(c, direction, row)
    }
    if (next === rules.IGNORE) {
      if (!this.answersIgnoredSyn(c, direction, row)) return this.recordIgnored(c, direction, row)
      this.resynchronise(c, direction)
      return rules.SYN_RECV
    }
    if (next === rules.INVALID) return REASON_BASE + TRANSITION
    const lastFlags = entries[c + E_LAST_FLAGS]
    if (next === rules.TIME_WAIT && old === rules.LAST_ACK && kind === rules.KIND_ACK &&
      entries[c + E_LAST_DIRECTION] !== direction && entries[c + E_LAST_KIND] === rules.KIND_SYN &&
      lastFlags & rules.CHALLENGE_ACK) {
      entries[c + E_LAST_FLAGS] = lastFlags & ~rules.CHALLENGE_ACK
      return rules.ACCEPT_IGNORED
    }
    if (next === rules.SYN_SENT2) entries[c + E_LAST_FLAGS] |= rules.SIMULTANEOUS_OPEN
    const opened = next === rules.SYN_RECV && direction === 1 && kind === rules.KIND_ACK
    return opened && lastFlags & rules.SIMULTANEOUS_OPEN ? rules.ESTABLISHED : next
  }

  private mayReopen(c: number, direction: number): boolean {
    const { entries } = this
    const flags = entries[c + E_SIDES + SIDE_FLAGS] | entries[c + E_SIDES + SIDE + SIDE_FLAGS]
    if (flags & rules.CLOSE_INIT) return true
    return entries[c + E_LAST_DIRECTION] === direction && entries[c + E_LAST_KIND] === rules.KIND_RST
  }

  private answersIgnoredSyn(c: number, direction: number, row: number): boolean {
    const { entries, rows } = this
    return rows[row + KIND] === rules.KIND_SYNACK && entries[c + E_LAST_KIND] === rules.KIND_SYN &&
      entries[c + E_LAST_DIRECTION] !== direction && rows[row + ACK] === entries[c + E_LAST_END]
  }

  private resynchronise(c: number, direction: number): void {
    const { entries } = this
    const opener = c + E_SIDES + (entries[c + E_LAST_DIRECTION] << SIDE_SHIFT)
    entries[c + E_LAST_FLAGS] &= ~rules.CHALLENGE_ACK
    entries[opener + END_] = entries[opener + MAX_END] = entries[c + E_LAST_END]
    entries[opener + MAX_WINDOW] = entries[c + E_LAST_WINDOW] || 1
    entries[opener + SCALE] = entries[c + E_LAST_SCALE]
    entries[opener + SIDE_FLAGS] = entries[c + E_LAST_FLAGS]
    const answerer = c + E_SIDES + (direction << SIDE_SHIFT)
    entries.fill(0, answerer, answerer + SIDE_FLAGS)
    entries[answerer + SIDE_FLAGS] &= rules.LIBERAL
  }

  private recordIgnored(c: number, direction: number, row: number): number {
    const { entries, rows } = this
    const kind = rows[row + KIND]
    const state = entries[c + E_STATUS] >>> STATE_SHIFT
    entries[c + E_LAST_KIND] = kind
    entries[c + E_LAST_DIRECTION] = direction
    entries[c + E_LAST_SEQ] = rows[row + SEQ]
    entries[c + E_LAST_END] = rows[row + END]
    entries[c + E_LAST_WINDOW] = rows[row + WINDOW]
    if (kind === rules.KIND_SYN && direction === 0) {
      const found = rules.synOptions(this.view, rows[row + OPTIONS], rows[row + OPTIONS_LENGTH])
      entries[c + E_LAST_SCALE] = found & 0xff
      entries[c + E_LAST_FLAGS] = (found >>> 8) | (state === rules.LAST_ACK ? rules.CHALLENGE_ACK : 0)
    }
    if (state === rules.SYN_SENT && kind === rules.KIND_ACK && direction === 1) {
      entries[c + E_LAST_ACK] = rows[row + ACK]
    }
    return rules.ACCEPT_IGNORED
  }

  /** A reset closes only at the exact sequence number (RFC 5961); what it does otherwise depends on what was seen. */
  private judgeReset(c: number, direction: number, row: number, next: number): number {
    const { entries, rows } = this
    if (next !== rules.CLOSE) return rules.RESET_CHECKED
    const seq = rows[row + SEQ]
    const status = entries[c + E_STATUS]
    const state = status >>> STATE_SHIFT
    if (state >= rules.FIN_WAIT && state <= rules.CLOSE) return rules.RESET_UNCHECKED
    const peer = (c + E_SIDES + (direction << SIDE_SHIFT)) ^ SIDE
    const established = state === rules.ESTABLISHED && (status & ASSURED) !== 0
    if (entries[peer + SIDE_FLAGS] & rules.MAX_ACK_SET && entries[c + E_LAST_KIND] !== rules.KIND_SYN) {
      if (seq === 0 && !established) return rules.RESET_CHECKED
      if (before(seq, entries[peer + MAX_ACK])) return rules.RESET_INVALID
      if (!established || seq === entries[peer + MAX_ACK]) return rules.RESET_CHECKED
      const afterOwnData = entries[c + E_LAST_KIND] === rules.KIND_ACK &&
        entries[c + E_LAST_DIRECTION] === direction && seq === entries[c + E_LAST_END]
      return afterOwnData ? rules.RESET_CHECKED : rules.RESET_STAYS
    }
    return this.isAnswerToLast(c, direction, row) ? rules.RESET_UNCHECKED : rules.RESET_CHECKED
  }

  private isAnswerToLast(c: number, direction: number, row: number): boolean {
    const { entries, rows } = this
    const status = entries[c + E_STATUS]
    const lastKind = entries[c + E_LAST_KIND]
    const lastDirection = entries[c + E_LAST_DIRECTION]
    if (rows[row + ACK] === entries[c + E_LAST_END]) {
      if (status & SEEN_REPLY && lastKind === rules.KIND_SYN && lastDirection !== direction) return true
      if (!(status & ASSURED) && lastKind === rules.KIND_ACK) return true
    }
    return status >>> STATE_SHIFT === rules.SYN_SENT && lastKind === rules.KIND_ACK && lastDirection === 1 &&
      rows[row + SEQ] === entries[c + E_LAST_ACK]
  }

  /**
   * The window check: four bounds, then what the packet teaches about both sides. One long function on purpose: V8
   * keeps numbers in registers within it, and `| 0` keeps them integers.
   */
  private checkWindow(c: number, direction: number, row: number): number {
    const { entries, rows } = this
    const sender = c + E_SIDES + (direction << SIDE_SHIFT)
    const receiver = sender ^ SIDE
    const flags = rows[row + FLAGS]
    let seq = rows[row + SEQ]
    let end = rows[row + END]
    let ack = rows[row + ACK]
    let sack = ack
    let window = rows[row + WINDOW]
    let receiverFlags = entries[receiver + SIDE_FLAGS]
    if (receiverFlags & rules.SACK_PERMITTED && this.hasMoreThanTimestamps(row)) {
      sack = rules.highestSack(this.view, rows[row + OPTIONS], rows[row + OPTIONS_LENGTH], ack) | 0
    }
    if (flags & FLAG_SYN || entries[sender + MAX_WINDOW] === 0) {
      if (this.initialise(c, direction, row, sack)) return rules.ACCEPT
      receiverFlags = entries[receiver + SIDE_FLAGS]
    }
    const receiverEnd = entries[receiver + END_]
    if (!(flags & FLAG_ACK) || (flags & FLAG_RST && ack === 0)) ack = sack = receiverEnd
    if (flags & FLAG_RST && seq === 0 && entries[c + E_STATUS] >>> STATE_SHIFT === rules.SYN_SENT) {
      seq = end = entries[sender + END_]
    }

    const senderEnd = entries[sender + END_]
    const senderMaxEnd = entries[sender + MAX_END]
    const senderWindow = entries[sender + MAX_WINDOW]
    const receiverWindow = entries[receiver + MAX_WINDOW]
    let senderFlags = entries[sender + SIDE_FLAGS]
    const maxAck = senderWindow >>> 0 > rules.MAX_ACK_WINDOW ? senderWindow : rules.MAX_ACK_WINDOW
    const isOld = receiverWindow !== 0 && ((senderEnd - receiverWindow - 1 - end) | 0) >= 0
    const isOldAck = ((receiverEnd - maxAck - 1 - sack) | 0) >= 0
    const isOver = ((seq - senderMaxEnd - 1) | 0) >= 0
    if (isOver || isOld || isOldAck || ((sack - receiverEnd - 1) | 0) >= 0) {
      const failure = this.outOfBounds(sender, receiver, isOver, isOld || isOldAck, end, sack)
      return senderFlags & rules.LIBERAL ? rules.ACCEPT : failure
    }

    if (!(flags & FLAG_SYN)) window <<= entries[sender + SCALE]
    const offered = (window + sack - ack) | 0
    if (offered >>> 0 > senderWindow >>> 0) entries[sender + MAX_WINDOW] = offered
    if (((senderEnd - end) | 0) < 0) {
      entries[sender + END_] = end
      senderFlags |= rules.UNACKNOWLEDGED
    }
    if (flags & FLAG_ACK && (!(senderFlags & rules.MAX_ACK_SET) || ((entries[sender + MAX_ACK] - ack) | 0) < 0)) {
      entries[sender + MAX_ACK] = ack
      senderFlags |= rules.MAX_ACK_SET
    }
    entries[sender + SIDE_FLAGS] = senderFlags
    if (receiverWindow !== 0 && ((senderMaxEnd - end) | 0) < 0) {
      entries[receiver + MAX_WINDOW] = (receiverWindow + end - senderMaxEnd) | 0
    }
    const maxEnd = (sack + window) | 0
    if (((entries[receiver + MAX_END] - 1 - maxEnd) | 0) < 0) {
      entries[receiver + MAX_END] = window === 0 ? (maxEnd + 1) | 0 : maxEnd
    }
    if (ack === receiverEnd) entries[receiver + SIDE_FLAGS] = receiverFlags & ~rules.UNACKNOWLEDGED
    if (rows[row + KIND] === rules.KIND_ACK) this.countRepetition(c, direction, row, ack)
    return rules.ACCEPT
  }

  /** What a packet outside the bounds comes to; a little too much data is let through where the window was probed. */
  private outOfBounds(
    sender: number, receiver: number, isOver: boolean, isTooOld: boolean, end: number, sack: number,
  ): number {
    const { entries } = this
    const isUnsent = !before(sack, entries[receiver + END_] + 1)
    if (!isOver) return isUnsent ? ACK_OVER_SENT : rules.ACCEPT_IGNORED
    const over = (end - entries[sender + MAX_END] + 1) >>> 0
    const receiverWindow = entries[receiver + MAX_WINDOW] >>> 0
    if (receiverWindow === 0 || isTooOld || isUnsent || over > receiverWindow) return SEQ_OVER_WINDOW
    entries[sender + END_] = end
    entries[sender + SIDE_FLAGS] |= rules.UNACKNOWLEDGED
    return rules.ACCEPT_IGNORED
  }

  private hasMoreThanTimestamps(row: number): boolean {
    const { rows } = this
    return rows[row + OPTIONS_LENGTH] !== 12 || this.view.getInt32(rows[row + OPTIONS]) !== 0x0101080a
  }

  /** A side's first packet, or a SYN with a new initial sequence number; true when there is nothing left to check. */
  private initialise(c: number, direction: number, row: number, sack: number): boolean {
    const { entries, rows } = this
    const sender = c + E_SIDES + (direction << SIDE_SHIFT)
    const receiver = (c + E_SIDES + (direction << SIDE_SHIFT)) ^ SIDE
    const flags = rows[row + FLAGS]
    if (entries[sender + MAX_WINDOW] === 0) {
      if (flags & FLAG_SYN) {
        this.initialiseBySyn(sender, receiver, direction, row)
        return !(flags & FLAG_ACK)
      }
      this.initialiseMidStream(sender, receiver, row, sack)
      return false
    }
    const state = entries[c + E_STATUS] >>> STATE_SHIFT
    if (state !== rules.SYN_SENT && state !== rules.SYN_RECV) return false
    if (!after(rows[row + END], entries[sender + END_])) return false
    this.initialiseBySyn(sender, receiver, direction, row)
    return direction === 1 && !(flags & FLAG_ACK)
  }

  private initialiseBySyn(sender: number, receiver: number, direction: number, row: number): void {
    const { entries, rows } = this
    entries[sender + END_] = entries[sender + MAX_END] = rows[row + END]
    entries[sender + MAX_WINDOW] = rows[row + WINDOW] || 1
    this.readOptions(sender, row)
    if (direction === 1 && !(entries[sender + SIDE_FLAGS] & entries[receiver + SIDE_FLAGS] & rules.WINDOW_SCALE)) {
      entries[sender + SCALE] = entries[receiver + SCALE] = 0
    }
  }

  private initialiseMidStream(sender: number, receiver: number, row: number, sack: number): void {
    const { entries, rows } = this
    const window = rows[row + WINDOW] << entries[sender + SCALE] || 1
    entries[sender + END_] = rows[row + END]
    entries[sender + MAX_WINDOW] = window
    entries[sender + MAX_END] = rows[row + END] + window
    if (entries[receiver + MAX_WINDOW] === 0) entries[receiver + END_] = entries[receiver + MAX_END] = sack
    else if (sack === ((entries[receiver + END_] + 1) | 0)) entries[receiver + END_] = sack
  }

  private countRepetition(c: number, direction: number, row: number, ack: number): void {
    const { entries, rows } = this
    const seq = rows[row + SEQ]
    const end = rows[row + END]
    const window = rows[row + WINDOW]
    const isSame = entries[c + E_LAST_SEQ] === seq && entries[c + E_LAST_ACK] === ack &&
      entries[c + E_LAST_END] === end && entries[c + E_LAST_WINDOW] === window &&
      entries[c + E_LAST_DIRECTION] === direction
    if (isSame) {
      entries[c + E_RETRANSMISSIONS] = (entries[c + E_RETRANSMISSIONS] + 1) & 0xff
      return
    }
    // The direction is recorded by the caller, with the kind.
    entries[c + E_LAST_SEQ] = seq
    entries[c + E_LAST_ACK] = ack
    entries[c + E_LAST_END] = end
    entries[c + E_LAST_WINDOW] = window
    entries[c + E_RETRANSMISSIONS] = 0
  }

  /** An INVALID reset or FIN each way means that somebody knows better: the connection need not live for days. */
  private shortenLife(c: number, direction: number, row: number): void {
    const { entries, doubles } = this
    const kind = this.rows[row + KIND]
    if (!(entries[c + E_STATUS] & ASSURED) || (kind !== rules.KIND_RST && kind !== rules.KIND_FIN)) return
    const lastKind = entries[c + E_LAST_KIND]
    if (entries[c + E_LAST_DIRECTION] !== direction && (lastKind === rules.KIND_FIN || lastKind === rules.KIND_RST)) {
      const deadline = (c + E_DEADLINE) >> 1
      doubles[deadline] = Math.min(doubles[deadline], this.timeOf(row) + rules.SHORT_TIMEOUT)
      return
    }
    entries[c + E_LAST_KIND] = kind
    entries[c + E_LAST_DIRECTION] = direction
  }

  private refreshTcp(c: number, old: number, next: number, row: number): number {
    const { entries } = this
    const kind = this.rows[row + KIND]
    const status = entries[c + E_STATUS]
    let timeout = this.timeoutOf(c, next, kind)
    if (!(status & SEEN_REPLY)) {
      if (kind === rules.KIND_RST) return rules.ACCEPT_DESTROYED
      if (kind === rules.KIND_SYN && old === rules.SYN_SENT) return rules.ACCEPT
      if (next === rules.ESTABLISHED && timeout > rules.SHORT_TIMEOUT) timeout = rules.SHORT_TIMEOUT
    } else if ((old === rules.SYN_RECV || old === rules.ESTABLISHED) && next === rules.ESTABLISHED) {
      entries[c + E_STATUS] = status | ASSURED
    }
    this.doubles[(c + E_DEADLINE) >> 1] = this.timeOf(row) + timeout
    return rules.ACCEPT
  }

  /** The first rule that applies decides, also where it changes nothing; the two short timeouts are both 300 s. */
  private timeoutOf(c: number, next: number, kind: number): number {
    const { entries } = this
    const timeout = rules.TIMEOUTS[next]
    const isLong = timeout > rules.SHORT_TIMEOUT
    if (entries[c + E_RETRANSMISSIONS] >= rules.MAX_RETRANSMISSIONS && isLong) return rules.SHORT_TIMEOUT
    if (kind === rules.KIND_RST) return rules.TIMEOUTS[rules.CLOSE]
    const flags = entries[c + E_SIDES + SIDE_FLAGS] | entries[c + E_SIDES + SIDE + SIDE_FLAGS]
    const isShort = (flags & rules.UNACKNOWLEDGED) !== 0 || entries[c + E_LAST_WINDOW] === 0
    return isShort && isLong ? rules.SHORT_TIMEOUT : timeout
  }
}

/**
 * Connection tracking as one would first write it in JavaScript: a `Map` with a string for each tuple, an object for
 * each connection. Same rules, same verdicts as the others; a yardstick, and the more readable of the two peers.
 */
import { BATCH_SIZE, type PacketBatch } from '../../src/batch.js'
import { VERDICT_ASSURED, VERDICT_SEEN_REPLY } from '../../src/names.js'
import {
  ACK, DST, END, FLAG_ACK, FLAG_RST, FLAG_SYN, FLAGS, KIND, OPTIONS, OPTIONS_LENGTH, PORTS, PROTOCOL, REASON, ROW, SEQ,
  SRC, TCP, WINDOW, readHeaders, viewOf,
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

/** What one side of a TCP connection has sent and allowed. Sequence numbers are kept as signed 32-bit integers. */
class Side {
  end = 0
  maxEnd = 0
  maxWindow = 0
  maxAck = 0
  scale = 0
  flags = 0
}

class Connection {
  deadline = 0
  seenReply = false
  assured = false
  /** UDP: from when on two-way traffic makes the connection assured. */
  streamFrom = 0
  state = rules.NONE
  readonly sides = [new Side(), new Side()] as const
  lastKind = rules.KIND_NONE
  lastDirection = 0
  lastSeq = 0
  lastAck = 0
  lastEnd = 0
  lastWindow = 0
  lastScale = 0
  lastFlags = 0
  retransmissions = 0

  constructor(readonly original: string, readonly reply: string) {}
}

/** What the map holds for a tuple. */
class Match {
  constructor(readonly connection: Connection, readonly direction: 0 | 1) {}
}

/** The packet at hand: a row of header fields, and the bytes for its options. */
interface Packet {
  readonly row: Int32Array
  view: DataView
  now: number
}

const tupleKey = (protocol: number, src: number, dst: number, sport: number, dport: number): string =>
  `${protocol}|${src}:${sport}>${dst}:${dport}`

export class MapTracker implements Peer {
  private readonly table = new Map<string, Match>()
  private readonly packet: Packet = { row: new Int32Array(ROW), view: new DataView(new ArrayBuffer(0)), now: 0 }
  private readonly verdicts = verdictColumns(BATCH_SIZE)
  private readonly verify: boolean
  private readonly maxConnections: number
  private sweeper = this.table.entries()

  constructor(options: PeerOptions) {
    this.verify = options.checksum === 'verify'
    this.maxConnections = options.maxConnections
  }

  trackBatch(batch: PacketBatch): PeerVerdicts {
    const { packet } = this
    packet.view = viewOf(batch.data)
    for (let i = 0; i < batch.count; i += 1) {
      readHeaders(packet.view, batch.offset[i], batch.length[i], batch.originalLength[i], this.verify, packet.row, 0)
      packet.now = milliseconds(batch, i)
      this.trackPacket(i)
    }
    this.sweep(packet.now)
    return this.verdicts
  }

  private trackPacket(i: number): void {
    const { packet } = this
    const failed = packet.row[REASON]
    if (failed !== 0) return this.refuse(i, failed)
    // A packet that destroys its entry is looked up once more and then opens a new one.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const match = this.resolve()
      if (match === null) return this.refuse(i, TABLE_FULL)
      const { connection, direction } = match
      const isFirst = connection.deadline === 0
      const isTcp = packet.row[PROTOCOL] === TCP
      const result = isTcp ? trackTcp(connection, direction, packet) : trackUdp(connection, packet.now)
      if (result === rules.REPEAT) {
        this.remove(connection)
        continue
      }
      if (result > 0) return this.refuse(i, result)
      this.accept(i, connection, direction)
      if (result === rules.ACCEPT_DESTROYED) {
        this.remove(connection)
        forgetEntry(this.verdicts, i)
      } else if (isFirst) {
        this.insert(connection)
      }
      return
    }
  }

  /** The connection of the packet's tuple, or a new one that is not in the table yet; null when the table is full. */
  private resolve(): Match | null {
    const { row, now } = this.packet
    const sport = row[PORTS] >>> 16
    const dport = row[PORTS] & 0xffff
    const key = tupleKey(row[PROTOCOL], row[SRC], row[DST], sport, dport)
    const match = this.table.get(key)
    if (match !== undefined) {
      if (now < match.connection.deadline) return match
      this.remove(match.connection)
    }
    if (this.table.size >= this.maxConnections * 2) return null
    return new Match(new Connection(key, tupleKey(row[PROTOCOL], row[DST], row[SRC], dport, sport)), 0)
  }

  private insert(connection: Connection): void {
    this.table.set(connection.original, new Match(connection, 0))
    // After the original: where both tuples are equal Linux finds the reply one.
    this.table.set(connection.reply, new Match(connection, 1))
  }

  private remove(connection: Connection): void {
    this.table.delete(connection.original)
    this.table.delete(connection.reply)
  }

  /** A few entries a batch, so that what nobody asks for goes as well. */
  private sweep(now: number): void {
    for (let i = 0; i < 64; i += 1) {
      const { value, done } = this.sweeper.next()
      if (done) {
        this.sweeper = this.table.entries()
        return
      }
      if (now >= value[1].connection.deadline) this.remove(value[1].connection)
    }
  }

  private accept(i: number, connection: Connection, direction: 0 | 1): void {
    const { verdicts } = this
    if (direction === 1) connection.seenReply = true
    verdicts.state[i] = connection.seenReply ? STATE_ESTABLISHED : STATE_NEW
    verdicts.direction[i] = direction + 1
    verdicts.reason[i] = 0
    verdicts.protocolState[i] = connection.state
    verdicts.flags[i] = (connection.assured ? VERDICT_ASSURED : 0) | (connection.seenReply ? VERDICT_SEEN_REPLY : 0)
  }

  private refuse(i: number, reason: number): void {
    const { verdicts } = this
    verdicts.state[i] = reason <= LAST_UNREACHED ? 0 : STATE_INVALID
    verdicts.direction[i] = 0
    verdicts.reason[i] = reason
    verdicts.protocolState[i] = 0
    verdicts.flags[i] = 0
  }
}

/** Seen-reply is set after this: the first reply still refreshes as if unanswered. */
function trackUdp(connection: Connection, now: number): number {
  if (connection.deadline === 0) connection.streamFrom = now + 2000
  if (connection.seenReply && now > connection.streamFrom) {
    connection.assured = true
    connection.deadline = now + 120e3
  } else {
    connection.deadline = now + 30e3
  }
  return rules.ACCEPT
}

/** The whole TCP machine: `ACCEPT` and its kin, or the reason why the packet is INVALID. */
function trackTcp(c: Connection, direction: 0 | 1, packet: Packet): number {
  const { row } = packet
  const kind = row[KIND]
  if (c.deadline === 0) {
    if (!startTcp(c, packet)) return NO_CONNECTION
  }
  let old = c.state
  let next = rules.TRANSITIONS[direction * 50 + kind * 10 + old]

  if (next === rules.SYN_SENT && old >= rules.TIME_WAIT) {
    if (mayReopen(c, direction)) return rules.REPEAT
    next = rules.IGNORE
  }
  if (next === rules.IGNORE) {
    if (!answersIgnoredSyn(c, direction, packet)) return recordIgnored(c, direction, packet)
    resynchronise(c, direction)
    old = rules.SYN_SENT
    next = rules.SYN_RECV
  }
  if (next === rules.INVALID) return TRANSITION
  if (next === rules.TIME_WAIT && isChallengeAck(c, direction, kind)) {
    c.lastFlags &= ~rules.CHALLENGE_ACK
    return rules.ACCEPT_IGNORED
  }
  if (next === rules.SYN_SENT2) c.lastFlags |= rules.SIMULTANEOUS_OPEN
  if (next === rules.SYN_RECV && direction === 1 && kind === rules.KIND_ACK && c.lastFlags & rules.SIMULTANEOUS_OPEN) {
    next = rules.ESTABLISHED
  }

  let check = true
  if (kind === rules.KIND_RST && next === rules.CLOSE) {
    const outcome = judgeReset(c, direction, packet)
    if (outcome === rules.RESET_INVALID) return RST_BELOW_ACK
    check = outcome !== rules.RESET_UNCHECKED
    if (outcome === rules.RESET_STAYS) next = old
  }
  if (check) {
    const result = checkWindow(c, direction, packet)
    if (result > 0) shortenLife(c, direction, kind, packet.now)
    if (result !== rules.ACCEPT) return result
  }
  c.lastKind = kind
  c.lastDirection = direction
  c.state = next
  if (old !== next && next === rules.FIN_WAIT) c.sides[direction].flags |= rules.CLOSE_INIT
  return refreshTcp(c, old, next, packet)
}

/** The first packet of a connection: a SYN, or an ACK in the midst of one that is picked up. */
function startTcp(c: Connection, packet: Packet): boolean {
  const { row } = packet
  const [original, reply] = c.sides
  if (row[KIND] === rules.KIND_SYN) {
    original.end = original.maxEnd = row[END]
    original.maxWindow = row[WINDOW] || 1
    readOptions(original, packet)
    return true
  }
  if (row[KIND] !== rules.KIND_ACK) return false
  original.end = row[END]
  original.maxWindow = row[WINDOW] || 1
  original.maxEnd = (original.end + original.maxWindow) | 0
  original.flags = reply.flags = rules.SACK_PERMITTED | rules.LIBERAL
  return true
}

function readOptions(side: Side, packet: Packet): void {
  const { row, view } = packet
  if (row[OPTIONS_LENGTH] === 0) return
  const found = rules.synOptions(view, row[OPTIONS], row[OPTIONS_LENGTH])
  side.scale = found & 0xff
  side.flags = (side.flags & rules.LIBERAL) | (found >>> 8)
}

function mayReopen(c: Connection, direction: number): boolean {
  const closed = (c.sides[0].flags | c.sides[1].flags) & rules.CLOSE_INIT
  return closed !== 0 || (c.lastDirection === direction && c.lastKind === rules.KIND_RST)
}

function answersIgnoredSyn(c: Connection, direction: number, packet: Packet): boolean {
  return packet.row[KIND] === rules.KIND_SYNACK && c.lastKind === rules.KIND_SYN && c.lastDirection !== direction &&
    packet.row[ACK] === c.lastEnd
}

function resynchronise(c: Connection, direction: number): void {
  const opener = c.sides[c.lastDirection]
  opener.end = opener.maxEnd = c.lastEnd
  opener.maxWindow = c.lastWindow || 1
  opener.scale = c.lastScale
  c.lastFlags &= ~rules.CHALLENGE_ACK
  opener.flags = c.lastFlags
  const answerer = c.sides[direction]
  answerer.end = answerer.maxEnd = answerer.maxWindow = answerer.maxAck = answerer.scale = 0
  answerer.flags &= rules.LIBERAL
}

function recordIgnored(c: Connection, direction: number, packet: Packet): number {
  const { row, view } = packet
  c.lastKind = row[KIND]
  c.lastDirection = direction
  c.lastSeq = row[SEQ]
  c.lastEnd = row[END]
  c.lastWindow = row[WINDOW]
  if (row[KIND] === rules.KIND_SYN && direction === 0) {
    const found = rules.synOptions(view, row[OPTIONS], row[OPTIONS_LENGTH])
    c.lastScale = found & 0xff
    c.lastFlags = (found >>> 8) | (c.state === rules.LAST_ACK ? rules.CHALLENGE_ACK : 0)
  }
  if (c.state === rules.SYN_SENT && row[KIND] === rules.KIND_ACK && direction === 1) c.lastAck = row[ACK]
  return rules.ACCEPT_IGNORED
}

function isChallengeAck(c: Connection, direction: number, kind: number): boolean {
  return c.state === rules.LAST_ACK && kind === rules.KIND_ACK && c.lastDirection !== direction &&
    c.lastKind === rules.KIND_SYN && (c.lastFlags & rules.CHALLENGE_ACK) !== 0
}

/** A reset closes only at the exact sequence number (RFC 5961); what it does otherwise depends on what was seen. */
function judgeReset(c: Connection, direction: number, packet: Packet): number {
  const { row } = packet
  const seq = row[SEQ]
  if (c.state >= rules.FIN_WAIT && c.state <= rules.CLOSE) return rules.RESET_UNCHECKED
  const peer = c.sides[1 - direction]
  const established = c.state === rules.ESTABLISHED && c.assured
  if (peer.flags & rules.MAX_ACK_SET && c.lastKind !== rules.KIND_SYN) {
    if (seq === 0 && !established) return rules.RESET_CHECKED
    if (before(seq, peer.maxAck)) return rules.RESET_INVALID
    if (!established || seq === peer.maxAck) return rules.RESET_CHECKED
    if (c.lastKind === rules.KIND_ACK && c.lastDirection === direction && seq === c.lastEnd) return rules.RESET_CHECKED
    return rules.RESET_STAYS
  }
  return isAnswerToLast(c, direction, packet) ? rules.RESET_UNCHECKED : rules.RESET_CHECKED
}

function isAnswerToLast(c: Connection, direction: number, packet: Packet): boolean {
  const { row } = packet
  if (row[ACK] === c.lastEnd) {
    if (c.seenReply && c.lastKind === rules.KIND_SYN && c.lastDirection !== direction) return true
    if (!c.assured && c.lastKind === rules.KIND_ACK) return true
  }
  return c.state === rules.SYN_SENT && c.lastKind === rules.KIND_ACK && c.lastDirection === 1 && row[SEQ] === c.lastAck
}

/** The window check: four bounds, then what the packet teaches about both sides. */
function checkWindow(c: Connection, direction: 0 | 1, packet: Packet): number {
  const { row, view } = packet
  const sender = c.sides[direction]
  const receiver = c.sides[1 - direction]
  const flags = row[FLAGS]
  let seq = row[SEQ]
  let end = row[END]
  let ack = row[ACK]
  let sack = ack
  let window = row[WINDOW]
  if (receiver.flags & rules.SACK_PERMITTED) {
    sack = rules.highestSack(view, row[OPTIONS], row[OPTIONS_LENGTH], ack)
  }

  if (sender.maxWindow === 0) {
    if (flags & FLAG_SYN) {
      initialise(sender, receiver, direction, packet)
      if (!(flags & FLAG_ACK)) return rules.ACCEPT
    } else {
      initialiseMidStream(sender, receiver, end, sack, window)
    }
  } else if (flags & FLAG_SYN && after(end, sender.end) && (c.state === rules.SYN_SENT || c.state === rules.SYN_RECV)) {
    initialise(sender, receiver, direction, packet)
    if (direction === 1 && !(flags & FLAG_ACK)) return rules.ACCEPT
  }

  if (!(flags & FLAG_ACK) || (flags & FLAG_RST && ack === 0)) ack = sack = receiver.end
  if (flags & FLAG_RST && seq === 0 && c.state === rules.SYN_SENT) seq = end = sender.end

  const failure = outOfBounds(sender, receiver, seq, end, sack)
  if (failure !== rules.ACCEPT) return sender.flags & rules.LIBERAL ? rules.ACCEPT : failure

  if (!(flags & FLAG_SYN)) window <<= sender.scale
  learn(sender, receiver, flags, end, ack, sack, window)
  if (row[KIND] === rules.KIND_ACK) countRepetition(c, direction, row[SEQ], ack, end, row[WINDOW])
  return rules.ACCEPT
}

function initialise(sender: Side, receiver: Side, direction: number, packet: Packet): void {
  sender.end = sender.maxEnd = packet.row[END]
  sender.maxWindow = packet.row[WINDOW] || 1
  readOptions(sender, packet)
  if (direction === 1 && !(sender.flags & receiver.flags & rules.WINDOW_SCALE)) sender.scale = receiver.scale = 0
}

function initialiseMidStream(sender: Side, receiver: Side, end: number, sack: number, window: number): void {
  sender.end = end
  sender.maxWindow = window << sender.scale || 1
  sender.maxEnd = (end + sender.maxWindow) | 0
  if (receiver.maxWindow === 0) receiver.end = receiver.maxEnd = sack
  else if (sack === ((receiver.end + 1) | 0)) receiver.end = sack
}

function outOfBounds(sender: Side, receiver: Side, seq: number, end: number, sack: number): number {
  const maxAck = Math.max(sender.maxWindow >>> 0, rules.MAX_ACK_WINDOW)
  const inWindow = after(end, sender.end - receiver.maxWindow - 1)
  const ackNotTooOld = after(sack, receiver.end - maxAck - 1)
  if (!before(seq, sender.maxEnd + 1)) {
    const over = (end - sender.maxEnd + 1) >>> 0
    const bearable = receiver.maxWindow !== 0 && inWindow && ackNotTooOld && over <= receiver.maxWindow >>> 0 &&
      before(sack, receiver.end + 1)
    if (!bearable) return SEQ_OVER_WINDOW
    sender.end = end
    sender.flags |= rules.UNACKNOWLEDGED
    return rules.ACCEPT_IGNORED
  }
  if (!before(sack, receiver.end + 1)) return ACK_OVER_SENT
  return (receiver.maxWindow !== 0 && !inWindow) || !ackNotTooOld ? rules.ACCEPT_IGNORED : rules.ACCEPT
}

function learn(
  sender: Side, receiver: Side, flags: number, end: number, ack: number, sack: number, window: number,
): void {
  const offered = (window + (sack - ack)) | 0
  if (offered >>> 0 > sender.maxWindow >>> 0) sender.maxWindow = offered
  if (after(end, sender.end)) {
    sender.end = end
    sender.flags |= rules.UNACKNOWLEDGED
  }
  if (flags & FLAG_ACK && (!(sender.flags & rules.MAX_ACK_SET) || after(ack, sender.maxAck))) {
    sender.maxAck = ack
    sender.flags |= rules.MAX_ACK_SET
  }
  if (receiver.maxWindow !== 0 && after(end, sender.maxEnd)) {
    receiver.maxWindow = (receiver.maxWindow + (end - sender.maxEnd)) | 0
  }
  if (after(sack + window, receiver.maxEnd - 1)) {
    receiver.maxEnd = (sack + window + (window === 0 ? 1 : 0)) | 0
  }
  if (ack === receiver.end) receiver.flags &= ~rules.UNACKNOWLEDGED
}

function countRepetition(
  c: Connection, direction: number, seq: number, ack: number, end: number, window: number,
): void {
  if (c.lastDirection === direction && c.lastSeq === seq && c.lastAck === ack && c.lastEnd === end &&
    c.lastWindow === window) {
    c.retransmissions = (c.retransmissions + 1) & 0xff
    return
  }
  c.lastDirection = direction
  c.lastSeq = seq
  c.lastAck = ack
  c.lastEnd = end
  c.lastWindow = window
  c.retransmissions = 0
}

/** An INVALID reset or FIN each way means that somebody knows better: the connection need not live for days. */
function shortenLife(c: Connection, direction: number, kind: number, now: number): void {
  if (!c.assured || (kind !== rules.KIND_RST && kind !== rules.KIND_FIN)) return
  if (c.lastDirection !== direction && (c.lastKind === rules.KIND_FIN || c.lastKind === rules.KIND_RST)) {
    if (c.deadline - now > rules.SHORT_TIMEOUT) c.deadline = now + rules.SHORT_TIMEOUT
    return
  }
  c.lastKind = kind
  c.lastDirection = direction
}

function refreshTcp(c: Connection, old: number, next: number, packet: Packet): number {
  const kind = packet.row[KIND]
  let timeout = timeoutOf(c, next, kind)
  if (!c.seenReply) {
    if (kind === rules.KIND_RST) return rules.ACCEPT_DESTROYED
    if (kind === rules.KIND_SYN && old === rules.SYN_SENT) return rules.ACCEPT
    if (next === rules.ESTABLISHED && timeout > rules.SHORT_TIMEOUT) timeout = rules.SHORT_TIMEOUT
  } else if ((old === rules.SYN_RECV || old === rules.ESTABLISHED) && next === rules.ESTABLISHED) {
    c.assured = true
  }
  c.deadline = packet.now + timeout
  return rules.ACCEPT
}

/** The first rule that applies decides, also where it changes nothing; the two short timeouts are both 300 s. */
function timeoutOf(c: Connection, next: number, kind: number): number {
  const timeout = rules.TIMEOUTS[next]
  if (c.retransmissions >= rules.MAX_RETRANSMISSIONS && timeout > rules.SHORT_TIMEOUT) return rules.SHORT_TIMEOUT
  if (kind === rules.KIND_RST) return rules.TIMEOUTS[rules.CLOSE]
  const unacknowledged = (c.sides[0].flags | c.sides[1].flags) & rules.UNACKNOWLEDGED
  return (unacknowledged !== 0 || c.lastWindow === 0) && timeout > rules.SHORT_TIMEOUT ? rules.SHORT_TIMEOUT : timeout
}

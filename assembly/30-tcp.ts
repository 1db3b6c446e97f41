/**
 * TCP: the connection's state machine.
 *
 * In: a packet whose header is good, its entry, its direction. Out: a RESULT_, with state, window variables and the
 * timeout to set. The order of the rules is Linux's (6.18):
 *
 *     kind of segment → state table → reopening, ignored and resynchronising packets → resets → window check → new
 *     state → timeout, ASSURED
 *
 * States describe the connection, not one side: any ACK in FIN_WAIT leads to CLOSE_WAIT, any FIN to LAST_ACK.
 */
import {
  CHANGE_ASSURED, CHANGE_PROTOINFO, ORIGINAL, REASON_NONE, REASON_TCP_LOOSE_OFF, REASON_TCP_NO_CONNECTION,
  REASON_TCP_RST_BELOW_ACK, REASON_TCP_TRANSITION, REPLY, RESULT_ACCEPT, RESULT_DESTROY, RESULT_IGNORE, RESULT_INVALID,
  RESULT_REPEAT, RULE_TCP_CHALLENGE_ACK, RULE_TCP_IGNORED,
  RULE_TCP_RST_BELOW_ACK, RULE_TCP_RST_ENDS_UNANSWERED, RULE_TCP_SYN_REPEATED,
  RULE_TCP_TRANSITION, RULE_TCP_WINDOW_SKIPPED, STATUS_ASSURED, STATUS_CONFIRMED, STATUS_FIXED_TIMEOUT, STATUS_SEEN_REPLY,
} from './00-constants'
import {
  Entry, Packet, switched, SWITCH_TCP_IGNORE_INVALID_RST, SWITCH_TCP_LOOSE, SWITCH_TCP_MAX_RETRANS, TcpSide, tcpSide,
  timeout, TIMEOUT_TCP_MAX_RETRANS, TIMEOUT_TCP_UNACKNOWLEDGED,
} from './01-records'
import { FIN, KIND_ACK, KIND_FIN, KIND_NONE, KIND_RST, KIND_SYN, KIND_SYNACK, SYN } from './17-tcp-header'
import { before } from './31-tcp-sequence'
import {
  BE_LIBERAL, CHALLENGE_ACK, CLOSE_INIT, MAXACK_SET, SACK_PERM, SIMULTANEOUS_OPEN, UNACKNOWLEDGED,
} from './32-tcp-flags'
import { readIgnoredSynOptions, synOptions, takeSynOptions } from './33-tcp-options'
import { checkWindow, WINDOW_ACCEPT, WINDOW_IGNORE } from './34-tcp-window'
import { recordRestarted, recordRule, recordStates, RESTARTED_RESYNCHRONISED } from './41-record'
import { changed } from './40-events'

export const NONE: u32 = 0
export const SYN_SENT: u32 = 1
export const SYN_RECV: u32 = 2
export const ESTABLISHED: u32 = 3
export const FIN_WAIT: u32 = 4
export const CLOSE_WAIT: u32 = 5
export const LAST_ACK: u32 = 6
export const TIME_WAIT: u32 = 7
export const CLOSE: u32 = 8
export const SYN_SENT2: u32 = 9
/** Not states: what the table says of segments that change none. */
const INVALID: u32 = 10
const IGNORE: u32 = 11

const STATES: u32 = 10
const KINDS: u32 = 6

/** New state by direction, kind of segment, current state. 10: invalid, 11: ignored. */
const TRANSITIONS = memory.data<u8>([
  // original:
  // NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
  1, 1, 11, 11, 11, 11, 11, 1, 1, 9, // SYN; reopens what is over
  10, 10, 2, 10, 10, 10, 10, 10, 10, 2, // SYN/ACK: only of a simultaneous open
  10, 10, 4, 4, 6, 6, 6, 7, 8, 10, // FIN; in FIN_WAIT the second one, whoever sends it
  3, 10, 3, 3, 5, 5, 7, 7, 8, 10, // ACK; without a state it picks the connection up
  10, 8, 8, 8, 8, 8, 8, 8, 8, 8, // RST
  10, 10, 10, 10, 10, 10, 10, 10, 10, 10, // none of these
  // reply:
  10, 9, 10, 10, 10, 10, 10, 1, 10, 9, // SYN; simultaneous open, or the former server opens anew
  10, 2, 11, 11, 11, 11, 11, 11, 11, 2, // SYN/ACK; a later one answers a SYN that was ignored, or is a repetition
  10, 10, 4, 4, 6, 6, 6, 7, 8, 10, // FIN
  10, 11, 2, 3, 5, 5, 7, 7, 8, 11, // ACK; in SYN_SENT perhaps a challenge
  10, 8, 8, 8, 8, 8, 8, 8, 8, 8, // RST
  10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
])

/** Timeout to set where the packet is accepted, nanoseconds. */
export let tcpTimeout: i64 = 0

// @ts-ignore: decorator
@inline export function transition(direction: u32, kind: u32, state: u32): u32 {
  return load<u8>(u32(TRANSITIONS) + direction * (STATES * KINDS) + kind * STATES + state)
}

/** Sequence number behind a packet's data. SYN and FIN count one each. */
// @ts-ignore: decorator
@inline export function endOf(p: Packet): u32 {
  const flags: u32 = p.flags
  return p.seq + p.payload + ((flags & SYN) >> 1) + (flags & FIN)
}

/** Fills the entry of a new connection, all zeros but for its key. A SYN opens it; an ACK picks up one that was not seen opening. */
export function beginTcp(p: Packet, e: Entry): u8 {
  const kind: u32 = p.kind
  e.lastKind = u8(KIND_NONE)
  const original = tcpSide(e, ORIGINAL)
  if (kind == KIND_SYN) {
    original.end = endOf(p)
    original.maxEnd = original.end
    original.maxWindow = max<u32>(p.window, 1)
    takeSynOptions(original, synOptions(p))
    return REASON_NONE
  }
  if (kind != KIND_ACK) return REASON_TCP_NO_CONNECTION
  if (!switched(SWITCH_TCP_LOOSE)) return REASON_TCP_LOOSE_OFF
  original.end = endOf(p)
  original.maxWindow = max<u32>(p.window, 1)
  original.maxEnd = original.end + original.maxWindow
  original.flags = SACK_PERM | BE_LIBERAL
  tcpSide(e, REPLY).flags = SACK_PERM | BE_LIBERAL
  return REASON_NONE
}

// @ts-ignore: decorator
@inline function clear(side: TcpSide): void {
  side.end = 0
  side.maxEnd = 0
  side.maxWindow = 0
  side.maxAck = 0
  side.scale = 0
  side.flags = 0
}

// @ts-ignore: decorator
@inline export function updateTcp(p: Packet, e: Entry, direction: u32, now: i64): u32 {
  const kind: u32 = p.kind
  let old: u32 = e.state
  let next = transition(direction, kind, old)
  let check = true
  recordStates(old, next, direction, kind)

  if (next == SYN_SENT && old >= TIME_WAIT && old <= CLOSE) {
    if (reopens(e, direction)) return RESULT_REPEAT
    next = IGNORE
  }
  if (next == IGNORE) {
    if (!answersIgnoredSyn(p, e, direction, kind)) return ignore(p, e, direction, old, RULE_TCP_IGNORED)
    resynchronise(e, direction)
    old = SYN_SENT
    next = SYN_RECV
    recordRestarted(RESTARTED_RESYNCHRONISED)
  }
  if (next == INVALID) {
    p.reason = REASON_TCP_TRANSITION
    recordRule(RULE_TCP_TRANSITION)
    return RESULT_INVALID
  }
  if (next == TIME_WAIT && isChallengeAck(e, direction, kind, old)) {
    e.lastFlags &= ~CHALLENGE_ACK
    return ignore(p, e, direction, old, RULE_TCP_CHALLENGE_ACK)
  }
  if (next == SYN_SENT2) e.lastFlags |= SIMULTANEOUS_OPEN
  if (next == SYN_RECV && direction == REPLY && kind == KIND_ACK && e.lastFlags & SIMULTANEOUS_OPEN) next = ESTABLISHED
  if (kind == KIND_RST) {
    const reset = judgeReset(p, e, direction, old)
    if (reset == RESET_INVALID) {
      p.reason = REASON_TCP_RST_BELOW_ACK
      recordRule(RULE_TCP_RST_BELOW_ACK)
      return RESULT_INVALID
    }
    if (reset & RESET_STAYS) next = old
    if (reset & RESET_UNCHECKED) {
      check = false
      recordRule(RULE_TCP_WINDOW_SKIPPED)
    }
  }
  if (check) {
    const window = checkWindow(p, e, direction, kind)
    if (window == WINDOW_IGNORE) return RESULT_IGNORE
    if (window != WINDOW_ACCEPT) return outOfWindow(e, direction, kind, now)
  }
  return enter(e, direction, kind, old, next)
}

/** The entry is over and a SYN may take its place: somebody closed it, or the sender of the SYN had reset it. */
// @ts-ignore: decorator
@inline function reopens(e: Entry, direction: u32): bool {
  if ((tcpSide(e, 0).flags | tcpSide(e, 1).flags) & CLOSE_INIT) return true
  return u32(e.lastDirection) == direction && e.lastKind == KIND_RST
}

// @ts-ignore: decorator
@inline function answersIgnoredSyn(p: Packet, e: Entry, direction: u32, kind: u32): bool {
  return kind == KIND_SYNACK && e.lastKind == KIND_SYN && u32(e.lastDirection) != direction && p.ack == e.lastEnd
}

/** The peer answers a SYN that was ignored: it is a new connection after all, and starts from that SYN. */
function resynchronise(e: Entry, direction: u32): void {
  const opener = tcpSide(e, e.lastDirection)
  opener.end = e.lastEnd
  opener.maxEnd = e.lastEnd
  opener.maxWindow = max<u32>(e.lastWindow, 1)
  opener.scale = e.lastScale
  e.lastFlags &= ~CHALLENGE_ACK
  opener.flags = e.lastFlags
  const answerer = tcpSide(e, direction)
  const liberal: u8 = answerer.flags & BE_LIBERAL
  clear(answerer)
  answerer.flags = liberal
}

/** A packet that keeps its entry and its verdict but moves nothing. What it said is remembered. */
function ignore(p: Packet, e: Entry, direction: u32, old: u32, rule: u8): u32 {
  recordRule(rule)
  if (rule == RULE_TCP_CHALLENGE_ACK) return RESULT_IGNORE
  const kind: u32 = p.kind
  e.lastKind = p.kind
  e.lastDirection = u8(direction)
  e.lastSeq = p.seq
  e.lastEnd = endOf(p)
  e.lastWindow = p.window
  if (kind == KIND_SYN && direction == ORIGINAL) {
    readIgnoredSynOptions(p, e)
    if (old == LAST_ACK) e.lastFlags |= CHALLENGE_ACK
  }
  if (old == SYN_SENT && kind == KIND_ACK && direction == REPLY) e.lastAck = p.ack
  return RESULT_IGNORE
}

/** In LAST_ACK a SYN was ignored, and this ACK challenges it (RFC 5961, section 4). */
// @ts-ignore: decorator
@inline function isChallengeAck(e: Entry, direction: u32, kind: u32, old: u32): bool {
  return old == LAST_ACK && kind == KIND_ACK && u32(e.lastDirection) != direction && e.lastKind == KIND_SYN &&
    (e.lastFlags & CHALLENGE_ACK) != 0
}

/** What to make of a reset: bits. */
const RESET_CHECKED: u32 = 0
const RESET_UNCHECKED: u32 = 1
/** The connection stays as it is: the peer is expected to challenge. */
const RESET_STAYS: u32 = 2
const RESET_INVALID: u32 = 4

function judgeReset(p: Packet, e: Entry, direction: u32, old: u32): u32 {
  // A connection that is closing takes any reset.
  if (old >= FIN_WAIT && old <= CLOSE) return RESET_UNCHECKED
  const peer = tcpSide(e, direction ^ 1)
  const established = old == ESTABLISHED && (e.status & STATUS_ASSURED) != 0
  let stays: u32 = 0
  if (peer.flags & MAXACK_SET && e.lastKind != KIND_SYN) {
    if (p.seq == 0 && !established) return RESET_CHECKED
    if (before(p.seq, peer.maxAck) && !switched(SWITCH_TCP_IGNORE_INVALID_RST)) return RESET_INVALID
    if (!established || p.seq == peer.maxAck) return RESET_CHECKED
    // Right behind the sender's own last data
    if (e.lastKind == KIND_ACK && u32(e.lastDirection) == direction && p.seq == e.lastEnd) return RESET_CHECKED
    stays = RESET_STAYS
  }
  if (p.ack == e.lastEnd && answersLast(e, direction)) return stays | RESET_UNCHECKED
  if (old == SYN_SENT && e.lastKind == KIND_ACK && e.lastDirection == REPLY && p.seq == e.lastAck) return stays | RESET_UNCHECKED
  return stays
}

/** The reset answers a SYN that was ignored, or data before the connection was ASSURED. */
// @ts-ignore: decorator
@inline function answersLast(e: Entry, direction: u32): bool {
  if (e.status & STATUS_SEEN_REPLY && e.lastKind == KIND_SYN && u32(e.lastDirection) != direction) return true
  return !(e.status & STATUS_ASSURED) && e.lastKind == KIND_ACK
}

/** A reset or FIN out of the window is INVALID; one from each side cuts the connection's life short all the same. */
function outOfWindow(e: Entry, direction: u32, kind: u32, now: i64): u32 {
  const ending = kind == KIND_RST || kind == KIND_FIN
  if (!ending || !(e.status & STATUS_ASSURED) || e.status & STATUS_FIXED_TIMEOUT) return RESULT_INVALID
  if (u32(e.lastDirection) != direction && (e.lastKind == KIND_FIN || e.lastKind == KIND_RST)) {
    const left = e.deadline - now
    const unacknowledged = timeout(TIMEOUT_TCP_UNACKNOWLEDGED)
    if (left >= 120_000_000_000 && left > unacknowledged) e.deadline = now + unacknowledged
  } else {
    e.lastKind = u8(kind)
    e.lastDirection = u8(direction)
  }
  return RESULT_INVALID
}

/** The packet is accepted: the new state, its timeout, ASSURED. */
// @ts-ignore: decorator
@inline export function enter(e: Entry, direction: u32, kind: u32, old: u32, next: u32): u32 {
  e.lastKind = u8(kind)
  e.lastDirection = u8(direction)
  e.state = u8(next)
  if (old != next) {
    changed(CHANGE_PROTOINFO)
    if (next == FIN_WAIT) tcpSide(e, direction).flags |= CLOSE_INIT
  }
  const flags = tcpSide(e, 0).flags | tcpSide(e, 1).flags
  let t = stateTimeout(kind, next, flags, e.retransmissions, e.lastWindow)
  if (!(e.status & STATUS_SEEN_REPLY)) {
    if (kind == KIND_RST && e.status & STATUS_CONFIRMED) {
      recordRule(RULE_TCP_RST_ENDS_UNANSWERED)
      return RESULT_DESTROY
    }
    if (kind == KIND_SYN && old == SYN_SENT) {
      recordRule(RULE_TCP_SYN_REPEATED)
      return RESULT_IGNORE
    }
    if (next == ESTABLISHED) t = min(t, timeout(TIMEOUT_TCP_UNACKNOWLEDGED))
  } else if (!(e.status & STATUS_ASSURED) && (old == SYN_RECV || old == ESTABLISHED) && next == ESTABLISHED) {
    e.status |= STATUS_ASSURED
    changed(CHANGE_ASSURED)
  }
  tcpTimeout = t
  recordStates(old, next, direction, kind)
  return RESULT_ACCEPT
}

/**
 * The state's timeout, cut short in this order: repeated segments, a reset, unacknowledged data, a closed window. Without
 * branches: whether data is unacknowledged is a toss of a coin.
 *
 * @param flags of both sides
 */
// @ts-ignore: decorator
@inline export function stateTimeout(kind: u32, next: u32, flags: u32, retransmissions: u32, lastWindow: u32): i64 {
  const t = timeout(next)
  const longer = i32(t > timeout(TIMEOUT_TCP_MAX_RETRANS))
  let which = select(TIMEOUT_TCP_MAX_RETRANS, next, i32(lastWindow == 0) & longer)
  which = select(TIMEOUT_TCP_UNACKNOWLEDGED, which, i32((flags & UNACKNOWLEDGED) != 0) & i32(t > timeout(TIMEOUT_TCP_UNACKNOWLEDGED)))
  which = select(CLOSE, which, kind == KIND_RST)
  which = select(TIMEOUT_TCP_MAX_RETRANS, which, i32(retransmissions >= switched(SWITCH_TCP_MAX_RETRANS)) & longer)
  return timeout(which)
}

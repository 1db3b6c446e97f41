/**
 * TCP: the window check, after G. van Rooij, "Real Stateful TCP Packet Filtering in IP Filter", with Linux's additions.
 *
 * For a segment from sender S to receiver R:
 *
 *     I.   seq        <= S.maxEnd                          not beyond what R allows
 *     II.  ack (SACK) <= R.end                             acknowledges nothing that was not sent
 *     III. end        >= S.end - R.maxWindow               not older than R's largest window
 *     IV.  ack (SACK) >= R.end - max(S.maxWindow, 66000)   not an acknowledgement from long ago
 *
 * I and II fail as INVALID, III and IV as ignored: the packet keeps its verdict and moves nothing. A segment that goes
 * over I by no more than R's largest window is ignored too, and raises S.end. Sides that were picked up are liberal:
 * for them every failure is accepted, without an update.
 */
import {
  REASON_TCP_ACK_OVER_SENT, REASON_TCP_SEQ_OVER_WINDOW, REPLY, RULE_TCP_ACK_OLD, RULE_TCP_ACK_OVER, RULE_TCP_IN_WINDOW,
  RULE_TCP_LIBERAL, RULE_TCP_SEQ_OLD, RULE_TCP_SEQ_OVER, RULE_TCP_SEQ_OVERSHOOT, REASON_NONE,
} from './00-constants'
import { Entry, Packet, switched, SWITCH_TCP_BE_LIBERAL, TcpSide, tcpSide } from './01-records'
import { ACK, KIND_ACK, RST, SYN } from './17-tcp-header'
import { endOf, SYN_RECV, SYN_SENT } from './30-tcp'
import { after, before } from './31-tcp-sequence'
import { BE_LIBERAL, MAXACK_SET, SACK_PERM, UNACKNOWLEDGED, WINDOW_SCALE } from './32-tcp-flags'
import { highestSack, readSynOptions } from './33-tcp-options'
import { recordRule, recordWindow } from './41-record'

export const WINDOW_ACCEPT: u32 = 0
export const WINDOW_IGNORE: u32 = 1
export const WINDOW_INVALID: u32 = 2

/** An ACK may be older than what was sent by this much at least. */
const MIN_ACK_WINDOW: u32 = 66000

// @ts-ignore: decorator
@inline export function checkWindow(p: Packet, e: Entry, direction: u32, kind: u32): u32 {
  const sender = tcpSide(e, direction)
  const receiver = tcpSide(e, direction ^ 1)
  const flags: u32 = p.flags
  const state: u32 = e.state
  let seq = p.seq
  let end = endOf(p)
  let ack = p.ack
  let sack = receiver.flags & SACK_PERM ? highestSack(p, ack) : ack

  if (sender.maxWindow == 0) {
    if (flags & SYN) {
      initialise(p, sender, receiver, end, direction)
      if (!(flags & ACK)) return accept() // simultaneous open
    } else {
      learn(p, sender, receiver, end, sack)
    }
  } else if (flags & SYN && after(end, sender.end) && (state == SYN_SENT || state == SYN_RECV)) {
    initialise(p, sender, receiver, end, direction) // a SYN with a new initial sequence number
    if (direction == REPLY && !(flags & ACK)) return accept()
  }

  if (!(flags & ACK) || (flags & RST && ack == 0)) {
    ack = receiver.end
    sack = receiver.end
  }
  if (flags & RST && seq == 0 && state == SYN_SENT) {
    seq = sender.end
    end = sender.end
  }
  const window: u32 = flags & SYN ? p.window : u32(p.window) << sender.scale
  recordWindow(seq, end, ack, sack, window, sender, receiver)
  const rule = judge(seq, end, sack, sender, receiver)
  recordRule(rule)
  if (rule != RULE_TCP_IN_WINDOW) return fail(p, rule, end, sender)
  update(sender, receiver, end, ack, sack, window, flags)
  if (kind == KIND_ACK) countRepetition(p, e, direction, ack, end)
  return WINDOW_ACCEPT
}

// @ts-ignore: decorator
@inline function accept(): u32 {
  recordRule(RULE_TCP_IN_WINDOW)
  return WINDOW_ACCEPT
}

/** A side's first SYN: where it starts, and what its options offer. */
function initialise(p: Packet, sender: TcpSide, receiver: TcpSide, end: u32, direction: u32): void {
  sender.end = end
  sender.maxEnd = end
  sender.maxWindow = max<u32>(p.window, 1)
  readSynOptions(p, sender)
  // Scaling counts only if both sides offer it.
  if (direction == REPLY && !(sender.flags & receiver.flags & WINDOW_SCALE)) {
    sender.scale = 0
    receiver.scale = 0
  }
}

/** A side that is first seen in the middle of the connection. */
function learn(p: Packet, sender: TcpSide, receiver: TcpSide, end: u32, sack: u32): void {
  sender.end = end
  sender.maxWindow = max<u32>(u32(p.window) << sender.scale, 1)
  sender.maxEnd = end + sender.maxWindow
  if (receiver.maxWindow == 0) {
    receiver.end = sack
    receiver.maxEnd = sack
  } else if (sack == receiver.end + 1) {
    receiver.end++ // the answer to a keep-alive
  }
}

/** The four rules, in order: the first that fails, or RULE_TCP_IN_WINDOW. */
// @ts-ignore: decorator
@inline function judge(seq: u32, end: u32, sack: u32, sender: TcpSide, receiver: TcpSide): u8 {
  const receiverSeen = receiver.maxWindow != 0
  const notOld = after(end, sender.end - receiver.maxWindow - 1)
  const ackWindow = max(sender.maxWindow, MIN_ACK_WINDOW)
  const ackNotOld = after(sack, receiver.end - ackWindow - 1)
  const acksSent = before(sack, receiver.end + 1)
  if (!before(seq, sender.maxEnd + 1)) {
    const over = end - sender.maxEnd + 1
    const little = receiverSeen && notOld && ackNotOld && over <= receiver.maxWindow && acksSent
    return little ? RULE_TCP_SEQ_OVERSHOOT : RULE_TCP_SEQ_OVER
  }
  if (!acksSent) return RULE_TCP_ACK_OVER
  if (receiverSeen && !notOld) return RULE_TCP_SEQ_OLD
  return ackNotOld ? RULE_TCP_IN_WINDOW : RULE_TCP_ACK_OLD
}

function fail(p: Packet, rule: u8, end: u32, sender: TcpSide): u32 {
  if (rule == RULE_TCP_SEQ_OVERSHOOT) {
    sender.end = end
    sender.flags |= UNACKNOWLEDGED
  }
  if (sender.flags & BE_LIBERAL || switched(SWITCH_TCP_BE_LIBERAL)) {
    recordRule(RULE_TCP_LIBERAL)
    return WINDOW_ACCEPT
  }
  p.reason = rule == RULE_TCP_SEQ_OVER ? REASON_TCP_SEQ_OVER_WINDOW : rule == RULE_TCP_ACK_OVER ? REASON_TCP_ACK_OVER_SENT : REASON_NONE
  return p.reason ? WINDOW_INVALID : WINDOW_IGNORE
}

/**
 * Takes over what an accepted segment says of both sides. Without branches: which of these happens is a toss of a coin
 * where packets of many connections are mixed, and the mispredictions cost 1.5 ns a packet.
 */
// @ts-ignore: decorator
@inline function update(
  sender: TcpSide, receiver: TcpSide, end: u32, ack: u32, sack: u32, window: u32, flags: u32,
): void {
  const sent = sender.end
  const maxEnd = sender.maxEnd
  const seen = receiver.maxWindow
  const allowed = receiver.maxEnd
  const maxAck = sender.maxAck
  const grows = after(end, sent)
  let own: u32 = sender.flags
  const acks = i32((flags & ACK) != 0) & (i32((own & MAXACK_SET) == 0) | i32(after(ack, maxAck)))
  sender.maxWindow = max(sender.maxWindow, window + (sack - ack))
  sender.end = select(end, sent, grows)
  sender.maxAck = select(ack, maxAck, acks)
  sender.flags = u8(own | select<u32>(UNACKNOWLEDGED, 0, grows) | select<u32>(MAXACK_SET, 0, acks))
  receiver.maxWindow = select(seen + (end - maxEnd), seen, i32(seen != 0) & i32(after(end, maxEnd)))
  const right = sack + window
  receiver.maxEnd = select(right + u32(window == 0), allowed, after(right, allowed - 1))
  receiver.flags &= ~select<u8>(UNACKNOWLEDGED, 0, ack == receiver.end)
}

/** The same acknowledgement again: counted, since it shows that something is repeated in vain. */
// @ts-ignore: decorator
@inline function countRepetition(p: Packet, e: Entry, direction: u32, ack: u32, end: u32): void {
  const same = u32(e.lastDirection) == direction && e.lastSeq == p.seq && e.lastAck == ack && e.lastEnd == end &&
    e.lastWindow == p.window
  if (same) {
    e.retransmissions++
    return
  }
  e.lastDirection = u8(direction)
  e.lastSeq = p.seq
  e.lastAck = ack
  e.lastEnd = end
  e.lastWindow = p.window
  e.retransmissions = 0
}

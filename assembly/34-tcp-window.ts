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
  ORIGINAL, REASON_TCP_ACK_OVER_SENT, REASON_TCP_SEQ_OVER_WINDOW, REPLY, RULE_TCP_ACK_OLD, RULE_TCP_ACK_OVER, RULE_TCP_IN_WINDOW,
  RULE_TCP_LIBERAL, RULE_TCP_SEQ_OLD, RULE_TCP_SEQ_OVER, RULE_TCP_SEQ_OVERSHOOT, REASON_NONE,
} from './00-constants'
import { Entry, Packet, switched, SWITCH_TCP_BE_LIBERAL, TcpSide, tcpSide } from './01-records'
import { ACK, KIND_ACK, KIND_FIN, RST, SYN } from './17-tcp-header'
import { endOf, SYN_RECV, SYN_SENT } from './30-tcp'
import { after, before } from './31-tcp-sequence'
import { BE_LIBERAL, MAXACK_SET, SACK_PERM, UNACKNOWLEDGED, WINDOW_SCALE } from './32-tcp-flags'
import { highestSack, mayHaveSack, SACK_BLOCKS, synOptions, takeSynOptions } from './33-tcp-options'
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
      initialise(p, synOptions(p), sender, receiver, end, direction)
      if (!(flags & ACK)) return accept() // simultaneous open
    } else {
      learn(p, sender, receiver, end, sack)
    }
  } else if (flags & SYN && after(end, sender.end) && (state == SYN_SENT || state == SYN_RECV)) {
    initialise(p, synOptions(p), sender, receiver, end, direction) // a SYN with a new initial sequence number
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
  const sent = sender.end
  const maxEnd = sender.maxEnd
  const offered = sender.maxWindow
  const received = receiver.end
  const allowed = receiver.maxWindow
  const rule = judge(seq, end, sack, sent, maxEnd, offered, received, allowed)
  recordRule(rule)
  if (rule != RULE_TCP_IN_WINDOW) return fail(p, rule, end, sender)
  update(sender, receiver, sent, maxEnd, offered, received, allowed, end, ack, sack, window, flags)
  if (kind == KIND_ACK) noteNumbers(e, direction, p.seq, ack, end, p.window)
  return WINDOW_ACCEPT
}

// @ts-ignore: decorator
@inline function accept(): u32 {
  recordRule(RULE_TCP_IN_WINDOW)
  return WINDOW_ACCEPT
}

/** A side's first SYN: where it starts, and what its options offer. */
function initialise(p: Packet, options: u32, sender: TcpSide, receiver: TcpSide, end: u32, direction: u32): void {
  sender.end = end
  sender.maxEnd = end
  sender.maxWindow = max<u32>(p.window, 1)
  takeSynOptions(sender, options)
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

/**
 * The four rules, in order: the first that fails, or RULE_TCP_IN_WINDOW.
 *
 * @param sent, maxEnd, offered the sender's `end`, `maxEnd`, `maxWindow`
 * @param received, allowed the receiver's `end`, `maxWindow`
 */
// @ts-ignore: decorator
@inline function judge(
  seq: u32, end: u32, sack: u32, sent: u32, maxEnd: u32, offered: u32, received: u32, allowed: u32,
): u8 {
  const receiverSeen = allowed != 0
  const notOld = after(end, sent - allowed - 1)
  const ackNotOld = after(sack, received - max(offered, MIN_ACK_WINDOW) - 1)
  const acksSent = before(sack, received + 1)
  if (!before(seq, maxEnd + 1)) {
    const over = end - maxEnd + 1
    const little = receiverSeen && notOld && ackNotOld && over <= allowed && acksSent
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
 * Takes over what an accepted segment says of both sides, whose values are those that were judged. Without branches: which
 * of these happens is a toss of a coin where packets of many connections are mixed, and the mispredictions cost 1.5 ns a packet.
 *
 * @returns the flags of both sides
 */
// @ts-ignore: decorator
@inline function update(
  sender: TcpSide, receiver: TcpSide, sent: u32, maxEnd: u32, offered: u32, received: u32, allowed: u32, end: u32, ack: u32, sack: u32,
  window: u32, flags: u32,
): u32 {
  const grows = after(end, sent)
  const maxAck = sender.maxAck
  const own: u32 = sender.flags
  const acks = i32((flags & ACK) != 0) & (i32((own & MAXACK_SET) == 0) | i32(after(ack, maxAck)))
  const ownNow = own | select<u32>(UNACKNOWLEDGED, 0, grows) | select<u32>(MAXACK_SET, 0, acks)
  const theirs = u32(receiver.flags) & ~select<u32>(UNACKNOWLEDGED, 0, ack == received)
  const right = sack + window
  const rightEnd = receiver.maxEnd
  sender.maxWindow = max(offered, window + (sack - ack))
  sender.end = select(end, sent, grows)
  sender.maxAck = select(ack, maxAck, acks)
  sender.flags = u8(ownNow)
  receiver.maxWindow = select(allowed + (end - maxEnd), allowed, i32(allowed != 0) & i32(after(end, maxEnd)))
  receiver.maxEnd = select(right + u32(window == 0), rightEnd, after(right, rightEnd - 1))
  receiver.flags = u8(theirs)
  return ownNow | theirs
}

/** The window check would not simply accept the segment: nothing was written. */
export const NOT_TAKEN: u32 = 0xffffffff

/**
 * The window check for an ACK or a FIN of a connection both of whose sides have spoken: what `checkWindow` does where all four
 * rules hold and there are no SACK blocks, and nothing otherwise.
 *
 * @returns the flags of both sides, from bit 8 on how often the same ACK came in a row; or NOT_TAKEN
 */
// @ts-ignore: decorator
@inline export function takeSegment(p: Packet, e: Entry, direction: u32, kind: u32): u32 {
  const sender = tcpSide(e, direction)
  const receiver = tcpSide(e, direction ^ 1)
  if (receiver.flags & SACK_PERM && mayHaveSack(p)) return NOT_TAKEN
  const seq = p.seq
  const ack = p.ack
  const end = seq + p.payload + u32(kind == KIND_FIN)
  const sent = sender.end
  const maxEnd = sender.maxEnd
  const offered = sender.maxWindow
  const received = receiver.end
  const allowed = receiver.maxWindow
  if (offered == 0 || judge(seq, end, ack, sent, maxEnd, offered, received, allowed) != RULE_TCP_IN_WINDOW) return NOT_TAKEN
  const window = u32(p.window) << sender.scale
  const flags = update(sender, receiver, sent, maxEnd, offered, received, allowed, end, ack, ack, window, ACK)
  return kind == KIND_ACK ? flags | noteNumbers(e, direction, seq, ack, end, p.window) << 8 : flags
}

/**
 * The same for a connection's first SYN. Nothing is known that it could be out of: it only says what the other side may send.
 */
// @ts-ignore: decorator
@inline export function takeFirst(p: Packet, e: Entry): void {
  tcpSide(e, REPLY).maxEnd = max<u32>(p.window, 1)
}

/**
 * The same for the SYN/ACK that answers a connection's SYN, where it acknowledges that and nothing else.
 *
 * @returns the flags of both sides, or NOT_TAKEN
 */
// @ts-ignore: decorator
@inline export function takeAnswer(p: Packet, e: Entry): u32 {
  const sender = tcpSide(e, REPLY)
  const receiver = tcpSide(e, ORIGINAL)
  const ack = p.ack
  if (sender.maxWindow != 0 || ack != receiver.end) return NOT_TAKEN
  const options = synOptions(p)
  if (options & SACK_BLOCKS) return NOT_TAKEN
  const end = endOf(p)
  initialise(p, options, sender, receiver, end, REPLY)
  return update(sender, receiver, end, end, sender.maxWindow, ack, receiver.maxWindow, end, ack, ack, p.window, p.flags)
}

/**
 * Notes an acknowledging segment's numbers: the same again are counted, since they show that something is repeated in vain.
 * They lie side by side in an entry, which makes two stores of them.
 *
 * @returns how often the same came in a row
 */
// @ts-ignore: decorator
@inline function noteNumbers(e: Entry, direction: u32, seq: u32, ack: u32, end: u32, window: u32): u32 {
  const at = changetype<u32>(e) + offsetof<Entry>('lastSeq')
  const first = u64(seq) | u64(ack) << 32
  const second = u64(end) | u64(window | direction << 24) << 32
  const same = i32(load<u64>(at) == first) & i32((load<u64>(at, 8) & ~LAST_KIND) == second)
  store<u64>(at, first)
  store<u64>(at, second | u64(KIND_ACK) << LAST_KIND_SHIFT, 8)
  const repeated = select<u32>(u32(e.retransmissions) + 1, 0, same) & 0xff
  e.retransmissions = u8(repeated)
  return repeated
}

/** `lastKind` among the eight bytes from `lastEnd` on. */
const LAST_KIND_SHIFT: u64 = 48
const LAST_KIND: u64 = 0xff << LAST_KIND_SHIFT
if (offsetof<Entry>('lastEnd') != offsetof<Entry>('lastSeq') + 8 || offsetof<Entry>('lastKind') != offsetof<Entry>('lastEnd') + 6) ERROR('Entry')

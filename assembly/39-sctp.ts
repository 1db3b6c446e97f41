/**
 * SCTP: the association's state machine.
 *
 * In: a packet whose chunks were walked, its entry, its direction. Out: a RESULT_. Verification tags must be those that
 * the INITs exchanged; each chunk then moves the state by the table. A heartbeat on a path that was not seen before may
 * open an entry, and takes its tag from the packet.
 *
 * What chunks of a packet did before one of them turns out invalid stays done, as in Linux.
 */
import {
  CHANGE_ASSURED, CHANGE_PROTOINFO, ORIGINAL, REASON_NONE, REASON_SCTP_INIT, REASON_SCTP_NO_ASSOCIATION,
  REASON_SCTP_TRANSITION, REASON_SCTP_VTAG, REPLY, RESULT_ACCEPT, RESULT_IGNORE, RESULT_INVALID, RULE_PLAIN,
  RULE_SCTP_IGNORED, STATUS_ASSURED, STATUS_CONFIRMED,
} from './00-constants'
import { Entry, ENTRY_SIDES, Packet, timeout, TIMEOUT_SCTP } from './01-records'
import {
  CHUNK_ABORT, CHUNK_COOKIE_ACK, CHUNK_COOKIE_ECHO, CHUNK_DATA, CHUNK_HEARTBEAT, CHUNK_HEARTBEAT_ACK, CHUNK_INIT,
  CHUNK_INIT_ACK, CHUNK_SHUTDOWN_ACK, CHUNK_SHUTDOWN_COMPLETE, has, isChunk, nextChunk, SCTP_HEADER,
} from './19-sctp-header'
import { changed } from './40-events'
import { recordRule } from './41-record'

const NONE: u32 = 0
const CLOSED: u32 = 1
const ESTABLISHED: u32 = 4
const STATES: u32 = 9
const INVALID: u32 = 15
/** INIT and INIT ACK: four bytes of chunk header, then this much. */
const INIT_HEADER: u32 = 16

@unmanaged
class SctpState {
  /** Verification tag that packets sent by the original, by the reply side must carry. */
  tag0: u32
  tag1: u32
  /** An INIT was sent in that direction. */
  init0: u8
  init1: u8
  lastDirection: u8
  /** A heartbeat with another tag went by in `lastDirection`. */
  heartbeatFailed: u8
}

// @ts-ignore: decorator
@inline function sctpState(e: Entry): SctpState {
  return changetype<SctpState>(changetype<usize>(e) + ENTRY_SIDES)
}

// @ts-ignore: decorator
@inline function tag(s: SctpState, direction: u32): u32 {
  return load<u32>(changetype<usize>(s) + (direction << 2))
}

// @ts-ignore: decorator
@inline function setTag(s: SctpState, direction: u32, value: u32): void {
  store<u32>(changetype<usize>(s) + (direction << 2), value)
}

// @ts-ignore: decorator
@inline function initSent(s: SctpState, direction: u32): bool {
  return load<u8>(changetype<usize>(s) + offsetof<SctpState>('init0') + direction) != 0
}

// @ts-ignore: decorator
@inline function setInit(s: SctpState, direction: u32, value: u8): void {
  store<u8>(changetype<usize>(s) + offsetof<SctpState>('init0') + direction, value)
}

/**
 * New state by direction, row of the chunk type, current state. Rows: INIT, INIT ACK, ABORT, SHUTDOWN, SHUTDOWN ACK,
 * ERROR, COOKIE ECHO, COOKIE ACK, SHUTDOWN COMPLETE, HEARTBEAT, HEARTBEAT ACK. 15: invalid.
 */
const TRANSITIONS = memory.data<u8>([
  // original:
  // NO  CL  CW  CE  ES  SS  SR  SA  HB
  1, 1, 2, 3, 4, 1, 1, 7, 2, // INIT
  1, 1, 2, 3, 4, 5, 6, 7, 1, // INIT ACK
  1, 1, 1, 1, 1, 1, 1, 1, 1, // ABORT
  1, 1, 2, 3, 5, 5, 6, 7, 1, // SHUTDOWN
  7, 1, 2, 3, 4, 7, 7, 7, 7, // SHUTDOWN ACK
  1, 1, 2, 3, 4, 5, 6, 7, 1, // ERROR
  1, 1, 3, 3, 4, 5, 6, 7, 1, // COOKIE ECHO
  1, 1, 2, 4, 4, 5, 6, 7, 1, // COOKIE ACK
  1, 1, 2, 3, 4, 5, 6, 1, 1, // SHUTDOWN COMPLETE
  8, 1, 2, 3, 4, 5, 6, 7, 8, // HEARTBEAT
  1, 1, 2, 3, 4, 5, 6, 7, 8, // HEARTBEAT ACK
  // reply:
  15, 1, 2, 3, 4, 5, 6, 7, 15,
  15, 2, 2, 3, 4, 5, 6, 7, 15, // INIT ACK: the peer answers
  15, 1, 1, 1, 1, 1, 1, 1, 15,
  15, 1, 2, 3, 6, 5, 6, 7, 15,
  15, 1, 2, 3, 4, 7, 7, 7, 15,
  15, 1, 2, 1, 4, 5, 6, 7, 15,
  15, 1, 3, 3, 4, 5, 6, 7, 15,
  15, 1, 2, 4, 4, 5, 6, 7, 15,
  15, 1, 2, 3, 4, 5, 6, 1, 15,
  15, 1, 2, 3, 4, 5, 6, 7, 8,
  15, 1, 2, 3, 4, 5, 6, 7, 4, // HEARTBEAT ACK: the path is up
])
const ROWS: u32 = 11
/** Row of each chunk type 0 to 14; 255: it moves nothing. */
const ROW_OF = memory.data<u8>([255, 0, 1, 255, 9, 10, 2, 3, 4, 5, 6, 7, 255, 255, 8])

/** Timeout to set, nanoseconds. */
export let sctpTimeout: i64 = 0

function transition(direction: u32, type: u32, state: u32): u32 {
  const row: u32 = type <= CHUNK_SHUTDOWN_COMPLETE ? load<u8>(u32(ROW_OF) + type) : 255
  if (row == 255) return state
  return load<u8>(u32(TRANSITIONS) + (direction * ROWS + row) * STATES + state)
}

// @ts-ignore: decorator
@inline function packetTag(p: Packet): u32 {
  return load<u32>(p.transport + 4)
}

/** The INIT header of the chunk at `at` lies within the packet. */
// @ts-ignore: decorator
@inline function initFits(p: Packet, at: u32): bool {
  return at + 4 + INIT_HEADER <= p.transport + p.transportLength
}

/** Its first field, the tag that packets to its sender must carry. */
// @ts-ignore: decorator
@inline function initiateTag(at: u32): u32 {
  return load<u32>(at + 4)
}

/** Fills the entry of a new association. */
export function beginSctp(p: Packet, e: Entry): u8 {
  const s = sctpState(e)
  if (has(p, 1 << CHUNK_ABORT | 1 << CHUNK_SHUTDOWN_COMPLETE | 1 << CHUNK_COOKIE_ACK)) return REASON_SCTP_NO_ASSOCIATION
  for (let at = p.transport + SCTP_HEADER; isChunk(p, at); at = nextChunk(at)) {
    const type: u32 = load<u8>(at)
    const next = transition(ORIGINAL, type, NONE)
    if (next == NONE || next == INVALID) return REASON_SCTP_NO_ASSOCIATION
    if (type == CHUNK_INIT) {
      if (packetTag(p) != 0 || !initFits(p, at)) return REASON_SCTP_INIT
      setTag(s, REPLY, initiateTag(at))
    } else if (type == CHUNK_HEARTBEAT) {
      setTag(s, ORIGINAL, packetTag(p))
    } else if (type == CHUNK_SHUTDOWN_ACK) {
      setTag(s, REPLY, packetTag(p))
    }
  }
  return REASON_NONE
}

/** Chunks that bring a tag of their own or are checked one by one. */
const CHECKED_SINGLY: u32 = 1 << CHUNK_INIT | 1 << CHUNK_SHUTDOWN_COMPLETE | 1 << CHUNK_COOKIE_ECHO | 1 << CHUNK_ABORT |
  1 << CHUNK_SHUTDOWN_ACK | 1 << CHUNK_HEARTBEAT | 1 << CHUNK_HEARTBEAT_ACK

/** What a chunk asks for besides its transition. */
const CHUNK_GOOD: u32 = 0
const CHUNK_INVALID: u32 = 1
/** No transition, and the packet moves nothing from here on. */
const CHUNK_SKIP: u32 = 2

let ignoring: bool = false

export function updateSctp(p: Packet, e: Entry, direction: u32): u32 {
  const s = sctpState(e)
  ignoring = false
  if (!has(p, CHECKED_SINGLY) && packetTag(p) != tag(s, direction)) return invalid(p, REASON_SCTP_VTAG)
  let next: u32 = e.state
  for (let at = p.transport + SCTP_HEADER; isChunk(p, at); at = nextChunk(at)) {
    const type: u32 = load<u8>(at)
    const checked = checkTag(p, s, direction, type, at)
    if (checked == CHUNK_INVALID) return invalid(p, REASON_SCTP_VTAG)
    if (checked == CHUNK_SKIP) continue
    const old: u32 = e.state
    next = transition(direction, type, old)
    if (next == INVALID) return invalid(p, REASON_SCTP_TRANSITION)
    if (type == CHUNK_INIT || type == CHUNK_INIT_ACK) {
      if (!initFits(p, at)) return invalid(p, REASON_SCTP_INIT)
      const good = type == CHUNK_INIT ? takeInit(e, s, direction, old, next, initiateTag(at)) : takeInitAck(s, direction, initiateTag(at))
      if (!good) return invalid(p, REASON_SCTP_VTAG)
    }
    enter(e, old, next)
  }
  recordRule(ignoring ? RULE_SCTP_IGNORED : RULE_PLAIN)
  if (ignoring) {
    return RESULT_IGNORE
  }
  sctpTimeout = timeout(TIMEOUT_SCTP + next)
  return RESULT_ACCEPT
}

function invalid(p: Packet, reason: u8): u32 {
  p.reason = reason
  return RESULT_INVALID
}

function enter(e: Entry, old: u32, next: u32): void {
  e.state = u8(next)
  if (old == next) return
  changed(CHANGE_PROTOINFO)
  if (next == ESTABLISHED && !(e.status & STATUS_ASSURED)) {
    e.status |= STATUS_ASSURED
    changed(CHANGE_ASSURED)
  }
}

/** The verification tag a chunk of this type must come with (RFC 9260, section 8.5). */
function checkTag(p: Packet, s: SctpState, direction: u32, type: u32, at: u32): u32 {
  const own = packetTag(p)
  switch (type) {
    case CHUNK_INIT: return own == 0 ? CHUNK_GOOD : CHUNK_INVALID
    case CHUNK_ABORT: case CHUNK_SHUTDOWN_COMPLETE: {
      // The T bit: the sender had no tag and reflects the one it got.
      const reflected = load<u8>(at + 1) & 1
      return own == tag(s, reflected ? direction ^ 1 : direction) ? CHUNK_GOOD : CHUNK_INVALID
    }
    case CHUNK_COOKIE_ECHO: return own == tag(s, direction) ? CHUNK_GOOD : CHUNK_INVALID
    case CHUNK_COOKIE_ACK:
      setInit(s, ORIGINAL, 0)
      setInit(s, REPLY, 0)
      return CHUNK_GOOD
    case CHUNK_HEARTBEAT: return checkHeartbeat(p, s, direction, own)
    case CHUNK_HEARTBEAT_ACK: return checkHeartbeatAck(p, s, direction, own)
  }
  return CHUNK_GOOD
}

/** A heartbeat may come with a new tag once; its answer then shows whether the path has changed. */
function checkHeartbeat(p: Packet, s: SctpState, direction: u32, own: u32): u32 {
  if (tag(s, direction) == 0) {
    setTag(s, direction, own)
  } else if (own != tag(s, direction)) {
    if (has(p, 1 << CHUNK_DATA) || ignoring) return CHUNK_INVALID
    s.heartbeatFailed = 1
    s.lastDirection = u8(direction)
    ignoring = true
    return CHUNK_SKIP
  } else {
    s.heartbeatFailed = 0
  }
  return CHUNK_GOOD
}

function checkHeartbeatAck(p: Packet, s: SctpState, direction: u32, own: u32): u32 {
  if (tag(s, direction) == 0) {
    setTag(s, direction, own)
  } else if (own != tag(s, direction)) {
    if (has(p, 1 << CHUNK_DATA) || ignoring) return CHUNK_INVALID
    if (!s.heartbeatFailed || u32(s.lastDirection) == direction) return CHUNK_INVALID
    s.heartbeatFailed = 0
    setTag(s, direction, own)
    setTag(s, direction ^ 1, 0)
  } else {
    s.heartbeatFailed = 0
  }
  return CHUNK_GOOD
}

/** An INIT: the other side must use its tag from now on. One in a connection that is just being closed moves nothing. */
function takeInit(e: Entry, s: SctpState, direction: u32, old: u32, next: u32, initiate: u32): bool {
  const peer = direction ^ 1
  if (old == NONE || tag(s, peer) != initiate) {
    if (initSent(s, direction) && initSent(s, peer)) setInit(s, peer, 0)
    setInit(s, direction, 1)
  }
  setTag(s, peer, initiate)
  if (next == CLOSED && old == CLOSED && e.status & STATUS_CONFIRMED) ignoring = true
  return true
}

/** An INIT ACK: its tag must be the one known, unless an INIT of the other side made room for another. */
function takeInitAck(s: SctpState, direction: u32, initiate: u32): bool {
  const peer = direction ^ 1
  const known = tag(s, peer)
  if (!initSent(s, peer) && known != 0 && known != initiate) return false
  if (initSent(s, direction) && initSent(s, peer) && known != initiate) return false
  setTag(s, peer, initiate)
  return true
}

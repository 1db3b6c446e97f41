/**
 * Reassembly of IPv4 and IPv6 fragments, which Linux does before tracking (RFC 791, RFC 8200 section 4.5).
 *
 * In: a fragment. Out: nothing while parts are missing; with the last one the whole datagram, which then goes through
 * the stages as one packet in that fragment's place.
 *
 * A datagram being put together has a queue: its key, which eighths of it are there (one bit for eight bytes), and a
 * buffer of the largest size, with room for the header in front. An overlap discards the whole queue, as Linux does
 * against evasion; a repetition is dropped alone. What a repetition is, runs decide: fragments that came one behind the
 * other in order, at the end of what was there. One that repeats parts of two runs is an overlap. Queues are few and fixed; a fragment of a new datagram that
 * finds none free is lost. A queue is given back 30 (IPv4) or 60 (IPv6) seconds after its first fragment, and one whose
 * datagram is complete when its group of packets has been tracked.
 */
import { be16 } from './10-link'
import { fragmentsAt, Packet, sysctlTimeout, TIMEOUT_FRAGMENT_IPV4, TIMEOUT_FRAGMENT_IPV6 } from './01-records'

const QUEUES: u32 = 64
const MAX_PAYLOAD: u32 = 65535
/** Room for the header in front of the payload: IPv4 with options, IPv6 with the extension headers before its fragment's. */
const MAX_HEADER: u32 = 512
const BITMAP: u32 = 8192 / 8
const BUFFER: u32 = 65536 + 64

@unmanaged
class Queue {
  source0: u64
  source1: u64
  destination0: u64
  destination1: u64
  /** Identification; for IPv4 with the protocol above it. */
  identification: u32
  /** 4 or 6; 0: free. */
  family: u8
  /** Complete: free when its group has been tracked. */
  complete: u8
  /** ECN fields seen, one bit for each value (RFC 3168, section 5.3). */
  ecn: u8
  /** Part of a fragment was not captured. */
  cut: u8
  deadline: i64
  /** Payload length, 0 until the last fragment is there. */
  length: u32
  /** Highest end seen. */
  highest: u32
  /** Eighths that are there. */
  eighths: u32
  /** Bytes of header in front of the payload, 0 until the first fragment is there. */
  header: u32
  /** IPv6: the protocol behind the fragment header of the first fragment. */
  next: u32
  /** Captured bytes of the first fragment's payload. */
  captured: u32
}
const QUEUE: u32 = 128
/** What is there, and where runs begin. */
const BITMAPS: u32 = 2 * BITMAP
const QUEUE_SIZE: u32 = QUEUE + BITMAPS + MAX_HEADER + BUFFER

/** Bytes of all queues. */
export const FRAGMENT_BYTES: u32 = QUEUES * QUEUE_SIZE

/** What became of a fragment. */
export const FRAGMENT_HELD: u32 = 0
export const FRAGMENT_COMPLETES: u32 = 1
/** It goes on alone: IPv6 fragments that Linux's reassembly does not touch. */
export const FRAGMENT_PASSES: u32 = 2

/** Queues in use. */
let inUse: u32 = 0
let completed: u32 = 0
let newest: i64 = i64.MIN_VALUE

// @ts-ignore: decorator
@inline function queueAt(i: u32): Queue {
  return changetype<Queue>(fragmentsAt + i * QUEUE_SIZE)
}

// @ts-ignore: decorator
@inline function bitmap(q: Queue): u32 {
  return changetype<u32>(q) + QUEUE
}

// @ts-ignore: decorator
@inline function runStarts(q: Queue): u32 {
  return changetype<u32>(q) + QUEUE + BITMAP
}

// @ts-ignore: decorator
@inline function payload(q: Queue): u32 {
  return changetype<u32>(q) + QUEUE + BITMAPS + MAX_HEADER
}

/** Frees the queues whose datagrams were complete in the group before. */
// @ts-ignore: decorator
@inline export function releaseComplete(): void {
  if (completed) releaseAll()
}

function releaseAll(): void {
  for (let i: u32 = 0; i < QUEUES; i++) if (queueAt(i).complete) free(queueAt(i))
  completed = 0
}

function free(q: Queue): void {
  if (!q.family) return
  q.family = 0
  q.complete = 0
  inUse--
}

/** The queue of a fragment's datagram, a new one if it has none; 0 where all are in use. */
function queueOf(family: u8, network: u32, identification: u32, now: i64): u32 {
  const at = addressesOf(network, family)
  let empty: u32 = 0
  for (let i: u32 = 0; i < QUEUES; i++) {
    const q = queueAt(i)
    if (q.family && !q.complete && q.deadline <= now) free(q)
    if (!q.family) {
      if (!empty) empty = changetype<u32>(q)
    } else if (isOf(q, family, identification, at)) {
      return changetype<u32>(q)
    }
  }
  if (empty) start(changetype<Queue>(empty), family, at, identification, now)
  return empty
}

// @ts-ignore: decorator
@inline function addressesOf(network: u32, family: u32): u32 {
  return network + (family == 4 ? 12 : 8)
}

/** Whether parts of the datagram that the IPv6 fragment header at `header` names are there already. */
export function isPending(p: Packet, header: u32): bool {
  if (inUse == 0) return false
  const now = clockAt(p.time)
  const at = addressesOf(p.network, 6)
  for (let i: u32 = 0; i < QUEUES; i++) {
    const q = queueAt(i)
    if (q.deadline > now && isOf(q, 6, load<u32>(header, 4), at)) return true
  }
  return false
}

/** Whether a queue is that of the datagram with these addresses and this identification. */
function isOf(q: Queue, family: u8, identification: u32, addresses: u32): bool {
  return q.family == family && !q.complete && q.identification == identification && sameAddresses(q, addresses, family)
}

function sameAddresses(q: Queue, at: u32, family: u8): bool {
  if (family == 4) return q.source0 == load<u64>(at)
  return q.source0 == load<u64>(at) && q.source1 == load<u64>(at, 8) && q.destination0 == load<u64>(at, 16) &&
    q.destination1 == load<u64>(at, 24)
}

function start(q: Queue, family: u8, at: u32, identification: u32, now: i64): void {
  memory.fill(changetype<usize>(q), 0, QUEUE + BITMAPS)
  q.family = family
  q.identification = identification
  q.deadline = now + sysctlTimeout(family == 4 ? TIMEOUT_FRAGMENT_IPV4 : TIMEOUT_FRAGMENT_IPV6)
  q.source0 = load<u64>(at) // IPv4: both addresses
  inUse++
  if (family == 4) return
  q.source1 = load<u64>(at, 8)
  q.destination0 = load<u64>(at, 16)
  q.destination1 = load<u64>(at, 24)
}

function discard(q: Queue): u32 {
  free(q)
  return FRAGMENT_HELD
}

/** The clock of reassembly: that of the packets read so far. */
function clockAt(time: i64): i64 {
  if (time > newest) newest = time
  return newest
}

/**
 * Takes an IPv4 fragment.
 *
 * @param header bytes of its IP header
 * @param total its total length
 * @param captured how much of that was captured, the header at least
 */
export function takeIpv4(p: Packet, header: u32, total: u32, captured: u32): u32 {
  const at = p.network
  const field = be16(at + 6)
  const offset = (field & 0x1fff) << 3
  const more = (field & 0x2000) != 0
  const found = queueOf(4, at, be16(at + 4) | u32(p.ownProtocol) << 16, clockAt(p.time))
  if (!found) return FRAGMENT_HELD
  const q = changetype<Queue>(found)
  let length = total - header
  if (more) length &= ~7 // a fragment with more to come is cut to a multiple of eight
  if (length == 0) return discard(q)
  const ecn: u8 = load<u8>(at + 1) & 3
  q.ecn |= u8(1) << ecn
  if (!add(q, at + header, offset, length, captured - header, more)) return FRAGMENT_HELD
  if (offset == 0) keepHeader(q, at, header, captured - header)
  if (!isComplete(q)) return FRAGMENT_HELD
  // Some fragments say that they support ECN and some that they do not.
  if (q.ecn & 1 && q.ecn & 0xe) return discard(q)
  if (q.header + q.length > MAX_PAYLOAD) return discard(q)
  const whole = finish(p, q)
  store<u16>(whole, bswap<u16>(u16(q.header + q.length)), 2)
  store<u16>(whole, 0, 6)
  return FRAGMENT_COMPLETES
}

/**
 * Takes an IPv6 fragment.
 *
 * @param fragment offset of its fragment header from the IP header
 * @param total length of the packet
 * @param captured how much of that was captured, the fragment header at least
 */
export function takeIpv6(p: Packet, fragment: u32, total: u32, captured: u32): u32 {
  const at = p.network
  const header = at + fragment
  const field = be16(header + 2)
  const offset = field & 0xfff8
  const more = (field & 1) != 0
  const length = total - fragment - 8
  const now = clockAt(p.time)
  const found = queueOf(6, at, load<u32>(header, 4), now)
  if (!found) return FRAGMENT_HELD
  const q = changetype<Queue>(found)
  if (more && length & 7) {
    free(q)
    return FRAGMENT_PASSES
  }
  if (length == 0 || offset + length > MAX_PAYLOAD) return FRAGMENT_HELD
  if (!add(q, header + 8, offset, length, captured - fragment - 8, more)) return FRAGMENT_HELD
  if (offset == 0) {
    if (fragment > MAX_HEADER) return discard(q)
    keepHeader(q, at, fragment, captured - fragment - 8)
    q.next = load<u8>(header)
  }
  if (!isComplete(q)) return FRAGMENT_HELD
  const whole = finish(p, q)
  // The fragment header is gone: what pointed at it points behind it, and the length is without it.
  patchNext(whole, q.header, u8(q.next))
  store<u16>(whole, bswap<u16>(u16(q.header - 40 + q.length)), 4)
  return FRAGMENT_COMPLETES
}

/** Adds a fragment's payload; false where it is dropped, alone or with its queue. */
function add(q: Queue, from: u32, offset: u32, length: u32, captured: u32, more: bool): bool {
  const end = offset + length
  if (end > MAX_PAYLOAD) return drop(q)
  if (more) {
    if (q.length && end > q.length) return drop(q)
  } else {
    if (end < q.highest || (q.length && q.length != end)) return drop(q)
    q.length = end
  }
  const first = offset >> 3
  const last = (end + 7) >> 3
  const there = countBits(bitmap(q), first, last)
  // Again what is there already: dropped alone if it lies within one run.
  if (there == last - first && countBits(runStarts(q), first + 1, last) == 0) return false
  if (there) return drop(q)
  setBits(bitmap(q), first, last)
  // A fragment continues a run only at the end of all that is there.
  if (offset != q.highest || offset == 0) setBits(runStarts(q), first, first + 1)
  q.eighths += last - first
  if (end > q.highest) q.highest = end
  if (captured < length) q.cut = 1
  memory.copy(payload(q) + offset, from, min(length, captured))
  return true
}

function drop(q: Queue): bool {
  free(q)
  return false
}

function countBits(at: u32, from: u32, to: u32): u32 {
  let n: u32 = 0
  for (let i = from; i < to; i++) n += (load<u8>(at + (i >> 3)) >> (i & 7)) & 1
  return n
}

function setBits(at: u32, from: u32, to: u32): void {
  for (let i = from; i < to; i++) store<u8>(at + (i >> 3), load<u8>(at + (i >> 3)) | (u8(1) << u8(i & 7)))
}

/** Keeps the first fragment's header in front of the payload. */
function keepHeader(q: Queue, from: u32, length: u32, captured: u32): void {
  q.header = length
  q.captured = captured
  memory.copy(payload(q) - length, from, length)
}

function isComplete(q: Queue): bool {
  return q.length != 0 && q.header != 0 && q.eighths == (q.length + 7) >> 3
}

/** Puts the whole datagram in the fragment's place. Returns where its header starts. */
function finish(p: Packet, q: Queue): u32 {
  q.complete = 1
  completed++
  const whole = payload(q) - q.header
  p.network = whole
  p.networkLength = q.header + q.length
  p.transport = payload(q)
  p.transportLength = q.length
  // Of a datagram that was not captured whole only what the first fragment has is known.
  p.transportCaptured = q.cut ? min(q.captured, q.length) : q.length
  return whole
}

/** Sets the last next-header field before the end of the headers. */
function patchNext(whole: u32, end: u32, next: u8): void {
  let at: u32 = 40
  let field: u32 = 6
  // Each step is eight bytes at least; the headers were walked when their fragment came.
  while (at < end) {
    const units = u32(load<u8>(whole + at + 1))
    const type: u32 = load<u8>(whole + field)
    field = at
    at += type == 51 ? (units + 2) << 2 : (units + 1) << 3
  }
  store<u8>(whole + field, next)
}

/**
 * In: a frame whose IP header is known. Out: the transport header, its protocol and lengths, or the reason why the
 * packet goes no further: `path` and `reason` are set where it ends here.
 *
 * What Linux's receive path discards before connection tracking never reaches the tracker (`ip-malformed`). Lengths
 * are checked against the wire, reading against what was captured. Fragments go to `11-fragments`; the one that completes
 * a datagram goes on as the whole.
 */
import {
  CHECKSUM_IGNORE, CHECKSUM_OFFLOAD, REASON_CUT_SHORT, REASON_FRAGMENT_HELD, REASON_IP_MALFORMED,
  PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, REASON_FRAGMENT_NOT_FIRST, REASON_IPV6_HEADER_CHAIN,
} from './00-constants'
import { Packet, PATH_INVALID, PATH_NONE } from './01-records'
import { be16, missing } from './10-link'
import { FRAGMENT_COMPLETES, FRAGMENT_HELD, FRAGMENT_PASSES, isTaken, takeIpv4, takeIpv6 } from './11-fragments'
import { isRight, sum } from './12-checksum'

const IPV4_HEADER: u32 = 20
const IPV6_HEADER: u32 = 40
/** More fragments, or an offset. */
const IPV4_FRAGMENT: u32 = 0x3fff
const IPV4_OFFSET: u32 = 0x1fff

const NEXT_HOP_BY_HOP: u32 = 0
const NEXT_ROUTING: u32 = 43
const NEXT_FRAGMENT: u32 = 44
const NEXT_AH: u32 = 51
const NEXT_NONE: u32 = 59
const NEXT_DESTINATION: u32 = 60
/** Each extension header is at least eight bytes (AH in IPv6 too); a packet has no more than this many. */
const MAX_EXTENSIONS: u32 = 8192

/** Ends a packet's way before the tracker. */
// @ts-ignore: decorator
@inline function discard(p: Packet, reason: u8): bool {
  p.path = PATH_NONE
  p.reason = reason
  return false
}

function invalid(p: Packet, reason: u8): bool {
  p.path = PATH_INVALID
  p.reason = reason
  return false
}

/** Reads the IP header. Returns true where the transport header is known. */
export function readNetwork(p: Packet, checksums: u32): bool {
  const before = p.network - p.frame
  const captured = p.length - before
  const wire = p.wireLength - before
  return p.ownFamily == 4 ? readIpv4(p, captured, wire, checksums) : readIpv6(p, captured, wire)
}

// @ts-ignore: decorator
@inline function readIpv4(p: Packet, captured: u32, wire: u32, checksums: u32): bool {
  const at = p.network
  if (captured < IPV4_HEADER) return discard(p, missing(p, at - p.frame + IPV4_HEADER, REASON_IP_MALFORMED))
  const first: u32 = load<u8>(at)
  const header = (first & 15) << 2
  const total = be16(at + 2)
  if (first >> 4 != 4 || header < IPV4_HEADER || total < header || wire < total) return discard(p, REASON_IP_MALFORMED)
  if (captured < header) return discard(p, REASON_CUT_SHORT)
  if (checksums != CHECKSUM_IGNORE && !isRight(sum(at, header, 0))) {
    if (checksums != CHECKSUM_OFFLOAD || load<u16>(at + 10) != 0) return discard(p, REASON_IP_MALFORMED)
    p.offloaded = 1
  }
  p.ownProtocol = load<u8>(at + 9)
  p.networkLength = total
  const available = min(captured, total)
  const fragment = be16(at + 6) & IPV4_FRAGMENT
  if ((fragment & IPV4_OFFSET) == 0) setTransport(p, header, available, total)
  return fragment == 0 || takeIpv4(p, header, total, available) == FRAGMENT_COMPLETES || discard(p, REASON_FRAGMENT_HELD)
}

/** The transport header lies in this frame, `header` bytes behind the IP header. */
// @ts-ignore: decorator
@inline function setTransport(p: Packet, header: u32, available: u32, total: u32): void {
  p.transport = p.network + header
  p.transportLength = total - header
  p.transportCaptured = available - header
  p.ownTransport = p.ownNetwork + header
}

function readIpv6(p: Packet, captured: u32, wire: u32): bool {
  const at = p.network
  if (captured < IPV6_HEADER) return discard(p, missing(p, at - p.frame + IPV6_HEADER, REASON_IP_MALFORMED))
  if (load<u8>(at) >> 4 != 6) return discard(p, REASON_IP_MALFORMED)
  const payload = be16(at + 4)
  const next: u32 = load<u8>(at + 6)
  // Length 0 before hop-by-hop options announces a jumbogram: the frame has the length then.
  const total = payload == 0 && next == NEXT_HOP_BY_HOP ? wire : IPV6_HEADER + payload
  if (wire < total) return discard(p, REASON_IP_MALFORMED)
  if (load<u8>(at + 8) == 0xff) return discard(p, REASON_IP_MALFORMED) // a multicast source
  p.networkLength = total
  const available = min(captured, total)
  if (next == NEXT_HOP_BY_HOP && !hopByHopParses(at, available)) {
    return discard(p, available < total ? REASON_CUT_SHORT : REASON_IP_MALFORMED)
  }
  return walkExtensions(p, next, available, total, false)
}

/**
 * Linux reads hop-by-hop options on receipt (RFC 8200, section 4.2): an option it does not know is skipped where its
 * two highest bits are 0, and else the packet is discarded.
 */
function hopByHopParses(at: u32, available: u32): bool {
  if (available < IPV6_HEADER + 8) return false
  const end = IPV6_HEADER + ((u32(load<u8>(at + IPV6_HEADER + 1)) + 1) << 3)
  if (end > available) return false
  let i: u32 = IPV6_HEADER + 2
  let padding: u32 = 0
  while (i < end) {
    const type: u32 = load<u8>(at + i)
    if (type == 0) { // Pad1; more than seven bytes of padding in a row are refused
      if (++padding > 7) return false
      i++
      continue
    }
    if (i + 2 > end) return false
    const length = u32(load<u8>(at + i + 1)) + 2
    if (i + length > end) return false
    if (type == 1) {
      padding += length
      if (padding > 7 || !zeros(at + i + 2, length - 2)) return false
    } else {
      if (type >> 6 != 0 && type != JUMBO) return false
      if (type == ROUTER_ALERT && length != 4) return false
      padding = 0
    }
    i += length
  }
  return true
}

const ROUTER_ALERT: u32 = 5
const JUMBO: u32 = 0xc2

function zeros(at: u32, length: u32): bool {
  for (let i: u32 = 0; i < length; i++) if (load<u8>(at + i)) return false
  return true
}

/**
 * Skips extension headers up to the transport protocol: hop-by-hop, routing, fragment, AH, destination options. ESP and
 * all others are the protocol. "No next header" and a chain that cannot be walked are INVALID.
 *
 * @param reassembled reassembly has seen a fragment header: it looks at the first one only, the tracker at all others
 */
function walkExtensions(p: Packet, next: u32, available: u32, total: u32, reassembled: bool): bool {
  const at = p.network
  let i: u32 = IPV6_HEADER
  for (let n: u32 = 0; n < MAX_EXTENSIONS; n++) {
    if (!isExtension(next)) break
    if (next == NEXT_FRAGMENT && !reassembled) {
      reassembled = true
      const taken = takeFragment(p, i, available, total)
      if (taken == FRAGMENT_HELD) return discard(p, REASON_FRAGMENT_HELD)
      if (taken != FRAGMENT_PASSES) return taken == FRAGMENT_COMPLETES
    }
    if (i + readOf(next) > available) return unwalkable(p, available, total)
    const following: u32 = load<u8>(at + i)
    if (next == NEXT_FRAGMENT && be16(at + i + 2) & 0xfff8) return invalid(p, REASON_FRAGMENT_NOT_FIRST)
    i += extensionLength(next, at + i)
    next = following
  }
  p.ownProtocol = u8(next)
  if (next == NEXT_NONE) return invalid(p, REASON_IPV6_HEADER_CHAIN)
  // A last header that is longer than the packet leaves nothing to the protocol: enough for those without ports.
  i = min(i, total)
  if (i > available) return discard(p, REASON_CUT_SHORT)
  setTransport(p, i, available, total)
  return true
}

/**
 * Gives a fragment to reassembly. A first one whose headers are not all in it is not touched: TCP must have 20 bytes,
 * UDP and ICMPv6 8, others 1.
 */
function takeFragment(p: Packet, fragment: u32, available: u32, total: u32): u32 {
  const header = p.network + fragment
  if (fragment + 8 > available && available < total) return refuse(p, REASON_CUT_SHORT)
  const first = fragment + 4 <= total && (be16(header + 2) & 0xfff8) == 0
  if (first && !firstHeaders(p, fragment, available, total)) return FRAGMENT_PASSES
  if (fragment + 8 > total) {
    // Linux drops it, unless the packet is nothing but its header or a header before says that it ends behind it.
    return fragment > total || total == IPV6_HEADER ? FRAGMENT_PASSES : refuse(p, REASON_IP_MALFORMED)
  }
  // The only fragment of its datagram needs no queue, if there is something in it. Linux takes its header out: it is not
  // counted.
  if (first && (be16(header + 2) & 1) == 0 && fragment + 8 < total && !isTaken(p, header)) {
    p.networkLength -= 8
    p.ownTransport = 0
    return FRAGMENT_PASSES
  }
  if (!first) p.ownProtocol = load<u8>(header)
  const taken = takeIpv6(p, fragment, total, available)
  // The protocol of a datagram is what its first fragment says, behind further extension headers.
  return taken == FRAGMENT_COMPLETES ? rewalk(p) : taken
}

function refuse(p: Packet, reason: u8): u32 {
  discard(p, reason)
  return FRAGMENT_REFUSED
}

/**
 * Whether a first fragment has its transport header, and notes where that is; also where its headers lead to none: one
 * is cut off, says that nothing follows, or is that of a fragment which is not the first.
 */
function firstHeaders(p: Packet, fragment: u32, available: u32, total: u32): bool {
  const at = p.network
  let next: u32 = load<u8>(at + fragment)
  let i = fragment + 8
  for (let n: u32 = 0; n < MAX_EXTENSIONS && isExtension(next); n++) {
    p.ownProtocol = u8(next)
    if (i + readOf(next) > total) return true
    if (i + readOf(next) > available) return false
    if (next == NEXT_FRAGMENT && be16(at + i + 2) & 0xfff8) return true
    const following: u32 = load<u8>(at + i)
    i += extensionLength(next, at + i)
    next = following
  }
  p.ownProtocol = u8(next)
  if (next == NEXT_NONE) return true
  const needed: u32 = next == PROTOCOL_TCP ? 20 : next == PROTOCOL_UDP || next == PROTOCOL_ICMPV6 ? 8 : 1
  if (i + needed > total) return false
  if (i + needed <= available) p.ownTransport = p.ownNetwork + i
  return true
}

/** Bytes of an extension header that must be there to step over it. */
// @ts-ignore: decorator
@inline function readOf(next: u32): u32 {
  return next == NEXT_FRAGMENT ? 4 : 2
}

/** Walks the headers of a datagram that was put together. */
function rewalk(p: Packet): u32 {
  const own = p.ownTransport
  const total = p.networkLength
  const available = total - p.transportLength + p.transportCaptured
  const walked = walkExtensions(p, load<u8>(p.network + 6), available, total, true)
  p.ownTransport = own
  return walked ? FRAGMENT_COMPLETES : FRAGMENT_REFUSED
}

/** The packet's way ends, at the headers of a whole datagram or before that; `path` and `reason` are set. */
const FRAGMENT_REFUSED: u32 = 3

// @ts-ignore: decorator
@inline function isExtension(next: u32): bool {
  return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_FRAGMENT || next == NEXT_AH || next == NEXT_DESTINATION
}

/** Bytes of the extension header at `at`, by its own length field. */
// @ts-ignore: decorator
@inline function extensionLength(next: u32, at: u32): u32 {
  if (next == NEXT_FRAGMENT) return 8
  const units = u32(load<u8>(at + 1))
  return next == NEXT_AH ? (units + 2) << 2 : (units + 1) << 3
}

function unwalkable(p: Packet, available: u32, total: u32): bool {
  return available < total ? discard(p, REASON_CUT_SHORT) : invalid(p, REASON_IPV6_HEADER_CHAIN)
}

/**
 * Finds the transport header of a packet quoted in an ICMP error. Only what Linux checks there is checked: neither
 * version nor lengths nor checksum of the quoted header.
 *
 * @param available bytes of the quote
 * @returns offset of the transport header with its protocol in the low byte (offset << 8 | protocol), or 0; behind the
 * quote's end where an IPv6 extension header says it is longer than that
 */
export function quotedTransport(at: u32, family: u32, available: u32): u32 {
  if (family == 4) {
    if (available < IPV4_HEADER || be16(at + 6) & IPV4_OFFSET) return 0
    const header = u32(load<u8>(at) & 15) << 2
    return header > available ? 0 : header << 8 | load<u8>(at + 9)
  }
  if (available < IPV6_HEADER) return 0
  let next: u32 = load<u8>(at + 6)
  let i: u32 = IPV6_HEADER
  for (let n: u32 = 0; n < MAX_EXTENSIONS && isExtension(next); n++) {
    if (i + readOf(next) > available) return 0
    const following: u32 = load<u8>(at + i)
    if (next == NEXT_FRAGMENT && be16(at + i + 2) & 0xfff8) return 0
    i += extensionLength(next, at + i)
    next = following
  }
  return next == NEXT_NONE ? 0 : i << 8 | next
}

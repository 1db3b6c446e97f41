/**
 * In: an ICMP packet over IPv4 or an ICMPv6 packet over IPv6. Out: its path.
 *
 * Before the lookup Linux refuses damaged ones (counted as `error`), exempts neighbour and multicast listener discovery,
 * and looks up errors by the packet they quote: that packet's tuple inverted, so that an error about something sent in
 * the original direction travels in the reply direction.
 */
import {
  PROTOCOL_ICMPV6, REASON_CUT_SHORT, REASON_ICMP_CHECKSUM, REASON_ICMP_ERROR_QUOTE, REASON_ICMP_REDIRECT,
  REASON_ICMP_SHORT, REASON_ICMP_TYPE, REASON_NONE,
} from './00-constants'
import { Packet, PATH_ERROR, PATH_ICMP_ERROR, PATH_NONE, PATH_TRACK, PATH_DISCOVERY, PATH_INVALID } from './01-records'
import { quotedTransport } from './11-network'
import { makeKey, tupleBytes } from './14-tuple'
import { checksumGood, pseudoHeader, readKey } from './15-transport'

const HEADER: u32 = 8
const HIGHEST_TYPE: u32 = 18
const REDIRECT: u32 = 137
/** ICMPv6 redirect header, and the type of the option that holds the redirected packet (RFC 4861, 4.5 and 4.6.3). */
const REDIRECT_HEADER: u32 = 40
const REDIRECTED_HEADER: u32 = 4

export function readIcmp(p: Packet, checksums: u32): void {
  const v6 = p.ownFamily == 6
  if (p.transportLength < HEADER) return end(p, PATH_ERROR, REASON_ICMP_SHORT)
  if (p.transportCaptured < HEADER) {
    // The type alone tells that it is exempt.
    const exempt = v6 && p.transportCaptured > 0 && isDiscovery(load<u8>(p.transport))
    return exempt ? end(p, PATH_DISCOVERY, REASON_NONE) : end(p, PATH_NONE, REASON_CUT_SHORT)
  }
  const pseudo: u64 = v6 ? pseudoHeader(p, PROTOCOL_ICMPV6, checksums) : 0
  if (!checksumGood(p, checksums, p.transport + 2, p.transportLength, pseudo)) return end(p, PATH_ERROR, REASON_ICMP_CHECKSUM)
  const type: u32 = load<u8>(p.transport)
  if (v6) return readIcmpv6(p, type)
  if (type > HIGHEST_TYPE) return end(p, PATH_ERROR, REASON_ICMP_TYPE)
  if (type == 3 || type == 4 || type == 5 || type == 11 || type == 12) return readQuote(p, HEADER)
  readQuery(p)
}

function readIcmpv6(p: Packet, type: u32): void {
  if (isDiscovery(type)) return end(p, PATH_DISCOVERY, REASON_NONE)
  if (type == REDIRECT) return readRedirect(p)
  if (type < 128) return readQuote(p, HEADER)
  readQuery(p)
}

/** Neighbour discovery, multicast listener and multicast router discovery: exempt, whatever they say. */
function isDiscovery(type: u32): bool {
  return (type >= 130 && type <= 136) || type == 143 || type == 151 || type == 152
}

/** A request or its answer: an ordinary packet with a tuple. */
function readQuery(p: Packet): void {
  if (readKey(p, p.ownProtocol)) end(p, PATH_TRACK, REASON_NONE)
}

function readRedirect(p: Packet): void {
  if (p.transportLength < REDIRECT_HEADER) return end(p, PATH_ERROR, REASON_ICMP_REDIRECT)
  if (load<u8>(p.transport + 1) != 0) return end(p, PATH_INVALID, REASON_ICMP_REDIRECT)
  const linkLocal = load<u8>(p.network + 8) == 0xfe && (load<u8>(p.network + 9) & 0xc0) == 0x80
  if (load<u8>(p.network + 7) != 255 || !linkLocal) return end(p, PATH_ERROR, REASON_ICMP_REDIRECT)
  if (p.transportLength < REDIRECT_HEADER + 2) return end(p, PATH_ERROR, REASON_ICMP_REDIRECT)
  if (p.transportCaptured < REDIRECT_HEADER + 2) return end(p, PATH_NONE, REASON_CUT_SHORT)
  const option = p.transport + REDIRECT_HEADER
  if (load<u8>(option + 1) == 0) return end(p, PATH_ERROR, REASON_ICMP_REDIRECT)
  if (load<u8>(option) != REDIRECTED_HEADER) return end(p, PATH_INVALID, REASON_ICMP_REDIRECT)
  readQuote(p, REDIRECT_HEADER + 8)
}

/** Makes the key from the packet quoted `skip` bytes behind the start of the ICMP header. */
function readQuote(p: Packet, skip: u32): void {
  const available = p.transportCaptured > skip ? p.transportCaptured - skip : 0
  const quote = p.transport + skip
  const family: u32 = p.ownFamily
  const found = quotedTransport(quote, family, available)
  const protocol = found & 0xff
  const cut = p.transportCaptured < p.transportLength
  // Behind the end there is nothing, as in a packet of its own: enough for protocols without ports.
  const offset = cut ? found >> 8 : min(found >> 8, available)
  if (!found || offset + tupleBytes(protocol) > available) {
    return cut ? end(p, PATH_NONE, REASON_CUT_SHORT) : end(p, PATH_ERROR, REASON_ICMP_ERROR_QUOTE)
  }
  if (!makeKey(p, quote, family, quote + offset, protocol, available - offset)) return end(p, PATH_ERROR, REASON_ICMP_ERROR_QUOTE)
  p.side ^= 1
  p.atSender = u8(sentTo(p, quote, family))
  end(p, PATH_ICMP_ERROR, REASON_NONE)
}

/** The error goes to the sender of the packet it quotes. */
function sentTo(p: Packet, quote: u32, family: u32): bool {
  if (family == 4) return load<u32>(p.network + 16) == load<u32>(quote + 12)
  return !v128.any_true(v128.xor(v128.load(p.network + 24), v128.load(quote + 8)))
}

function end(p: Packet, path: u8, reason: u8): void {
  p.path = path
  p.reason = reason
}

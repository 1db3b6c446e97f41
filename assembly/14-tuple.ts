/**
 * In: a packet with its transport header known. Out: its key, with the endpoints in canonical order, and the side that
 * sent it.
 *
 * A tuple and its inverse are the two directions of one connection. Both give the same key: endpoints are ordered by
 * address and port, and for ICMP by who asks. The direction is then one bit, and one lookup serves both.
 */
import {
  PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE,
} from './00-constants'
import { Packet } from './01-records'
import { be16 } from './10-link'

/** The rarer protocols with ports. */
// @ts-ignore: decorator
@inline function hasPorts(protocol: u32): bool {
  return protocol == PROTOCOL_UDPLITE || protocol == PROTOCOL_SCTP
}

/** Bytes of the transport header that the tuple needs. */
// @ts-ignore: decorator
@inline export function tupleBytes(protocol: u32): u32 {
  if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || hasPorts(protocol)) return 4
  return protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6 ? 8 : 0
}

/** The request that an ICMP type is or answers; 0 where a type has no inverse. */
// @ts-ignore: decorator
@inline function requestType(protocol: u32, type: u32): u32 {
  if (protocol == PROTOCOL_ICMP) {
    if (type == 0 || type == 8) return 8
    return type >= 13 && type <= 18 ? (type - 1) | 1 : 0 // 13/14, 15/16, 17/18
  }
  if (type == 128 || type == 129) return 128
  return type == 139 || type == 140 ? 139 : 0
}

/**
 * Makes the key of the tuple in the headers at `network` and `transport`.
 *
 * @param available bytes of the transport header that are there, at least `tupleBytes`
 * @returns false where there is no tuple (enhanced GRE that is not PPTP's) or it has no inverse (ICMP types without an
 * answer)
 */
export function makeKey(p: Packet, network: u32, family: u32, transport: u32, protocol: u32, available: u32): bool {
  p.protocol = u8(protocol)
  p.family = u8(family)
  p.zone = 0
  if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6) return icmpKey(p, network, family, transport, protocol)
  let ports: u32 = 0
  if (tupleBytes(protocol)) {
    ports = bswap<u32>(load<u32>(transport))
  } else if (protocol == PROTOCOL_GRE && isEnhancedGre(transport, available)) {
    if (be16(transport + 2) != GRE_PPP) return false
    ports = be16(transport + 6) // the call id; a source key is known only to the PPTP helper
  }
  const order = family == 4 ? orderIpv4(p, network, ports) : orderIpv6(p, network, ports)
  p.side = u8(order)
  p.symmetric = u8(order >> 8)
  return true
}

const GRE_PPP: u32 = 0x880b

/** GRE version 1 (RFC 2637) with its whole header; anything else has no keys. */
function isEnhancedGre(transport: u32, available: u32): bool {
  return available >= 8 && (be16(transport) & 7) == 1
}

/** The last eight bytes of an IPv4 address mapped into IPv6, ::ffff:a.b.c.d. */
// @ts-ignore: decorator
@inline function mapped(at: u32): u64 {
  return u64(load<u32>(at)) << 32 | 0xffff0000
}

// Random addresses make the order a coin toss: endpoints are stored to a computed place instead of branching. Both take the
// source port in the upper, the destination port in the lower half of `ports`, and return the side in the low byte, and
// whether both endpoints are the same in the next.

// @ts-ignore: decorator
@inline export function orderIpv4(p: Packet, network: u32, ports: u32): u32 {
  const source = u64(load<u32>(network + 12)) << 16 | ports >> 16
  const destination = u64(load<u32>(network + 16)) << 16 | (ports & 0xffff)
  const side = u32(source > destination)
  const to = changetype<u32>(p)
  p.a0 = 0
  p.b0 = 0
  store<u64>(to + 8 + (side << 4), mapped(network + 12))
  store<u64>(to + 8 + ((side ^ 1) << 4), mapped(network + 16))
  storePorts(to, side, ports)
  return side | u32(source == destination) << 8
}

// @ts-ignore: decorator
@inline export function orderIpv6(p: Packet, network: u32, ports: u32): u32 {
  const s0 = load<u64>(network + 8)
  const s1 = load<u64>(network + 16)
  const d0 = load<u64>(network + 24)
  const d1 = load<u64>(network + 32)
  const sameAddress = u32(s0 == d0) & u32(s1 == d1)
  const side = u32(s0 > d0) | (u32(s0 == d0) & u32(s1 > d1)) | (sameAddress & u32(ports >> 16 > (ports & 0xffff)))
  const to = changetype<u32>(p)
  const source = to + (side << 4)
  store<u64>(source, s0)
  store<u64>(source + 8, s1)
  const destination = to + ((side ^ 1) << 4)
  store<u64>(destination, d0)
  store<u64>(destination + 8, d1)
  storePorts(to, side, ports)
  return side | (sameAddress & u32(ports >> 16 == (ports & 0xffff))) << 8
}

/** A's port is the lower half in memory. */
// @ts-ignore: decorator
@inline function storePorts(to: u32, side: u32, ports: u32): void {
  store<u32>(to, rotl(ports, 16 - (side << 4)), offsetof<Packet>('portA'))
}

/** ICMP: A is who asks; the identifier and the request's type and code take the place of ports. */
function icmpKey(p: Packet, network: u32, family: u32, transport: u32, protocol: u32): bool {
  const type: u32 = load<u8>(transport)
  const request = requestType(protocol, type)
  if (!request) return false
  const side = u32(type != request)
  const to = changetype<u32>(p)
  p.side = u8(side)
  p.symmetric = 0
  const source = to + (side << 4)
  const destination = to + ((side ^ 1) << 4)
  if (family == 4) {
    p.a0 = 0
    p.b0 = 0
    store<u64>(source + 8, mapped(network + 12))
    store<u64>(destination + 8, mapped(network + 16))
  } else {
    v128.store(source, v128.load(network + 8))
    v128.store(destination, v128.load(network + 24))
  }
  p.portA = u16(be16(transport + 4))
  p.portB = u16(request | u32(load<u8>(transport + 1)) << 8)
  return true
}

/**
 * Which of several trackers a packet belongs to, where packets are spread over cores: by the addresses of both hosts,
 * whichever sent it. So both directions of a connection meet, fragments and the datagram, and what one connection
 * announces between the same hosts. An ICMP error belongs to the hosts of the packet that it quotes.
 *
 * In: a frame. Out: a number below their total. Only the bytes that are there decide; what has no addresses is the first one's.
 * An ICMP error that comes in fragments itself goes by its own addresses: its fragments could not meet otherwise.
 */
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from './00-constants'
import { clearPacket, Packet } from './01-records'
import { be16, readLink } from './10-link'

const ETHERNET: u32 = 14
const IPV4_HEADER: u32 = 20
const IPV6_HEADER: u32 = 40
const ICMP_HEADER: u32 = 8
const REDIRECT: u32 = 137
/** From the start of an ICMPv6 redirect to the packet in its option. */
const REDIRECTED: u32 = 48
/** Extension headers that are looked behind. */
const MAX_EXTENSIONS: u32 = 16

/** This tracker's number, how many there are, and their secret: who knows it can load one of them alone. */
export let own: u32 = 0
let total: u32 = 1
let keyA: u64 = 1
let keyB: u64 = 1
/** Packets of others come too. */
export let selecting: bool = false

/** @param select whether packets of others come too, and are to be left to them */
export function chooseShard(index: u32, count: u32, a: u64, b: u64, select: bool): void {
  own = index
  total = count
  keyA = a | 1
  keyB = b | 1
  selecting = select && count > 1
}

/** Another tracker has this packet. Costs one comparison where there is none. */
// @ts-ignore: decorator
@inline export function isElsewhere(p: Packet, linkType: u32): bool {
  return selecting && shardOf(p, linkType) != own
}

/** The shard of a packet whose frame and length are known. */
export function shardOf(p: Packet, linkType: u32): u32 {
  if (isPlainIpv4(p.frame, p.length, linkType)) return shardOfIpv4(p.frame)
  p.network = p.frame
  clearPacket(p)
  if (readLink(p, linkType)) return 0
  const available = p.length - (p.network - p.frame)
  if (p.ownFamily == 4) return available < IPV4_HEADER ? 0 : ofIpv4(p.network, available)
  return available < IPV6_HEADER ? 0 : ofIpv6(p.network, available)
}

/** IPv4 in Ethernet that is not about other packets: most frames, and what `shardOfIpv4` is for. */
// @ts-ignore: decorator
@inline export function isPlainIpv4(frame: u32, length: u32, linkType: u32): bool {
  return linkType == 1 && length >= ETHERNET + IPV4_HEADER
    && load<u16>(frame, 12) == 0x0008 && load<u8>(frame + ETHERNET, 9) != PROTOCOL_ICMP
}

// @ts-ignore: decorator
@inline export function shardOfIpv4(frame: u32): u32 {
  return ofHosts(load<u32>(frame + ETHERNET, 12), load<u32>(frame + ETHERNET, 16))
}

function ofIpv4(at: u32, available: u32): u32 {
  if (load<u8>(at, 9) == PROTOCOL_ICMP && (be16(at + 6) & 0x3fff) == 0) {
    const header = u32(load<u8>(at) & 15) << 2
    const quote = header + ICMP_HEADER
    if (available >= quote + IPV4_HEADER && isError(load<u8>(at + header))) at += quote
  }
  return ofHosts(load<u32>(at, 12), load<u32>(at, 16))
}

// @ts-ignore: decorator
@inline function isError(type: u32): bool {
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12
}

function ofIpv6(at: u32, available: u32): u32 {
  const icmp = icmpv6At(at, available)
  if (icmp && icmp < available) {
    const type: u32 = load<u8>(at + icmp)
    const quote = icmp + (type == REDIRECT ? REDIRECTED : ICMP_HEADER)
    if ((type < 128 || type == REDIRECT) && available >= quote + IPV6_HEADER) at += quote
  }
  return ofHosts(fold(at + 8), fold(at + 24))
}

/** Where the ICMPv6 header is in a packet that is no fragment; 0: nowhere. */
function icmpv6At(at: u32, available: u32): u32 {
  let next: u32 = load<u8>(at, 6)
  let i: u32 = IPV6_HEADER
  for (let n: u32 = 0; n < MAX_EXTENSIONS && i + 8 <= available; n++) {
    if (next == PROTOCOL_ICMPV6) return i
    if (next == 44 && be16(at + i + 2) & 0xfff9) return 0
    if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60) return 0
    const units = u32(load<u8>(at + i + 1))
    const length: u32 = next == 44 ? 8 : next == 51 ? (units + 2) << 2 : (units + 1) << 3
    next = load<u8>(at + i)
    i += length
  }
  return 0
}

// @ts-ignore: decorator
@inline function fold(address: u32): u32 {
  return u32((load<u64>(address) * keyB + load<u64>(address, 8) * keyA) >> 32)
}

/** The same for both orders. */
// @ts-ignore: decorator
@inline function ofHosts(one: u32, other: u32): u32 {
  const mixed = (u64(one ^ other) * keyA + u64(one + other) * keyB) * 0x9e3779b97f4a7c15
  return u32((mixed >> 32) * u64(total) >> 32)
}

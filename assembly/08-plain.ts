/**
 * Plain packets: IPv4 without options or IPv6 without extension headers in Ethernet, Linux cooked or alone, no fragments, TCP or
 * UDP, nothing wrong. Most packets of most traffic are such, and are read here in one go. All others are read by the files
 * from 10 to 19, one layer after the other, which find the same of a plain packet.
 *
 * In: rows of the columns. Out: packets with everything known that their headers say, up to the first that is not plain.
 * Only called where no match wants to see each packet.
 */
import { CHECKSUM_IGNORE, CHECKSUM_OFFLOAD, PROTOCOL_TCP, PROTOCOL_UDP } from './00-constants'
import {
  lengthAt, linkTypeAt, MAX_PACKET, offsetAt, Packet, PACKET_SIZE, PATH_TRACK, wireLengthAt,
} from './01-records'
import { rowAt, timeAt } from './06-rows'
import { be16 } from './10-link'
import { isRight, isRightHeader, pseudoSum, sumOf } from './12-checksum'
import { orderIpv4, orderIpv6 } from './14-tuple'
import { isLeftToCard } from './15-transport'
import { KINDS, REFUSED, TCP_HEADER } from './17-tcp-header'

const IPV4_HEADER: u32 = 20
const IPV6_HEADER: u32 = 40
const UDP_HEADER: u32 = 8
// In the order of memory:
const ETHERTYPE_IPV4: u32 = 0x0008
const ETHERTYPE_IPV6: u32 = 0xdd86
/** More fragments, or an offset. */
const FRAGMENT: u32 = 0xff3f

/**
 * Reads the packets of the rows to be tracked from number `from` on.
 *
 * @param first where the first one's record is
 * @param to behind the last one
 * @param base address of offset 0
 * @returns how many were plain
 */
export function readPlain(first: u32, from: u32, to: u32, base: u32, headerChecksums: u32, checksums: u32): u32 {
  let at = first
  for (let i = from; i < to; i++) {
    const p = changetype<Packet>(at)
    const row = rowAt(i)
    const frame = base + load<u32>(offsetAt + (row << 2))
    const length = load<u32>(lengthAt + (row << 2))
    const wireLength = max(load<u32>(wireLengthAt + (row << 2)), length)
    const link = linkHeader(load<u16>(linkTypeAt + (row << 1)))
    if (length < link + IPV4_HEADER || length > MAX_PACKET) break // where there is no link header, it is longer than any packet
    const network = frame + link
    const type = link ? u32(load<u16>(network - 2)) : typeOfVersion(load<u8>(network))
    const captured = length - link
    const wire = wireLength - link
    if (type == ETHERTYPE_IPV4) {
      if (!readIpv4(p, network, captured, wire, headerChecksums, checksums)) break
    } else if (type != ETHERTYPE_IPV6 || !readIpv6(p, network, captured, wire, checksums)) break
    p.time = timeAt(row)
    p.network = network
    p.ownNetwork = link
    p.ownTransport = p.transport - frame
    p.vlan = 0
    at += PACKET_SIZE
  }
  return (at - first) / PACKET_SIZE
}

const NO_LINK: u32 = MAX_PACKET

/** Bytes of the link-layer header, by LINKTYPE_ number; an ethertype ends it. */
// @ts-ignore: decorator
@inline function linkHeader(linkType: u32): u32 {
  if (linkType == 1) return 14 // ETHERNET
  return linkType == 101 ? 0 : linkType == 113 ? 16 : NO_LINK // RAW, LINUX_SLL
}

// @ts-ignore: decorator
@inline function typeOfVersion(first: u32): u32 {
  return first >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6
}

// @ts-ignore: decorator
@inline function readIpv4(p: Packet, network: u32, captured: u32, wire: u32, headerChecksums: u32, checksums: u32): bool {
  const total = be16(network + 2)
  if (load<u8>(network) != 0x45 || load<u16>(network, 6) & FRAGMENT || total < IPV4_HEADER || total > wire) return false
  if (headerChecksums != CHECKSUM_IGNORE && !isRightHeader(network)) return false
  const available = min(captured, total)
  const header = swapped(network + IPV4_HEADER)
  if (!readTransport(p, header, network, 4, load<u8>(network, 9), IPV4_HEADER, total, available, checksums)) return false
  const ports = u32(i32x4.extract_lane(header, 3))
  setKey(p, 4, load<u8>(network, 9), orderIpv4(p, network, ports))
  return true
}

// @ts-ignore: decorator
@inline function readIpv6(p: Packet, network: u32, captured: u32, wire: u32, checksums: u32): bool {
  if (captured < IPV6_HEADER) return false
  const payload = be16(network + 4)
  const total = IPV6_HEADER + payload
  if (load<u8>(network) >> 4 != 6 || total > wire || load<u8>(network, 8) == 0xff) return false
  const available = min(captured, total)
  const header = swapped(network + IPV6_HEADER)
  if (!readTransport(p, header, network, 6, load<u8>(network, 6), IPV6_HEADER, total, available, checksums)) return false
  const ports = u32(i32x4.extract_lane(header, 3))
  setKey(p, 6, load<u8>(network, 6), orderIpv6(p, network, ports))
  return true
}

/** The first 16 bytes of a TCP header in host order: seq, ack, window, data offset, flags, ports. One instruction for them all. */
// @ts-ignore: decorator
@inline function swapped(at: u32): v128 {
  const header = v128.load(at)
  return i8x16.shuffle(header, header, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 12, 13, 3, 2, 1, 0)
}

// @ts-ignore: decorator
@inline function readTransport(
  p: Packet, header: v128, network: u32, family: u32, protocol: u32, size: u32, total: u32, available: u32, checksums: u32,
): bool {
  const at = network + size
  const length = total - size
  const captured = available - size
  let field: u32
  if (protocol == PROTOCOL_TCP) {
    if (captured < TCP_HEADER) return false
    const dataOffset = u32(load<u8>(at, 12) >> 4) << 2
    const flags = load<u8>(at, 13)
    const kind = load<u8>(u32(KINDS) + (flags & 0x3f))
    if (dataOffset < TCP_HEADER || dataOffset > length || kind & REFUSED) return false
    v128.store(changetype<u32>(p), header, offsetof<Packet>('seq'))
    p.kind = kind
    p.payload = length - dataOffset
    field = load<u16>(at, 16)
  } else {
    if (protocol != PROTOCOL_UDP || captured < UDP_HEADER) return false
    const udpLength = be16(at + 4)
    if (udpLength < UDP_HEADER || udpLength > length) return false
    field = load<u16>(at, 6)
    if (field == 0) checksums = CHECKSUM_IGNORE // the sender made none
  }
  p.offloaded = 0
  if (checksums != CHECKSUM_IGNORE && captured >= length) {
    const pseudo = pseudoSum(network, family, protocol, length)
    if (!isRight(sumOf(at, length, pseudo))) {
      if (checksums != CHECKSUM_OFFLOAD || !isLeftToCard(field, pseudo)) return false
      p.offloaded = 1
    }
  }
  p.networkLength = total
  p.transport = at
  p.transportLength = length
  p.transportCaptured = captured
  return true
}

/** Sets what follows the key's ports, and what is to be done with the packet: eight bytes at once. */
// @ts-ignore: decorator
@inline function setKey(p: Packet, family: u32, protocol: u32, order: u32): void {
  const at = changetype<u32>(p)
  store<u32>(at, protocol | family << 8, offsetof<Packet>('protocol'))
  store<u64>(at, u64(PATH_TRACK) | u64(order) << 16 | u64(protocol | family << 8) << 32, offsetof<Packet>('path'))
}
if (
  offsetof<Packet>('zone') != offsetof<Packet>('protocol') + 2 || offsetof<Packet>('side') != offsetof<Packet>('path') + 2 ||
  offsetof<Packet>('ownFamily') != offsetof<Packet>('path') + 5
) ERROR('Packet')
// Where `swapped` leaves a TCP header's numbers.
if (
  offsetof<Packet>('ack') != offsetof<Packet>('seq') + 4 || offsetof<Packet>('window') != offsetof<Packet>('seq') + 8 ||
  offsetof<Packet>('flags') != offsetof<Packet>('seq') + 11 || offsetof<Packet>('payload') != offsetof<Packet>('seq') + 12
) ERROR('Packet')

/**
 * In: a captured frame and its link type. Out: where its IP header starts, or why there is none.
 *
 * Encapsulations are followed while Linux's receive path would follow them down to an IP packet: VLAN tags, PPPoE,
 * MPLS. Nothing is read that was not captured; the walk ends after sixteen steps.
 */
import { REASON_CUT_SHORT, REASON_IP_MALFORMED, REASON_NONE, REASON_NOT_IP } from './00-constants'
import { Packet } from './01-records'

const ETHERTYPE_IPV4: u32 = 0x0800
const ETHERTYPE_IPV6: u32 = 0x86dd
const ETHERTYPE_PPPOE: u32 = 0x8864
const ETHERTYPE_MPLS: u32 = 0x8847
const ETHERTYPE_MPLS_MULTICAST: u32 = 0x8848
/** Not an ethertype: the version nibble of the next byte tells. */
const BY_VERSION: u32 = 1
/** Not an ethertype: a PPP protocol number follows. */
const PPP: u32 = 2
const NOT_IP: u32 = 0
const MAX_STEPS: u32 = 16

// @ts-ignore: decorator
@inline export function be16(at: u32): u32 {
  return u32(bswap<u16>(load<u16>(at)))
}

// @ts-ignore: decorator
@inline export function be32(at: u32): u32 {
  return bswap<u32>(load<u32>(at))
}

/** The reason for bytes that are not there: the capture cut them off, or the frame never had them. */
export function missing(p: Packet, needed: u32, otherwise: u8): u8 {
  return p.wireLength >= needed && p.length < p.wireLength ? REASON_CUT_SHORT : otherwise
}

/**
 * Finds the IP header of a frame. Sets `network` and `ownFamily`.
 *
 * @returns REASON_NONE, or why the packet never reaches the tracker
 */
export function readLink(p: Packet, linkType: u32): u8 {
  if (linkType == 1 && p.length >= 14) { // Ethernet, the common case first
    const type = be16(p.frame + 12)
    if (type == ETHERTYPE_IPV4) return found(p, 14, 4)
    return follow(p, type, 14)
  }
  return readOtherLink(p, linkType)
}

function readOtherLink(p: Packet, linkType: u32): u8 {
  const header = headerLength(linkType)
  if (header == NO_LINK) return REASON_NOT_IP
  if (p.length < header) return missing(p, header, REASON_NOT_IP)
  return follow(p, firstType(p.frame, linkType), header)
}

const NO_LINK: u32 = 0xffffffff

/** Bytes of the link-layer header, by LINKTYPE_ number. */
function headerLength(linkType: u32): u32 {
  switch (linkType) {
    case 1: return 14 // ETHERNET
    case 0: case 108: return 4 // NULL, LOOP
    case 12: case 14: case 101: case 228: case 229: return 0 // RAW, IPV4, IPV6
    case 9: case 50: case 51: return 0 // PPP, PPP_HDLC, PPP_ETHER: read as PPP or PPPoE
    case 104: return 4 // C_HDLC
    case 113: return 16 // LINUX_SLL
    case 276: return 20 // LINUX_SLL2
  }
  return NO_LINK
}

/** What the link-layer header says follows it: an ethertype, or one of the values above. */
function firstType(frame: u32, linkType: u32): u32 {
  switch (linkType) {
    case 1: return be16(frame + 12)
    case 0: return addressFamily(load<u32>(frame))
    case 108: return addressFamily(be32(frame))
    case 12: case 14: case 101: return BY_VERSION
    case 228: return ETHERTYPE_IPV4
    case 229: return ETHERTYPE_IPV6
    case 9: case 50: return PPP
    case 51: return ETHERTYPE_PPPOE
    case 104: return be16(frame + 2)
    case 113: return be16(frame + 14)
    case 276: return be16(frame)
  }
  return NOT_IP
}

/** BSD loopback: the address family in the capturing host's byte order, and AF_INET6 differs between systems. */
function addressFamily(value: u32): u32 {
  if (value > 0xffff) value = bswap<u32>(value)
  if (value == 2) return ETHERTYPE_IPV4
  return value == 10 || value == 24 || value == 28 || value == 30 ? ETHERTYPE_IPV6 : NOT_IP
}

/** Follows encapsulations from an ethertype, with `at` the offset of what it announces. */
function follow(p: Packet, type: u32, at: u32): u8 {
  for (let step: u32 = 0; step < MAX_STEPS; step++) {
    const here = p.frame + at
    switch (type) {
      case ETHERTYPE_IPV4: return found(p, at, 4)
      case ETHERTYPE_IPV6: return found(p, at, 6)
      case BY_VERSION: {
        if (p.length <= at) return missing(p, at + 1, REASON_NOT_IP)
        const version: u32 = load<u8>(here) >> 4
        if (version == 4 || version == 6) return found(p, at, u8(version))
        return REASON_NOT_IP
      }
      case 0x8100: case 0x88a8: case 0x9100: case 0x9200: // 802.1Q, 802.1ad and its predecessors
        if (p.length < at + 4) return missing(p, at + 4, REASON_NOT_IP)
        if (!p.vlan) p.vlan = u16(be16(here) & 0xfff)
        type = be16(here + 2)
        at += 4
        break
      case ETHERTYPE_PPPOE:
        if (p.length < at + 6) return missing(p, at + 6, REASON_NOT_IP)
        type = load<u8>(here + 1) == 0 ? PPP : NOT_IP // code 0: a session packet
        at += 6
        break
      case PPP: {
        if (p.length < at + 4) return missing(p, at + 4, REASON_NOT_IP)
        if (load<u16>(here) == 0x03ff) at += 2 // address and control, where not left out
        const short: bool = (load<u8>(p.frame + at) & 1) != 0 // compressed protocol field
        const protocol: u32 = short ? load<u8>(p.frame + at) : be16(p.frame + at)
        at += short ? 1 : 2
        type = protocol == 0x21 ? ETHERTYPE_IPV4 : protocol == 0x57 ? ETHERTYPE_IPV6 : protocol == 0x281 ? ETHERTYPE_MPLS : NOT_IP
        break
      }
      case ETHERTYPE_MPLS: case ETHERTYPE_MPLS_MULTICAST:
        if (p.length < at + 4) return missing(p, at + 4, REASON_NOT_IP)
        if (load<u8>(here + 2) & 1) type = BY_VERSION // bottom of the stack
        at += 4
        break
      default: return REASON_NOT_IP
    }
  }
  return REASON_NOT_IP
}

function found(p: Packet, at: u32, family: u8): u8 {
  p.network = p.frame + at
  p.ownFamily = family
  // An announced IP packet of which nothing is there is a damaged one, not another protocol.
  return p.length > at ? REASON_NONE : missing(p, at + 1, REASON_IP_MALFORMED)
}

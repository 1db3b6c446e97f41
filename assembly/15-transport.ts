/**
 * In: a packet with its transport header known. Out: what is to be done with it (`path`), its key, and what its header
 * check found (`reason`): all that can be said without the table.
 *
 * Linux makes the header check after the lookup. That shows only where the table is full, so the finding is kept in the
 * packet and acted on there.
 */
import {
  CHECKSUM_IGNORE, CHECKSUM_OFFLOAD, PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP,
  PROTOCOL_UDP, PROTOCOL_UDPLITE, REASON_CUT_SHORT, REASON_GRE_PROTOCOL, REASON_ICMP_WRONG_FAMILY, REASON_ICMP_TYPE,
  REASON_NONE, REASON_TRANSPORT_SHORT,
} from './00-constants'
import { Packet, PATH_INVALID, PATH_NONE, PATH_TRACK, SWITCH_CHECKSUM, switched } from './01-records'
import { fold, isRight, pseudoSum, sum } from './12-checksum'
import { makeKey, tupleBytes } from './14-tuple'
import { readIcmp } from './16-icmp-header'
import { readTcp } from './17-tcp-header'
import { readUdp, readUdpLite } from './18-udp-header'
import { readSctp } from './19-sctp-header'

/** How transport checksums are taken: one of the CHECKSUM_ modes. */
export function transportChecksums(mode: u32): u32 {
  return switched(SWITCH_CHECKSUM) ? mode : CHECKSUM_IGNORE
}

/** Decides a packet's path. */
export function readTransport(p: Packet, checksums: u32): void {
  const protocol: u32 = p.ownProtocol
  if (protocol == (p.ownFamily == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) return readIcmp(p, checksums)
  if (!readKey(p, protocol)) return
  p.path = PATH_TRACK
  switch (protocol) {
    case PROTOCOL_TCP: p.reason = readTcp(p, checksums); break
    case PROTOCOL_UDP: p.reason = readUdp(p, checksums); break
    case PROTOCOL_UDPLITE: p.reason = readUdpLite(p, checksums); break
    case PROTOCOL_SCTP: p.reason = readSctp(p, checksums); break
    case PROTOCOL_ICMP: case PROTOCOL_ICMPV6: p.reason = REASON_ICMP_WRONG_FAMILY; break
    default: p.reason = REASON_NONE
  }
  if (p.reason == REASON_CUT_SHORT) p.path = PATH_NONE
}

/** Makes the key from the packet's own headers; false where that ends its way. */
export function readKey(p: Packet, protocol: u32): bool {
  const needed = tupleBytes(protocol)
  if (p.transportCaptured < needed) {
    const short = p.transportLength < needed
    p.path = short ? PATH_INVALID : PATH_NONE
    p.reason = short ? REASON_TRANSPORT_SHORT : REASON_CUT_SHORT
    return false
  }
  if (makeKey(p, p.network, p.ownFamily, p.transport, protocol, p.transportCaptured)) return true
  p.path = PATH_INVALID
  p.reason = protocol == PROTOCOL_GRE ? REASON_GRE_PROTOCOL : REASON_ICMP_TYPE
  return false
}

/**
 * Whether a transport checksum is right, or cannot be known because the capture cut the packet.
 *
 * @param field where the checksum stands
 * @param covered bytes that it covers
 * @param pseudo sum of the pseudo header, 0 for none
 */
export function checksumGood(p: Packet, checksums: u32, field: u32, covered: u32, pseudo: u64): bool {
  if (checksums == CHECKSUM_IGNORE || covered > p.transportCaptured) return true
  if (isRight(sum(p.transport, covered, pseudo))) return true
  if (checksums != CHECKSUM_OFFLOAD || !isLeftToCard(load<u16>(field), pseudo)) return false
  p.offloaded = 1
  return true
}

/** A checksum that is wrong was left to the network card: nothing was filled in, or the pseudo header's sum to go on from. */
export function isLeftToCard(value: u32, pseudo: u64): bool {
  return value == 0 || (pseudo != 0 && value == fold(pseudo))
}

/** The pseudo header's sum for a packet's whole transport part; 0 where nobody looks at checksums. */
export function pseudoHeader(p: Packet, protocol: u32, checksums: u32): u64 {
  return checksums == CHECKSUM_IGNORE ? 0 : pseudoSum(p.network, p.ownFamily, protocol, p.transportLength)
}

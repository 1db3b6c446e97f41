/**
 * In: a UDP or UDP-Lite packet with at least the four bytes of its ports. Out: the reason why its header is no good, or
 * none.
 */
import {
  CHECKSUM_IGNORE, PROTOCOL_UDP, REASON_CUT_SHORT, REASON_NONE, REASON_UDPLITE_CHECKSUM, REASON_UDPLITE_COVERAGE,
  REASON_UDPLITE_NO_CHECKSUM, REASON_UDPLITE_SHORT, REASON_UDP_CHECKSUM, REASON_UDP_LENGTH, REASON_UDP_SHORT,
} from './00-constants'
import { Packet } from './01-records'
import { be16 } from './10-link'
import { checksumGood, pseudoHeader } from './15-transport'

const UDP_HEADER: u32 = 8

export function readUdp(p: Packet, checksums: u32): u8 {
  const at = p.transport
  if (p.transportLength < UDP_HEADER) return REASON_UDP_SHORT
  if (p.transportCaptured < UDP_HEADER) return REASON_CUT_SHORT
  const length = be16(at + 4)
  if (length < UDP_HEADER || length > p.transportLength) return REASON_UDP_LENGTH
  // Zero: the sender made none. Linux takes that over IPv6 too.
  if (load<u16>(at + 6) == 0 || checksums == CHECKSUM_IGNORE) return REASON_NONE
  // Summed over all that is there, with that length in the pseudo header, not with the length field's.
  const good = checksumGood(p, checksums, at + 6, p.transportLength, pseudoHeader(p, PROTOCOL_UDP, checksums))
  return good ? REASON_NONE : REASON_UDP_CHECKSUM
}

export function readUdpLite(p: Packet, checksums: u32): u8 {
  const at = p.transport
  if (p.transportLength < UDP_HEADER) return REASON_UDPLITE_SHORT
  if (p.transportCaptured < UDP_HEADER) return REASON_CUT_SHORT
  const field = be16(at + 4)
  const coverage = field ? field : p.transportLength
  if (coverage < UDP_HEADER || coverage > p.transportLength) return REASON_UDPLITE_COVERAGE
  if (load<u16>(at + 6) == 0) return REASON_UDPLITE_NO_CHECKSUM
  // Linux 6.18 verifies it with UDP's protocol number in the pseudo header, so checksums made by RFC 3828 fail.
  const good = checksumGood(p, checksums, at + 6, coverage, pseudoHeader(p, PROTOCOL_UDP, checksums))
  return good ? REASON_NONE : REASON_UDPLITE_CHECKSUM
}

/**
 * In: a TCP packet with at least the four bytes of its ports. Out: its numbers decoded into the packet, or the reason
 * why its header is no good. The checks and their order are Linux's.
 */
import {
  PROTOCOL_TCP, REASON_CUT_SHORT, REASON_NONE, REASON_TCP_CHECKSUM, REASON_TCP_DATA_OFFSET, REASON_TCP_FLAGS,
  REASON_TCP_SHORT,
} from './00-constants'
import { Packet } from './01-records'
import { be16, be32 } from './10-link'
import { checksumGood, pseudoHeader } from './15-transport'

export const TCP_HEADER: u32 = 20

export const FIN: u32 = 0x01
export const SYN: u32 = 0x02
export const RST: u32 = 0x04
export const ACK: u32 = 0x10

/** What a segment is, by its most telling flag. */
export const KIND_SYN: u32 = 0
export const KIND_SYNACK: u32 = 1
export const KIND_FIN: u32 = 2
export const KIND_ACK: u32 = 3
export const KIND_RST: u32 = 4
export const KIND_NONE: u32 = 5

/**
 * Kind of a segment by its flags FIN, SYN, RST, ACK, URG (bits 0, 1, 2, 4, 5; PSH, bit 3, is not looked at), with 8
 * added where Linux refuses the combination.
 */
export const KINDS = memory.data<u8>([
  // -      F       S      FS      R      FR      SR     FSR   (and each with PSH)
  13, 10, 0, 8, 4, 12, 12, 12, 13, 10, 0, 8, 4, 12, 12, 12,
  // with ACK
  3, 2, 1, 9, 4, 12, 12, 12, 3, 2, 1, 9, 4, 12, 12, 12,
  // with URG: only a SYN may have it
  13, 10, 0, 8, 12, 12, 12, 12, 13, 10, 0, 8, 12, 12, 12, 12,
  // with ACK and URG: ACK and FIN/ACK
  3, 2, 9, 9, 12, 12, 12, 12, 3, 2, 9, 9, 12, 12, 12, 12,
])
export const REFUSED: u8 = 8

// @ts-ignore: decorator
@inline export function readTcp(p: Packet, checksums: u32): u8 {
  const at = p.transport
  if (p.transportLength < TCP_HEADER) return REASON_TCP_SHORT
  if (p.transportCaptured < TCP_HEADER) return REASON_CUT_SHORT
  const header = u32(load<u8>(at + 12) >> 4) << 2
  if (header < TCP_HEADER || header > p.transportLength) return REASON_TCP_DATA_OFFSET
  if (!checksumGood(p, checksums, at + 16, p.transportLength, pseudoHeader(p, PROTOCOL_TCP, checksums))) return REASON_TCP_CHECKSUM
  const kind = load<u8>(u32(KINDS) + (load<u8>(at + 13) & 0x3f))
  p.kind = kind & 7
  p.flags = load<u8>(at + 13)
  p.seq = be32(at + 4)
  p.ack = be32(at + 8)
  p.window = u16(be16(at + 14))
  p.payload = p.transportLength - header
  return kind & REFUSED ? REASON_TCP_FLAGS : REASON_NONE
}

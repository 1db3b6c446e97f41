/**
 * In: an SCTP packet with at least the four bytes of its ports. Out: the reason why its header or its bundle of chunks
 * is no good, or none; the set of its chunk types (RFC 9260).
 */
import {
  CHECKSUM_IGNORE, CHECKSUM_OFFLOAD, REASON_CUT_SHORT, REASON_NONE, REASON_SCTP_CHECKSUM, REASON_SCTP_CHUNKS,
  REASON_SCTP_SHORT,
} from './00-constants'
import { crcTableAt, Packet } from './01-records'
import { be16 } from './10-link'

export const SCTP_HEADER: u32 = 12
const CHUNK_HEADER: u32 = 4
/** INIT and INIT ACK bring the tag of the packets to their sender: so far behind the chunk's start it ends. */
const TAG_END: u32 = 8
/** A chunk takes four bytes at least. */
const MAX_CHUNKS: u32 = 16384

export const CHUNK_DATA: u32 = 0
export const CHUNK_INIT: u32 = 1
export const CHUNK_INIT_ACK: u32 = 2
export const CHUNK_HEARTBEAT: u32 = 4
export const CHUNK_HEARTBEAT_ACK: u32 = 5
export const CHUNK_ABORT: u32 = 6
export const CHUNK_SHUTDOWN_ACK: u32 = 8
export const CHUNK_COOKIE_ECHO: u32 = 10
export const CHUNK_COOKIE_ACK: u32 = 11
export const CHUNK_SHUTDOWN_COMPLETE: u32 = 14

/** The chunk types below 32 that a packet has, one bit each, kept in `seq`; the others matter to nothing. */
// @ts-ignore: decorator
@inline export function has(p: Packet, types: u32): bool {
  return (p.seq & types) != 0
}

export function readSctp(p: Packet, checksums: u32): u8 {
  if (p.transportLength < SCTP_HEADER) return REASON_SCTP_SHORT
  if (p.transportCaptured < SCTP_HEADER) return REASON_CUT_SHORT
  if (!crcGood(p, checksums)) return REASON_SCTP_CHECKSUM
  return readChunks(p)
}

/** Where the chunk after the one at `at` starts. */
// @ts-ignore: decorator
@inline export function nextChunk(at: u32): u32 {
  const length = be16(at + 2)
  return at + max((length + 3) & ~3, CHUNK_HEADER)
}

/** A chunk header fits before the packet's end. */
// @ts-ignore: decorator
@inline export function isChunk(p: Packet, at: u32): bool {
  return at + CHUNK_HEADER <= p.transport + p.transportLength
}

/** Walks the chunks: some may only come alone or first. */
function readChunks(p: Packet): u8 {
  const first = p.transport + SCTP_HEADER
  const captured = p.transport + p.transportCaptured
  let only = false
  p.seq = 0
  let at = first
  for (let n: u32 = 0; n < MAX_CHUNKS && isChunk(p, at); n++) {
    if (at + CHUNK_HEADER > captured) return REASON_CUT_SHORT
    const type: u32 = load<u8>(at)
    const bringsTag = type == CHUNK_INIT || type == CHUNK_INIT_ACK
    if (bringsTag && min(at + TAG_END, p.transport + p.transportLength) > captured) return REASON_CUT_SHORT
    if (bringsTag || type == CHUNK_SHUTDOWN_COMPLETE) only = true
    const leads = only || type == CHUNK_COOKIE_ECHO || type == CHUNK_COOKIE_ACK
    if ((leads && at != first) || be16(at + 2) == 0) return REASON_SCTP_CHUNKS
    if (type < 32) p.seq |= 1 << type
    at = nextChunk(at)
  }
  return at == first ? REASON_SCTP_CHUNKS : REASON_NONE
}

/** CRC32c over the packet with its checksum field as zero (RFC 9260, appendix A); little endian on the wire. */
function crcGood(p: Packet, checksums: u32): bool {
  if (checksums == CHECKSUM_IGNORE || p.transportCaptured < p.transportLength) return true
  const at = p.transport
  const field = load<u32>(at + 8)
  let crc: u32 = 0xffffffff
  crc = crcBytes(crc, at, 8)
  for (let i: u32 = 0; i < 4; i++) crc = crcByte(crc, 0)
  crc = ~crcBytes(crc, at + SCTP_HEADER, p.transportLength - SCTP_HEADER)
  if (crc == field) return true
  if (checksums != CHECKSUM_OFFLOAD || field != 0) return false
  p.offloaded = 1
  return true
}

function crcBytes(crc: u32, at: u32, length: u32): u32 {
  const end = at + length
  for (; at < end; at++) crc = crcByte(crc, load<u8>(at))
  return crc
}

// @ts-ignore: decorator
@inline function crcByte(crc: u32, byte: u32): u32 {
  return load<u32>(crcTableAt + (((crc ^ byte) & 0xff) << 2)) ^ (crc >>> 8)
}

/** Fills the table of CRC32c, polynomial 0x1EDC6F41 reflected. */
export function makeCrcTable(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1
    store<u32>(crcTableAt + (i << 2), crc)
  }
}

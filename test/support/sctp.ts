/** SCTP packets from scratch (RFC 9260), with the right CRC32c. */
import { ip, type Endpoints } from './build.js'

export const CHUNK_TYPES = {
  DATA: 0, INIT: 1, INIT_ACK: 2, SACK: 3, HEARTBEAT: 4, HEARTBEAT_ACK: 5, ABORT: 6, SHUTDOWN: 7, SHUTDOWN_ACK: 8,
  ERROR: 9, COOKIE_ECHO: 10, COOKIE_ACK: 11, SHUTDOWN_COMPLETE: 14,
} as const

export interface Chunk {
  readonly type: number
  readonly flags?: number
  readonly body?: ArrayLike<number>
  /** What the length field says; else the true length. */
  readonly length?: number
}

/** A packet with these chunks; `cut` bytes of it are left off before the checksum is made. */
export function sctp(at: Endpoints, tag: number, chunks: readonly Chunk[], cut = 0): Uint8Array {
  const body = chunks.flatMap(chunkBytes)
  const packet = new Uint8Array(Math.max(0, 12 + body.length - cut))
  const whole = Uint8Array.of(...u16(at.sport ?? 0), ...u16(at.dport ?? 0), ...u32(tag), 0, 0, 0, 0, ...body)
  packet.set(whole.subarray(0, packet.length))
  if (packet.length >= 12) new DataView(packet.buffer).setUint32(8, crc32c(packet), true)
  return ip(at, 132, packet)
}

/** The chunk header, the body, and padding to four bytes. */
function chunkBytes({ type, flags = 0, body = [], length = 4 + body.length }: Chunk): number[] {
  return [type, flags, ...u16(length), ...Array.from(body), ...Array<number>((4 - body.length % 4) % 4).fill(0)]
}

/** INIT or INIT ACK with the tag that packets to its sender must carry. */
export function initChunk(type: number, tag: number): Chunk {
  return { type, body: [...u32(tag), 0, 0, 255, 255, 0, 10, 0, 10, 0, 0, 0, 1] }
}

function u16(value: number): number[] {
  return [value >> 8 & 255, value & 255]
}

function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value)]
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

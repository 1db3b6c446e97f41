/** Packets from their fields, with right checksums. In: addresses, ports, flags. Out: bytes from the IP header on. */
import { addressBytes } from '../match.js'

/** What the IP header says. */
export interface IpFields {
  readonly src: string
  readonly dst: string
  readonly protocol: number
  readonly ttl: number
  /** Traffic class: differentiated services and ECN. */
  readonly tos: number
  readonly id: number
}

/** An IP packet around a transport part, whose checksum is at `checksumAt` (-1: none, or made already). */
export function ipPacket(fields: IpFields, transport: Uint8Array, checksumAt: number): Uint8Array {
  const [src, dst] = [addressBytes(fields.src), addressBytes(fields.dst)]
  if (checksumAt >= 0) {
    const isIcmp4 = fields.protocol === 1
    const pseudo = isIcmp4 ? [] : [...src, ...dst, 0, fields.protocol, transport.length >> 8, transport.length & 255]
    const sum = checksum([...pseudo, ...transport])
    put16(transport, checksumAt, sum === 0 && fields.protocol === 17 ? 0xffff : sum)
  }
  const header = src.length === 4 ? header4(fields, src, dst, transport.length) : header6(fields, src, dst, transport.length)
  return Uint8Array.of(...header, ...transport)
}

function header4({ protocol, ttl, tos, id }: IpFields, src: Uint8Array, dst: Uint8Array, length: number): Uint8Array {
  const header = Uint8Array.of(0x45, tos, 0, 0, 0, 0, 0, 0, ttl, protocol, 0, 0, ...src, ...dst)
  put16(header, 2, 20 + length)
  put16(header, 4, id)
  put16(header, 10, checksum(header))
  return header
}

function header6({ protocol, ttl, tos }: IpFields, src: Uint8Array, dst: Uint8Array, length: number): Uint8Array {
  return Uint8Array.of(0x60 | tos >> 4, (tos & 15) << 4, 0, 0, length >> 8, length & 255, protocol, ttl, ...src, ...dst)
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8 & 255
  bytes[at + 1] = value & 255
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16)
  put16(bytes, at + 2, value & 0xffff)
}

/** The Internet checksum (RFC 1071). */
function checksum(bytes: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** CRC32c, which SCTP has (RFC 9260, appendix A), lowest byte first. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = crc >>> 1 ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

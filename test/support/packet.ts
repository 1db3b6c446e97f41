/** What the comparison needs to know of an IP packet, read the plain way. */

export interface PacketDescription {
  readonly src: string
  readonly dst: string
  readonly protocol: number
  /** It is a fragment of a larger packet. */
  readonly fragment: boolean
  /** What stands where TCP and UDP have their ports; nothing where it is not there. */
  readonly ports: readonly number[]
}

export function describePacket(bytes: Uint8Array): PacketDescription {
  const u16 = (at: number) => bytes[at] << 8 | bytes[at + 1]
  const text = (from: number, to: number) => bytes.subarray(from, to).join('.')
  const ports = (at: number) => at + 4 <= bytes.length ? [u16(at), u16(at + 2)] : []
  if (bytes[0] >> 4 === 4) {
    const fragment = u16(6) & 0x3fff
    return {
      src: text(12, 16), dst: text(16, 20), protocol: bytes[9], fragment: fragment !== 0,
      ports: fragment & 0x1fff ? [] : ports((bytes[0] & 15) * 4),
    }
  }
  let at = 40
  let protocol = bytes[6]
  while ([0, 43, 51, 60].includes(protocol) && at + 2 <= bytes.length) {
    const size = protocol === 51 ? (bytes[at + 1] + 2) * 4 : (bytes[at + 1] + 1) * 8
    protocol = bytes[at]
    at += size
  }
  const fragment = protocol === 44 && (u16(at + 2) & 0xfff9) !== 0
  if (protocol === 44) [protocol, at] = [bytes[at], at + 8]
  return { src: text(8, 24), dst: text(24, 40), protocol, fragment, ports: ports(at) }
}

export function isIcmp(protocol: number): boolean {
  return protocol === 1 || protocol === 58
}

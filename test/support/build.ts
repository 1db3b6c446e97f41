/** Packets from scratch, with right checksums: raw IP, version by the addresses. */

export interface TcpFields {
  readonly flags: string
  readonly seq?: number
  readonly ack?: number
  readonly window?: number
  readonly options?: readonly number[]
  /** Bytes, or how many zeros. */
  readonly payload?: number | Uint8Array
}

export interface Endpoints {
  readonly src: string
  readonly dst: string
  readonly sport?: number
  readonly dport?: number
}

const TCP_BITS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 }

/** A TCP segment; flags as letters of `FSRPAUEC`. */
export function tcp(at: Endpoints, fields: TcpFields): Uint8Array {
  const options = [...fields.options ?? []]
  while (options.length % 4 !== 0) options.push(0)
  const payload = typeof fields.payload === 'object' ? fields.payload : new Uint8Array(fields.payload ?? 0)
  const segment = new Uint8Array(20 + options.length + payload.length)
  segment.set(payload, 20 + options.length)
  const view = new DataView(segment.buffer)
  view.setUint16(0, at.sport ?? 0)
  view.setUint16(2, at.dport ?? 0)
  view.setUint32(4, (fields.seq ?? 0) >>> 0)
  view.setUint32(8, (fields.ack ?? 0) >>> 0)
  view.setUint8(12, (20 + options.length) / 4 << 4)
  view.setUint8(13, [...fields.flags].reduce((bits, flag) => bits | TCP_BITS[flag], 0))
  view.setUint16(14, fields.window ?? 65535)
  segment.set(options, 20)
  return ip(at, 6, segment, 16)
}

/** A UDP datagram of `length` payload bytes; `field` is what its length field says. */
export function udp(at: Endpoints, length = 10, field = 8 + length): Uint8Array {
  return ip(at, 17, datagram(at, length, field), 6)
}

/**
 * A UDP-Lite datagram.
 *
 * @param coverage what its field says: bytes under the checksum, 0 for all
 * @param sumProtocol the protocol in the pseudo header: 136 by RFC 3828, 17 for Linux 6.18
 */
export function udpLite(at: Endpoints, length: number, coverage: number, sumProtocol = 17): Uint8Array {
  return ip(at, 136, datagram(at, length, coverage), 6, { protocol: sumProtocol, covered: coverage || 8 + length })
}

function datagram(at: Endpoints, length: number, field: number): Uint8Array {
  const bytes = new Uint8Array(8 + length).fill(0x78, 8)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, at.sport ?? 0)
  view.setUint16(2, at.dport ?? 0)
  view.setUint16(4, field & 0xffff)
  return bytes
}

/** GRE: flags with the version in the lowest three bits, the protocol inside, and what follows. */
export function gre(at: Endpoints, flags: number, inside: number, rest: ArrayLike<number>): Uint8Array {
  return ip(at, 47, Uint8Array.of(flags >> 8, flags & 255, inside >> 8, inside & 255, ...Array.from(rest)))
}

/** An ICMP or ICMPv6 message, by the addresses' version; `rest` is what follows the checksum. */
export function icmp(at: Endpoints, type: number, code: number, rest: ArrayLike<number> = [0, 0, 0, 0]): Uint8Array {
  const message = new Uint8Array(4 + rest.length)
  message[0] = type
  message[1] = code
  message.set(rest, 4)
  return ip(at, at.src.includes(':') ? 58 : 1, message, 2)
}

/** An ICMP error quoting the first `length` bytes of a packet. */
export function icmpError(at: Endpoints, type: number, code: number, quoted: Uint8Array, length = 48): Uint8Array {
  return icmp(at, type, code, [0, 0, 0, 0, ...quoted.subarray(0, length)])
}

/** How a checksum is made where it is not made of the whole with the packet's own protocol. */
interface Summed {
  readonly protocol: number
  readonly covered: number
}

/** An IP packet around a transport part; `checksumAt` is where that has its checksum, -1 for none. */
export function ip(
  at: Endpoints, protocol: number, transport: Uint8Array, checksumAt = -1,
  summed: Summed = { protocol, covered: transport.length },
): Uint8Array {
  const v6 = at.src.includes(':')
  const [src, dst] = [addressBytes(at.src), addressBytes(at.dst)]
  if (checksumAt >= 0) {
    const { length } = transport
    const pseudo = protocol === 1 ? [] : [...src, ...dst, 0, summed.protocol, length >> 8, length & 255]
    const sum = checksum([...pseudo, ...transport.subarray(0, summed.covered)])
    const never0 = summed.protocol === 17
    new DataView(transport.buffer, transport.byteOffset).setUint16(checksumAt, sum === 0 && never0 ? 0xffff : sum)
  }
  const header = new Uint8Array(v6 ? 40 : 20)
  const view = new DataView(header.buffer)
  if (v6) {
    header[0] = 0x60
    view.setUint16(4, transport.length)
    header.set([protocol, 64], 6)
    header.set(src, 8)
    header.set(dst, 24)
  } else {
    header.set([0x45, 0], 0)
    view.setUint16(2, 20 + transport.length)
    header.set([64, protocol], 8)
    header.set(src, 12)
    header.set(dst, 16)
    view.setUint16(10, checksum(header))
  }
  const packet = new Uint8Array(header.length + transport.length)
  packet.set(header)
  packet.set(transport, header.length)
  return packet
}

/** The Internet checksum (RFC 1071). */
export function checksum(bytes: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function addressBytes(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number)
  const [head, tail = ''] = address.split('::')
  const groups = (text: string) => text === '' ? [] : text.split(':').map(group => parseInt(group, 16))
  const [first, last] = [groups(head), groups(tail)]
  const middle = address.includes('::') ? Array<number>(8 - first.length - last.length).fill(0) : []
  return [...first, ...middle, ...last].flatMap(group => [group >> 8, group & 255])
}

/**
 * A packet in fragments of `size` bytes, a multiple of eight, with the same identification. An IPv6 packet's extension
 * headers are in the fragments, but for `kept` of them (0 or 1), which stands in front of the fragment header.
 */
export function fragments(packet: Uint8Array, size: number, id: number, kept = 0): Uint8Array[] {
  const v6 = packet[0] >> 4 === 6
  const header = v6 ? 40 + (kept && (packet[41] + 1) * 8 * kept) : (packet[0] & 15) * 4
  const pieces: Uint8Array[] = []
  for (let at = header; at < packet.length; at += size) {
    const part = packet.subarray(at, at + size)
    const more = at + size < packet.length ? 1 : 0
    const field = v6 ? at - header | more : (at - header) / 8 | more << 13
    pieces.push((v6 ? fragment6 : fragment4)(packet, header, part, field, id))
  }
  return pieces
}

/** A fragment; an IPv6 packet that has a fragment header is one. */
export function isFragment(packet: Uint8Array): boolean {
  if (packet[0] >> 4 === 4) return ((packet[6] << 8 | packet[7]) & 0x3fff) !== 0
  let [next, at] = [packet[6], 40]
  while ([0, 43, 60].includes(next) && at + 2 <= packet.length) [next, at] = [packet[at], at + (packet[at + 1] + 1) * 8]
  return next === 44
}

function fragment4(packet: Uint8Array, header: number, part: Uint8Array, field: number, id: number): Uint8Array {
  const piece = Uint8Array.of(...packet.subarray(0, header), ...part)
  const view = new DataView(piece.buffer)
  view.setUint16(2, piece.length)
  view.setUint16(4, id & 0xffff)
  view.setUint16(6, field)
  view.setUint16(10, 0)
  view.setUint16(10, checksum(piece.subarray(0, header)))
  return piece
}

function fragment6(packet: Uint8Array, header: number, part: Uint8Array, field: number, id: number): Uint8Array {
  const next = header === 40 ? 6 : 40
  const fragment = [packet[next], 0, field >> 8, field & 255, 0, 0, 0, 0]
  const piece = Uint8Array.of(...packet.subarray(0, header), ...fragment, ...part)
  const view = new DataView(piece.buffer)
  view.setUint16(4, piece.length - 40)
  view.setUint8(next, 44)
  view.setUint32(header + 4, id)
  return piece
}

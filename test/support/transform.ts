/**
 * Changes of packets that must change no verdict: other addresses, other sequence numbers, other times. Checksums, right or
 * wrong, stay what they are: addresses are changed so that their sum stays, sequence numbers by RFC 1624.
 */

/** Where an address has two 16-bit words that change places: no sum sees that. */
const swap = (packet: Uint8Array, at: number) => {
  if (at + 4 > packet.length) return
  const [a, b, c, d] = packet.subarray(at, at + 4)
  packet.set([c, d, a, b], at)
}

/** Of ICMPv6 (RFC 4861): what it is about is in an option behind two addresses. */
const REDIRECT = 137

/** Every address of an IP packet becomes another: also those of the packet that an ICMP error quotes. In place. */
export function renameAddresses(packet: Uint8Array): void {
  if (packet[0] >> 4 === 4) {
    for (const at of [12, 16]) swap(packet, at)
  } else {
    for (const at of [8, 24]) swap(packet, at + 12)
  }
  const icmp = transportOf(packet, packet[0] >> 4 === 4 ? 1 : 58)
  if (icmp === null || icmp >= packet.length) return
  const type = packet[icmp]
  const isError = packet[0] >> 4 === 4 ? [3, 4, 5, 11, 12].includes(type) : type < 128 || type === REDIRECT
  const quoted = icmp + (type === REDIRECT ? 48 : 8)
  if (isError && quoted < packet.length) renameAddresses(packet.subarray(quoted))
}

/** All sequence and acknowledgement numbers of TCP grow by so much, SACK blocks too. In place. */
export function shiftSequence(packet: Uint8Array, by: number): void {
  const at = transportOf(packet, 6)
  if (at === null || at + 20 > packet.length) return
  const tcp = new DataView(packet.buffer, packet.byteOffset + at, packet.length - at)
  add(tcp, 4, by)
  if (tcp.getUint8(13) & 0x10) add(tcp, 8, by)
  for (const block of sackBlocks(tcp)) add(tcp, block, by)
}

/** Adds to a 32-bit number of a TCP header and to its checksum (RFC 1624, equation 3). */
function add(tcp: DataView, at: number, by: number): void {
  const before = tcp.getUint32(at)
  const after = (before + by) >>> 0
  tcp.setUint32(at, after)
  const sum = (~tcp.getUint16(16) & 0xffff) + (~fold(inSum(before, at)) & 0xffff) + fold(inSum(after, at))
  tcp.setUint16(16, ~fold(sum) & 0xffff)
}

/** What four bytes add to the sum; from an odd place on, the first and the last share words with others. */
function inSum(value: number, at: number): number {
  const [a, b, c, d] = [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255]
  return at % 2 ? a + (b << 8) + c + (d << 8) : (a << 8) + b + (c << 8) + d
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return sum
}

/** Offsets of the edges of SACK blocks (RFC 2018). */
function sackBlocks(tcp: DataView): number[] {
  const end = Math.min((tcp.getUint8(12) >> 4) * 4, tcp.byteLength)
  const found: number[] = []
  for (let at = 20; at + 1 < end;) {
    const kind = tcp.getUint8(at)
    if (kind === 0) break
    const length = kind === 1 ? 1 : tcp.getUint8(at + 1)
    if (length < 1 || (kind !== 1 && length < 2)) break
    if (kind === 5) for (let edge = at + 2; edge + 4 <= Math.min(at + length, end); edge += 4) found.push(edge)
    at += length
  }
  return found
}

/** Where a transport header is; null where it is of another protocol or the packet is a later fragment. */
function transportOf(packet: Uint8Array, protocol: number): number | null {
  if (packet[0] >> 4 === 4) {
    const later = (packet[6] & 0x1f) !== 0 || packet[7] !== 0
    return packet[9] === protocol && !later ? (packet[0] & 15) * 4 : null
  }
  let [next, at] = [packet[6], 40]
  while ([0, 43, 44, 51, 60].includes(next) && at + 8 <= packet.length) {
    if (next === 44 && (packet[at + 2] << 8 | packet[at + 3]) & 0xfff8) return null
    const length = next === 44 ? 8 : next === 51 ? (packet[at + 1] + 2) * 4 : (packet[at + 1] + 1) * 8
    next = packet[at]
    at += length
  }
  return next === protocol ? at : null
}

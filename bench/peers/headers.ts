/**
 * From bytes to the fields of one packet, for both peers: Ethernet, IPv4, TCP and UDP, with every check that comes
 * before the connection is looked at. The fields go into a row of an Int32Array: no object a packet.
 */
import { reasonCode } from './peer.js'

/** Words of a row, and what they hold. */
export const ROW_SHIFT = 4
export const ROW = 1 << ROW_SHIFT
/** 0, or why the packet is not tracked. */
export const REASON = 0
export const SRC = 1
export const DST = 2
/** Source port in the upper, destination port in the lower half. */
export const PORTS = 3
export const PROTOCOL = 4
/** TCP only: kind of packet (see `tcp-rules.ts`), header flags, numbers, where the options are. */
export const KIND = 5
export const FLAGS = 6
export const SEQ = 7
export const ACK = 8
export const END = 9
export const WINDOW = 10
export const OPTIONS = 11
export const OPTIONS_LENGTH = 12

export const TCP = 6
export const UDP = 17

export const FLAG_FIN = 1
export const FLAG_SYN = 2
export const FLAG_RST = 4
export const FLAG_ACK = 16
const FLAG_URG = 32

const NOT_IP = reasonCode('not-ip')
const IP_MALFORMED = reasonCode('ip-malformed')
const CUT_SHORT = reasonCode('cut-short')
const FRAGMENT_HELD = reasonCode('fragment-held')
const TRANSPORT_SHORT = reasonCode('transport-short')
const TCP_SHORT = reasonCode('tcp-short')
const TCP_DATA_OFFSET = reasonCode('tcp-data-offset')
const TCP_CHECKSUM = reasonCode('tcp-checksum')
const TCP_FLAGS = reasonCode('tcp-flags')
const UDP_SHORT = reasonCode('udp-short')
const UDP_LENGTH = reasonCode('udp-length')
const UDP_CHECKSUM = reasonCode('udp-checksum')

/** Kind of a TCP packet by its flags, 0xff for a combination no stack sends; PSH, ECE and CWR do not count. */
const ILLEGAL = 0xff
const KIND_OF_FLAGS = kindTable()

function kindTable(): Uint8Array {
  const table = new Uint8Array(64).fill(ILLEGAL)
  const legal: readonly (readonly [flags: number, kind: number])[] = [
    [FLAG_SYN, 0], [FLAG_SYN | FLAG_URG, 0],
    [FLAG_SYN | FLAG_ACK, 1],
    [FLAG_FIN | FLAG_ACK, 2], [FLAG_FIN | FLAG_ACK | FLAG_URG, 2],
    [FLAG_ACK, 3], [FLAG_ACK | FLAG_URG, 3],
    [FLAG_RST, 4], [FLAG_RST | FLAG_ACK, 4],
  ]
  for (const [flags, kind] of legal) {
    table[flags] = kind
    table[flags | 8] = kind
  }
  return table
}

/** A view of the same bytes as `data`, whose multi-byte reads V8 turns into single loads. */
export const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)

/**
 * Reads the packet at `frame` into the row at `row`. `captured` bytes of it are there, `original` were on the wire.
 */
export function readHeaders(
  view: DataView, frame: number, captured: number, original: number, verify: boolean, rows: Int32Array, row: number,
): void {
  rows[row + REASON] = readIp(view, frame, captured, original, verify, rows, row)
}

function readIp(
  view: DataView, frame: number, captured: number, original: number, verify: boolean, rows: Int32Array, row: number,
): number {
  if (captured < 14 || view.getUint16(frame + 12) !== 0x0800) return NOT_IP
  if (captured < 34) return captured < original ? CUT_SHORT : IP_MALFORMED
  const ip = frame + 14
  const first = view.getUint32(ip)
  const headerLength = (first >>> 22) & 0x3c
  const total = first & 0xffff
  if (first >>> 28 !== 4 || headerLength < 20 || total < headerLength || total > original - 14) return IP_MALFORMED
  if (total > captured - 14) return CUT_SHORT
  if (verify && sum(view, ip, headerLength, 0) !== 0xffff) return IP_MALFORMED
  if (view.getUint16(ip + 6) & 0x3fff) return FRAGMENT_HELD
  const protocol = view.getUint8(ip + 9)
  rows[row + SRC] = view.getInt32(ip + 12)
  rows[row + DST] = view.getInt32(ip + 16)
  rows[row + PROTOCOL] = protocol
  return readTransport(view, ip + headerLength, total - headerLength, verify ? ip : -1, protocol, rows, row)
}

/** `ip` is where the IP header starts if the checksum is to be verified, else -1. */
function readTransport(
  view: DataView, at: number, length: number, ip: number, protocol: number, rows: Int32Array, row: number,
): number {
  // The peers stop here where Linux has more protocols to offer: none of them is in the benchmark's traffic.
  if (protocol !== TCP && protocol !== UDP) return NOT_IP
  if (length < 4) return TRANSPORT_SHORT
  rows[row + PORTS] = view.getInt32(at)
  return protocol === TCP ? readTcp(view, at, length, ip, rows, row) : readUdp(view, at, length, ip)
}

function readTcp(view: DataView, at: number, length: number, ip: number, rows: Int32Array, row: number): number {
  if (length < 20) return TCP_SHORT
  const fourth = view.getUint32(at + 12)
  const header = (fourth >>> 28) * 4
  if (header < 20 || header > length) return TCP_DATA_OFFSET
  if (ip >= 0 && sum(view, at, length, pseudoHeader(view, ip, TCP, length)) !== 0xffff) return TCP_CHECKSUM
  const flags = (fourth >>> 16) & 0x3f
  const kind = KIND_OF_FLAGS[flags]
  if (kind === ILLEGAL) return TCP_FLAGS
  const seq = view.getInt32(at + 4)
  rows[row + KIND] = kind
  rows[row + FLAGS] = flags
  rows[row + SEQ] = seq
  rows[row + ACK] = view.getInt32(at + 8)
  // SYN and FIN take one sequence number each: bits 1 and 0.
  rows[row + END] = seq + length - header + ((flags >>> 1) & 1) + (flags & 1)
  rows[row + WINDOW] = fourth & 0xffff
  rows[row + OPTIONS] = at + 20
  rows[row + OPTIONS_LENGTH] = header - 20
  return 0
}

function readUdp(view: DataView, at: number, length: number, ip: number): number {
  if (length < 8) return UDP_SHORT
  const stated = view.getUint16(at + 4)
  if (stated < 8 || stated > length) return UDP_LENGTH
  if (view.getUint16(at + 6) === 0 || ip < 0) return 0
  return sum(view, at, length, pseudoHeader(view, ip, UDP, length)) === 0xffff ? 0 : UDP_CHECKSUM
}

/**
 * The ones' complement sum is the same in either byte order but for a swap of the result, and all ones look alike
 * swapped: little-endian reads save a byte swap each.
 */
function sum(view: DataView, at: number, length: number, initial: number): number {
  let low = initial
  let high = 0
  const end = at + (length & ~3)
  for (const most = at + (length & ~15); at < most; at += 16) {
    const a = view.getInt32(at, true)
    const b = view.getInt32(at + 4, true)
    const c = view.getInt32(at + 8, true)
    const d = view.getInt32(at + 12, true)
    low += (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)
    high += (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)
  }
  for (; at < end; at += 4) {
    const word = view.getInt32(at, true)
    low += word & 0xffff
    high += word >>> 16
  }
  if (length & 2) low += view.getUint16(at, true)
  if (length & 1) low += view.getUint8(at + (length & 2))
  low += high
  low = (low & 0xffff) + (low >>> 16)
  return (low & 0xffff) + (low >>> 16)
}

function pseudoHeader(view: DataView, ip: number, protocol: number, length: number): number {
  const src = view.getInt32(ip + 12, true)
  const dst = view.getInt32(ip + 16, true)
  const addresses = (src & 0xffff) + (src >>> 16) + (dst & 0xffff) + (dst >>> 16)
  return addresses + (protocol << 8) + ((length & 0xff) << 8) + (length >>> 8)
}

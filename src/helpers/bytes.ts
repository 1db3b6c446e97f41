/**
 * What the helpers read out of a payload: words, decimal numbers, addresses. In: bytes and a place in them. Each reader
 * checks that the bytes are there first, so any place in any payload is good; none of them throws.
 */
import ipaddr from 'ipaddr.js'
import { formatIpv4, formatIpv6 } from '../format/address.js'

export const LF = 0x0a
export const CR = 0x0d
export const SPACE = 0x20

/** Six groups and a dotted quad, without leading zeros. */
const LONGEST_IPV6 = 45

/** A number and the place of the first byte after it. */
export interface NumberRead {
  readonly value: number
  readonly next: number
}

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** The payload has this ASCII text at `at`. */
export function hasText(data: Uint8Array, at: number, text: string): boolean {
  if (at + text.length > data.length) return false
  for (let i = 0; i < text.length; i++) {
    if (data[at + i] !== text.charCodeAt(i)) return false
  }
  return true
}

/** The same with letters in either case; `text` in upper case. */
export function hasTextAnyCase(data: Uint8Array, at: number, text: string): boolean {
  if (at + text.length > data.length) return false
  for (let i = 0; i < text.length; i++) {
    if (upperCase(data[at + i]) !== text.charCodeAt(i)) return false
  }
  return true
}

function upperCase(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte
}

/** Where this ASCII text first stands in the bytes from `from` up to `to`; -1 for nowhere. */
export function findText(data: Uint8Array, text: string, from: number, to: number): number {
  for (let at = from; at + text.length <= to; at++) {
    if (hasText(data, at, text)) return at
  }
  return -1
}

/** The 16 bits at `at`, most significant byte first; 0 where they are not all there. */
export function readUint16(data: Uint8Array, at: number): number {
  return at + 2 <= data.length ? data[at] << 8 | data[at + 1] : 0
}

/** The 32 bits at `at`, most significant byte first; 0 where they are not all there. */
export function readUint32(data: Uint8Array, at: number): number {
  return at + 4 <= data.length ? (readUint16(data, at) << 16 | readUint16(data, at + 2)) >>> 0 : 0
}

/** The number with one more decimal digit: `modulo` a power of two not above 2^32, as C's unsigned integers have it. */
export function appendDigit(value: number, digit: number, modulo: number): number {
  // At most 2^32 * 10 + 9: exact in a double.
  return (value * 10 + digit - 0x30) % modulo
}

/**
 * The decimal number at `at`, of at most `limit` digits and modulo a power of two; 0 where there is no digit.
 *
 * @param wrap false: a number that is not below `modulo` is read as 0
 */
export function readDecimal(
  data: Uint8Array, at: number, modulo: number, wrap = true, limit = data.length,
): NumberRead {
  let value = 0
  let tooLarge = false
  let next = at
  for (; next < data.length && next - at < limit && isDigit(data[next]); next++) {
    // A number once too large stays so, whatever it wraps to.
    if (value * 10 + data[next] - 0x30 >= modulo) tooLarge = true
    value = appendDigit(value, data[next], modulo)
  }
  return { value: tooLarge && !wrap ? 0 : value, next }
}

/** The IPv4 address of this number. */
export function ipv4FromNumber(number: number): string {
  return formatIpv4(Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number), 0)
}

/** The number of an IPv4 address in dotted decimal. */
export function ipv4ToNumber(address: string): number {
  return readUint32(Uint8Array.from(ipaddr.IPv4.parse(address).octets), 0)
}

/** The IPv6 address whose first 32 bits are this number and whose other bits are those of `address`. */
export function ipv6WithFirstBits(address: string, number: number): string {
  const bytes = Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray())
  new DataView(bytes.buffer).setUint32(0, number)
  return formatIpv6(bytes, 0)
}

/**
 * The IPv6 address in the bytes from `from` up to `to`, in the form in which the SDK prints it; `null` if it is none.
 * As Linux reads them, its numbers may have any count of leading zeros, and it has no zone (`%eth0`).
 */
export function readIpv6(data: Uint8Array, from: number, to: number): string | null {
  let text = ''
  for (let at = from; at < to; at++) {
    if (!isAddressByte(data[at])) return null
    text += String.fromCharCode(data[at])
  }
  const plain = text.replace(/\b0+(?=[0-9a-f])/gi, '')
  if (plain.length > LONGEST_IPV6 || !plain.includes(':') || !ipaddr.IPv6.isValid(plain)) return null
  return formatIpv6(Uint8Array.from(ipaddr.IPv6.parse(plain).toByteArray()), 0)
}

/** A hexadecimal digit, a colon or a dot. */
function isAddressByte(byte: number): boolean {
  const upper = upperCase(byte)
  return isDigit(byte) || upper >= 0x41 && upper <= 0x46 || byte === 0x3a || byte === 0x2e
}

/**
 * Addresses as text, from the bytes of a packet: IPv4 in dotted decimal, IPv6 as RFC 5952 asks (lower case, no leading
 * zeros, the longest run of zero groups as `::`, IPv4-mapped addresses in mixed notation).
 *
 * In: bytes and a place in them; the caller has checked that 4 or 16 bytes are there. Out: a string. The cached forms
 * keep the last text made for each of a fixed number of slots, so a capture with a few thousand busy hosts formats
 * each address about once and one with millions of hosts costs no memory.
 */

const SLOT_BITS = 12
const SLOTS = 1 << SLOT_BITS
/** Knuth's multiplier: neighbouring addresses land in different slots. */
const SPREAD = 0x9e3779b1

const keys4 = new Uint32Array(SLOTS)
const texts4 = new Array<string>(SLOTS).fill('')
const keys6 = new Uint32Array(SLOTS * 4)
const texts6 = new Array<string>(SLOTS).fill('')

/** The IPv4 address in the 4 bytes at `at`. */
export function formatIpv4(data: Uint8Array, at: number): string {
  return `${data[at]}.${data[at + 1]}.${data[at + 2]}.${data[at + 3]}`
}

/** The IPv6 address in the 16 bytes at `at`. */
export function formatIpv6(data: Uint8Array, at: number): string {
  const groups = readGroups(data, at)
  if (isIpv4Mapped(groups)) return `::ffff:${formatIpv4(data, at + 12)}`
  const run = longestZeroRun(groups)
  if (run.length < 2) return hex(groups)
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`
}

/** IPv4-compatible addresses (`::/96`) with their end in dotted decimal, as inet_ntop of the C library has them. */
export function withDottedEnd(address: string): string {
  const groups = /^::([0-9a-f]+):([0-9a-f]+)$/.exec(address)?.slice(1).map(group => parseInt(group, 16))
  return groups === undefined ? address : `::${groups.flatMap(group => [group >> 8, group & 255]).join('.')}`
}

/** The same as {@link formatIpv4}, remembered. */
export function ipv4Text(data: Uint8Array, at: number): string {
  const key = word(data, at)
  const slot = Math.imul(key, SPREAD) >>> (32 - SLOT_BITS)
  // The empty text is what an unused slot holds: its key is 0, which is also 0.0.0.0's.
  if (keys4[slot] === key && texts4[slot] !== '') return texts4[slot]
  keys4[slot] = key
  return texts4[slot] = formatIpv4(data, at)
}

/** The same as {@link formatIpv6}, remembered. */
export function ipv6Text(data: Uint8Array, at: number): string {
  const a = word(data, at)
  const b = word(data, at + 4)
  const c = word(data, at + 8)
  const d = word(data, at + 12)
  const slot = mix(a, b, c, d) >>> (32 - SLOT_BITS)
  const key = slot * 4
  const same = keys6[key] === a && keys6[key + 1] === b && keys6[key + 2] === c && keys6[key + 3] === d
  if (same && texts6[slot] !== '') return texts6[slot]
  keys6[key] = a
  keys6[key + 1] = b
  keys6[key + 2] = c
  keys6[key + 3] = d
  return texts6[slot] = formatIpv6(data, at)
}

function word(data: Uint8Array, at: number): number {
  return (data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]) >>> 0
}

function mix(a: number, b: number, c: number, d: number): number {
  return Math.imul(Math.imul(Math.imul(Math.imul(a, SPREAD) ^ b, SPREAD) ^ c, SPREAD) ^ d, SPREAD)
}

function readGroups(data: Uint8Array, at: number): number[] {
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push(data[at + i] << 8 | data[at + i + 1])
  return groups
}

/** `::ffff:0:0/96`, the one prefix whose last 32 bits are known to be an IPv4 address (RFC 5952, section 5). */
function isIpv4Mapped(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every(group => group === 0)
}

/** The first of the longest runs of zero groups (RFC 5952, section 4.2.3). */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let length = 0
  for (let i = 0; i < groups.length; i++) {
    length = groups[i] === 0 ? length + 1 : 0
    if (length > best.length) best = { start: i + 1 - length, length }
  }
  return best
}

function hex(groups: readonly number[]): string {
  return groups.map(group => group.toString(16)).join(':')
}

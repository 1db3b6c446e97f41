/**
 * Addresses from text to bytes: IPv4 as four decimal numbers, IPv6 in every form of RFC 4291 (section 2.2), with a zone
 * behind it (RFC 4007), which is passed over. In: any text. Out: 4 or 16 bytes, or `null` for what is no address.
 */

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const GROUP = /^[\da-f]{1,4}$/i
const ZONE = /%[\da-z]+$/i

/** The bytes of an address. */
export function parseAddress(text: string): Uint8Array | null {
  const bytes = text.includes(':') ? ipv6(text.replace(ZONE, '')) : ipv4(text)
  return bytes && Uint8Array.from(bytes)
}

function ipv4(text: string): number[] | null {
  return IPV4.test(text) ? text.split('.').map(Number) : null
}

function ipv6(text: string): number[] | null {
  const [head, tail, ...more] = text.split('::').map(groups)
  if (!head || tail === null || more.length > 0) return null
  if (tail === undefined) return head.length === 16 ? head : null
  const zeros = 16 - head.length - tail.length
  return zeros >= 2 ? [...head, ...Array<number>(zeros).fill(0), ...tail] : null
}

/** The bytes of groups with colons between them; the last may be an IPv4 address. */
function groups(text: string, i: number, parts: readonly string[]): number[] | null {
  if (text === '') return parts.length > 1 ? [] : null
  const bytes: number[] = []
  const words = text.split(':')
  for (const [j, word] of words.entries()) {
    const last = i === parts.length - 1 && j === words.length - 1
    const value = GROUP.test(word) ? [parseInt(word, 16) >> 8, parseInt(word, 16) & 255] : last ? ipv4(word) : null
    if (!value) return null
    bytes.push(...value)
  }
  return bytes
}

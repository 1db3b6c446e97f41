/** An IP packet as a line for people, read the plain way: addresses, protocol and the fields that matter. */
import { CHUNK_TYPES } from './sctp.js'

const FLAGS = [...'FSRPAUEC']
const EXTENSIONS: Readonly<Record<number, string>> = { 0: 'hop-by-hop', 43: 'routing', 51: 'ah', 60: 'destination' }
const ICMP_ERRORS = [3, 4, 5, 11, 12]
const CHUNK_NAMES = new Map<number, string>(Object.entries(CHUNK_TYPES).map(([name, type]) => [type, name]))

/** `10.0.0.1:1000 > 10.0.0.2:80 tcp SA seq=5 ack=1 win=65535 len=0`, with what is unusual in front of the protocol. */
export function packetText(bytes: Uint8Array): string {
  const v6 = bytes[0] >> 4 === 6
  if (bytes.length < (v6 ? 40 : 20)) return `too short for IP: ${bytes.length} bytes`
  const notes: string[] = []
  const { protocol, at, fragmentOffset } = v6 ? headers6(bytes, notes) : headers4(bytes, notes)
  const transport = bytes.subarray(at)
  const ported = [6, 17, 33, 132, 136].includes(protocol) && transport.length >= 4 && fragmentOffset === 0
  const port = (place: number) => ported ? `:${u16(transport, place)}` : ''
  const address = (at4: number, at6: number) => {
    if (!v6) return bytes.subarray(at4, at4 + 4).join('.')
    return ported ? `[${address6(bytes, at6)}]` : address6(bytes, at6)
  }
  const ends = `${address(12, 8)}${port(0)} > ${address(16, 24)}${port(2)}`
  const later = `protocol ${protocol} len=${transport.length}`
  const inside = fragmentOffset > 0 ? later : transportText(protocol, transport)
  return [ends, ...notes, inside].join(' ')
}

const KIND_NAMES: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 47: 'gre', 132: 'sctp', 136: 'udplite' }

/** What sort of packet it is, for counting. */
export function kindOf(bytes: Uint8Array): string {
  const v6 = bytes[0] >> 4 === 6
  const notes: string[] = []
  const { protocol, at } = v6 ? headers6(bytes, notes) : headers4(bytes, notes)
  if (notes.some(note => note.startsWith('fragment'))) return 'fragment'
  if (protocol !== (v6 ? 58 : 1)) return KIND_NAMES[protocol] ?? 'generic'
  const error = v6 ? bytes[at] < 128 || bytes[at] === 137 : ICMP_ERRORS.includes(bytes[at])
  return error ? 'icmp error' : 'icmp'
}

function headers4(bytes: Uint8Array, notes: string[]) {
  const at = (bytes[0] & 15) * 4
  const field = u16(bytes, 6)
  if (at !== 20) notes.push(`options=${hex(bytes.subarray(20, at))}`)
  if (u16(bytes, 2) !== bytes.length) notes.push(`length-field=${u16(bytes, 2)}/${bytes.length}`)
  if (field & 0x3fff) notes.push(fragmentText((field & 0x1fff) * 8, (field & 0x2000) !== 0, u16(bytes, 4)))
  return { protocol: bytes[9], at, fragmentOffset: (field & 0x1fff) * 8 }
}

function headers6(bytes: Uint8Array, notes: string[]) {
  let [protocol, at, fragmentOffset] = [bytes[6], 40, 0]
  if (u16(bytes, 4) !== bytes.length - 40) notes.push(`length-field=${u16(bytes, 4)}/${bytes.length - 40}`)
  while (fragmentOffset === 0 && (protocol === 44 || protocol in EXTENSIONS) && at + 8 <= bytes.length) {
    const fragment = protocol === 44
    const size = fragment ? 8 : protocol === 51 ? (bytes[at + 1] + 2) * 4 : (bytes[at + 1] + 1) * 8
    if (fragment) fragmentOffset = u16(bytes, at + 2) & 0xfff8
    const id = () => u16(bytes, at + 4) * 65536 + u16(bytes, at + 6)
    const note = fragment ? fragmentText(fragmentOffset, (bytes[at + 3] & 1) !== 0, id()) : EXTENSIONS[protocol]
    notes.push(fragment ? note : `${note}(${size})`)
    protocol = bytes[at]
    at += size
  }
  return { protocol, at, fragmentOffset }
}

function fragmentText(offset: number, more: boolean, id: number): string {
  return `fragment(id=${id.toString(16)} at=${offset}${more ? '+' : ''})`
}

function transportText(protocol: number, bytes: Uint8Array): string {
  const length = `len=${bytes.length}`
  const field = (name: string) => `${name}=${u16(bytes, 4)} sum=${hex(bytes.subarray(6, 8))}`
  switch (protocol) {
    case 1: case 58: return bytes.length < 8 ? `icmp ${length}` : icmpText(protocol, bytes)
    case 6: return bytes.length < 20 ? `tcp ${length}` : tcpText(bytes)
    case 17: return bytes.length < 8 ? `udp ${length}` : `udp ${field('length')} ${length}`
    case 136: return bytes.length < 8 ? `udplite ${length}` : `udplite ${field('coverage')} ${length}`
    case 47: return `gre ${hex(bytes.subarray(0, 8))} ${length}`
    case 132: return bytes.length < 12 ? `sctp ${length}` : sctpText(bytes)
    default: return `protocol ${protocol} ${length}`
  }
}

function tcpText(bytes: Uint8Array): string {
  const flags = FLAGS.filter((_, bit) => bytes[13] >> bit & 1).join('') || '-'
  const header = (bytes[12] >> 4) * 4
  const options = header > 20 ? ` opt=${hex(bytes.subarray(20, header))}` : ''
  const numbers = `seq=${u32(bytes, 4)} ack=${u32(bytes, 8)} win=${u16(bytes, 14)}`
  return `tcp ${flags} ${numbers} len=${bytes.length - header}${options}`
}

function icmpText(protocol: number, bytes: Uint8Array): string {
  const name = `${protocol === 1 ? 'icmp' : 'icmpv6'} type=${bytes[0]} code=${bytes[1]}`
  const error = protocol === 1 ? ICMP_ERRORS.includes(bytes[0]) : bytes[0] < 128
  if (!error) return `${name} id=${u16(bytes, 4)} len=${bytes.length}`
  return `${name} quote(${packetText(bytes.subarray(8))})`
}

function sctpText(bytes: Uint8Array): string {
  const chunks: string[] = []
  for (let at = 12; at + 4 <= bytes.length;) {
    const length = u16(bytes, at + 2)
    const init = (bytes[at] === 1 || bytes[at] === 2) && at + 8 <= bytes.length
    const flags = bytes[at + 1] ? ` flags=${bytes[at + 1]}` : ''
    const tag = init ? ` tag=${hex(bytes.subarray(at + 4, at + 8))}` : ''
    chunks.push(`${CHUNK_NAMES.get(bytes[at]) ?? bytes[at]}(${length}${flags}${tag})`)
    at += Math.max(4, length + 3 & ~3)
  }
  return `sctp tag=${hex(bytes.subarray(4, 8))} ${chunks.join(' ')} len=${bytes.length}`
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1]
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 65536 + u16(bytes, at + 2)
}

/** Bytes in hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}

/** The groups without leading zeros, the first long run of zeros as `::`. */
function address6(bytes: Uint8Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => u16(bytes, at + 2 * i).toString(16)).join(':')
  return groups.replace(/(^|:)0(:0)+(:|$)/, '::')
}

/** Values of options: numbers, ports, addresses, marks, lists of words. In: text. Out: numbers, or an error with its place. */
import { parseAddress } from '../address-bytes.js'
import { formatIpv4, formatIpv6, withDottedEnd } from '../format/address.js'
import { PROTOCOL_NUMBERS } from '../names.js'
import type { Arguments } from './text.js'

/** A whole number, decimal, `0x…`, or octal with a zero before it. */
export function readNumber(args: Arguments, most: number, what: string, text = args.value()): number {
  const value = wholeNumber(text)
  if (value !== null && value <= most) return Number(value)
  throw args.error(`${what}: '${shown(text)}' is not a whole number up to ${most}`)
}

/** A number as C reads it: `010` is 8. */
export function wholeNumber(text: string): bigint | null {
  if (/^0[0-7]{1,22}$/.test(text)) return BigInt('0o' + text)
  return /^(0|[1-9]\d{0,19}|0x[0-9a-f]{1,16})$/i.test(text) ? BigInt(text) : null
}

/** Other people's text in a message: no more of it than a line, and nothing that a terminal would act on. */
export function shown(text: string): string {
  const line = text.length > 60 ? text.slice(0, 60) + '…' : text
  return line.replace(/\p{Cc}/gu, '\ufffd')
}

export type Range = readonly [from: number, to: number]

/** `5`, `5:7`, `:7`, `5:`, `:`. One that is upside down has nothing in it, where that is not an error. */
export function readRange(args: Arguments, most: number, what: string, text = args.value()): Range {
  const parts = text.split(':')
  if (parts.length > 2 || text === '') throw args.error(`${what}: '${shown(text)}' is neither a number nor a range`)
  const from = parts[0] === '' ? 0 : readNumber(args, most, what, parts[0])
  return [from, parts.length === 1 ? from : parts[1] === '' ? most : readNumber(args, most, what, parts[1])]
}

/** Services by the names that people write; saved rules have numbers. */
const SERVICES: Readonly<Record<string, number>> = {
  'ftp-data': 20, ftp: 21, ssh: 22, telnet: 23, smtp: 25, domain: 53, bootps: 67, bootpc: 68, tftp: 69, http: 80, pop3: 110,
  sunrpc: 111, ntp: 123, 'netbios-ns': 137, 'netbios-dgm': 138, 'netbios-ssn': 139, imap2: 143, snmp: 161, bgp: 179, irc: 194,
  ldap: 389, https: 443, 'microsoft-ds': 445, isakmp: 500, syslog: 514, submission: 587, ldaps: 636, imaps: 993, pop3s: 995,
  mysql: 3306, sip: 5060, postgresql: 5432, mdns: 5353,
}

const MOST_PORT = 65535

function portNumber(text: string): string {
  return Object.hasOwn(SERVICES, text) ? String(SERVICES[text]) : text
}

/** A port or a range of them, by numbers or names. */
export function readPorts(args: Arguments, text = args.value()): Range {
  return readRange(args, MOST_PORT, 'port', text.split(':').map(portNumber).join(':'))
}

/** The same, which must not be upside down. */
export function readOrderedPorts(args: Arguments): Range {
  const [from, to] = readPorts(args)
  if (from > to) throw args.error(`port: the range ${from}:${to} is upside down`)
  return [from, to]
}

/** A port, or a range that has both ends and more than one port. */
export function readPortOrRange(args: Arguments, text: string): Range {
  const [from, to = from, ...more] = text.split(':').map(part => readNumber(args, MOST_PORT, 'port', portNumber(part)))
  if (more.length > 0 || from > to || (from === to && text.includes(':'))) throw args.error(`port: '${shown(text)}' is neither a port nor a range`)
  return [from, to]
}

export function rangeText([from, to]: Range): string {
  return from === to ? String(from) : `${from}:${to}`
}

/** Names of /etc/protocols, which `iptables-save` prints. Its `ipip` is not that of the tracker, which is `ipencap` here. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  ...PROTOCOL_NUMBERS,
  all: 0, ip: 0, hopopt: 0, ggp: 3, ipencap: 4, st: 5, egp: 8, igp: 9, pup: 12, hmp: 20, 'xns-idp': 22, rdp: 27, 'iso-tp4': 29, xtp: 36,
  ddp: 37, 'idpr-cmtp': 38, 'ipv6-route': 43, 'ipv6-frag': 44, idrp: 45, rsvp: 46, skip: 57, 'ipv6-icmp': 58, 'ipv6-nonxt': 59,
  'ipv6-opts': 60, rspf: 73, vmtp: 81, eigrp: 88, 'ax.25': 93, ipip: 94, etherip: 97, encap: 98, ipcomp: 108, vrrp: 112, l2tp: 115,
  isis: 124, fc: 133, 'mobility-header': 135, mh: 135, 'ipv6-mh': 135, 'mpls-in-ip': 137, manet: 138, hip: 139, shim6: 140, wesp: 141,
  rohc: 142, ethernet: 143,
}

/** A protocol by name or number; 0 is any. */
export function readProtocol(args: Arguments, text = args.value()): number {
  const name = text.toLowerCase()
  return Object.hasOwn(PROTOCOLS, name) ? PROTOCOLS[name] : readNumber(args, 255, 'protocol', text)
}

/** Words of a list by their bits; a word may be cut short. */
export function readBits(args: Arguments, bits: Readonly<Record<string, number>>, what: string, text = args.value()): number {
  let all = 0
  for (const word of text.split(',')) {
    const start = word.toUpperCase()
    const name = Object.hasOwn(bits, start) ? start : Object.keys(bits).find(each => start !== '' && each.startsWith(start))
    if (name === undefined) throw args.error(`${what}: '${shown(word)}' is none of ${Object.keys(bits).join(', ')}`)
    all |= bits[name]
  }
  return all
}

/** The names of a mask's bits, in the order of the table. */
export function bitNames(mask: number, bits: Readonly<Record<string, number>>): string {
  return Object.keys(bits).filter(name => bits[name] !== 0 && (mask & bits[name]) === bits[name]).join(',')
}

/** A value and the bits of it that count. */
export interface Masked {
  readonly value: number
  readonly mask: number
}

const ALL = 0xffffffff

/** `value` or `value/mask`. */
export function readMark(args: Arguments, text = args.value()): Masked {
  const [value, mask, ...more] = text.split('/')
  if (more.length > 0) throw args.error(`mark: '${shown(text)}' has more than one mask`)
  return { value: readNumber(args, ALL, 'mark', value), mask: mask === undefined ? ALL : readNumber(args, ALL, 'mask', mask) }
}

export function hex(value: number): string {
  return '0x' + (value >>> 0).toString(16)
}

export function markText({ value, mask }: Masked): string {
  return mask === ALL ? hex(value) : `${hex(value)}/${hex(mask)}`
}

/** Addresses that equal `address` in the bits of `mask`: 4 or 16 bytes each. */
export interface Network {
  readonly address: Uint8Array
  readonly mask: Uint8Array
  /** As lists print it. */
  readonly text: string
  /** It has every address of its family. */
  readonly everything: boolean
}

export function readAddress(args: Arguments, family: 4 | 6, text = args.value()): Uint8Array {
  const bytes = text.includes('%') ? null : parseAddress(text)
  if (bytes?.length !== (family === 4 ? 4 : 16)) throw args.error(`'${shown(text)}' is not an IPv${family} address`)
  return bytes
}

/** The same, where `10.1` is 10.1.0.0. */
export function readPaddedAddress(args: Arguments, family: 4 | 6, text: string): Uint8Array {
  const missing = family === 4 && /^\d+(\.\d+){0,2}$/.test(text) ? 4 - text.split('.').length : 0
  return readAddress(args, family, text + '.0'.repeat(missing))
}

/** An address, with a prefix length or a netmask behind it perhaps. */
export function readNetwork(args: Arguments, family: 4 | 6, text = args.value()): Network {
  const { bytes, mask } = readMasked(args, family, text, readPaddedAddress)
  const address = bytes.map((byte, i) => byte & mask[i])
  return { address, mask, text: addressText(address) + maskText(mask), everything: mask.every(byte => byte === 0) }
}

/** The same for `conntrack`, which lists it with the bits that do not count, and without a mask that is no prefix. */
export function readConnectionNetwork(args: Arguments, family: 4 | 6): Network {
  const { bytes, mask } = readMasked(args, family, args.value(), readAddress)
  const text = addressText(bytes) + (prefixLength(mask) === null ? '' : maskText(mask))
  return { address: bytes.map((byte, i) => byte & mask[i]), mask, text, everything: mask.every(byte => byte === 0) }
}

function readMasked(
  args: Arguments, family: 4 | 6, text: string, read: (args: Arguments, family: 4 | 6, text: string) => Uint8Array,
): { readonly bytes: Uint8Array; readonly mask: Uint8Array } {
  const [address, suffix, ...more] = text.split('/')
  if (more.length > 0) throw args.error(`'${shown(text)}' has more than one mask`)
  const bytes = read(args, family, address)
  return { bytes, mask: suffix === undefined ? new Uint8Array(bytes.length).fill(255) : readMask(args, family, suffix) }
}

function readMask(args: Arguments, family: 4 | 6, text: string): Uint8Array {
  if (/[.:]/.test(text)) return readAddress(args, family, text)
  const length = readNumber(args, family === 4 ? 32 : 128, 'prefix length', text)
  return prefixMask(length, family)
}

/** A prefix as its length or its mask. */
export function readPrefixLength(args: Arguments, family: 4 | 6): number {
  const text = args.value()
  const length = prefixLength(readMask(args, family, text))
  if (length === null) throw args.error(`the mask ${shown(text)} is no prefix`)
  return length
}

export function prefixMask(length: number, family: 4 | 6): Uint8Array {
  const mask = new Uint8Array(family === 4 ? 4 : 16)
  for (let i = 0; i < length; i++) mask[i >> 3] |= 0x80 >> (i & 7)
  return mask
}

/** As inet_ntop has it. */
export function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4(bytes, 0) : withDottedEnd(formatIpv6(bytes, 0))
}

/** Bits of a mask that is a prefix. */
export function prefixLength(mask: Uint8Array): number | null {
  const bits = Array.from(mask, byte => byte.toString(2).padStart(8, '0')).join('')
  const length = bits.lastIndexOf('1') + 1
  return bits.slice(0, length).includes('0') ? null : length
}

/** Nothing for a single address, the length of a prefix, or the mask in address form. */
function maskText(mask: Uint8Array): string {
  const length = prefixLength(mask)
  if (length === mask.length * 8) return ''
  return '/' + (length ?? addressText(mask))
}

/** Values of options: numbers, ports, addresses, marks, lists of words. In: text. Out: numbers, or an error with its place. */
import ipaddr from 'ipaddr.js'
import { PROTOCOL_NUMBERS } from '../names.js'
import type { Arguments } from './text.js'

/** A whole number, decimal or `0x…`. */
export function readNumber(args: Arguments, most: number, what: string, text = args.value()): number {
  const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : NaN
  if (value <= most) return value
  throw args.error(`${what}: '${shown(text)}' is not a whole number up to ${most}`)
}

/** Other people's text in a message: no more of it than a line, and nothing that a terminal would act on. */
export function shown(text: string): string {
  const line = text.length > 60 ? text.slice(0, 60) + '…' : text
  return line.replace(/\p{Cc}/gu, '\ufffd')
}

export type Range = readonly [from: number, to: number]

/** `5`, `5:7`, `:7`, `5:`. */
export function readRange(args: Arguments, most: number, what: string, text = args.value()): Range {
  const parts = text.split(':')
  if (parts.length > 2 || text === '' || text === ':') throw args.error(`${what}: '${shown(text)}' is neither a number nor a range`)
  const from = parts[0] === '' ? 0 : readNumber(args, most, what, parts[0])
  const to = parts.length === 1 ? from : parts[1] === '' ? most : readNumber(args, most, what, parts[1])
  if (from > to) throw args.error(`${what}: the range ${shown(text)} is upside down`)
  return [from, to]
}

/** Services by the names that people write; saved rules have numbers. */
const SERVICES: Readonly<Record<string, number>> = {
  'ftp-data': 20, ftp: 21, ssh: 22, telnet: 23, smtp: 25, domain: 53, bootps: 67, bootpc: 68, tftp: 69, http: 80, pop3: 110,
  sunrpc: 111, ntp: 123, 'netbios-ns': 137, 'netbios-dgm': 138, 'netbios-ssn': 139, imap2: 143, snmp: 161, bgp: 179, irc: 194,
  ldap: 389, https: 443, 'microsoft-ds': 445, isakmp: 500, syslog: 514, submission: 587, ldaps: 636, imaps: 993, pop3s: 995,
  mysql: 3306, sip: 5060, postgresql: 5432, mdns: 5353,
}

function portNumber(text: string): string {
  return Object.hasOwn(SERVICES, text) ? String(SERVICES[text]) : text
}

/** A port or a range of them, by numbers or names. */
export function readPorts(args: Arguments, text = args.value()): Range {
  return readRange(args, 65535, 'port', text.split(':').map(portNumber).join(':'))
}

export function rangeText([from, to]: Range): string {
  return from === to ? String(from) : `${from}:${to}`
}

/** A protocol by name or number; 0 is any. */
export function readProtocol(args: Arguments, text = args.value()): number {
  const name = text.toLowerCase()
  if (name === 'all') return 0
  const others: Readonly<Record<string, number>> = { 'ipv6-icmp': 58, icmp6: 58, 'ipv6-frag': 44, 'ipv6-route': 43, ipcomp: 108, vrrp: 112, mh: 135, 'mobility-header': 135, ipencap: 4, idp: 22 }
  const known = Object.hasOwn(PROTOCOL_NUMBERS, name) ? PROTOCOL_NUMBERS[name] : Object.hasOwn(others, name) ? others[name] : null
  return known ?? readNumber(args, 255, 'protocol', text)
}

/** Words of a list by their bits. */
export function readBits(args: Arguments, bits: Readonly<Record<string, number>>, what: string, text = args.value()): number {
  let all = 0
  for (const word of text.split(',')) {
    const name = word.toUpperCase()
    if (!Object.hasOwn(bits, name)) throw args.error(`${what}: '${shown(word)}' is none of ${Object.keys(bits).join(', ')}`)
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
  const right = family === 4 ? ipaddr.IPv4.isValidFourPartDecimal(text) : ipaddr.IPv6.isValid(text) && !text.includes('%')
  if (!right) throw args.error(`'${shown(text)}' is not an IPv${family} address`)
  return Uint8Array.from(ipaddr.parse(text).toByteArray())
}

/** An address, with a prefix length or a netmask behind it perhaps. */
export function readNetwork(args: Arguments, family: 4 | 6, keepHost = false, text = args.value()): Network {
  const [address, suffix, ...more] = text.split('/')
  if (more.length > 0) throw args.error(`'${shown(text)}' has more than one mask`)
  const bytes = readAddress(args, family, address)
  const mask = suffix === undefined ? new Uint8Array(bytes.length).fill(255) : readMask(args, family, suffix)
  const value = bytes.map((byte, i) => byte & mask[i])
  return {
    address: value, mask, text: addressText(keepHost ? bytes : value) + maskText(mask),
    everything: mask.every(byte => byte === 0),
  }
}

function readMask(args: Arguments, family: 4 | 6, text: string): Uint8Array {
  if (/[.:]/.test(text)) return readAddress(args, family, text)
  const length = readNumber(args, family === 4 ? 32 : 128, 'prefix length', text)
  return prefixMask(length, family)
}

export function prefixMask(length: number, family: 4 | 6): Uint8Array {
  const mask = new Uint8Array(family === 4 ? 4 : 16)
  for (let i = 0; i < length; i++) mask[i >> 3] |= 0x80 >> (i & 7)
  return mask
}

export function addressText(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString()
}

/** Nothing for a single address, the length of a prefix, or the mask in address form. */
function maskText(mask: Uint8Array): string {
  const bits = Array.from(mask, byte => byte.toString(2).padStart(8, '0')).join('')
  const length = bits.indexOf('0')
  if (length < 0) return ''
  return bits.includes('1', length) ? '/' + addressText(mask) : `/${length}`
}

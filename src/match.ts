/** Packet matches as options have them, and as the core wants them. */
import { parseAddress } from './address-bytes.js'
import { ConntrackError, shown } from './errors.js'
import { PROTOCOL_NUMBERS } from './names.js'
import type { PacketMatch } from './types.js'

/** A match in numbers. Addresses are 16 bytes, an IPv4 address in the first four. */
export interface CompiledMatch {
  /** 256: any. */
  readonly protocol: number
  /** 0: any. */
  readonly family: 0 | 4 | 6
  readonly sport: readonly [number, number]
  readonly dport: readonly [number, number]
  readonly asksForPorts: boolean
  /** `null`: any. */
  readonly dscp: number | null
  readonly vlan: number | null
  readonly src: AddressMatch
  readonly dst: AddressMatch
}

interface AddressMatch {
  readonly address: Uint8Array
  readonly mask: Uint8Array
}

const ANY_ADDRESS: AddressMatch = { address: new Uint8Array(16), mask: new Uint8Array(16) }
const ANY_PORT = [0, 65535] as const
const FIELDS = ['protocol', 'src', 'dst', 'sport', 'dport', 'dscp', 'vlan']

/**
 * Reads a match.
 *
 * @throws ConntrackError `invalid-argument` naming the field
 */
export function compileMatch(match: PacketMatch): CompiledMatch {
  if (typeof match !== 'object' || match === null) throw invalid('a match must be an object')
  for (const key of Object.keys(match)) {
    if (!FIELDS.includes(key)) throw invalid(`unknown field '${key}' in a match`)
  }
  const src = match.src === undefined ? null : parsePrefix(match.src)
  const dst = match.dst === undefined ? null : parsePrefix(match.dst)
  if (src && dst && src.family !== dst.family) throw invalid('src and dst of a match are of different IP versions')
  return {
    protocol: match.protocol === undefined ? 256 : protocolNumber(match.protocol),
    family: src?.family ?? dst?.family ?? 0,
    sport: match.sport === undefined ? ANY_PORT : parsePorts(match.sport),
    dport: match.dport === undefined ? ANY_PORT : parsePorts(match.dport),
    asksForPorts: match.sport !== undefined || match.dport !== undefined,
    dscp: upTo('dscp', match.dscp, 63),
    vlan: upTo('vlan', match.vlan, 4095),
    src: src?.match ?? ANY_ADDRESS,
    dst: dst?.match ?? ANY_ADDRESS,
  }
}

/**
 * The number of an IP protocol given by name or number.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function protocolNumber(protocol: number | string): number {
  const known = typeof protocol === 'string' ? PROTOCOL_NUMBERS[protocol.toLowerCase()] : undefined
  const number = known ?? (isNumeric(protocol) ? Number(protocol) : NaN)
  if (Number.isInteger(number) && number >= 0 && number <= 255) return number
  throw invalid(`protocol ${shown(protocol)}: expected 0 to 255 or one of ${Object.keys(PROTOCOL_NUMBERS).join(', ')}`)
}

/** Other values may have numbers as well, such as `[6]` or `6n`, but are mistakes. */
function isNumeric(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && value !== '')
}

/**
 * The bytes of an address: 4 or 16.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function addressBytes(address: string): Uint8Array {
  const bytes = typeof address === 'string' ? parseAddress(address) : null
  if (!bytes) throw invalid(`'${shown(address)}' is not an IP address`)
  return bytes
}

function parsePrefix(text: string): { family: 4 | 6; match: AddressMatch } {
  const [address, bits, ...rest] = (typeof text === 'string' ? text : '').split('/')
  const bytes = addressBytes(address)
  const width = bytes.length * 8
  const length = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : NaN
  if (rest.length > 0 || !(length <= width)) throw invalid(`'${shown(text)}' is not an address prefix`)
  const mask = new Uint8Array(16)
  for (let i = 0; i < length; i++) mask[i >> 3] |= 0x80 >> (i & 7)
  const value = new Uint8Array(16)
  bytes.forEach((byte, i) => { value[i] = byte & mask[i] })
  return { family: bytes.length === 4 ? 4 : 6, match: { address: value, mask } }
}

function upTo(field: string, value: number | undefined, most: number): number | null {
  if (value === undefined) return null
  if (Number.isInteger(value) && value >= 0 && value <= most) return value
  throw invalid(`${field} of a match: ${shown(value)} is not a whole number from 0 to ${most}`)
}

function parsePorts(ports: number | string): readonly [number, number] {
  const parts = isNumeric(ports) ? /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(ports)) : null
  const from = Number(parts?.[1])
  const to = Number(parts?.[2] ?? parts?.[1])
  if (parts && from <= to && to <= 65535) return [from, to]
  throw invalid(`'${shown(ports)}' is not a port or a range of ports`)
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}

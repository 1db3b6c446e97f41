/**
 * Which entries `connections` shows: the options of `conntrack -L`, about the original direction. An entry is shown
 * when all that are given fit.
 */
import ipaddr from 'ipaddr.js'
import { PROTOCOL_NUMBERS, SCTP_STATES, TCP_STATES } from '../names.js'
import type { Connection } from '../types.js'
import { UsageError } from './errors.js'

/** Whether an entry is shown. */
export type Filter = (connection: Connection) => boolean

/** The options' values as given. */
export interface FilterOptions {
  readonly proto?: string
  readonly src?: string
  readonly dst?: string
  readonly sport?: string
  readonly dport?: string
  readonly state?: string
}

/** The filter that the options ask for, `null` where they ask for none; throws `UsageError` for values that no entry could have. */
export function parseFilter({ proto, src, dst, sport, dport, state }: FilterOptions): Filter | null {
  const tests: Filter[] = []
  if (proto !== undefined) tests.push(protocolTest(proto))
  const source = src === undefined ? null : parsePrefix('src', src)
  const destination = dst === undefined ? null : parsePrefix('dst', dst)
  if (source && destination && source[0].kind() !== destination[0].kind()) {
    throw new UsageError('--src and --dst are of different IP versions')
  }
  if (source) tests.push(addressTest('src', source))
  if (destination) tests.push(addressTest('dst', destination))
  if (sport !== undefined) tests.push(portTest('sport', sport))
  if (dport !== undefined) tests.push(portTest('dport', dport))
  if (state !== undefined) tests.push(stateTest(state))
  return tests.length === 0 ? null : connection => tests.every(test => test(connection))
}

function protocolTest(value: string): Filter {
  const name = value.toLowerCase()
  const protocol = Object.hasOwn(PROTOCOL_NUMBERS, name) ? PROTOCOL_NUMBERS[name] : wholeNumber(value, 255)
  if (protocol === null) throw new UsageError(`-p takes a protocol's name or number, not '${value}'`)
  return connection => connection.original.protocol === protocol
}

type Prefix = readonly [ipaddr.IPv4 | ipaddr.IPv6, number]

function addressTest(field: 'src' | 'dst', [network, length]: Prefix): Filter {
  return connection => {
    const address = ipaddr.parse(connection.original[field])
    return address.kind() === network.kind() && address.match(network, length)
  }
}

function parsePrefix(field: string, value: string): Prefix {
  if (ipaddr.isValidCIDR(value) && isWritten(value.split('/')[0])) return ipaddr.parseCIDR(value)
  if (!isWritten(value)) throw new UsageError(`--${field} takes an address or a prefix, not '${value}'`)
  const address = ipaddr.parse(value)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}

/** ipaddr.js also reads `10` and `0x0a.1`; here an IPv4 address has four decimal parts. */
function isWritten(address: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(address) || (address.includes(':') && ipaddr.IPv6.isValid(address))
}

function portTest(field: 'sport' | 'dport', value: string): Filter {
  const port = wholeNumber(value, 65_535)
  if (port === null) throw new UsageError(`--${field} takes a port, not '${value}'`)
  return connection => connection.original[field] === port
}

function stateTest(value: string): Filter {
  const state = value.toUpperCase()
  const known: readonly string[] = [...new Set([...TCP_STATES, ...SCTP_STATES])]
  if (!known.includes(state)) throw new UsageError(`--state takes a state of TCP or SCTP (${known.join(', ')}), not '${value}'`)
  return connection => (connection.tcpState ?? connection.sctpState) === state
}

function wholeNumber(value: string, largest: number): number | null {
  return /^\d+$/.test(value) && Number(value) <= largest ? Number(value) : null
}

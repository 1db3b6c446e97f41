/** The tuple by which Linux's `connlimit` knows a packet: that of its connection, or its own. */
import type { HookConnection, Tuple, Zones } from '../hooks.js'
import type { RulePacket } from './packet.js'

/** Two are the same if their texts are. */
export interface KnownTuple extends Tuple {
  readonly text: string
}

const GRE = 47
const NO_NEXT_HEADER = 59
const ICMP: readonly number[] = [1, 58]
/** Protocols of which Linux knows the ports. */
const WITH_PORTS: readonly number[] = [6, 17, 132, 136]
const NO_ZONES: Zones = { original: 0, reply: 0 }
const NO_PORTS: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0]

/** `null` where there is none, which breaks the packet unless it is the capture that lacks the bytes. */
export function tupleOf(packet: RulePacket): KnownTuple | null {
  const { data, addresses, protocol, family, connection, tracked } = packet
  if (tracked !== null) return tupleOfConnection(tracked, data)
  const transport = transportOf(packet)
  const zones = connection?.zones ?? NO_ZONES
  return transport && known(family, protocol, zones, data.subarray(addresses, addresses + (family === 4 ? 8 : 32)), transport)
}

function tupleOfConnection(connection: HookConnection, data: Uint8Array): KnownTuple {
  const { family, protocol, zones } = connection
  const width = family === 4 ? 4 : 16
  const addresses = new Uint8Array(2 * width)
  for (const [i, side] of (['src', 'dst'] as const).entries()) {
    const at = connection.addressAt('original', side)
    addresses.set(data.subarray(at, at + width), i * width)
  }
  const [source, destination] = [connection.port('original', 'src'), connection.port('original', 'dst')]
  return known(family, protocol, zones, addresses, transportBytes(protocol, source, destination))
}

/** As a packet would have them. */
function transportBytes(protocol: number, source: number, destination: number): readonly number[] {
  if (ICMP.includes(protocol)) return [...word(destination), 0, 0, ...word(source), 0, 0]
  if (protocol !== GRE) return [...word(source), ...word(destination), 0, 0, 0, 0]
  return source || destination ? [...word(0x2001), ...word(0x880b), ...word(source), ...word(destination)] : NO_PORTS
}

function word(value: number): [number, number] {
  return [value >> 8, value & 255]
}

function transportOf(packet: RulePacket): readonly number[] | null {
  const { protocol, transport } = packet
  const isNothing = protocol < 0 || packet.family === 6 && protocol === NO_NEXT_HEADER
  if (isNothing || packet.fragmentOffset !== 0) return broken(packet)
  if (ICMP.includes(protocol)) {
    return packet.hasTransport(8) ? transportBytes(protocol, packet.u16(transport + 4), packet.u16(transport)) : null
  }
  if (WITH_PORTS.includes(protocol)) {
    return packet.hasTransport(4) ? transportBytes(protocol, packet.u16(transport), packet.u16(transport + 2)) : null
  }
  return protocol === GRE ? greBytes(packet) : NO_PORTS
}

/** Enhanced GRE has a tuple where it carries PPP (RFC 2637), any other is as of a protocol without ports. */
function greBytes(packet: RulePacket): readonly number[] | null {
  const { transport } = packet
  if (transport + 8 > packet.wireEnd) return NO_PORTS
  if (!packet.hasTransport(8)) return null
  if ((packet.u16(transport) & 7) !== 1) return NO_PORTS
  return packet.u16(transport + 2) === 0x880b ? transportBytes(GRE, 0, packet.u16(transport + 6)) : broken(packet)
}

function broken(packet: RulePacket): null {
  packet.broken = true
  return null
}

function known(family: 4 | 6, protocol: number, zones: Zones, addresses: Uint8Array, transport: readonly number[]): KnownTuple {
  const headers = new Uint8Array(addresses.length + 8)
  headers.set(addresses)
  headers.set(transport, addresses.length)
  return { family, protocol, zones, headers, text: String.fromCharCode(protocol, zones.original, ...headers) }
}

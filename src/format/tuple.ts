/**
 * What the `conntrack` tool and /proc have in common: the columns of the protocols, one direction of a connection, its
 * counters. In: parts of a connection. Out: text without spaces around it.
 */
import { PROTOCOL_NUMBERS } from '../names.js'
import type { Connection, Tuple } from '../types.js'
import { KIND_ICMP, KIND_PORTS, PROTOCOL_KINDS } from './packet.js'

export type Direction = 'original' | 'reply'

/** Where the two differ. */
export interface TupleStyle {
  /** Names of the protocols it knows by number; every other is `unknown` and has no more than addresses. */
  readonly protocols: ReadonlyMap<number, string>
  /** An address as it writes it. */
  readonly address: (text: string) => string
}

const GRE = PROTOCOL_NUMBERS.gre

/** Names by number, for `TupleStyle`. */
export function protocolNames(names: readonly string[]): ReadonlyMap<number, string> {
  return new Map(names.map(name => [PROTOCOL_NUMBERS[name], name]))
}

/** Name and number of the protocol of layer 3. */
export function networkText({ family }: Tuple): string {
  return family === 4 ? 'ipv4     2' : 'ipv6     10'
}

/** Name and number of the protocol of layer 4. */
export function protocolText({ protocol }: Tuple, { protocols }: TupleStyle): string {
  return `${(protocols.get(protocol) ?? 'unknown').padEnd(8)} ${protocol}`
}

/** `src=… dst=…` and what the protocol has besides. */
export function tupleText(tuple: Tuple, { protocols, address }: TupleStyle): string {
  const addresses = `src=${address(tuple.src)} dst=${address(tuple.dst)}`
  if (!protocols.has(tuple.protocol)) return addresses
  const kind = PROTOCOL_KINDS[tuple.protocol]
  if (kind === KIND_PORTS) return `${addresses} sport=${tuple.sport ?? 0} dport=${tuple.dport ?? 0}`
  if (kind === KIND_ICMP) return `${addresses} type=${tuple.type ?? 0} code=${tuple.code ?? 0} id=${tuple.id ?? 0}`
  return tuple.protocol === GRE ? `${addresses} ${greKeys(tuple)}` : addresses
}

/** Only GRE version 1 (PPTP) has keys; other versions have 0 for both. */
function greKeys(tuple: Tuple): string {
  return `srckey=0x${(tuple.srcKey ?? 0).toString(16)} dstkey=0x${(tuple.dstKey ?? 0).toString(16)}`
}

/** The name of the zone of a direction where it applies to that direction alone. */
export function directionZoneParts({ zone, zoneDirection }: Connection, direction: Direction): string[] {
  if (zoneDirection !== direction) return []
  return [`${direction === 'original' ? 'zone-orig' : 'zone-reply'}=${zone}`]
}

/** Packets and bytes of a direction, where they are counted. */
export function counterParts({ packets, bytes }: Connection, direction: Direction): string[] {
  return packets === null || bytes === null ? [] : [`packets=${packets[direction]} bytes=${bytes[direction]}`]
}

/** Whole seconds left. */
export function secondsLeft({ timeoutMs }: { readonly timeoutMs: number }): string {
  return String(Math.floor(timeoutMs / 1000))
}

export const NANOSECONDS = 1_000_000_000n

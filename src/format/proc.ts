/**
 * Entries as Linux lists them in /proc/net/nf_conntrack. In: entries of the SDK. Out: single lines without a line feed.
 */
import { PROTOCOL_NUMBERS } from '../names.js'
import type { Connection } from '../types.js'
import {
  counterParts, directionZoneParts, NANOSECONDS, networkText, protocolNames, protocolText, secondsLeft, tupleText,
  type TupleStyle,
} from './tuple.js'

/** What a line needs to know besides the entry. */
export interface ProcContext {
  /** The time at which the table is read, nanoseconds since 1970. */
  readonly now: bigint
  /** Sysctls `gre_timeout` and `gre_timeout_stream`, seconds; Linux's defaults where left out. */
  readonly greTimeout?: number
  readonly greTimeoutStream?: number
  /** Live connections that it announced (`countChildren`); 0 where left out. */
  readonly children?: number
}

/** Tuples as Linux writes them in /proc. */
export const PROC_STYLE: TupleStyle = {
  // DCCP has lost its place in the kernel, not in the tool.
  protocols: protocolNames(['icmp', 'tcp', 'udp', 'gre', 'sctp', 'udplite', 'icmpv6']),
  address: inFull,
}

/** An entry as a line of /proc/net/nf_conntrack. */
export function procLine(connection: Connection, context: ProcContext): string {
  const { original, mark, zone, zoneDirection, start } = connection
  return [
    networkText(original), protocolText(original, PROC_STYLE), secondsLeft(connection), ...privateParts(connection, context),
    ...directionParts(connection, 'original'), ...(connection.seenReply ? [] : ['[UNREPLIED]']),
    ...directionParts(connection, 'reply'), ...(connection.assured ? ['[ASSURED]'] : []), `mark=${mark}`,
    ...(zoneDirection === 'both' ? [`zone=${zone}`] : []),
    ...(start === null ? [] : [`delta-time=${(context.now - start) / NANOSECONDS}`]),
    `use=${2 + (context.children ?? 0)}`, // the table's and the reader's, and those of what it announced
  ].join(' ')
}

/** The protocol's own columns. */
function privateParts({ original, tcpState, sctpState }: Connection, context: ProcContext): string[] {
  if (original.protocol === PROTOCOL_NUMBERS.gre) {
    return [`timeout=${context.greTimeout ?? 30}, stream_timeout=${context.greTimeoutStream ?? 180}`]
  }
  const state = tcpState ?? sctpState
  return state === null ? [] : [state]
}

function directionParts(connection: Connection, direction: 'original' | 'reply'): string[] {
  return [
    tupleText(connection[direction], PROC_STYLE), ...directionZoneParts(connection, direction),
    ...counterParts(connection, direction),
  ]
}

/** An IPv6 address with all its zeros; an IPv4 address as it is. */
function inFull(address: string): string {
  if (!address.includes(':')) return address
  const [head, tail = []] = address.split('::').map(groupsOf)
  const zeros = address.includes('::') ? Array<string>(8 - head.length - tail.length).fill('0') : []
  return [...head, ...zeros, ...tail].map(group => group.padStart(4, '0')).join(':')
}

/** Groups of a part of an address; the end may be in dotted decimal. */
function groupsOf(part: string): string[] {
  if (part === '') return []
  return part.split(':').flatMap(group => {
    if (!group.includes('.')) return [group]
    const [a, b, c, d] = group.split('.').map(Number)
    return [a << 8 | b, c << 8 | d].map(value => value.toString(16))
  })
}

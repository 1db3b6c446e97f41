/**
 * The text formats of the `conntrack` tool: entries as `-L` lists them, events as `-E` prints them, counters as `-S`
 * does. In: entries, events and counters of the SDK. Out: single lines without a line feed.
 */
import { PROTOCOL_NUMBERS } from '../names.js'
import type { Connection, ConnectionEvent, ConnectionEventKind, Statistics, Tuple } from '../types.js'
import { KIND_ICMP, KIND_PORTS, PROTOCOL_KINDS } from './packet.js'
import { nanosecondsText } from './time.js'

/** The words of `-o`. */
export interface OutputFlags {
  /** `extended`: name and number of the layer 3 protocol in front. */
  readonly extended: boolean
  /** `id`: the connection's id at the end. */
  readonly id: boolean
  /** `timestamp`: events begin with their time. */
  readonly timestamp: boolean
}

/** Protocols whose names the tool knows; every other is `unknown`. */
const KNOWN = new Map(
  ['icmp', 'tcp', 'udp', 'dccp', 'gre', 'sctp', 'udplite', 'icmpv6'].map(name => [PROTOCOL_NUMBERS[name], name]))

const GRE = PROTOCOL_NUMBERS.gre

const EVENT_TAGS: Readonly<Record<ConnectionEventKind, string>> = {
  new: '    [NEW]', update: ' [UPDATE]', destroy: '[DESTROY]',
}

/** An entry as `conntrack -L` prints it. */
export function connectionLine(connection: Connection, flags: OutputFlags): string {
  const parts = [...protocolParts(connection.original, flags), seconds(connection)]
  const state = connection.tcpState ?? connection.sctpState
  if (state !== null) parts.push(state)
  parts.push(...tupleParts(connection, true), `mark=${connection.mark}`)
  if (connection.zone !== 0) parts.push(`zone=${connection.zone}`)
  if (connection.helper !== null) parts.push(`helper=${connection.helper}`)
  // Nothing but the table holds an entry here.
  parts.push('use=1')
  if (flags.id) parts.push(`id=${connection.id}`)
  return parts.join(' ')
}

/** An event as `conntrack -E` prints it: what its message would carry, no more. */
export function eventLine(event: ConnectionEvent, flags: OutputFlags): string {
  const { connection, kind } = event
  const parts = [...protocolParts(connection.original, flags), ...timeoutParts(event), ...stateParts(event)]
  parts.push(...tupleParts(connection, kind === 'destroy'))
  if (connection.mark !== 0 || event.changes.includes('MARK')) parts.push(`mark=${connection.mark}`)
  if (connection.zone !== 0) parts.push(`zone=${connection.zone}`)
  if (connection.helper !== null && kind !== 'destroy') parts.push(`helper=${connection.helper}`)
  if (flags.id) parts.push(`id=${connection.id}`)
  const time = flags.timestamp ? `[${nanosecondsText(event.time).slice(0, -3)}]\t` : ''
  return `${time}${EVENT_TAGS[kind]} ${parts.join(' ')}`
}

/** An event as `events --json` writes it. */
export function eventJson(event: ConnectionEvent): string {
  const { kind, packet, changes, connection } = event
  return JSON.stringify({ kind, time: nanosecondsText(event.time), packet, changes, connection })
}

/** The counters as `conntrack -S` prints those of one processor. */
export function countersLine(counters: Statistics['counters']): string {
  const values = Object.entries(counters).map(([name, value]) => `${name}=${value}`)
  return `cpu=0           ${values.join(' ')}`
}

function protocolParts(tuple: Tuple, flags: OutputFlags): string[] {
  const family = tuple.family === 4 ? 'ipv4     2' : 'ipv6     10'
  const protocol = `${(KNOWN.get(tuple.protocol) ?? 'unknown').padEnd(8)} ${tuple.protocol}`
  return flags.extended ? [family, protocol] : [protocol]
}

function seconds(connection: Connection): string {
  return String(Math.floor(connection.timeoutMs / 1000))
}

/** The message of a DESTROY leaves out a timeout of 0. */
function timeoutParts({ kind, connection }: ConnectionEvent): string[] {
  const text = seconds(connection)
  return kind === 'destroy' && text === '0' ? [] : [text]
}

/** The protocol's state is in the message when it changed, and in every DESTROY. */
function stateParts({ kind, changes, connection }: ConnectionEvent): string[] {
  const told = kind === 'destroy' || changes.includes('PROTOINFO')
  const state = connection.tcpState ?? connection.sctpState
  return told && state !== null ? [state] : []
}

function tupleParts(connection: Connection, withCounters: boolean): string[] {
  const counters = (direction: 'original' | 'reply') => withCounters ? counterParts(connection, direction) : []
  return [
    tupleText(connection.original), ...counters('original'), ...(connection.seenReply ? [] : ['[UNREPLIED]']),
    tupleText(connection.reply), ...counters('reply'), ...(connection.assured ? ['[ASSURED]'] : []),
  ]
}

function counterParts({ packets, bytes }: Connection, direction: 'original' | 'reply'): string[] {
  return packets === null || bytes === null ? [] : [`packets=${packets[direction]} bytes=${bytes[direction]}`]
}

function tupleText(tuple: Tuple): string {
  const addresses = `src=${tuple.src} dst=${tuple.dst}`
  const kind = PROTOCOL_KINDS[tuple.protocol]
  if (kind === KIND_PORTS) return `${addresses} sport=${tuple.sport ?? 0} dport=${tuple.dport ?? 0}`
  if (kind === KIND_ICMP) return `${addresses} type=${tuple.type ?? 0} code=${tuple.code ?? 0} id=${tuple.id ?? 0}`
  return tuple.protocol === GRE ? `${addresses} ${greKeys(tuple)}` : addresses
}

/** Only GRE version 1 (PPTP) has keys; other versions have 0 for both. */
function greKeys(tuple: Tuple): string {
  return `srckey=0x${(tuple.srcKey ?? 0).toString(16)} dstkey=0x${(tuple.dstKey ?? 0).toString(16)}`
}

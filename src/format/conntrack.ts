/**
 * The text formats of the `conntrack` tool (1.4.7): entries as `-L` lists them, events as `-E` prints them, counters as
 * `-S` does. In: entries, events and counters of the SDK. Out: single lines without a line feed.
 */
import type { Connection, ConnectionEvent, ConnectionEventKind, Statistics, Tuple } from '../types.js'
import { withDottedEnd } from './address.js'
import type { LabelNames } from './labels.js'
import { calendarText, nanosecondsText, wholeSeconds } from './time.js'
import {
  counterParts, directionZoneParts, networkText, protocolNames, protocolText, secondsLeft, tupleText, type TupleStyle,
} from './tuple.js'

/** The words of `-o`; what is left out is off. */
export interface OutputFlags {
  /** `extended`: name and number of the layer 3 protocol in front. */
  readonly extended?: boolean
  /** `id`: the connection's id at the end. */
  readonly id?: boolean
  /** `timestamp`: events begin with their time. */
  readonly timestamp?: boolean
  /** `ktimestamp`: when a connection began and ended, in local time. */
  readonly ktimestamp?: boolean
  /** `labels`: the labels' names; without this no label is shown, as the tool shows none without its file of names. */
  readonly labels?: LabelNames | null
}

/** Tuples as the tool writes them. */
export const TOOL_STYLE: TupleStyle = {
  protocols: protocolNames(['icmp', 'tcp', 'udp', 'dccp', 'gre', 'sctp', 'udplite', 'icmpv6']),
  address: withDottedEnd,
}

const EVENT_TAGS: Readonly<Record<ConnectionEventKind, string>> = {
  new: '    [NEW]', update: ' [UPDATE]', destroy: '[DESTROY]',
}

/**
 * An entry as `conntrack -L` prints it.
 *
 * @param now the time at which the table is listed, nanoseconds since 1970
 * @param children live connections that it announced (`countChildren`): they use it, as the table does
 */
export function connectionLine(connection: Connection, flags: OutputFlags, now: bigint, children = 0): string {
  const state = connection.tcpState ?? connection.sctpState
  return [
    ...protocolParts(connection.original, flags), secondsLeft(connection), ...(state === null ? [] : [state]),
    ...tupleParts(connection, true), `mark=${connection.mark}`, ...zoneParts(connection),
    ...ageParts(connection, now, flags), ...helperParts(connection),
    `use=${1 + children}`, ...idParts(connection, flags), ...labelParts(connection, flags),
  ].join(' ')
}

/** An event as `conntrack -E` prints it: what its message would carry, no more. */
export function eventLine(event: ConnectionEvent, flags: OutputFlags): string {
  const { connection, kind, changes } = event
  const over = kind === 'destroy'
  const parts = [
    ...protocolParts(connection.original, flags), ...timeoutParts(event), ...stateParts(event),
    ...tupleParts(connection, over),
    ...(connection.mark !== 0 || changes.includes('MARK') ? [`mark=${connection.mark}`] : []), ...zoneParts(connection),
    ...(over ? ageParts(connection, connection.stop ?? event.time, flags) : helperParts(connection)),
    ...idParts(connection, flags), ...(changes.includes('LABEL') ? labelParts(connection, flags) : []),
  ]
  const time = flags.timestamp === true ? `[${nanosecondsText(event.time).slice(0, -3)}]\t` : ''
  return `${time}${eventTag(kind)} ${parts.join(' ')}`
}

export function eventTag(kind: ConnectionEventKind): string {
  return EVENT_TAGS[kind]
}

/** How many of these connections each connection announced, by its id. */
export function countChildren(connections: Iterable<Connection>): ReadonlyMap<number, number> {
  const children = new Map<number, number>()
  for (const { master } of connections) if (master !== null) children.set(master, (children.get(master) ?? 0) + 1)
  return children
}

/** The counters as `conntrack -S` prints those of one processor, with the tab and the space at the end that it has. */
export function countersLine(counters: Statistics['counters']): string {
  const values = Object.entries(counters).map(([name, value]) => `${name}=${value} `)
  return `cpu=0   \t${values.join('')}`
}

function protocolParts(tuple: Tuple, { extended }: OutputFlags): string[] {
  const protocol = protocolText(tuple, TOOL_STYLE)
  return extended === true ? [networkText(tuple), protocol] : [protocol]
}

/** The message of a DESTROY leaves out a timeout of 0. */
function timeoutParts({ kind, connection }: ConnectionEvent): string[] {
  const text = secondsLeft(connection)
  return kind === 'destroy' && text === '0' ? [] : [text]
}

/** The protocol's state is in the message when it changed, and in every DESTROY. */
function stateParts({ kind, changes, connection }: ConnectionEvent): string[] {
  const told = kind === 'destroy' || changes.includes('PROTOINFO')
  const state = connection.tcpState ?? connection.sctpState
  return told && state !== null ? [state] : []
}

function tupleParts(connection: Connection, withCounters: boolean): string[] {
  const side = (direction: 'original' | 'reply') => [
    tupleText(connection[direction], TOOL_STYLE),
    // Zone 0 is none in messages, whatever it applies to.
    ...(connection.zone === 0 ? [] : directionZoneParts(connection, direction)),
    ...(withCounters ? counterParts(connection, direction) : []),
  ]
  return [
    ...side('original'), ...(connection.seenReply ? [] : ['[UNREPLIED]']),
    ...side('reply'), ...(connection.assured ? ['[ASSURED]'] : []),
  ]
}

function zoneParts({ zone, zoneDirection }: Connection): string[] {
  return zone !== 0 && zoneDirection === 'both' ? [`zone=${zone}`] : []
}

function helperParts({ helper }: Connection): string[] {
  return helper === null ? [] : [`helper=${helper}`]
}

/** The tool subtracts whole seconds: from 1.9 s to 2.1 s it counts one, where /proc counts none. */
function ageParts({ start, stop }: Connection, until: bigint, { ktimestamp }: OutputFlags): string[] {
  if (start === null) return []
  const age = `delta-time=${wholeSeconds(until) - wholeSeconds(start)}`
  if (ktimestamp !== true) return [age]
  return [age, `[start=${calendarText(start)}]`, ...(stop === null ? [] : [`[stop=${calendarText(stop)}]`])]
}

function idParts({ id }: Connection, flags: OutputFlags): string[] {
  return flags.id === true ? [`id=${id}`] : []
}

/** An entry without any label has none in its message; the word stands alone where no label has a name. */
function labelParts({ labels }: Connection, flags: OutputFlags): string[] {
  const known = flags.labels ?? null
  if (known === null || labels === null || labels.length === 0) return []
  const names = labels.flatMap(label => known.get(label) ?? [])
  return [names.length === 0 ? 'labels' : `labels=${names.join(',')}`]
}

/** What must hold of a tracker whatever it is given: rows of verdicts, the books, the table. */
import {
  REASONS, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED, VERDICT_ELSEWHERE,
  VERDICT_SEEN_REPLY, type Connection, type PacketBatch, type Tracker, type VerdictBatch,
} from 'conntrack-wasm'

const [NONE, NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED] = [0, 1, 2, 3, 4, 5]
/** Reasons of packets that never reach the tracker are 1 to this. */
const LAST_WITHOUT_STATE = REASONS.indexOf('fragment-held')
const TABLE_FULL = REASONS.indexOf('table-full')
const TCP = 6
/** Which protocol states there are. */
const KNOWN_STATE = Array.from({ length: 256 }, (_, i) => i === 0 || Boolean(tcpStateName(i) ?? sctpStateName(i)))

/** What of a tracker's options a check must know. */
export interface Known {
  /** A timeout may be 0: a connection has no time left. */
  readonly noTimeouts: boolean
  /** Packets are dropped for other reasons than a full table: by rules, helpers, or a clash between zones. */
  readonly drops: boolean
}

/** What is wrong with row `i`; `null` for nothing. */
export function wrongRow(verdicts: VerdictBatch, i: number, batch: PacketBatch, known: Known): string | null {
  const flags = verdicts.flags[i]
  if (flags & VERDICT_ELSEWHERE) return wrongElsewhere(verdicts, i)
  const [state, reason, direction] = [verdicts.state[i], verdicts.reason[i], verdicts.direction[i]]
  if (state >= STATES.length) return 'an unknown state'
  if (reason >= REASONS.length) return 'an unknown reason'
  if (direction > 2) return 'an unknown direction'
  if ((state === NONE || state === INVALID) !== (reason !== 0) && reason !== TABLE_FULL) return 'a reason that does not go with the state'
  if ((state === NONE) !== (reason >= 1 && reason <= LAST_WITHOUT_STATE)) return 'a reason of the wrong state'
  if (state === UNTRACKED && direction !== 0) return 'UNTRACKED with a direction'
  if (direction === 0 && (state === NEW || state === ESTABLISHED)) return 'NEW or ESTABLISHED without a direction'
  if (direction !== 0 && state !== NEW && state !== ESTABLISHED && state !== RELATED) return 'a direction without an entry'
  return wrongConnection(verdicts, i, known) ?? wrongPlaces(verdicts, i, batch.length[i])
}

function wrongElsewhere(verdicts: VerdictBatch, i: number): string | null {
  const { state, reason, direction, connection } = verdicts
  return state[i] || reason[i] || direction[i] || connection[i] ? 'something of a packet of another tracker' : null
}

function wrongConnection(verdicts: VerdictBatch, i: number, known: Known): string | null {
  const [state, direction, connection] = [verdicts.state[i], verdicts.direction[i], verdicts.connection[i]]
  const [flags, protocol, timeoutNs] = [verdicts.flags[i], verdicts.protocol[i], verdicts.timeoutNs[i]]
  if (connection !== 0 && direction === 0) return 'a connection without a direction'
  if (connection === 0 && direction !== 0 && protocol !== TCP && !known.drops) return 'no connection, though it is no reset'
  if (connection === 0 && timeoutNs !== 0) return 'a timeout without a connection'
  if (connection !== 0 && !(timeoutNs > 0) && !known.noTimeouts) return 'a connection without a timeout'
  if (connection === 0 && verdicts.protocolState[i] !== 0) return 'a protocol state without a connection'
  if (connection === 0 && flags & VERDICT_ASSURED) return 'ASSURED without a connection'
  if (!KNOWN_STATE[verdicts.protocolState[i]]) return 'an unknown protocol state'
  if (state === NEW && (direction !== 1 || flags & VERDICT_SEEN_REPLY)) return 'NEW though there was a reply'
  if (state === ESTABLISHED && connection !== 0 && !(flags & VERDICT_SEEN_REPLY)) return 'a reply that was not seen'
  if (((flags & VERDICT_DROPPED) !== 0) !== (verdicts.reason[i] === TABLE_FULL) && !known.drops) return 'dropped for another reason'
  return null
}

function wrongPlaces(verdicts: VerdictBatch, i: number, length: number): string | null {
  const [family, network, transport] = [verdicts.family[i], verdicts.networkOffset[i], verdicts.transportOffset[i]]
  if (family === 0) return verdicts.state[i] === NONE && verdicts.reason[i] <= 3 ? null : 'a state without IP'
  if (family !== 4 && family !== 6) return 'an IP version that does not exist'
  if (network > length) return 'an IP header beyond the packet'
  if (transport !== 0 && (transport < network + 20 || transport > length)) return 'a transport header outside of the packet'
  return null
}

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((total, n) => total + n, 0)

/** The counters agree with each other and with what the tracker was given. */
export function checkBooks(tracker: Tracker, given: number, elsewhere: number): void {
  const { packets, states, reasons, entries, inserts, deletes, maxConnections } = tracker.statistics()
  must(packets === given - elsewhere, `${packets} packets are counted, not ${given} - ${elsewhere}`)
  must(sum(states) === given - elsewhere, `states add up to ${sum(states)}, not ${given - elsewhere}`)
  must(sum(reasons) === states.none + states.INVALID, `reasons add up to ${sum(reasons)}, not ${states.none + states.INVALID}`)
  must(entries === inserts - deletes, `${entries} entries, but ${inserts} - ${deletes}`)
  must(entries <= maxConnections, `${entries} entries in a table of ${maxConnections}`)
}

/**
 * The table is what the books say, and its entries are found by id and by tuple.
 *
 * @param clashes zones of one direction may give two entries a tuple in the same zone: a query finds the newer
 */
export function checkTable(tracker: Tracker, clashes: boolean): void {
  const connections = [...tracker.connections()]
  const { entries } = tracker.statistics()
  must(connections.length === entries, `${connections.length} connections are listed, ${entries} counted`)
  connections.forEach((connection, i) => {
    must(i === 0 || connection.id > connections[i - 1].id, 'ids are not in order')
    must(connection.status.includes('CONFIRMED'), `connection ${connection.id} is listed, but not confirmed`)
    must(connection.timeoutMs >= 0, `connection ${connection.id} is past its time`)
  })
  if (!clashes) for (const connection of connections.slice(-3)) checkConnection(tracker, connection)
}

function checkConnection(tracker: Tracker, connection: Connection): void {
  const { id, zone, zoneDirection, original, reply } = connection
  must(JSON.stringify(tracker.connection(id), text) === JSON.stringify(connection, text), `connection ${id} is another by its id`)
  if (zoneDirection !== 'both') return
  // A GRE key of the source's, PPTP's, or of what answers a tuple with a key, is nothing that a query can name.
  if (original.srcKey || reply.srcKey) return
  must(tracker.find({ ...original, zone })?.id === id, `connection ${id} is not found by its original tuple`)
  must(tracker.find({ ...reply, zone })?.id === id, `connection ${id} is not found by its reply tuple`)
}

export function text(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

/**
 * The state tables of TCP and SCTP, cell by cell: a connection is brought into each state, each kind of packet is sent in
 * each direction, and its state afterwards is the table's. A cell that something else decides before or after the table
 * is in a list with what does; a cell that is in the list and follows the table all the same fails.
 */
import { createTracker, type Connection, type Tracker, type Verdict } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { tcp } from '../support/build.js'
import { CHUNK_TYPES, initChunk, sctp } from '../support/sctp.js'

type Side = 'original' | 'reply'
const CLIENT = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }
const SERVER = { src: '10.0.0.2', dst: '10.0.0.1', sport: 80, dport: 1000 }
const ends = { original: CLIENT, reply: SERVER }

const TCP_STATES = [
  'NONE', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK', 'TIME_WAIT', 'CLOSE', 'SYN_SENT2',
]
/** Linux's table: new state by kind and state; iv: INVALID, ig: the packet passes and changes nothing. */
const TCP: Readonly<Record<Side, string>> = {
  original: `
    S   SS SS ig ig ig ig ig SS SS S2
    SA  iv iv SR iv iv iv iv iv iv SR
    FA  iv iv FW FW LA LA LA TW CL iv
    A   ES iv ES ES CW CW TW TW CL iv
    R   iv CL CL CL CL CL CL CL CL CL
    P   iv iv iv iv iv iv iv iv iv iv`,
  reply: `
    S   iv S2 iv iv iv iv iv SS iv S2
    SA  iv SR ig ig ig ig ig ig ig SR
    FA  iv iv FW FW LA LA LA TW CL iv
    A   iv ig SR ES CW CW TW TW CL ig
    R   iv CL CL CL CL CL CL CL CL CL
    P   iv iv iv iv iv iv iv iv iv iv`,
}
const TCP_SHORT: Readonly<Record<string, string>> = {
  SS: 'SYN_SENT', SR: 'SYN_RECV', ES: 'ESTABLISHED', FW: 'FIN_WAIT', CW: 'CLOSE_WAIT', LA: 'LAST_ACK', TW: 'TIME_WAIT',
  CL: 'CLOSE', S2: 'SYN_SENT2',
}
/** How a connection comes into each state: who sends what. */
const TCP_WAYS: Readonly<Record<string, string>> = {
  NONE: '', SYN_SENT: '>S', SYN_RECV: '>S <SA', ESTABLISHED: '>S <SA >A', FIN_WAIT: '>S <SA >A >FA',
  CLOSE_WAIT: '>S <SA >A >FA <A', LAST_ACK: '>S <SA >A >FA <A <FA', TIME_WAIT: '>S <SA >A >FA <A <FA >A',
  CLOSE: '>S <SA >A >R', SYN_SENT2: '>S <S',
}

const SCTP_STATES = ['NONE', 'CLOSED', 'COOKIE_WAIT', 'COOKIE_ECHOED', 'ESTABLISHED', 'SHUTDOWN_SENT', 'SHUTDOWN_RECD', 'SHUTDOWN_ACK_SENT', 'HEARTBEAT_SENT']
const SCTP: Readonly<Record<Side, string>> = {
  original: `
    INIT              CL CL CW CE ES CL CL SA CW
    INIT_ACK          CL CL CW CE ES SS SR SA CL
    ABORT             CL CL CL CL CL CL CL CL CL
    SHUTDOWN          CL CL CW CE SS SS SR SA CL
    SHUTDOWN_ACK      SA CL CW CE ES SA SA SA SA
    ERROR             CL CL CW CE ES SS SR SA CL
    COOKIE_ECHO       CL CL CE CE ES SS SR SA CL
    COOKIE_ACK        CL CL CW ES ES SS SR SA CL
    SHUTDOWN_COMPLETE CL CL CW CE ES SS SR CL CL
    HEARTBEAT         HB CL CW CE ES SS SR SA HB
    HEARTBEAT_ACK     CL CL CW CE ES SS SR SA HB`,
  reply: `
    INIT              iv CL CW CE ES SS SR SA iv
    INIT_ACK          iv CW CW CE ES SS SR SA iv
    ABORT             iv CL CL CL CL CL CL CL iv
    SHUTDOWN          iv CL CW CE SR SS SR SA iv
    SHUTDOWN_ACK      iv CL CW CE ES SA SA SA iv
    ERROR             iv CL CW CL ES SS SR SA iv
    COOKIE_ECHO       iv CL CE CE ES SS SR SA iv
    COOKIE_ACK        iv CL CW ES ES SS SR SA iv
    SHUTDOWN_COMPLETE iv CL CW CE ES SS SR CL iv
    HEARTBEAT         iv CL CW CE ES SS SR SA HB
    HEARTBEAT_ACK     iv CL CW CE ES SS SR SA ES`,
}
const SCTP_SHORT: Readonly<Record<string, string>> = {
  CL: 'CLOSED', CW: 'COOKIE_WAIT', CE: 'COOKIE_ECHOED', ES: 'ESTABLISHED', SS: 'SHUTDOWN_SENT', SR: 'SHUTDOWN_RECD',
  SA: 'SHUTDOWN_ACK_SENT', HB: 'HEARTBEAT_SENT',
}
const SCTP_WAYS: Readonly<Record<string, string>> = {
  NONE: '', CLOSED: '>INIT <INIT_ACK >COOKIE_ECHO <COOKIE_ACK >ABORT', COOKIE_WAIT: '>INIT <INIT_ACK', COOKIE_ECHOED: '>INIT <INIT_ACK >COOKIE_ECHO',
  ESTABLISHED: '>INIT <INIT_ACK >COOKIE_ECHO <COOKIE_ACK', SHUTDOWN_SENT: '>INIT <INIT_ACK >COOKIE_ECHO <COOKIE_ACK >SHUTDOWN',
  SHUTDOWN_RECD: '>INIT <INIT_ACK >COOKIE_ECHO <COOKIE_ACK <SHUTDOWN',
  SHUTDOWN_ACK_SENT: '>INIT <INIT_ACK >COOKIE_ECHO <COOKIE_ACK >SHUTDOWN <SHUTDOWN_ACK', HEARTBEAT_SENT: '>HEARTBEAT',
}

/** What a cell comes to that something else than the table decides. */
type Except = Readonly<Record<string, string>>

/** A cell, and what is wanted of it: a state's name or `iv`. */
interface Cell {
  readonly name: string
  readonly side: Side
  readonly kind: string
  readonly state: string
  readonly wanted: string
}

function cells(tables: Readonly<Record<Side, string>>, states: readonly string[], short: Readonly<Record<string, string>>): Cell[] {
  // The sender of the first packet is the original side: without a connection there is no reply to look up.
  const first = firstColumn(tables.original)
  return Object.entries(tables).flatMap(([side, table]) => table.trim().split('\n').flatMap(row => {
    const [kind, ...columns] = row.trim().split(/ +/)
    return columns.map((cell, i) => [i === 0 ? first[kind] : cell, i] as const).map(([column, i]) => ({
      name: `${side} ${kind} in ${states[i]}`, side: side as Side, kind, state: states[i],
      wanted: column === 'iv' ? 'iv' : column === 'ig' ? states[i] : short[column],
    }))
  }))
}

function firstColumn(table: string): Record<string, string> {
  return Object.fromEntries(table.trim().split('\n').map(row => row.trim().split(/ +/).slice(0, 2)))
}

const stateOf = (connection: Connection | null | undefined) => connection?.tcpState ?? connection?.sctpState ?? 'NONE'

/** After the packet: `iv`, or the state that the connection of these ends has now. */
function outcome(tracker: Tracker, verdict: Verdict): string {
  if (verdict.state === 'INVALID') return 'iv'
  const [connection] = [...tracker.connections()]
  return stateOf(connection)
}

function play(way: string, make: (side: Side, kind: string) => Uint8Array): Tracker {
  const tracker = createTracker({ maxConnections: 16, sysctl: { tcp_be_liberal: 1, expect_max: 1 } })
  for (const step of way.split(' ').filter(Boolean)) {
    expect(tracker.track(make(step[0] === '>' ? 'original' : 'reply', step.slice(1))).state, `${way}: ${step}`).not.toBe('INVALID')
  }
  return tracker
}

function check(cell: Cell, ways: Readonly<Record<string, string>>, make: (side: Side, kind: string) => Uint8Array): string {
  const tracker = play(ways[cell.state], make)
  expect(stateOf([...tracker.connections()][0])).toBe(cell.state)
  return outcome(tracker, tracker.track(make(cell.side, cell.kind)))
}

describe('TCP', () => {
  const make = (side: Side, kind: string) =>
    // A reset has to be where the other side waits for it.
    tcp(ends[side], { flags: kind, seq: (side === 'original' ? 101 : 501) + Number(kind === 'R'), ack: kind.includes('A') ? side === 'original' ? 502 : 102 : 0 })
  // A reset before the other side has answered ends the entry at once: nothing is left that could be in CLOSE.
  const TCP_EXCEPT: Except = { 'original R in SYN_SENT': 'NONE', 'reply R in SYN_SENT': 'NONE' }

  test.each(cells(TCP, TCP_STATES, TCP_SHORT).map(cell => [cell.name, cell] as const))('%s', (name, cell) => {
    const except = TCP_EXCEPT[name]
    const found = check(cell, TCP_WAYS, make)
    expect(found).toBe(except ?? cell.wanted)
    if (except) expect(found).not.toBe(cell.wanted)
  })
})

describe('SCTP', () => {
  const TAGS = { original: 11, reply: 22 }
  const make = (side: Side, kind: string) => {
    const type = CHUNK_TYPES[kind as keyof typeof CHUNK_TYPES]
    const other = side === 'original' ? 'reply' : 'original'
    const chunk = kind.startsWith('INIT') ? initChunk(type, TAGS[side]) : { type, body: kind === 'SHUTDOWN' ? [0, 0, 0, 0] : [] }
    return sctp(ends[side], kind === 'INIT' ? 0 : TAGS[other], [chunk])
  }
  // What is out of the blue (RFC 9260, 8.4) opens nothing: what would begin in CLOSED is refused before the table, but for INIT.
  const BLUE = ['INIT_ACK', 'ABORT', 'SHUTDOWN', 'ERROR', 'COOKIE_ECHO', 'COOKIE_ACK', 'SHUTDOWN_COMPLETE']
  const SCTP_EXCEPT: Except = Object.fromEntries(
    BLUE.flatMap(kind => [`original ${kind} in NONE`, `reply ${kind} in NONE`]).map(name => [name, 'iv']))

  test.each(cells(SCTP, SCTP_STATES, SCTP_SHORT).map(cell => [cell.name, cell] as const))('%s', (name, cell) => {
    const except = SCTP_EXCEPT[name]
    const found = check(cell, SCTP_WAYS, make)
    expect(found).toBe(except ?? cell.wanted)
    if (except) expect(found).not.toBe(cell.wanted)
  })
})

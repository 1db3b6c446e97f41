/** Zeek's history and conn_state. */
import { createTracker } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { icmp, tcp, udp, type TcpFields } from '../support/build.js'

const CLIENT = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }
const SERVER = { src: '10.0.0.2', dst: '10.0.0.1', sport: 80, dport: 1000 }

type Step = ['c' | 's', TcpFields]
const syn: Step = ['c', { flags: 'S', seq: 100 }]
const synAck: Step = ['s', { flags: 'SA', seq: 500, ack: 101 }]
const ack: Step = ['c', { flags: 'A', seq: 101, ack: 501 }]
const request: Step = ['c', { flags: 'PA', seq: 101, ack: 501, payload: 10 }]
const acked: Step = ['s', { flags: 'A', seq: 501, ack: 111 }]
const response: Step = ['s', { flags: 'PA', seq: 501, ack: 111, payload: 20 }]
const clientFin: Step = ['c', { flags: 'FA', seq: 111, ack: 521 }]
const serverFin: Step = ['s', { flags: 'FA', seq: 521, ack: 112 }]

/** History and state of the first connection after the packets, also if it is over by then. */
function life(packets: readonly Uint8Array[]): string {
  const tracker = createTracker({ maxConnections: 8, history: true })
  let last = ''
  for (const kind of ['new', 'update', 'destroy'] as const) {
    tracker.on(kind, ({ connection: { id, history, connState } }) => { if (id === 1) last = `${history} ${connState}` })
  }
  for (const packet of packets) tracker.track(packet)
  const standing = tracker.connection(1)
  return standing ? `${standing.history} ${standing.connState}` : last
}

const segments = (steps: readonly Step[]) => steps.map(([who, fields]) => tcp(who === 'c' ? CLIENT : SERVER, fields))

describe('TCP', () => {
  test.each<[string, Step[], string]>([
    ['a whole life', [syn, synAck, ack, request, acked, response, clientFin, serverFin], 'ShADadFf SF'],
    ['no answer', [syn], 'S S0'],
    ['no answer to two', [syn, syn], 'S S0'],
    ['refused', [syn, ['s', { flags: 'RA', seq: 0, ack: 101 }]], 'Sr REJ'],
    ['established', [syn, synAck, ack], 'ShA S1'],
    ['closed by the client alone', [syn, synAck, ack, ['c', { flags: 'FA', seq: 101, ack: 501 }]], 'ShAF S2'],
    ['closed by the server alone', [syn, synAck, ack, ['s', { flags: 'FA', seq: 501, ack: 101 }]], 'ShAf S3'],
    ['reset by the client', [syn, synAck, ack, ['c', { flags: 'R', seq: 101 }]], 'ShAR RSTO'],
    ['reset by the server', [syn, synAck, ack, ['s', { flags: 'R', seq: 501 }]], 'ShAr RSTR'],
    ['taken back before an answer', [syn, ['c', { flags: 'R', seq: 101 }]], 'SR RSTOS0'],
    ['seen in the middle', [request, acked], 'Da OTH'],
    ['data sent again', [syn, synAck, ack, request, request, request], 'ShADT S1'],
    ['a window that closes', [syn, synAck, ack, ['s', { flags: 'A', seq: 501, ack: 101, window: 0 }]], 'ShAaw S1'],
  ])('%s', (_, steps, expected) => {
    expect(life(segments(steps))).toBe(expected)
  })

  test('a wrong checksum is written, once', () => {
    const damaged = segments([request])[0]
    damaged[36] ^= 1
    expect(life([...segments([syn, synAck, ack]), damaged, damaged])).toBe('ShAC S1')
  })
})

describe('other protocols', () => {
  test('a datagram without an answer, and with one', () => {
    expect(life([udp(CLIENT)])).toBe('D S0')
    expect(life([udp(CLIENT), udp(SERVER), udp(CLIENT)])).toBe('Dd SF')
  })

  test('an echo', () => {
    expect(life([icmp(CLIENT, 8, 0, [0, 1, 0, 1]), icmp(SERVER, 0, 0, [0, 1, 0, 1])])).toBe('Dd OTH')
  })
})

test('a tracker made without keeps none', () => {
  const tracker = createTracker({ maxConnections: 8 })
  tracker.track(udp(CLIENT))
  expect(tracker.connection(1)).toMatchObject({ history: null, connState: null })
})

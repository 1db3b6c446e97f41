/**
 * The short ways through the core, which packets in batches take: where one must leave a packet to the long way, it does.
 * Each case is tracked one by one, in batches of one and in one batch, and all must say what stands there.
 */
import { createTracker, type TrackerOptions } from 'conntrack-wasm'
import { ftp } from 'conntrack-wasm/helpers'
import { expect, test } from 'vitest'
import { differencesInBatches, type TimedPacket } from '../support/batched.js'
import { tcp, udp, type Endpoints, type TcpFields } from '../support/build.js'

const START = 1_700_000_000_000_000_000n
const CLIENT: Endpoints = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }
const SERVER: Endpoints = { src: '10.0.0.2', dst: '10.0.0.1', sport: 80, dport: 1000 }
const OTHER: Endpoints = { src: '10.0.0.3', dst: '10.0.0.4', sport: 1000, dport: 80 }

const at = (ms: number, data: Uint8Array, linkType = 101): TimedPacket =>
  ({ data, linkType, time: START + BigInt(Math.round(ms * 1e6)) })

/** States of the packets, one by one and in a batch. */
function statesOf(packets: readonly TimedPacket[], options: TrackerOptions = {}): string[] {
  const make = () => createTracker({ maxConnections: 64, hashSeed: 1, ...options })
  const oneByOne = make()
  const verdicts = packets.map(({ data, ...rest }) => oneByOne.track(data, rest))
  for (const size of [1, packets.length]) expect(differencesInBatches(packets, verdicts, oneByOne, make(), [size])).toEqual([])
  return verdicts.map(({ state }) => String(state))
}

const HANDSHAKE = [
  at(0, tcp(CLIENT, { flags: 'S', seq: 100 })), at(0, tcp(SERVER, { flags: 'SA', seq: 500, ack: 101 })),
  at(0, tcp(CLIENT, { flags: 'A', seq: 101, ack: 501 })),
]

// A sweep comes about once in a millisecond: what expires between two of them is still in the table.

test('a TCP connection whose time is over is not found, though no sweep has removed it', () => {
  const packets = [
    ...HANDSHAKE, at(999.9, udp(OTHER)), at(1000.1, tcp(CLIENT, { flags: 'A', seq: 101, ack: 501 })),
  ]
  expect(statesOf(packets, { sysctl: { tcp_timeout_established: 1 } })).toEqual(['NEW', 'ESTABLISHED', 'ESTABLISHED', 'NEW', 'NEW'])
})

test('nor is one of UDP, or one that is closing', () => {
  const datagrams = [at(0, udp(CLIENT)), at(0, udp(SERVER)), at(999.9, udp(OTHER)), at(1000.1, udp(CLIENT))]
  expect(statesOf(datagrams, { sysctl: { udp_timeout: 1 } })).toEqual(['NEW', 'ESTABLISHED', 'NEW', 'NEW'])
  const segments = [
    ...HANDSHAKE, at(0, tcp(CLIENT, { flags: 'FA', seq: 101, ack: 501 })), at(999.9, udp(OTHER)),
    at(1000.1, tcp(SERVER, { flags: 'A', seq: 501, ack: 102 })),
  ]
  expect(statesOf(segments, { sysctl: { tcp_timeout_fin_wait: 1 } }).slice(3)).toEqual(['ESTABLISHED', 'NEW', 'NEW'])
})

test('fragments that look whole but for their offset are held', () => {
  const whole = udp(CLIENT, 32)
  const fragment = whole.slice()
  fragment[6] = 0x20
  new DataView(fragment.buffer).setUint16(10, new DataView(whole.buffer).getUint16(10) - 0x2000)
  expect(statesOf([at(0, fragment), at(1, whole)], { checksum: 'verify' })).toEqual(['null', 'NEW'])
})

test('a UDP length field that goes over the packet is INVALID', () => {
  expect(statesOf([at(0, udp(CLIENT, 10, 18)), at(1, udp(CLIENT, 10, 19))], { checksum: 'ignore' })).toEqual(['NEW', 'INVALID'])
})

test('IPv6 with a multicast source never reaches the tracker', () => {
  const ends = { src: 'ff02::1', dst: '2001:db8::1', sport: 1000, dport: 80 }
  expect(statesOf([at(0, udp(ends)), at(0, udp({ ...ends, src: '2001:db8::2' }))])).toEqual(['null', 'NEW'])
})

test('the same whatever link-layer header comes before it', () => {
  const ethernet = (packet: Uint8Array) => Uint8Array.of(...new Uint8Array(12), 8, 0, ...packet)
  const cooked = (packet: Uint8Array) => Uint8Array.of(...new Uint8Array(14), 8, 0, ...packet)
  const alone = (packet: Uint8Array) => packet
  for (const [linkType, wrap] of [[1, ethernet], [113, cooked], [101, alone], [228, alone]] as const) {
    const packets = HANDSHAKE.map(packet => ({ ...packet, linkType, data: wrap(packet.data) }))
    expect(statesOf(packets)).toEqual(['NEW', 'ESTABLISHED', 'ESTABLISHED'])
  }
})

// What opens a connection, and what answers a SYN. The first packet of all goes the long way, and so does each that comes when
// a sweep is due: the others are to come soon behind one.

const SYN = tcp(CLIENT, { flags: 'S', seq: 100, options: [2, 4, 5, 180, 4, 2, 1, 3, 3, 7] })
const FIRST = udp({ src: '10.0.0.9', dst: '10.0.0.8', sport: 9, dport: 9 })

/** States of packets that come a microsecond apart, from `ms` on. */
function statesSoon(packets: readonly Uint8Array[], options: TrackerOptions = {}): string[] {
  return statesOf([at(0, FIRST), ...packets.map((data, i) => at((i + 1) / 1000, data))], options).slice(1)
}

test('a SYN or datagram whose connection is over opens another, to the nanosecond of its deadline', () => {
  const second = (ns: bigint, data: Uint8Array) => ({ ...at(0, data), time: START + ns })
  const opening = (ns: bigint) => [
    second(0n, FIRST), second(10n, SYN), second(10n, udp(OTHER)), second(999_999_000n, tcp(SERVER, { flags: 'R' })),
    second(ns, SYN), second(ns, udp(OTHER)), second(ns + 1n, udp(OTHER)),
  ]
  for (const ns of [1_000_000_009n, 1_000_000_010n, 1_000_000_011n]) {
    statesOf(opening(ns), { sysctl: { tcp_timeout_syn_sent: 1, udp_timeout: 1 } })
  }
})

test('a repeated SYN and a datagram in the same direction stay NEW and open nothing', () => {
  expect(statesSoon([SYN, SYN, udp(OTHER), udp(OTHER)])).toEqual(['NEW', 'NEW', 'NEW', 'NEW'])
})

test('a full table turns away what would open a connection, or drops one that nobody answered', () => {
  const handshake = HANDSHAKE.map(({ data }) => data)
  const full = { maxConnections: 1 }
  expect(statesSoon([...handshake, udp(OTHER), SYN], full)).toEqual(['NEW', 'ESTABLISHED', 'ESTABLISHED', 'INVALID', 'ESTABLISHED'])
  expect(statesSoon([...handshake, udp(OTHER), udp(CLIENT)], full).slice(3)).toEqual(['INVALID', 'INVALID'])
  expect(statesSoon([udp(OTHER), SYN, udp(CLIENT)], full)).toEqual(['NEW', 'NEW', 'NEW'])
})

test('what is turned away makes room of connections that are over for the next', () => {
  const packets = [at(0, FIRST), ...HANDSHAKE, at(999.9, udp(OTHER)), at(1000.1, udp(OTHER)), at(1000.1, udp(OTHER)), at(1000.1, SYN)]
  expect(statesOf(packets, { maxConnections: 1, sysctl: { tcp_timeout_established: 1 } }).slice(4)).toEqual(['INVALID', 'INVALID', 'NEW', 'NEW'])
})

test('segments without a connection that are no SYN are picked up, or refused', () => {
  for (const [flags, state] of [['A', 'NEW'], ['SA', 'INVALID'], ['FA', 'INVALID'], ['R', 'INVALID'], ['S', 'NEW']]) {
    expect(statesSoon([SYN, tcp({ ...CLIENT, sport: 2000 }, { flags, ack: 1 })])).toEqual(['NEW', state])
  }
})

test.each<[string, TcpFields]>([
  ['without a window', { flags: 'S', window: 0 }],
  ['with data', { flags: 'S', payload: 30 }],
  ['that comes round to 0', { flags: 'SEC', seq: 0xffffffff }],
  ['with blocks of a SACK', { flags: 'S', options: [3, 3, 15, 5, 10, 0, 0, 0, 0, 0, 0, 0, 1, 4, 2] }],
  ['with pushed and urgent data', { flags: 'SPU' }],
])('a SYN %s opens a connection', (_, fields) => {
  expect(statesSoon([tcp(CLIENT, fields)])).toEqual(['NEW'])
  const answer = tcp(SERVER, { flags: 'SA', seq: 500, ack: 1 + (fields.seq ?? 0) + (Number(fields.payload) || 0) })
  expect(statesSoon([tcp(CLIENT, fields), answer, tcp(CLIENT, { ...fields, flags: 'A', ack: 501 })])[0]).toBe('NEW')
})

test('a SYN whose options were cut off makes its sender liberal', () => {
  const cut = { ...at(0.001, SYN.subarray(0, SYN.length - 4)), originalLength: SYN.length }
  expect(statesOf([at(0, FIRST), cut, at(0.002, tcp(SERVER, { flags: 'SA', ack: 101 }))])).toEqual(['NEW', 'NEW', 'ESTABLISHED'])
})

test('both ends the same, a connection answers itself', () => {
  const self: Endpoints = { src: '10.0.0.1', dst: '10.0.0.1', sport: 7, dport: 7 }
  const packets = [udp(self), udp(self), tcp(self, { flags: 'S' }), tcp(self, { flags: 'S' })]
  expect(statesSoon(packets)).toEqual(['NEW', 'ESTABLISHED', 'NEW', 'ESTABLISHED'])
})

test('accounts, and when a connection began', () => {
  expect(statesSoon([SYN, udp(OTHER, 30), udp(CLIENT)], { sysctl: { acct: 1, timestamp: 1 } })).toEqual(['NEW', 'NEW', 'NEW'])
})

test('a connection that a match gives a helper is opened the long way', () => {
  expect(statesSoon([tcp({ ...CLIENT, dport: 21 }, { flags: 'S' }), udp(OTHER)], { helpers: [ftp()] })).toEqual(['NEW', 'NEW'])
})

test.each<[string, Partial<TcpFields>, string]>([
  ['as it should', { ack: 101 }, 'ESTABLISHED'],
  ['with options that both offer', { ack: 101, options: [4, 2, 3, 3, 9, 1, 1, 1] }, 'ESTABLISHED'],
  ['without a window', { ack: 101, window: 0 }, 'ESTABLISHED'],
  ['with data', { ack: 101, payload: 20 }, 'ESTABLISHED'],
  ['and acknowledges more', { ack: 102 }, 'INVALID'],
  ['and acknowledges less', { ack: 100 }, 'ESTABLISHED'],
  ['and acknowledges what is long ago', { ack: 101 - 70_000 }, 'ESTABLISHED'],
  ['with blocks of a SACK above', { ack: 101, options: [4, 2, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0] }, 'INVALID'],
  ['with blocks of a SACK below', { ack: 101, options: [4, 2, 5, 10, 0, 0, 0, 0, 0, 0, 0, 1] }, 'ESTABLISHED'],
])('a SYN/ACK that answers %s', (_, fields, state) => {
  const answer = tcp(SERVER, { flags: 'SA', seq: 500, ...fields })
  expect(statesSoon([SYN, answer, answer, tcp(CLIENT, { flags: 'A', seq: 101, ack: 501 })])[1]).toBe(state)
})

test('a SYN/ACK of the client itself is INVALID, and one of a connection that was picked up is ignored', () => {
  expect(statesSoon([SYN, tcp(CLIENT, { flags: 'SA', seq: 100, ack: 101 })])).toEqual(['NEW', 'INVALID'])
  expect(statesSoon([tcp(CLIENT, { flags: 'A', seq: 100, ack: 500 }), tcp(SERVER, { flags: 'SA', seq: 500, ack: 100 })])).toEqual(['NEW', 'ESTABLISHED'])
})

test('a SYN/ACK behind one that was INVALID starts nothing anew', () => {
  const answers = [[500, 102], [400, 101]].map(([seq, ack]) => tcp(SERVER, { flags: 'SA', seq, ack }))
  expect(statesSoon([SYN, ...answers])).toEqual(['NEW', 'INVALID', 'ESTABLISHED'])
})

test('a SYN with another number is answered by its own SYN/ACK', () => {
  const again = tcp(CLIENT, { flags: 'S', seq: 5000 })
  expect(statesSoon([SYN, again, tcp(SERVER, { flags: 'SA', seq: 1, ack: 5001 })])[2]).toBe('ESTABLISHED')
})

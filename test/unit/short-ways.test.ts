/**
 * The short ways through the core, which packets in batches take: where one must leave a packet to the long way, it does.
 * Each case is tracked one by one, in batches of one and in one batch, and all must say what stands there.
 */
import { createTracker, type TrackerOptions } from 'conntrack-wasm'
import { expect, test } from 'vitest'
import { differencesInBatches, type TimedPacket } from '../support/batched.js'
import { tcp, udp, type Endpoints } from '../support/build.js'

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

/** Reassembly before tracking: the fragment that completes a datagram carries its verdict. */
import { describe, expect, test } from 'vitest'
import { createTracker, packetBatch, STATES, REASONS } from '../../src/index.js'
import { fragments, ip, tcp, udp } from '../support/build.js'

const AT = { src: '192.0.2.1', dst: '192.0.2.2', sport: 1000, dport: 53 }
const AT6 = { src: '2001:db8::1', dst: '2001:db8::2', sport: 1000, dport: 53 }
const SECOND = 1_000_000_000n

/** State or reason of each packet. */
function verdicts(packets: readonly Uint8Array[], times: readonly bigint[] = []): (string | null)[] {
  const tracker = createTracker()
  return packets.map((packet, i) => {
    const { state, reason } = tracker.track(packet, { time: times[i] ?? 0n })
    return state ?? reason
  })
}

describe.each([['IPv4', AT, 30n], ['IPv6', AT6, 60n]] as const)('%s', (_, at, timeout) => {
  const [a, b, c] = fragments(udp(at, 100), 40, 7)

  test('in order, reversed and mixed, the last one to come is NEW', () => {
    for (const order of [[a, b, c], [c, b, a], [b, a, c], [c, a, b]]) {
      expect(verdicts(order)).toEqual(['fragment-held', 'fragment-held', 'NEW'])
    }
  })

  test('a fragment that comes twice is dropped alone', () => {
    expect(verdicts([a, a, b, b, c])).toEqual(['fragment-held', 'fragment-held', 'fragment-held', 'fragment-held', 'NEW'])
  })

  test('an overlap discards all that was there', () => {
    const overlapping = fragments(udp(at, 100), 48, 7)[1]
    expect(verdicts([a, b, overlapping, c])).toEqual(Array(4).fill('fragment-held'))
    expect(verdicts([a, b, overlapping, a, b, c]).at(-1)).toBe('NEW')
  })

  test('another identification is another datagram', () => {
    const other = fragments(udp({ ...at, sport: 2000 }, 100), 40, 8)
    expect(verdicts([a, other[0], b, other[1], other[2], c]).slice(-2)).toEqual(['NEW', 'NEW'])
  })

  test('what is not complete in time is forgotten', () => {
    expect(verdicts([a, b, c], [0n, 0n, timeout * SECOND - 1n]).at(-1)).toBe('NEW')
    expect(verdicts([a, b, c], [0n, 0n, timeout * SECOND]).at(-1)).toBe('fragment-held')
  })

  test('a wrong checksum shows in the whole', () => {
    const damaged = udp(at, 100)
    damaged[damaged.length - 1] ^= 1
    expect(verdicts(fragments(damaged, 40, 7))).toEqual(['fragment-held', 'fragment-held', 'INVALID'])
  })

  test('the whole datagram is counted, as one packet', () => {
    const tracker = createTracker({ sysctl: { acct: 1 } })
    for (const packet of [c, a, b]) tracker.track(packet)
    const { packets, bytes } = [...tracker.connections()][0]
    expect([packets?.original, bytes?.original]).toEqual([1, udp(at, 100).length])
  })

  test('sixty-four datagrams are put together at a time, whatever else comes', () => {
    const firsts = Array.from({ length: 100 }, (_, id) => fragments(udp(at, 100), 40, id))
    const tracker = createTracker()
    for (const [first] of firsts) tracker.track(first)
    const states = firsts.map(([, second, third]) => {
      tracker.track(second)
      return tracker.track(third).state
    })
    expect(states.filter(state => state === 'NEW')).toHaveLength(64)
  })
})

test('an IPv4 fragment with more to come is cut to a multiple of eight', () => {
  const [first, second] = fragments(udp(AT, 60), 40, 9)
  const longer = Uint8Array.of(...first, 1, 2, 3)
  new DataView(longer.buffer).setUint16(2, longer.length)
  expect(verdicts([recount(longer), second])).toEqual(['fragment-held', 'NEW'])
})

test('an IPv6 fragment with more to come that is no multiple of eight passes alone, and is INVALID', () => {
  const [, second] = fragments(udp(AT6, 100), 40, 9)
  const shorter = second.slice(0, -3)
  new DataView(shorter.buffer).setUint16(4, shorter.length - 40)
  const tracker = createTracker()
  expect(tracker.track(shorter)).toMatchObject({ state: 'INVALID', reason: 'fragment-not-first' })
})

test('an IPv6 fragment that passes alone is counted with its fragment header, the only one of a datagram without', () => {
  const counted = (packet: Uint8Array) => {
    const tracker = createTracker({ sysctl: { acct: 1 } })
    expect(tracker.track(packet).state).toBe('NEW')
    return [...tracker.connections()][0].bytes?.original
  }
  const [first] = fragments(ip(AT6, 253, new Uint8Array(40)), 16, 9)
  const passing = first.slice(0, -3)
  new DataView(passing.buffer).setUint16(4, passing.length - 40)
  const [only] = fragments(ip(AT6, 253, new Uint8Array(13)), 16, 9)
  expect([counted(passing), counted(only)]).toEqual([61, 53])
})

test('a TCP segment in fragments moves its connection', () => {
  const at = { ...AT, dport: 80 }
  const back = { src: at.dst, dst: at.src, sport: 80, dport: 1000 }
  const tracker = createTracker()
  tracker.track(tcp(at, { flags: 'S', seq: 1 }))
  tracker.track(tcp(back, { flags: 'SA', seq: 10, ack: 2 }))
  const pieces = fragments(tcp(at, { flags: 'PA', seq: 2, ack: 11, payload: 100 }), 40, 3)
  const last = pieces.map(piece => tracker.track(piece)).at(-1)
  expect(last).toMatchObject({ state: 'ESTABLISHED', direction: 'original', tcpState: 'ESTABLISHED' })
  expect(tracker.find({ ...at, protocol: 'tcp' })?.tcp?.original.end).toBe(102)
})

test('batches, and listeners that stop them in the middle, change nothing', () => {
  const packets = Array.from({ length: 1500 }, (_, i) =>
    i % 10 === 0 ? fragments(udp({ ...AT, sport: 1 + i }, 60), 24, i) : [udp({ ...AT, sport: 1 + i })]).flat()
  const run = (batchSize: number, listening: boolean) => {
    const tracker = createTracker({ batchSize: 4096 })
    const told: number[] = []
    if (listening) tracker.on('new', ({ packet }) => told.push(packet))
    const rows: string[] = []
    for (let i = 0; i < packets.length; i += batchSize) {
      const part = packets.slice(i, i + batchSize)
      const { state, reason, connection } = tracker.trackBatch(packetBatch(part.map(data => ({ data }))))
      part.forEach((_, k) => rows.push(`${STATES[state[k]]} ${REASONS[reason[k]]} ${connection[k]}`))
    }
    if (listening) expect(told).toHaveLength(1500)
    return rows
  }
  const expected = run(1, false)
  expect(expected.filter(row => row.startsWith('NEW'))).toHaveLength(1500)
  for (const batchSize of [7, 64, 4096]) expect(run(batchSize, true)).toEqual(expected)
})

/** An IPv4 packet with its header checksum made anew. */
function recount(packet: Uint8Array): Uint8Array {
  const view = new DataView(packet.buffer)
  view.setUint16(10, 0)
  let sum = 0
  for (let i = 0; i < 20; i += 2) sum += view.getUint16(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  view.setUint16(10, ~sum & 0xffff)
  return packet
}

describe('IPv6 fragment headers in odd places', () => {
  const GRE = 47
  const atomic = (next: number) => [next, 0, 0, 0, 0, 0, 0, 5]
  const later = (next: number) => [next, 0, 0, 8, 0, 0, 0, 5]
  const options = (next: number, units = 0) => [next, units, 1, 4, 0, 0, 0, 0]

  // As Linux 6.18 answered.
  test.each<[string, number, number[], string, number?]>([
    ['no byte of it', 44, [], 'ipv6-header-chain'],
    ['three bytes of it', 44, atomic(GRE).slice(0, 3), 'ip-malformed'],
    ['half of it: the protocol is there, with nothing in it', 44, atomic(GRE).slice(0, 4), 'NEW', 44],
    ['half of a later one', 44, later(GRE).slice(0, 4), 'ip-malformed'],
    ['no byte of it behind options', 60, options(44), 'ip-malformed'],
    ['options before it that say they are longer than the packet', 60, options(44, 1), 'ipv6-header-chain'],
    ['the only fragment of nothing', 44, atomic(59), 'fragment-held'],
    ['the only fragment without a byte of its protocol keeps its header', 44, atomic(GRE), 'NEW', 48],
    ['with one byte it loses it', 44, [...atomic(GRE), 0], 'NEW', 41],
    ['a second one stays, and is not reassembled', 44, [...atomic(44), ...atomic(GRE), 0], 'NEW', 49],
    ['a second one that is later', 44, [...atomic(44), ...later(GRE), 0], 'fragment-not-first'],
    ['half of a second one', 44, [...atomic(44), ...atomic(GRE).slice(0, 4)], 'NEW', 52],
    ['options behind it that say they are longer than the packet', 44, [...atomic(60), ...options(GRE, 3)], 'NEW', 56],
    ['options alone that say so', 60, options(GRE, 3), 'NEW', 48],
    ['options that say so before ports', 60, options(17, 3), 'transport-short'],
    ['behind ESP it is none', 50, atomic(GRE), 'NEW', 48],
  ])('%s', (_, next, headers, expected, bytes) => {
    const tracker = createTracker({ sysctl: { acct: 1 } })
    const { state, reason } = tracker.track(ip(AT6, next, Uint8Array.from(headers)))
    expect(reason ?? state).toBe(expected)
    if (bytes !== undefined) expect(tracker.entry(0)?.bytes?.original).toBe(bytes)
  })
})

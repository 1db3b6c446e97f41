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

  test('thousands of datagrams are put together at a time', () => {
    const tracker = createTracker({ sysctl: { ipfrag_max_dist: 0 } })
    const datagrams = Array.from({ length: 3000 }, (_, id) => fragments(udp({ ...at, sport: id }, 100), 80, id))
    const states = (which: 0 | 1) => new Set(datagrams.map(pieces => tracker.track(pieces[which]).state))
    expect([states(1), states(0)]).toEqual([new Set([null]), new Set(['NEW'])])
  })

  test('a flood of datagrams that never complete is held to the last fragment', () => {
    const tracker = createTracker({ batchSize: 4500, sysctl: { ipfrag_max_dist: 0 } })
    const first = (id: number) => ({ data: fragments(udp(at, 100), 80, id)[0] })
    const { reason } = tracker.trackBatch(packetBatch(Array.from({ length: 4500 }, (_, id) => first(id))))
    expect([...reason.subarray(0, 4500)].every(r => REASONS[r] === 'fragment-held')).toBe(true)
  })

  test('with more bytes held than the high threshold no fragment is taken, of whatever datagram', () => {
    const tracker = small(3000)
    const datagrams = [1, 2, 3, 4].map(id => fragments(udp(at, 100), 80, id))
    for (const [first] of datagrams) tracker.track(first)
    const reasons = datagrams.map(([, second]) => tracker.track(second).reason)
    expect(reasons).toEqual(Array(4).fill('fragment-held'))
  })

  test('at the high threshold and not a byte over it fragments are taken', () => {
    const queue = at === AT ? 200 : 184
    for (const [bytes, state] of [[queue + 832, 'NEW'], [queue + 831, null]] as const) {
      const tracker = small(bytes)
      tracker.track(a)
      tracker.track(fragments(udp(at, 100), 80, 8)[0])
      tracker.setSysctl(HIGH[0], 4_194_304)
      tracker.setSysctl(HIGH[1], 4_194_304)
      expect(tracker.track(fragments(udp(at, 100), 80, 8)[1]).state).toBe(state)
    }
  })

  test('memory is given back when a datagram times out, is complete or discarded', () => {
    const [other, last] = fragments(udp({ ...at, sport: 2000 }, 100), 80, 8)
    const after = (time: bigint, ...packets: Uint8Array[]) => {
      const tracker = small(2500)
      for (const packet of packets) tracker.track(packet)
      tracker.track(other, { time })
      return tracker.track(last, { time }).state
    }
    const [d, e, f] = fragments(udp(at, 1000), 400, 9)
    expect(after(0n, d, e)).toBeNull()
    expect(after(timeout * SECOND - 1n, d, e)).toBeNull()
    expect(after(timeout * SECOND, d, e)).toBe('NEW')
    expect(after(0n, d, e, f)).toBeNull() // the third was refused: memory was full
    expect(after(0n, a, b, c)).toBe('NEW')
    expect(after(0n, a, fragments(udp(at, 100), 32, 7)[1])).toBe('NEW') // an overlap
  })

  test('the threshold alone decides how much is held, also of fragments that lie badly over the chunks', () => {
    for (const [length, offset] of [[16, 16_376], [11_856, 16_376], [20_040, 16_376], [60_000, 248]]) {
      const total = length + (at === AT ? 20 : 48)
      const cost = total <= 192 ? 832 : 8448 + 4096 * Math.ceil((total - 7808) / 4096)
      const taken = Math.floor(4_194_304 / (cost + (at === AT ? 200 : 184)))
      const tracker = createTracker({ sysctl: { ipfrag_max_dist: 0 } })
      for (let id = 0; id < taken; id++) tracker.track(piece(at, id, offset, length), { time: 0n })
      for (const id of [taken, taken + 1]) tracker.track(piece(at, id, offset, length), { time: SECOND })
      // When the others have timed out, the one that went over the threshold is there and the one behind it is not.
      const rest = (id: number) => [piece(at, id, 0, offset), piece(at, id, offset + length, 8, false)]
      const time = timeout * SECOND
      const states = [...rest(taken), ...rest(taken + 1)].map(packet => tracker.track(packet, { time }).state)
      expect(states).toEqual([null, 'NEW', null, null])
    }
  })

  test('many large datagrams complete in one batch, and their bytes are right', () => {
    const payload = (n: number) => Uint8Array.from({ length: 60_000 }, (_, i) => (i * n ^ i >> 8) & 255)
    const pieces = Array.from({ length: 40 }, (_, n) => fragments(ip(at, 132, sctpInit(n, payload(n + 1))), 30_000, n))
    const packets = [0, 1, 2].flatMap(which => pieces.map(piece => piece[which]).filter(piece => piece !== undefined))
    const sysctl = { ipfrag_max_dist: 0, ipfrag_high_thresh: 2 ** 23, frag6_high_thresh: 2 ** 23 }
    const { state } = createTracker({ sysctl }).trackBatch(packetBatch(packets.map(data => ({ data }))))
    expect([...state.subarray(0, packets.length)].filter(s => STATES[s] === 'NEW')).toHaveLength(40)
  })

  test('an end that contradicts another costs IPv4 the queue and IPv6 the fragment', () => {
    const [first, last] = [piece(at, 1, 0, 64), piece(at, 1, 64, 64, false)]
    const [shorter, longer] = [piece(at, 1, 64, 32, false), piece(at, 1, 128, 64)]
    for (const wrong of [shorter, longer]) {
      expect(verdicts([last, wrong, first]).at(-1)).toBe(at === AT ? 'fragment-held' : 'NEW')
    }
  })

  test('fragments with ECN and fragments without make no datagram, unless they are repetitions', () => {
    expect(verdicts([a, withEcn(b, 2), c]).at(-1)).toBe('fragment-held')
    expect(verdicts([withEcn(a, 1), withEcn(b, 2), withEcn(c, 3)]).at(-1)).toBe('NEW')
    expect(verdicts([a, withEcn(a, 2), b, c]).at(-1)).toBe('NEW')
  })
})

describe('IPv4: the distance between fragments of a datagram', () => {
  const first = fragments(udp(AT, 100), 80, 1)
  const from = (src: string, n: number) =>
    Array.from({ length: n }, (_, i) => fragments(udp({ ...AT, src }, 100), 80, 100 + i)[0])
  const last = (sysctl: Record<string, number>, ...packets: Uint8Array[]) => {
    const tracker = createTracker({ sysctl })
    return packets.map(packet => tracker.track(packet).state).at(-1)
  }

  test('a datagram is begun anew when its source has sent ipfrag_max_dist fragments of others', () => {
    expect(last({ ipfrag_max_dist: 3 }, first[0], ...from(AT.src, 2), first[1])).toBe('NEW')
    expect(last({ ipfrag_max_dist: 3 }, first[0], ...from(AT.src, 3), first[1])).toBeNull()
    expect(last({ ipfrag_max_dist: 3 }, first[0], ...from(AT.src, 3), first[1], first[0])).toBe('NEW')
    expect(last({}, first[0], ...from(AT.src, 63), first[1])).toBe('NEW')
    expect(last({}, first[0], ...from(AT.src, 64), first[1])).toBeNull()
  })

  test('its own fragments and those of other sources do not count, and 0 turns it off', () => {
    expect(last({ ipfrag_max_dist: 1 }, first[0], ...from('192.0.2.9', 50), first[1])).toBe('NEW')
    const [other] = from(AT.src, 1)
    expect(last({ ipfrag_max_dist: 2 }, first[0], other, first[0], other, first[1])).toBe('NEW')
    expect(last({ ipfrag_max_dist: 0 }, first[0], ...from(AT.src, 100), first[1])).toBe('NEW')
  })

  test('begun anew it has all of its time again', () => {
    const tracker = createTracker({ sysctl: { ipfrag_max_dist: 1 } })
    tracker.track(first[0], { time: 0n })
    for (const packet of from(AT.src, 2)) tracker.track(packet, { time: 20n * SECOND })
    tracker.track(first[0], { time: 20n * SECOND })
    expect(tracker.track(first[1], { time: 49n * SECOND }).state).toBe('NEW')
  })
})

describe('sysctls', () => {
  const names = ['ipfrag_time', 'net.ipv4.ipfrag_time', 'net/ipv4/ipfrag_time']
  test.each(names)('%s is how long IPv4 fragments wait', name => {
    const tracker = createTracker({ sysctl: { [name]: 5 } })
    const [first, second] = fragments(udp(AT, 100), 80, 1)
    expect(tracker.track(first, { time: 0n }).state).toBeNull()
    expect(tracker.track(second, { time: 5n * SECOND }).state).toBeNull()
    expect(tracker.track(first, { time: 9n * SECOND }).state).toBe('NEW')
    expect(tracker.sysctl('ipfrag_time')).toBe(5)
  })

  test('a shorter timeout holds for new datagrams, whatever the older ones wait for', () => {
    const tracker = createTracker({ sysctl: { ipfrag_low_thresh: 0, ipfrag_high_thresh: 3000 } })
    const [[first, second], [, rest]] = [2, 1].map(id => fragments(udp(AT, 100), 80, id))
    tracker.track(fragments(udp(AT, 100), 80, 1)[0], { time: 0n })
    tracker.setSysctl('ipfrag_time', 5)
    for (const id of [2, 3]) tracker.track(fragments(udp(AT, 100), 80, id)[0], { time: SECOND })
    expect(tracker.track(second, { time: 6n * SECOND - 1n }).state).toBeNull() // memory is full
    expect([first, second].map(packet => tracker.track(packet, { time: 6n * SECOND }).state)).toEqual([null, 'NEW'])
    expect(tracker.track(rest, { time: 29n * SECOND }).state).toBe('NEW')
  })

  test.each([
    ['net.netfilter.nf_conntrack_ipfrag_time', 1, 'unknown-sysctl'], ['net.ipv4.tcp_loose', 1, 'unknown-sysctl'],
    ['ipfrag_time', -1, 'sysctl-range'], ['ipfrag_time', 8_589_935, 'sysctl-range'],
    ['ipfrag_max_dist', 2 ** 31, 'sysctl-range'],
    ['ipfrag_high_thresh', 3_145_727, 'sysctl-range'], ['frag6_low_thresh', 4_194_305, 'sysctl-range'],
    ['ipfrag_high_thresh', 4_194_305, 'sysctl-range'],
  ])('%s = %d on the way is %s', (name, value, code) => {
    expect(() => createTracker().setSysctl(name, value)).toThrow(expect.objectContaining({ code }))
  })

  test('a low threshold above the high one is refused, as Linux refuses it, and said so', () => {
    expect(() => createTracker({ sysctl: { frag6_high_thresh: 20_000 } }))
      .toThrow('sysctl frag6_high_thresh: 20000 is less than frag6_low_thresh, 3145728')
    const tracker = createTracker({ sysctl: { frag6_high_thresh: 20_000, frag6_low_thresh: 20_000 } })
    tracker.setSysctl('frag6_high_thresh', 4_194_304)
    expect(() => tracker.setSysctl('frag6_high_thresh', 4_194_305)).toThrow('memory for 4194304')
  })

  test('more fragments are held where the tracker is made so', () => {
    const sysctl = { ipfrag_high_thresh: 2 ** 24, ipfrag_max_dist: 0 }
    const held = (tracker: ReturnType<typeof createTracker>) => {
      const datagrams = Array.from({ length: 10_000 }, (_, id) => fragments(udp({ ...AT, sport: id }, 100), 80, id))
      for (const [first] of datagrams) tracker.track(first)
      return tracker.track(datagrams[9999][1]).state
    }
    expect(held(createTracker({ sysctl }))).toBe('NEW')
    expect(held(createTracker({ sysctl: { ipfrag_max_dist: 0 } }))).toBeNull()
  })
})

test('an IPv4 fragment that ends behind the largest datagram is held until the datagram is complete', () => {
  const [first, last] = [piece(AT, 1, 0, 64), piece(AT, 1, 64, 64, false)]
  expect(verdicts([first, piece(AT, 1, 65_528, 64), last, first]).at(-1)).toBe('fragment-held')
  expect(verdicts([piece(AT, 1, 0, 60_000), piece(AT, 1, 60_000, 5515, false)]).at(-1)).toBe('NEW')
  expect(verdicts([piece(AT, 1, 0, 60_000), piece(AT, 1, 60_000, 5516, false)]).at(-1)).toBe('fragment-held')
})

test('an empty IPv4 fragment discards its queue, an empty IPv6 one says where the datagram ends', () => {
  const after = (at: typeof AT, ...pieces: Uint8Array[]) => verdicts([...pieces, piece(at, 1, 64, 64, false)]).at(-1)
  expect(after(AT, piece(AT, 1, 0, 64), piece(AT, 1, 64, 0, false))).toBe('fragment-held')
  expect(verdicts([piece(AT6, 1, 64, 0, false), piece(AT6, 1, 0, 64)]).at(-1)).toBe('NEW')
  expect(after(AT6, piece(AT6, 1, 0, 64), piece(AT6, 1, 64, 0, false))).toBe('fragment-held')
})

test('the only fragment of an IPv6 datagram passes, but not while memory is full', () => {
  const only = piece(AT6, 1, 0, 64, false)
  expect(createTracker().track(only).state).toBe('NEW')
  expect(small(0).track(only).reason).toBe('fragment-held')
})

test('of IPv6 fragments within each other only the outer one is reassembled', () => {
  const inner = piece(AT6, 9, 64, 64, false)
  expect(verdicts([...fragments(inner, 40, 1)]).at(-1)).toBe('INVALID')
  expect(verdicts(fragments(piece(AT6, 9, 0, 64), 8000, 1))).toEqual(['NEW'])
})

test('an IPv6 header that is longer than the packet leaves the protocol nothing', () => {
  const beyond = (next: number) => ip(AT6, 60, Uint8Array.of(next, 1, 1, 4, 0, 0, 0, 0))
  expect([253, 17].map(next => verdicts([beyond(next)])[0])).toEqual(['NEW', 'INVALID'])
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

test('groups that end early for large datagrams change nothing, in batches of any size', () => {
  const packets = Array.from({ length: 60 }, (_, i) => {
    const datagram = udp({ ...AT, sport: 1 + i }, i % 3 ? 60_000 : 500)
    return [...fragments(datagram, i % 2 ? 59_992 : 16_000, i), udp({ ...AT, sport: 1000 + i })]
  }).flat()
  const run = (size: number) => {
    const tracker = createTracker({ sysctl: { ipfrag_high_thresh: 2 ** 23 } })
    const rows: string[] = []
    for (let i = 0; i < packets.length; i += size) {
      const part = packets.slice(i, i + size)
      const { state, reason, connection } = tracker.trackBatch(packetBatch(part.map(data => ({ data }))))
      part.forEach((_, k) => rows.push(`${STATES[state[k]]} ${REASONS[reason[k]]} ${connection[k]}`))
    }
    return rows
  }
  const expected = run(1)
  expect(expected.filter(row => row.startsWith('NEW'))).toHaveLength(120)
  for (const size of [2, 13, 64, 256]) expect(run(size)).toEqual(expected)
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

/** What both families may hold. */
const HIGH = ['ipfrag_high_thresh', 'frag6_high_thresh'] as const

/** A tracker that holds fragments of so many bytes only. */
function small(bytes: number) {
  return createTracker({ sysctl: { ipfrag_low_thresh: 0, frag6_low_thresh: 0, [HIGH[0]]: bytes, [HIGH[1]]: bytes } })
}

/** A fragment of a datagram of protocol 253. */
function piece(at: typeof AT, id: number, offset: number, length: number, more = true): Uint8Array {
  const v6 = at === AT6
  const [packet] = fragments(ip(at, 253, new Uint8Array(length || 1)), 65_528, id)
  const cut = packet.slice(0, (v6 ? 48 : 20) + length)
  const view = new DataView(cut.buffer)
  view.setUint16(v6 ? 4 : 2, cut.length - (v6 ? 40 : 0))
  view.setUint16(v6 ? 42 : 6, v6 ? offset | (more ? 1 : 0) : offset >> 3 | (more ? 0x2000 : 0))
  return v6 ? cut : recount(cut)
}

function withEcn(packet: Uint8Array, ecn: number): Uint8Array {
  const changed = packet.slice()
  changed[1] |= packet[0] >> 4 === 6 ? ecn << 4 : ecn
  return packet[0] >> 4 === 6 ? changed : recount(changed)
}

/** An SCTP packet with an INIT chunk: its CRC32c (RFC 9260, appendix A) knows the order of the bytes. */
function sctpInit(port: number, parameters: Uint8Array): Uint8Array {
  const packet = new Uint8Array(32 + parameters.length)
  const view = new DataView(packet.buffer)
  view.setUint16(0, 1000 + port)
  view.setUint16(2, 80)
  view.setUint8(12, 1)
  view.setUint16(14, 20 + parameters.length)
  view.setUint32(16, 1)
  view.setUint32(20, 65535)
  view.setUint16(24, 1)
  view.setUint16(26, 1)
  packet.set(parameters, 32)
  let crc = 0xffffffff
  for (const byte of packet) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  view.setUint32(8, ~crc >>> 0, true)
  return packet
}

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

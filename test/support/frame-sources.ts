/**
 * Packets that nobody would send: random bytes, and packets with structure that were damaged and wrapped in whatever link
 * layers there are. One frame after the other, with a time.
 */
import { tcp, udp } from './build.js'
import { PacketGenerator } from './generator.js'
import { Random } from './random.js'

export interface Frame {
  readonly data: Uint8Array
  readonly time: bigint
  readonly linkType: number
  readonly originalLength: number
}

/** Makes one frame after the other. */
export type Source = () => Frame

const LINK_TYPES = [0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 228, 229, 276]

/** A clock that mostly ticks, sometimes jumps over timeouts, and sometimes goes back. */
function clock(random: Random): () => bigint {
  let now = 1_700_000_000_000_000_000n
  return () => {
    if (random.chance(400)) now += BigInt(random.below(200)) * 1_000_000_000n
    else if (random.chance(50)) return now - BigInt(random.below(1_000_000_000))
    now += BigInt(random.below(3_000_000))
    return now
  }
}

function originalLength(random: Random, captured: number): number {
  if (!random.chance(8)) return captured
  return random.pick([0, captured + 1, captured + random.below(2000), 0xffffffff])
}

/** Random bytes. Half begin like an IP packet behind their link header, or they would all be "not IP". */
function noise(seed: number): Source {
  const random = new Random(seed)
  const tick = clock(random)
  return () => {
    const data = new Uint8Array(random.chance(200) ? random.below(70_000) : random.below(random.pick([4, 24, 64, 200])))
    for (let i = 0; i < Math.min(data.length, 300); i++) data[i] = random.next()
    const linkType = random.chance(16) ? random.below(65_536) : random.pick(LINK_TYPES)
    if (random.chance(2)) resembleIp(random, data, ({ 1: 14, 113: 16, 276: 20 })[linkType] ?? 0)
    return { data, linkType, time: tick(), originalLength: originalLength(random, data.length) }
  }
}

function resembleIp(random: Random, data: Uint8Array, at: number): void {
  if (data.length < at + 40) return
  const v6 = random.chance(2)
  if (at >= 14) data.set(v6 ? [0x86, 0xdd] : [8, 0], at === 20 ? 0 : at - 2)
  data[at] = v6 ? 0x60 : random.pick([0x45, 0x45, 0x46, 0x4f])
  const length = data.length - at - (v6 ? 40 : 0)
  data.set([length >> 8, length & 255], at + (v6 ? 4 : 2))
  const protocol = random.pick([0, 1, 6, 6, 17, 43, 44, 47, 51, 58, 59, 60, 132, 136, 255])
  if (v6) data[at + 6] = protocol
  else data.set([0, 0, 64, protocol], at + 6)
}

/** Packets of the generator: whole or damaged, in any wrapping. */
function damaged(seed: number): Source {
  const random = new Random(seed)
  const tick = clock(random)
  const generator = new PacketGenerator(seed, { conversations: 40 })
  return () => {
    const { data, linkType } = wrap(random, generator.next())
    const changed = random.chance(3) ? damage(random, data) : data
    return { data: changed, linkType, time: tick(), originalLength: originalLength(random, changed.length) }
  }
}

export function mixed(seed: number): Source {
  const random = new Random(seed)
  const [random1, random2] = [noise(seed), damaged(seed)]
  return () => random.chance(8) ? random1() : random2()
}

/** Thousands of connections in both directions, a millisecond apart, so that few expire; other packets in between. */
export function flood(seed: number): Source {
  const random = new Random(seed)
  const other = mixed(seed)
  let time = 1_700_000_000_000_000_000n
  return () => {
    time += 1_000_000n
    const frame = { ...other(), time }
    if (random.chance(4)) return frame
    const [src, dst, sport, dport] = ['10.7.0.1', '10.7.0.2', random.below(3000), 53]
    const back = { src: dst, dst: src, sport: dport, dport: sport }
    const data = udp(random.chance(3) ? back : { src, dst, sport, dport }, 0)
    return { ...frame, data, linkType: 101, originalLength: data.length }
  }
}

/** Every 2000 packets three connections that become ASSURED at once: a table of three refuses others then. */
export function occupied(seed: number): Source {
  const other = mixed(seed)
  let made = 0
  return () => {
    const frame = other()
    const step = made++ % 2000
    if (step >= 9) return frame
    const [src, dst, sport, dport] = ['10.8.0.1', '10.8.0.2', 1000 + Math.floor(step / 3), 80]
    const back = { src: dst, dst: src, sport: dport, dport: sport }
    const data = step % 3 === 1
      ? tcp(back, { flags: 'A', seq: 500, ack: 100 })
      : tcp({ src, dst, sport, dport }, { flags: 'A', seq: 100, ack: 500 })
    return { ...frame, data, linkType: 101, originalLength: data.length }
  }
}

function damage(random: Random, packet: Uint8Array): Uint8Array {
  switch (random.below(4)) {
    case 0: return packet.slice(0, random.below(packet.length + 1))
    case 1: {
      const longer = new Uint8Array(packet.length + random.below(100))
      longer.set(packet)
      return longer
    }
    default: {
      const flipped = Uint8Array.from(packet)
      const headers = Math.min(flipped.length, 120)
      for (let n = random.below(4); n >= 0; n--) flipped[random.below(headers)] ^= 1 << random.below(8)
      return flipped
    }
  }
}

type Wrapping = (random: Random, v6: boolean) => { readonly header: readonly number[]; readonly linkType: number }

const macs = (random: Random) => Array.from({ length: 12 }, () => random.below(256))
const ethertype = (v6: boolean) => v6 ? [0x86, 0xdd] : [8, 0]
const ppp = (v6: boolean) => v6 ? [0, 0x57] : [0, 0x21]
const tag = (random: Random) => [random.below(256), random.below(256)]
const label = (random: Random, bottom: boolean) => [...tag(random), random.below(128) * 2 + Number(bottom), 64]
const vlan = (random: Random) => [0x81, 0, ...tag(random)]
/** Ethertype, and the header up to the PPP protocol. */
const PPPOE = [0x88, 0x64, 0x11, 0, 0, 5, 0, 60]

const WRAPPINGS: readonly Wrapping[] = [
  () => ({ header: [], linkType: 101 }),
  (_, v6) => ({ header: [], linkType: v6 ? 229 : 228 }),
  (random, v6) => ({ header: [...macs(random), ...ethertype(v6)], linkType: 1 }),
  // VLAN, QinQ
  (random, v6) => ({ header: [...macs(random), ...vlan(random), ...ethertype(v6)], linkType: 1 }),
  (random, v6) => ({
    header: [...macs(random), 0x88, 0xa8, ...tag(random), ...vlan(random), ...ethertype(v6)], linkType: 1,
  }),
  // PPPoE over Ethernet, over a VLAN, and by itself; PPP
  (random, v6) => ({ header: [...macs(random), ...PPPOE, ...ppp(v6)], linkType: 1 }),
  (random, v6) => ({ header: [...macs(random), ...vlan(random), ...PPPOE, ...ppp(v6)], linkType: 1 }),
  (_, v6) => ({ header: [...PPPOE.slice(2), ...ppp(v6)], linkType: 51 }),
  (_, v6) => ({ header: [0xff, 3, ...ppp(v6)], linkType: 9 }),
  // MPLS
  random => ({ header: [...macs(random), 0x88, 0x47, ...label(random, true)], linkType: 1 }),
  random => ({ header: [...macs(random), 0x88, 0x48, ...label(random, false), ...label(random, true)], linkType: 1 }),
  // SLL, SLL2
  (random, v6) => ({ header: [0, 0, 0, 1, 0, 6, ...macs(random).slice(0, 8), ...ethertype(v6)], linkType: 113 }),
  (random, v6) => ({
    header: [...ethertype(v6), 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, ...macs(random).slice(0, 8)], linkType: 276,
  }),
  // NULL in either byte order, LOOP
  (random, v6) => ({ header: [v6 ? random.pick([10, 24, 28, 30]) : 2, 0, 0, 0], linkType: 0 }),
  (random, v6) => ({ header: [0, 0, 0, v6 ? random.pick([10, 24, 28, 30]) : 2], linkType: 0 }),
  (_, v6) => ({ header: [0, 0, 0, v6 ? 24 : 2], linkType: 108 }),
]

export function wrap(random: Random, packet: Uint8Array): { data: Uint8Array; linkType: number } {
  const { header, linkType } = random.pick(WRAPPINGS)(random, packet[0] >> 4 === 6)
  const data = new Uint8Array(header.length + packet.length)
  data.set(header)
  data.set(packet, header.length)
  return { data, linkType }
}

/**
 * Random packets with structure: a few hosts that talk over a few connections, mostly by the rules. What comes next
 * knows what came before, so that the deep states are reached: TCP numbers are right, slightly off or far off; ICMP
 * errors quote packets that were sent, whole, cut or changed.
 */
import { fragments, icmp, icmpError, isFragment, type Endpoints } from './build.js'
import { odd } from './odd.js'
import { Random } from './random.js'
import { talkGeneric, talkGre, talkIcmp, talkUdp, talkUdpLite, type Talk, type Talker } from './talk.js'
import { talkSctp } from './talk-sctp.js'
import { talkTcp } from './talk-tcp.js'

const HOSTS4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
const HOSTS6 = ['2001:db8:a::1', '2001:db8:b::2', '2001:db8:c::3']

/** Who talks, and how often against the others. */
const TALKERS = {
  tcp: { weight: 6, talker: talkTcp },
  udp: { weight: 2, talker: talkUdp },
  udplite: { weight: 1, talker: talkUdpLite },
  icmp: { weight: 2, talker: talkIcmp },
  sctp: { weight: 4, talker: talkSctp },
  gre: { weight: 1, talker: talkGre },
  generic: { weight: 1, talker: talkGeneric },
} satisfies Record<string, { weight: number; talker: Talker }>

/** Protocols that talk, and what may be done with what they say: errors about it, fragments of it, odd headers. */
export const KINDS = [...Object.keys(TALKERS) as (keyof typeof TALKERS)[], 'error', 'fragment', 'odd'] as const
export type Kind = (typeof KINDS)[number]

export interface GeneratorOptions {
  /** Default: all. */
  readonly kinds?: readonly Kind[]
  /** Conversations that go on at a time. Default 12. */
  readonly conversations?: number
  /** Datagrams of which a fragment may stay missing. Default: any number. */
  readonly incomplete?: number
}

/** An endless source of packets. */
export class PacketGenerator {
  readonly #random: Random
  readonly #kinds: ReadonlySet<Kind>
  readonly #talkers: readonly Talker[]
  readonly #talks: Talk[] = []
  readonly #sent: Uint8Array[] = []
  /** Fragments that are still to come. */
  #pieces: Uint8Array[] = []
  #incomplete: number

  constructor(seed: number, { kinds = KINDS, conversations = 12, incomplete = Infinity }: GeneratorOptions = {}) {
    this.#random = new Random(seed)
    this.#kinds = new Set(kinds)
    this.#incomplete = incomplete
    this.#talkers = Object.entries(TALKERS).flatMap(([name, { weight, talker }]) => (
      kinds.includes(name as Kind) ? Array<Talker>(weight).fill(talker) : []
    ))
    for (let i = 0; i < conversations; i++) this.#talks.push(this.#converse())
  }

  /** The next packet. */
  next(): Uint8Array {
    const packet = this.#piece() ?? this.#make()
    if (this.#may('fragment', 25) && packet.length > 60 && !isFragment(packet)) {
      this.#pieces = this.#fragment(packet)
      return this.#piece() ?? packet
    }
    this.#sent.push(packet)
    if (this.#sent.length > 64) this.#sent.shift()
    return packet
  }

  #may(kind: Kind, oneIn: number): boolean {
    return this.#kinds.has(kind) && this.#random.chance(oneIn)
  }

  /** A fragment that is still to come; now and then something else comes between. */
  #piece(): Uint8Array | undefined {
    return this.#random.chance(5) ? undefined : this.#pieces.shift()
  }

  /** A packet in fragments: in order or not, some twice, some overlapping, some missing. */
  #fragment(packet: Uint8Array): Uint8Array[] {
    const random = this.#random
    const size = 8 * (1 + random.below(6))
    const id = random.next()
    const extended = packet[0] >> 4 === 6 && [0, 43, 60].includes(packet[6]) && packet[41] === 0
    const kept = Number(extended && random.chance(2))
    const pieces = fragments(packet, size, id, kept)
    if (random.chance(3)) pieces.reverse()
    if (this.#incomplete <= 0) return pieces
    const whole = pieces.length
    if (random.chance(6)) pieces.push(random.pick(pieces))
    if (pieces.length > 1 && random.chance(6)) pieces.splice(random.below(pieces.length), 1)
    const others = fragments(packet, size + 8, id, kept)
    if (random.chance(6)) pieces.splice(random.below(pieces.length), 0, random.pick(others))
    if (random.chance(12)) pieces.push(odd(random, random.pick(pieces)))
    if (pieces.length !== whole) this.#incomplete--
    return pieces
  }

  #converse(): Talk {
    const random = this.#random
    const hosts = random.chance(4) ? HOSTS6 : HOSTS4
    const a = random.below(3)
    const [src, dst] = [hosts[a], hosts[(a + 1 + random.below(2)) % 3]]
    const [sport, dport] = [1000 + random.below(4), 80 + random.below(2)]
    // Now and then with oneself, even from a port to the same.
    const self: Endpoints = { src, dst: src, sport, dport: random.pick([sport, dport]) }
    return random.pick(this.#talkers)(random, random.chance(50) ? self : { src, dst, sport, dport })
  }

  #make(): Uint8Array {
    const random = this.#random
    const i = random.below(this.#talks.length)
    if (random.chance(40)) this.#talks[i] = this.#converse()
    const error = this.#sent.length > 0 && this.#may('error', 12)
    const packet = error ? this.#error() : this.#talks[i]()
    return this.#may('odd', 10) ? odd(random, packet) : packet
  }

  /** An ICMP error about something that was sent, to its sender or to somebody else. */
  #error(): Uint8Array {
    const random = this.#random
    const quoted = Uint8Array.from(random.pick(this.#sent))
    const v6 = quoted[0] >> 4 === 6
    const [hosts, router] = v6 ? [HOSTS6, '2001:db8:f::254'] : [HOSTS4, '10.0.0.254']
    const sender6 = () => hosts.find(host => sameAddress(host, quoted.subarray(8, 24)))
    const sender = v6 ? sender6() : quoted.subarray(12, 16).join('.')
    const at = { src: router, dst: random.chance(8) || !sender ? random.pick(hosts) : sender }
    if (random.chance(10)) quoted[random.below(quoted.length)] ^= 1 << random.below(8)
    const length = random.pick([quoted.length, v6 ? 48 : 28, v6 ? 44 : 24, 23, 39, 64])
    if (v6 && random.chance(8)) return redirect(random, at.dst, quoted.subarray(0, length))
    const type = v6 ? random.pick([1, 2, 3, 4]) : random.pick([3, 4, 5, 11, 12])
    return icmpError(at, type, random.below(4), quoted, length)
  }
}

/** An ICMPv6 redirect (RFC 4861, section 4.5), link-local with hop limit 255 as it must be, or not. */
function redirect(random: Random, dst: string, quoted: Uint8Array): Uint8Array {
  const units = Math.ceil(quoted.length / 8) + 1
  const option = [random.chance(8) ? 2 : 4, random.chance(8) ? 0 : units, 0, 0, 0, 0, 0, 0, ...quoted]
  const src = random.chance(6) ? '2001:db8:f::254' : 'fe80::1'
  const packet = icmp({ src, dst }, 137, random.chance(8) ? 1 : 0, [...Array<number>(36).fill(0), ...option])
  if (!random.chance(6)) packet[7] = 255
  return packet
}

/** Compares the last byte and the third group, in which the hosts differ. */
function sameAddress(host: string, bytes: Uint8Array): boolean {
  return bytes[15] === Number(host.at(-1)) && bytes[5] === 'abc'.indexOf(host.split(':')[2]) + 10
}

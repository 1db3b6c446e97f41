/**
 * Random packets with structure: a few hosts that talk over a few connections, mostly by the rules. What comes next
 * knows what came before, so that the deep states are reached: TCP numbers are right, slightly off or far off; ICMP
 * errors quote packets that were sent, whole, cut or changed.
 */
import { fragments, icmp, icmpError, isFragment, tcp, udp, type Endpoints } from './build.js'
import { Random } from './random.js'

const HOSTS4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
const HOSTS6 = ['2001:db8:a::1', '2001:db8:b::2', '2001:db8:c::3']
const FLAGS = ['S', 'SA', 'A', 'A', 'A', 'PA', 'PA', 'FA', 'FA', 'R', 'RA', 'S', 'SA', 'F', '', 'SF', 'PAU', 'SR']
const OPTIONS: readonly (readonly number[])[] = [
  [], [], [2, 4, 5, 180], [2, 4, 5, 180, 4, 2, 1, 1], [2, 4, 5, 180, 1, 3, 3, 7], [4, 2, 3, 3, 2], [3, 3, 20],
  [8, 10, 0, 0, 0, 1, 0, 0, 0, 0], [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0], [5, 2], [3, 0], [0, 4, 2],
]

/** One side of a conversation, as the generator thinks it stands. */
interface Side {
  at: Endpoints
  next: number
  acked: number
}

/** An endless source of packets. */
export class PacketGenerator {
  readonly #random: Random
  readonly #conversations: { kind: 'tcp' | 'udp' | 'echo'; sides: [Side, Side]; step: number }[] = []
  readonly #sent: Uint8Array[] = []
  /** Fragments that are still to come. */
  #pieces: Uint8Array[] = []

  /** @param conversations that go on at a time */
  constructor(seed: number, conversations = 12) {
    this.#random = new Random(seed)
    for (let i = 0; i < conversations; i++) this.#conversations.push(this.#converse())
  }

  /** The next packet. */
  next(): Uint8Array {
    const packet = this.#piece() ?? this.#make()
    if (packet.length > 60 && !isFragment(packet) && this.#random.chance(25)) {
      this.#pieces = this.#fragment(packet)
      return this.#piece() ?? packet
    }
    this.#sent.push(packet)
    if (this.#sent.length > 64) this.#sent.shift()
    return packet
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
    const pieces = fragments(packet, size, id)
    if (random.chance(3)) pieces.reverse()
    if (random.chance(6)) pieces.push(random.pick(pieces))
    if (random.chance(6)) pieces.splice(random.below(pieces.length), 1)
    if (random.chance(6)) pieces.splice(random.below(pieces.length), 0, random.pick(fragments(packet, size + 8, id)))
    return pieces
  }

  #converse() {
    const random = this.#random
    const hosts = random.chance(4) ? HOSTS6 : HOSTS4
    const a = random.below(3)
    const [src, dst] = [hosts[a], hosts[(a + 1 + random.below(2)) % 3]]
    const [sport, dport] = [1000 + random.below(4), 80 + random.below(2)]
    const kind = random.pick(['tcp', 'tcp', 'tcp', 'tcp', 'udp', 'echo'] as const)
    const isn = () => random.chance(3) ? 0xfffff000 + random.below(0x2000) >>> 0 : random.next()
    const sides: [Side, Side] = [
      { at: { src, dst, sport, dport }, next: isn(), acked: 0 },
      { at: { src: dst, dst: src, sport: dport, dport: sport }, next: isn(), acked: 0 },
    ]
    return { kind, sides, step: 0 }
  }

  #make(): Uint8Array {
    const random = this.#random
    const i = random.below(this.#conversations.length)
    if (random.chance(40)) this.#conversations[i] = this.#converse()
    if (this.#sent.length > 0 && random.chance(12)) return this.#error()
    const conversation = this.#conversations[i]
    const side = random.below(2)
    if (conversation.kind === 'udp') return udp(conversation.sides[side].at, random.below(20))
    if (conversation.kind === 'echo') return this.#echo(conversation.sides[side].at)
    return conversation.step < 3 && !random.chance(6) ? this.#handshake(conversation) : this.#segment(conversation, side)
  }

  #handshake(conversation: { sides: [Side, Side]; step: number }): Uint8Array {
    const random = this.#random
    const [client, server] = conversation.sides
    const step = conversation.step++
    const window = random.pick([0, 1000, 5000, 65535])
    const options = random.pick(OPTIONS)
    if (step === 0) return tcp(client.at, { flags: 'S', seq: client.next++, window, options })
    if (step === 1) return tcp(server.at, { flags: 'SA', seq: server.next++, ack: client.next, window, options })
    return tcp(client.at, { flags: 'A', seq: client.next, ack: server.next, window })
  }

  #segment(conversation: { sides: [Side, Side]; step: number }, from: number): Uint8Array {
    const random = this.#random
    const sender = conversation.sides[from]
    const receiver = conversation.sides[1 - from]
    const proper = !random.chance(4)
    const flags = proper ? random.pick(['A', 'A', 'PA', 'PA', 'FA', 'R']) : random.pick(FLAGS)
    const payload = flags.includes('P') ? random.pick([1, 10, 500, 1400]) : 0
    const seq = sender.next + (proper ? 0 : random.pick([-1, 1, -500, 500, 70_000, -70_000, 5_000_000]))
    const ack = receiver.next + (proper ? -random.pick([0, 0, 0, 1, 500]) : random.pick([0, 1, -1, 2000, -67_000, 9_000_000]))
    if (proper) sender.next += payload + (flags.includes('F') ? 1 : 0)
    if (flags.includes('R') || random.chance(60)) conversation.step = 0
    return tcp(sender.at, {
      flags, seq, ack: flags.includes('A') || random.chance(2) ? ack : 0, payload,
      window: random.pick([0, 1, 100, 1000, 5000, 65535]), options: this.#options(receiver),
    })
  }

  /** Timestamps, or SACK blocks about what the other side sent. */
  #options(receiver: Side): readonly number[] {
    const random = this.#random
    if (!random.chance(5)) return random.chance(3) ? OPTIONS[8] : []
    const edge = (by: number) => {
      const value = receiver.next + by >>> 0
      return [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255]
    }
    return [1, 1, 5, 10, ...edge(-1000), ...edge(random.pick([0, 1, -500, 800]))]
  }

  #echo(at: Endpoints): Uint8Array {
    const random = this.#random
    const v6 = at.src.includes(':')
    const types = v6 ? [128, 128, 129, 129, 135, 143, 100, 200] : [8, 8, 0, 0, 13, 14, 9, 30]
    return icmp(at, random.pick(types), random.chance(8) ? 1 : 0, [0, random.below(2), 0, random.below(5), 1, 2, 3])
  }

  /** An ICMP error about something that was sent, to its sender or to somebody else. */
  #error(): Uint8Array {
    const random = this.#random
    const quoted = Uint8Array.from(random.pick(this.#sent))
    const v6 = quoted[0] >> 4 === 6
    const [hosts, router] = v6 ? [HOSTS6, '2001:db8:f::254'] : [HOSTS4, '10.0.0.254']
    const sender = v6 ? hosts.find(host => sameAddress(host, quoted.subarray(8, 24))) : quoted.subarray(12, 16).join('.')
    const dst = random.chance(8) || !sender ? random.pick(hosts) : sender
    if (random.chance(10)) quoted[random.below(quoted.length)] ^= 1 << random.below(8)
    const type = v6 ? random.pick([1, 2, 3, 4]) : random.pick([3, 4, 5, 11, 12])
    const length = random.pick([quoted.length, v6 ? 48 : 28, v6 ? 44 : 24, 23, 39, 64])
    return icmpError({ src: router, dst }, type, random.below(4), quoted, length)
  }
}

/** Compares the last byte and the third group, in which the hosts differ. */
function sameAddress(host: string, bytes: Uint8Array): boolean {
  return bytes[15] === Number(host.at(-1)) && bytes[5] === 'abc'.indexOf(host.split(':')[2]) + 10
}

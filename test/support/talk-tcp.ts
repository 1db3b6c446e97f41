/**
 * TCP conversations for the generator: mostly by the rules, and where they are not, often at the very edge of what the
 * window check lets pass.
 */
import { tcp, type Endpoints, type TcpFields } from './build.js'
import type { Random } from './random.js'
import { reversed, type Talker } from './talk.js'

const FLAGS = [
  'S', 'SA', 'A', 'A', 'A', 'PA', 'PA', 'FA', 'FA', 'R', 'RA', 'S', 'SA', 'F', '', 'SF', 'PAU', 'SR', 'SEC', 'FPUA',
]
const SYN_OPTIONS: readonly (readonly number[])[] = [
  [], [], [2, 4, 5, 180], [2, 4, 5, 180, 4, 2, 1, 1], [2, 4, 5, 180, 1, 3, 3, 7], [4, 2, 3, 3, 2], [3, 3, 20],
  [3, 3, 14], [8, 10, 0, 0, 0, 1, 0, 0, 0, 0], [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0], [5, 2], [3, 0], [0, 4, 2],
  [3, 3], [4, 2, 4],
]
const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]

/** An ACK may be older than what was sent by this much at least (Linux). */
const ACK_SLACK = 66_000

/** One side, as the conversation thinks it stands. */
interface Side {
  readonly at: Endpoints
  next: number
  /** The largest window it offered, and up to where the last one goes. */
  largest: number
  edge: number
  scale: number
  /** What it sent last. */
  last: Uint8Array | null
}

export const talkTcp: Talker = (random, at) => {
  const talk = new TcpTalk(random, at)
  return () => talk.next()
}

class TcpTalk {
  readonly #random: Random
  readonly #client: Side
  readonly #server: Side
  #step = 0

  constructor(random: Random, at: Endpoints) {
    this.#random = random
    ;[this.#client, this.#server] = [at, reversed(at)].map(at => (
      { at, next: this.#isn(), largest: 0, edge: 0, scale: 0, last: null }
    ))
  }

  next(): Uint8Array {
    const random = this.#random
    if (this.#step < 3 && !random.chance(6)) return this.#handshake()
    const [sender, receiver] = random.chance(2) ? [this.#client, this.#server] : [this.#server, this.#client]
    if (sender.last && random.chance(10)) return sender.last
    return this.#segment(sender, receiver)
  }

  #isn(): number {
    return this.#random.chance(3) ? 0xfffff000 + this.#random.below(0x2000) >>> 0 : this.#random.next()
  }

  #handshake(): Uint8Array {
    const [client, server] = [this.#client, this.#server]
    const step = this.#step++
    if (step === 0) return this.#syn(client, server, 'S')
    // Now and then both open at once.
    if (step === 1) return this.#syn(server, client, this.#random.chance(12) ? 'S' : 'SA')
    return this.#send(client, server, { flags: 'A', seq: client.next, ack: server.next })
  }

  #syn(sender: Side, receiver: Side, flags: string): Uint8Array {
    const random = this.#random
    const options = random.pick(SYN_OPTIONS)
    sender.scale = options.join().includes('3,3,7') ? 7 : options.join().includes('3,3,2') ? 2 : 0
    const payload = random.chance(20) ? 100 : 0
    const ecn = random.chance(10) ? 'EC' : ''
    const seq = sender.next++
    const ack = flags === 'SA' ? receiver.next : 0
    return this.#send(sender, receiver, { flags: flags + ecn, seq, ack, options, payload })
  }

  #segment(sender: Side, receiver: Side): Uint8Array {
    const random = this.#random
    const proper = !random.chance(4)
    const flags = proper ? random.pick(['A', 'A', 'A', 'PA', 'PA', 'PA', 'FA', 'R']) : random.pick(FLAGS)
    const payload = flags.includes('P') ? random.pick([1, 10, 500, 1400]) : 0
    const seq = proper ? sender.next : this.#strangeSequence(sender, receiver, payload)
    const number = proper ? receiver.next - random.pick([0, 0, 0, 1, 500]) : this.#strangeAck(sender, receiver)
    if (proper) sender.next += payload + (flags.includes('F') ? 1 : 0)
    if (flags.includes('R') || random.chance(60)) this.#again()
    const ack = flags.includes('A') || random.chance(2) ? number : 0
    return this.#send(sender, receiver, { flags, seq, ack, payload, options: this.#options(receiver) })
  }

  /** The endpoints open once more, with numbers near the old ones or with others. */
  #again(): void {
    this.#step = 0
    for (const side of [this.#client, this.#server]) {
      if (this.#random.chance(3)) side.next += this.#random.pick([1, -1, 1000, -1000, 100_000])
      else if (this.#random.chance(3)) side.next = this.#isn()
    }
  }

  /** Beside the next number, or at the edge of what is too new or too old. */
  #strangeSequence(sender: Side, receiver: Side, payload: number): number {
    const random = this.#random
    const beside = sender.next + random.pick([-1, 1, -500, 500, 70_000, -70_000, 5_000_000])
    const upper = receiver.edge + random.pick([-1, 0, 1, receiver.largest, receiver.largest + 1])
    const lower = sender.next - receiver.largest + random.pick([-1, 0, 1])
    return random.pick([beside, beside, upper, upper - payload, lower, lower - payload])
  }

  #strangeAck(sender: Side, receiver: Side): number {
    const random = this.#random
    const old = Math.max(sender.largest, ACK_SLACK)
    const edges = receiver.next - random.pick([old, ACK_SLACK]) + random.pick([-1, 0, 1])
    return random.pick([edges, receiver.next + random.pick([0, 0, 1, -1, 2000, -67_000, 9_000_000])])
  }

  /** Timestamps, or SACK blocks about what the other side sent. */
  #options(receiver: Side): readonly number[] {
    const random = this.#random
    if (!random.chance(5)) return random.chance(3) ? TIMESTAMPS : []
    const edge = (by: number) => {
      const value = receiver.next + by >>> 0
      return [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255]
    }
    return [1, 1, 5, 10, ...edge(-1000), ...edge(random.pick([0, 1, -500, 800]))]
  }

  #send(sender: Side, receiver: Side, fields: TcpFields): Uint8Array {
    const window = this.#random.pick([0, 1, 100, 1000, 5000, 65535])
    const scale = receiver.scale && !fields.flags.includes('S') ? sender.scale : 0
    const bytes = window * 2 ** scale
    sender.largest = Math.max(sender.largest, bytes)
    sender.edge = (fields.ack ?? 0) + bytes
    sender.last = tcp(sender.at, { ...fields, window })
    return sender.last
  }
}

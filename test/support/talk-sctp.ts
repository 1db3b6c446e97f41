/**
 * SCTP conversations for the generator: an association from INIT to SHUTDOWN COMPLETE, with other chunks, other tags,
 * bundles and broken lengths thrown in.
 */
import type { Endpoints } from './build.js'
import type { Random } from './random.js'
import { CHUNK_TYPES, initChunk, sctp, type Chunk } from './sctp.js'
import { reversed, type Talker } from './talk.js'

type ChunkName = keyof typeof CHUNK_TYPES
const NAMES = Object.keys(CHUNK_TYPES) as ChunkName[]

/** Who opens says 0; from 4 on they talk until somebody closes. */
type Line = readonly [0 | 1, ChunkName]
const OPENING: readonly Line[] = [[0, 'INIT'], [1, 'INIT_ACK'], [0, 'COOKIE_ECHO'], [1, 'COOKIE_ACK']]
const CLOSING: readonly Line[] = [[0, 'SHUTDOWN'], [1, 'SHUTDOWN_ACK'], [0, 'SHUTDOWN_COMPLETE']]
const TALKING: readonly ChunkName[] = ['DATA', 'DATA', 'SACK', 'HEARTBEAT', 'HEARTBEAT_ACK', 'ERROR']
/** May share a packet with others. */
const BUNDLED: readonly ChunkName[] = ['DATA', 'SACK', 'COOKIE_ECHO', 'COOKIE_ACK', 'HEARTBEAT', 'ERROR']

interface Side {
  readonly at: Endpoints
  /** What packets to this side carry. */
  tag: number
}

export const talkSctp: Talker = (random, at) => {
  const talk = new SctpTalk(random, at)
  return () => talk.next()
}

class SctpTalk {
  readonly #random: Random
  readonly #sides: readonly [Side, Side]
  #step = 0
  #closer: 0 | 1 = 0

  constructor(random: Random, at: Endpoints) {
    this.#random = random
    this.#sides = [{ at, tag: random.next() }, { at: reversed(at), tag: random.next() }]
  }

  next(): Uint8Array {
    const random = this.#random
    if (random.chance(4)) return this.#stray()
    if (this.#step < OPENING.length) return this.#say(...OPENING[this.#step++])
    const closing = this.#step - OPENING.length - 1
    if (closing >= 0 && closing < CLOSING.length) {
      this.#step++
      const [who, what] = CLOSING[closing]
      return this.#say(this.#closer ? 1 - who as 0 | 1 : who, what)
    }
    if (closing >= CLOSING.length) this.#again()
    else if (random.chance(10)) this.#close()
    return this.#say(random.below(2) as 0 | 1, random.chance(20) ? 'ABORT' : random.pick(TALKING))
  }

  #close(): void {
    this.#step++
    this.#closer = this.#random.below(2) as 0 | 1
  }

  /** From the start, with the tags of before or with others. */
  #again(): void {
    this.#step = 0
    for (const side of this.#sides) if (this.#random.chance(2)) side.tag = this.#random.next()
  }

  /** By the rules. */
  #say(from: 0 | 1, name: ChunkName): Uint8Array {
    const random = this.#random
    const [sender, peer] = [this.#sides[from], this.#sides[1 - from]]
    const chunks = [this.#chunk(name, sender)]
    if (BUNDLED.includes(name) && random.chance(3)) chunks.push(this.#chunk(random.pick(['DATA', 'SACK']), sender))
    return sctp(sender.at, name === 'INIT' ? 0 : peer.tag, chunks)
  }

  /** Any chunks of either side, with a right or a wrong tag; sometimes cut, sometimes with a wrong length or CRC. */
  #stray(): Uint8Array {
    const random = this.#random
    const from = random.below(2)
    const [sender, peer] = [this.#sides[from], this.#sides[1 - from]]
    const tag = random.pick([peer.tag, peer.tag, peer.tag, sender.tag, 0, peer.tag + 1 >>> 0])
    if (random.chance(30)) sender.tag = random.next()
    const chunks = Array.from({ length: random.pick([0, 1, 1, 1, 1, 1, 2, 2, 3]) }, () => this.#strayChunk(sender))
    const packet = sctp(sender.at, tag, chunks, random.chance(8) ? 1 + random.below(16) : 0)
    if (random.chance(12)) packet[packet.length - 1] ^= 1
    return packet
  }

  #strayChunk(sender: Side): Chunk {
    const random = this.#random
    if (random.chance(15)) return { type: random.pick([12, 13, 15, 32, 64, 128, 129, 192, 255]), body: [1, 2, 3] }
    const chunk = this.#chunk(random.pick(NAMES), sender)
    const flags = random.chance(4) ? random.pick([1, 255]) : 0
    if (!random.chance(12)) return { ...chunk, flags }
    const length = (chunk.body?.length ?? 0) + 4
    return { ...chunk, flags, length: random.pick([0, 1, 3, 4, length + 1, length + 4, 4000]) }
  }

  #chunk(name: ChunkName, { tag }: Side): Chunk {
    const type = CHUNK_TYPES[name]
    const random = this.#random
    const strange = random.chance(20) ? random.pick([0, tag + 1 >>> 0]) : tag
    if (name === 'INIT' || name === 'INIT_ACK') return initChunk(type, strange)
    const length = name === 'DATA' ? 13 + random.below(20) : name === 'SACK' ? 12 : 8
    const empty = name === 'COOKIE_ACK' || name.startsWith('SHUTDOWN_')
    const reflected = (name === 'ABORT' || name === 'SHUTDOWN_COMPLETE') && random.chance(4)
    return { type, flags: Number(reflected), body: empty ? [] : Array<number>(length).fill(1) }
  }
}

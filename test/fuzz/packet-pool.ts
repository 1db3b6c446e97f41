/**
 * Packets by the million. A pool of prepared frames is walked in short runs, so that conversations keep their order; each
 * is copied into a batch, moved to other hosts without its checksums becoming wrong, and now and then damaged.
 */
import { createTracker, packetBatch, type PacketBatch } from 'conntrack-wasm'
import { FragmentGenerator } from '../support/fragment-generator.js'
import { mixed, type Frame, type Source } from '../support/frame-sources.js'
import { helpedTrace } from '../support/helped-trace.js'
import { Random } from '../support/random.js'

const FRAMES = 8192
const CHUNK = 256
/** Bytes that a batch has at most, but for its last packet. */
const BATCH_BYTES = 1 << 20
const LARGEST = 72_000
const OUT = BATCH_BYTES + LARGEST
/** Packets that a batch has at most. */
export const MOST = 4096
/** First two bytes of 10.0.0.0; 2001:db8 has 0xdb8 in its second word. */
const MOST_WORLDS = 0x0a00
const LINK_TYPES = [0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 228, 229, 276, 65_535]
const VALUES = [0, 1, 2, 7, 8, 19, 20, 40, 60, 0x1fff, 0x2000, 0x3fff, 0x7fff, 0x8000, 0xfff8, 0xffff]

/** How packets are drawn from a pool. */
export interface Style {
  /** So many times the pool's hosts there are. */
  readonly worlds: number
  /** One packet in so many is damaged. */
  readonly damaged: number
  /** Most nanoseconds between two packets. */
  readonly step: number
  /** There are times beyond all bounds. */
  readonly wild: boolean
}

export class PacketPool {
  /** The batch that is drawn, in front; then the frames. */
  readonly #bytes: Uint8Array
  readonly #at = new Uint32Array(FRAMES + 1)
  readonly #linkType = new Uint16Array(FRAMES)
  readonly #originalLength = new Uint32Array(FRAMES)
  readonly #network = new Uint32Array(FRAMES)
  readonly #transport = new Uint32Array(FRAMES)
  readonly #family = new Uint8Array(FRAMES)
  readonly #batch = {
    offset: new Uint32Array(MOST), length: new Uint32Array(MOST), originalLength: new Uint32Array(MOST),
    seconds: new Float64Array(MOST), nanoseconds: new Uint32Array(MOST), linkType: new Uint16Array(MOST),
  }
  #random = new Random(0)
  #style: Style = { worlds: 1, damaged: 8, step: 1, wild: false }
  #next = 0
  #left = 0
  #world = 0
  #second = 0
  #nanosecond = 0

  constructor(seed: number) {
    const frames = makeFrames(seed)
    this.#bytes = new Uint8Array(frames.reduce((sum, { data }) => sum + data.length, OUT))
    let at = OUT
    frames.forEach(({ data, linkType, originalLength }, i) => {
      this.#bytes.set(data, at)
      this.#at[i] = at
      this.#linkType[i] = linkType
      this.#originalLength[i] = originalLength
      at += data.length
    })
    this.#at[FRAMES] = at
    this.#findHeaders(frames)
  }

  #findHeaders(frames: readonly Frame[]): void {
    const tracker = createTracker({ maxConnections: 64, hashSeed: 1 })
    for (let from = 0; from < FRAMES; from += CHUNK) {
      const { family, networkOffset, transportOffset } = tracker.trackBatch(packetBatch(frames.slice(from, from + CHUNK)))
      this.#family.set(family.subarray(0, CHUNK), from)
      this.#network.set(networkOffset.subarray(0, CHUNK), from)
      this.#transport.set(transportOffset.subarray(0, CHUNK), from)
    }
    tracker.close()
  }

  /** Begins anew: what is drawn from now on is decided by these. */
  start(seed: number, style: Style): void {
    this.#random = new Random(seed)
    this.#style = { ...style, worlds: Math.min(style.worlds, MOST_WORLDS) }
    this.#bytes.fill(0, 0, OUT)
    this.#left = 0
    this.#second = 1_700_000_000
    this.#nanosecond = 0
  }

  /** The next `count` packets, or fewer. They are good until the next are drawn. */
  draw(count: number): PacketBatch {
    let used = 0
    let n = 0
    for (; n < count && used < BATCH_BYTES; n++) used += this.#draw(n, used)
    return { ...this.#batch, count: n, data: this.#bytes.subarray(0, used) }
  }

  /** Puts a packet at place `n`, its bytes at `to`. @returns its length */
  #draw(n: number, to: number): number {
    const random = this.#random
    if (this.#left-- === 0) this.#startRun()
    const i = this.#next++ % FRAMES
    const length = this.#at[i + 1] - this.#at[i]
    this.#bytes.copyWithin(to, this.#at[i], this.#at[i] + length)
    const { offset, length: lengths, originalLength, linkType } = this.#batch
    offset[n] = to
    lengths[n] = length
    originalLength[n] = this.#originalLength[i]
    linkType[n] = this.#linkType[i]
    if (this.#world > 0 && this.#family[i] !== 0) this.#move(to + this.#network[i], this.#family[i])
    this.#tick(n)
    if (random.next() % this.#style.damaged === 0) this.#damage(n, i)
    return length
  }

  /** Goes on somewhere else in the pool, mostly among hosts that were seen before. */
  #startRun(): void {
    const random = this.#random
    this.#next = random.below(FRAMES)
    this.#left = random.below(96)
    this.#world = random.below(this.#style.worlds)
  }

  /** Adds to one word of each address what it takes from another, so that no checksum changes. */
  #move(ip: number, family: number): void {
    const [first, width, from, to] = family === 4 ? [12, 4, 0, 2] : [8, 16, 2, 14]
    for (let at = ip + first; at < ip + first + 2 * width; at += width) {
      this.#add(at + from, -this.#world)
      this.#add(at + to, this.#world)
    }
  }

  #add(at: number, value: number): void {
    const sum = (this.#bytes[at] << 8 | this.#bytes[at + 1]) + value
    this.#bytes[at] = sum >> 8
    this.#bytes[at + 1] = sum
  }

  /** Mostly a little later than the packet before; now and then earlier, much later, or a time that is none. */
  #tick(n: number): void {
    const random = this.#random
    const draw = random.next()
    this.#nanosecond += draw % this.#style.step
    if (this.#nanosecond >= 1e9) {
      this.#nanosecond -= 1e9
      this.#second++
    }
    const { seconds, nanoseconds } = this.#batch
    seconds[n] = this.#second
    nanoseconds[n] = this.#nanosecond
    if (draw >>> 24 !== 0) return
    if (draw % 5 === 0) this.#second += random.below(200)
    else if (draw % 5 === 1) seconds[n] -= random.below(40)
    else if (draw % 5 === 2 && this.#style.wild) seconds[n] = random.pick([NaN, -Infinity, Infinity, 1e300, -1e300, 0.5, 9e9])
    else if (draw % 5 === 3 && this.#style.wild) nanoseconds[n] = random.pick([0xffffffff, 0x80000000, 1e9])
  }

  /** Damages the packet at place `n`, a copy of frame `i`. */
  #damage(n: number, i: number): void {
    const random = this.#random
    const { offset, length, originalLength, linkType } = this.#batch
    const at = offset[n]
    switch (random.below(8)) {
      case 0: length[n] = random.below(length[n] + 1); break
      case 1: linkType[n] = random.pick(LINK_TYPES); break
      case 2: originalLength[n] = random.pick([0, length[n] + 1, length[n] + random.below(2000), 0xffffffff]); break
      case 3: case 4: this.#flip(at + random.below(Math.min(120, length[n] || 1)), 1 << random.below(8)); break
      case 5: this.#word(n, this.#network[i] + 2 * random.below(20)); break
      default: this.#word(n, this.#transport[i] + 2 * random.below(12))
    }
  }

  #flip(at: number, bits: number): void {
    this.#bytes[at] ^= bits
  }

  /** Sets a word of a packet to a value that means something somewhere. */
  #word(n: number, place: number): void {
    const { offset, length } = this.#batch
    if (place + 2 > length[n]) return
    const value = this.#random.pick(VALUES)
    this.#bytes[offset[n] + place] = value >> 8
    this.#bytes[offset[n] + place + 1] = value
  }
}

/** Half is of all kinds and damaged, a part fragments, a part conversations for helpers, a part clean. */
function makeFrames(seed: number): Frame[] {
  const random = new Random(seed)
  const any = mixed(seed)
  const fragments = new FragmentGenerator(seed, 3000)
  const helped = helpedTrace(seed, FRAMES / 4)
  const raw = (data: Uint8Array): Frame => ({ data, time: 0n, linkType: 101, originalLength: data.length })
  let next = 0
  const sources: readonly Source[] = [any, any, () => raw(helped[next++ % helped.length].data), () => raw(fragments.next())]
  const frames: Frame[] = []
  while (frames.length < FRAMES) {
    const source = random.pick(sources)
    for (let n = 8 + random.below(120); n > 0 && frames.length < FRAMES; n--) {
      const frame = source()
      frames.push({ ...frame, time: 0n })
    }
  }
  return frames
}

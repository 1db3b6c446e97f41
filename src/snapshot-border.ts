/**
 * The border to the core, as far as snapshots go: which bytes of its memory a tracker has to bring along, and putting them into
 * another core. Holds addresses, as `border.ts` does.
 */
import { type Core, type CoreInside, ENTRY_SIZE, HASH_KEYS, REPORTED_COUNTERS } from './border.js'

const LIFE_SIZE = 128
/** Where a life has the highest slot. */
const LIFE_HIGHEST = 32
/** Of the region of reassembly: places and lengths of the values that change, and its pools (of queues, peers, blocks). */
const FRAGMENT_POOLS = [112, 144, 176] as const
const FRAGMENT_VALUES = [[0, 48], [80, 32], [120, 12], [152, 12], [184, 12]] as const
const FRAGMENT_PARTS = FRAGMENT_VALUES.length + 1 + FRAGMENT_POOLS.length
const BUCKET_SIZE = 64
/** Bytes of one record of each side array, by the option that it comes with. */
const SIDE_ARRAYS = [
  ['acct', 'accounts', 32], ['timestamp', 'starts', 8], ['labels', 'labels', 16], ['history', 'histories', 32],
  ['explain', 'provenance', 64], ['helpers', 'helped', 16],
] as const

/** What of a core's memory is in a snapshot. */
export class CoreParts {
  readonly #core: Core
  readonly #exports: CoreInside['exports']
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #at: CoreInside['regions']

  constructor({ core, exports, bytes, view, regions }: CoreInside) {
    this.#core = core
    this.#exports = exports
    this.#bytes = bytes
    this.#view = view
    this.#at = regions
  }

  /** Changes with the layout of what a snapshot holds. */
  get fingerprint(): number {
    return this.#exports.layoutFingerprint() >>> 0
  }

  /** All that a tracker has to bring along, besides what it was made with: views and copies, good until the next call. */
  save(): Uint8Array[] {
    this.#exports.saveLife()
    const { life, hashKeys, counters, entries } = this.#at
    const slots = this.#exports.highestSlot() >>> 0
    return [
      this.#part(life, LIFE_SIZE), this.#part(hashKeys, HASH_KEYS), this.#part(counters, REPORTED_COUNTERS * 8),
      this.#part(entries + ENTRY_SIZE, slots * ENTRY_SIZE),
      ...this.#sideArrays().map(([at, size]) => this.#part(at + size, slots * size)),
      this.#usedBuckets(),
      ...this.#fragmentParts(),
      ...this.#core.helped?.save() ?? [],
    ]
  }

  /**
   * Puts what `save` gave into a core that was just made.
   *
   * @returns false, and the core is of no use any more, where it is not sound
   */
  load(parts: readonly Uint8Array[]): boolean {
    const sides = this.#sideArrays()
    const rest = parts.slice(5 + sides.length)
    const helped = rest.splice(FRAGMENT_PARTS)
    if (rest.length < FRAGMENT_PARTS) return false
    const [life, hashKeys, counters, entries] = parts
    const slots = entries.length / ENTRY_SIZE
    if (life.length !== LIFE_SIZE || hashKeys.length !== HASH_KEYS || counters.length !== REPORTED_COUNTERS * 8) return false
    if (!(Number.isInteger(slots) && slots <= this.#core.maxConnections)) return false
    if (sides.some(([, size], i) => parts[4 + i].length !== slots * size)) return false
    this.#bytes.set(life, this.#at.life)
    if (this.#view.getUint32(this.#at.life + LIFE_HIGHEST, true) !== slots) return false
    this.#core.setHashKeys(hashKeys)
    this.#bytes.set(counters, this.#at.counters)
    this.#bytes.set(entries, this.#at.entries + ENTRY_SIZE)
    sides.forEach(([at, size], i) => this.#bytes.set(parts[4 + i], at + size))
    return this.#setBuckets(parts[4 + sides.length]) && this.#setFragments(rest)
      && (this.#core.helped ? this.#core.helped.load(helped) : helped.length === 0)
      && this.#exports.loadLife(this.#core.helperNames.length) !== 0
  }

  #part(at: number, length: number): Uint8Array {
    return this.#bytes.subarray(at, at + length)
  }

  /** Address and record size of the side arrays that there are. */
  #sideArrays(): (readonly [at: number, size: number])[] {
    return SIDE_ARRAYS.filter(([part]) => this.#core.parts[part]).map(([, region, size]) => [this.#at[region], size] as const)
  }

  /** The index without its empty buckets, each with its number in front. */
  #usedBuckets(): Uint8Array {
    const { index, buckets } = this.#at
    const used: number[] = []
    const next = (from: number) => this.#exports.nextUsedBucket(from) >>> 0
    for (let bucket = next(0); bucket < buckets; bucket = next(bucket + 1)) used.push(bucket)
    const part = new Uint8Array(used.length * (4 + BUCKET_SIZE))
    const view = new DataView(part.buffer)
    used.forEach((bucket, i) => {
      const at = i * (4 + BUCKET_SIZE)
      view.setUint32(at, bucket, true)
      part.set(this.#part(index + bucket * BUCKET_SIZE, BUCKET_SIZE), at + 4)
    })
    return part
  }

  // Reassembly: the values that change, the heads of lists that are not empty, and the records that were ever used.

  #fragmentParts(): Uint8Array[] {
    const { fragments } = this.#at
    const heads = this.#fragmentHeads()
    return [
      ...FRAGMENT_VALUES.map(([at, length]) => this.#part(fragments + at, length)),
      new Uint8Array(heads.buffer),
      ...FRAGMENT_POOLS.map(pool => this.#poolRecords(pool)),
    ]
  }

  /** Place and value of the heads of lists that are not empty. */
  #fragmentHeads(): Uint32Array {
    const { from, heads } = this.#fragmentIndex()
    const used: number[] = []
    for (let i = 0; i < heads.length; i++) if (heads[i]) used.push(from + i * 4, heads[i])
    return Uint32Array.from(used)
  }

  /** The heads of the lists by hash, of queues and of peers; where they are in the region. */
  #fragmentIndex(): { from: number; heads: Uint32Array } {
    const u32 = (at: number) => this.#view.getUint32(this.#at.fragments + at, true)
    const from = u32(48)
    return { from, heads: new Uint32Array(this.#bytes.buffer, this.#at.fragments + from, u32(52) + 1 + u32(60) + 1) }
  }

  /** The records of a pool that were ever given out. */
  #poolRecords(pool: number): Uint8Array {
    const u32 = (at: number) => this.#view.getUint32(this.#at.fragments + pool + at, true)
    const [at, size, used] = [u32(0), u32(4), u32(16)]
    return this.#part(this.#at.fragments + at + size, used * size)
  }

  #setFragments(parts: readonly Uint8Array[]): boolean {
    const { fragments } = this.#at
    const most = FRAGMENT_POOLS.map(pool => this.#view.getUint32(fragments + pool + 8, true))
    const values = parts.slice(0, FRAGMENT_VALUES.length)
    if (values.some((part, i) => part.length !== FRAGMENT_VALUES[i][1])) return false
    values.forEach((part, i) => this.#bytes.set(part, fragments + FRAGMENT_VALUES[i][0]))
    const used = FRAGMENT_POOLS.map(pool => this.#view.getUint32(fragments + pool + 16, true))
    if (used.some((n, i) => n > most[i])) return false
    const records = parts.slice(FRAGMENT_VALUES.length + 1)
    for (const [i, pool] of FRAGMENT_POOLS.entries()) {
      const to = this.#poolRecords(pool)
      if (records[i].length !== to.length) return false
      to.set(records[i])
    }
    return this.#setFragmentHeads(parts[FRAGMENT_VALUES.length]) && this.#exports.fragmentsAreSound(most[0], most[1], most[2]) !== 0
  }

  #setFragmentHeads(part: Uint8Array): boolean {
    if (part.length % 8 !== 0) return false
    const { from, heads } = this.#fragmentIndex()
    const view = new DataView(part.buffer, part.byteOffset, part.length)
    let last = -1
    for (let at = 0; at < part.length; at += 8) {
      const place = (view.getUint32(at, true) - from) / 4
      if (!(Number.isInteger(place) && place > last && place < heads.length)) return false
      heads[place] = view.getUint32(at + 4, true)
      last = place
    }
    return true
  }

  #setBuckets(part: Uint8Array): boolean {
    if (part.length % (4 + BUCKET_SIZE) !== 0) return false
    const view = new DataView(part.buffer, part.byteOffset, part.length)
    let last = -1
    for (let at = 0; at < part.length; at += 4 + BUCKET_SIZE) {
      const bucket = view.getUint32(at, true)
      if (bucket <= last || bucket >= this.#at.buckets) return false
      this.#bytes.set(part.subarray(at + 4, at + 4 + BUCKET_SIZE), this.#at.index + bucket * BUCKET_SIZE)
      last = bucket
    }
    return true
  }
}

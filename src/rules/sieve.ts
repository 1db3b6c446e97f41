/**
 * Which rules a packet may fit, told from single bytes of it. Most rules of a chain are not for the packet at hand: another
 * address, another port. A rule's traits say so, each of one byte, or of one value such as the state; what no trait can say
 * (a range of addresses' inner bytes, counters, marks) is left to the rule's own tests, which are made of all that remain.
 *
 * In: the rules of one IP version, in order, with their traits. For each place that traits speak of there are 256 rows, one a
 * value, of a bit for each rule: 0 where a packet with that value there cannot fit. The rows of a packet's values, ANDed,
 * leave the rules that are worth testing, 32 at a time.
 *
 * A rule is passed over only where testing it would have had no effect, so that counters and what matches remember are the
 * same. For that the packet's headers must be whole (`RulePacket.isWhole`): of others every rule is tested.
 */
import type { RulePacket } from './packet.js'

/** Something a packet must have, or it does not fit. */
export type Trait = ByteTrait | ValueTrait | NameTrait

/** A byte of the IP header, or of the transport header, by its offset. */
export interface ByteTrait {
  readonly place: 'network' | 'transport'
  readonly at: number
  readonly fits: (byte: number) => boolean
}

/** The protocol's number, or the bit of the state. */
export interface ValueTrait {
  readonly place: 'protocol' | 'state'
  readonly fits: (value: number) => boolean
}

/** The interface by which it comes or goes. */
export interface NameTrait {
  readonly place: 'in' | 'out'
  readonly fits: (name: string) => boolean
}

/** Bytes from `at` on that are, read as a number, from `from` to `to`: as much of it as can be said of single bytes. */
export function rangeTraits(place: ByteTrait['place'], at: number, from: ArrayLike<number>, to: ArrayLike<number>): ByteTrait[] {
  const traits: ByteTrait[] = []
  for (let i = 0; i < from.length; i++) {
    const [low, high] = [from[i], to[i]]
    traits.push({ place, at: at + i, fits: byte => byte >= low && byte <= high })
    if (low !== high) break
  }
  return traits
}

const VALUES = 256
const ALL = -1
/** The places that tell the most rules apart; more of them cost more than they save. */
const MOST_PLACES = 12

interface Place {
  readonly place: Trait['place']
  readonly at: number
  readonly traits: { readonly rule: number; readonly trait: Trait }[]
}

export class Sieve {
  /** Words of a row. */
  readonly #width: number
  /** Row by row, place by place. */
  readonly #rows: Int32Array
  /** Where the row of the packet's value begins, place by place. */
  readonly #chosen: Int32Array
  /** The places that are bytes: which of all they are, whether behind the IP header's start, and how far. */
  readonly #bytes: readonly { readonly place: number; readonly transport: boolean; readonly at: number }[]
  readonly #places: Readonly<Record<ValueTrait['place'] | NameTrait['place'], number>>
  /** Interfaces by their values; those that are not known have 0, whose rows exclude nothing. */
  readonly #names: ReadonlyMap<string, number>
  #everything = true
  /** What was told last: chains are short, and their rules lie together. */
  #word = -1
  #bits = 0

  /** @param names of interfaces, those that packets are likely to have */
  constructor(traitsOfRules: readonly (readonly Trait[])[], names: readonly string[]) {
    this.#width = Math.ceil(traitsOfRules.length / 32)
    this.#names = new Map(names.slice(0, VALUES - 1).map((name, i) => [name, i + 1]))
    const places = placesOf(traitsOfRules)
    const built = places.map(place => ({ ...place, ...this.#rowsOf(place) }))
      .filter(({ cleared }) => cleared > 0).sort((a, b) => b.cleared - a.cleared).slice(0, MOST_PLACES)
    this.#chosen = new Int32Array(built.length)
    this.#rows = new Int32Array(built.length * VALUES * this.#width)
    built.forEach(({ rows }, i) => this.#rows.set(rows, i * rows.length))
    const placeOf = (name: Trait['place']) => built.findIndex(({ place }) => place === name)
    this.#places = { protocol: placeOf('protocol'), state: placeOf('state'), in: placeOf('in'), out: placeOf('out') }
    this.#bytes = built.flatMap(({ place, at }, i) => at < 0 ? [] : [{ place: i, transport: place === 'transport', at }])
  }

  /** The rows of one place, and how many of their bits are 0. */
  #rowsOf({ place, traits }: Place): { rows: Int32Array; cleared: number } {
    const rows = new Int32Array(VALUES * this.#width).fill(ALL)
    const names = place === 'in' || place === 'out' ? [null, ...this.#names.keys()] : null
    let cleared = 0
    for (const { rule, trait } of traits) {
      for (let value = 0; value < VALUES; value++) {
        if (fitsValue(trait, value, names)) continue
        rows[value * this.#width + (rule >> 5)] &= ~(1 << (rule & 31))
        cleared++
      }
    }
    return { rows, cleared }
  }

  /** Every rule is worth testing from now on. */
  open(): void {
    this.#everything = true
  }

  /** Looks at a packet as it is now, for `rules`. */
  look(packet: RulePacket): void {
    this.#everything = false
    this.#word = -1
    const { data, network, transport } = packet
    const size = VALUES * this.#width
    for (const byte of this.#bytes) {
      const value = data[(byte.transport ? transport : network) + byte.at]
      this.#chosen[byte.place] = byte.place * size + value * this.#width
    }
    const { protocol, state, in: inPlace, out: outPlace } = this.#places
    if (protocol >= 0) this.#chosen[protocol] = protocol * size + packet.protocol * this.#width
    if (state >= 0) this.#chosen[state] = state * size + (packet.stateBit || 1) * this.#width
    if (inPlace >= 0) this.#chosen[inPlace] = inPlace * size + (this.#names.get(packet.inInterface) ?? 0) * this.#width
    if (outPlace >= 0) this.#chosen[outPlace] = outPlace * size + (this.#names.get(packet.outInterface) ?? 0) * this.#width
  }

  /** Rules 32 × `word` and on, from the lowest bit: those that are worth testing. Past the last one bits mean nothing. */
  rules(word: number): number {
    if (this.#everything) return ALL
    if (word === this.#word) return this.#bits
    const chosen = this.#chosen
    const rows = this.#rows
    let bits = ALL
    for (let i = 0; i < chosen.length && bits !== 0; i++) bits &= rows[chosen[i] + word]
    this.#word = word
    this.#bits = bits
    return bits
  }
}

function placesOf(traitsOfRules: readonly (readonly Trait[])[]): Place[] {
  const places = new Map<string, Place>()
  traitsOfRules.forEach((traits, rule) => {
    for (const trait of traits) {
      const at = 'at' in trait ? trait.at : -1
      const key = `${trait.place} ${at}`
      let place = places.get(key)
      if (place === undefined) places.set(key, place = { place: trait.place, at, traits: [] })
      place.traits.push({ rule, trait })
    }
  })
  return [...places.values()]
}

/** @param names of the values, where they are interfaces; `null` is one that is not known */
function fitsValue(trait: Trait, value: number, names: readonly (string | null)[] | null): boolean {
  if (!isNameTrait(trait)) return trait.fits(value)
  const name = names?.[value] ?? null
  return name === null || trait.fits(name)
}

function isNameTrait(trait: Trait): trait is NameTrait {
  return trait.place === 'in' || trait.place === 'out'
}

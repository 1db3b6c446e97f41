/**
 * Packs the core for `src/core-text.ts`. In: bytes. Out: base64. The same bytes always give the same text.
 *
 * Which literals and matches give the least is found by the shortest way through the bytes, at the prices that they had
 * there on the way before; the fifth way is hardly longer than those after it.
 */
import { ODDS } from './src/core-text.js'

const WAYS = 5
/** Bytes with the same prices. */
const STRETCH = 1024
const LONGEST = 273
/** Places looked at for a match; of the core, all there are. */
const TRIES = 4096

/** What is written at a place: a literal, a match, or a match at the last distance or the one before it. */
type Step =
  | { readonly kind: 'literal'; readonly length: 1 }
  | { readonly kind: 'match'; readonly length: number; readonly distance: number }
  | { readonly kind: 'repeat'; readonly length: number; readonly older: boolean }

/** What the next step depends on. */
interface State {
  readonly number: number
  readonly last: number
  readonly before: number
}

const START: State = { number: 0, last: 1, before: 1 }

/** Whatever takes bits, each with the place of its odds or with none. */
interface Sink {
  bit(at: number, value: number): void
  evenly(value: number, bits: number): void
}

/** The bytes as `unpack` reads them. */
export function pack(bytes: Uint8Array): string {
  const matches = findMatches(bytes)
  let odds = [even()]
  let best: readonly number[] = []
  for (let way = 0; way < WAYS; way++) {
    const encoder = new Encoder()
    const changed: Uint16Array[] = []
    let state = START
    let at = 0
    for (const step of cheapest(bytes, matches, odds)) {
      if (at >= (changed.length + 0.5) * STRETCH) changed.push(encoder.odds.slice())
      writeStep(encoder, bytes, at, state, step)
      state = after(state, step)
      at += step.length
    }
    const packed = encoder.end()
    if (way === 0 || packed.length < best.length) best = packed
    odds = [...changed, encoder.odds]
  }
  return Buffer.from(best).toString('base64')
}

const even = (): Uint16Array => new Uint16Array(ODDS.all).fill(1024)

/** The range coder. */
class Encoder implements Sink {
  readonly odds = even()
  private readonly out: number[] = []
  private low = 0n
  private range = 0xffffffff

  bit(at: number, value: number): void {
    const odds = this.odds[at]
    const bound = (this.range >>> 11) * odds
    if (value) {
      this.add(bound)
      this.range -= bound
      this.odds[at] -= odds >> 5
    } else {
      this.range = bound
      this.odds[at] += (2048 - odds) >> 5
    }
    this.scale()
  }

  evenly(value: number, bits: number): void {
    for (let i = bits - 1; i >= 0; i--) {
      this.range >>>= 1
      if (value >> i & 1) this.add(this.range)
      this.scale()
    }
  }

  end(): readonly number[] {
    for (let i = 0; i < 4; i++) this.shift()
    return this.out
  }

  /** `low` is what is below the bytes that are out; a carry goes through those. */
  private add(value: number): void {
    this.low += BigInt(value)
    if (this.low < 1n << 32n) return
    this.low -= 1n << 32n
    let i = this.out.length - 1
    while (this.out[i] === 255) this.out[i--] = 0
    this.out[i]++
  }

  private scale(): void {
    if (this.range >= 1 << 24) return
    this.range = this.range * 256
    this.shift()
  }

  private shift(): void {
    this.out.push(Number(this.low >> 24n))
    this.low = (this.low & 0xffffffn) << 8n
  }
}

/** What a bit costs that has these odds of 2,048. */
const COST = Float64Array.from({ length: 2049 }, (_, odds) => -Math.log2(odds / 2048))

/** What bits cost with these odds. */
class Price implements Sink {
  sum = 0

  constructor(private readonly odds: Uint16Array) {}

  bit(at: number, value: number): void {
    this.sum += COST[value ? 2048 - this.odds[at] : this.odds[at]]
  }

  evenly(_value: number, bits: number): void {
    this.sum += bits
  }

  of(write: (price: Price) => void): number {
    this.sum = 0
    write(this)
    return this.sum
  }
}

function writeStep(sink: Sink, bytes: Uint8Array, at: number, state: State, step: Step): void {
  sink.bit(ODDS.match + state.number, step.kind === 'literal' ? 0 : 1)
  if (step.kind === 'literal') return writeLiteral(sink, bytes, at, state.number > 6 ? bytes[at - state.last] : null)
  writeKind(sink, state, step)
  if (step.length > 1) writeLength(sink, step.kind === 'match' ? ODDS.length : ODDS.repeatLength, step.length)
  if (step.kind === 'match') writeDistance(sink, step.distance, step.length)
}

function writeKind(sink: Sink, { number }: State, step: Exclude<Step, { kind: 'literal' }>): void {
  sink.bit(ODDS.repeat + number, step.kind === 'repeat' ? 1 : 0)
  if (step.kind === 'match') return
  sink.bit(ODDS.older + number, step.older ? 1 : 0)
  if (!step.older) sink.bit(ODDS.long + number, step.length > 1 ? 1 : 0)
}

function after({ number, last, before }: State, step: Step): State {
  const behindMatch = number > 6
  if (step.kind === 'literal') return { number: number < 4 ? 0 : number - (number < 10 ? 3 : 6), last, before }
  if (step.kind === 'match') return { number: behindMatch ? 10 : 7, last: step.distance, before: last }
  const next = behindMatch ? 11 : step.length === 1 ? 9 : 8
  return step.older ? { number: next, last: before, before: last } : { number: next, last, before }
}

function writeLiteral(sink: Sink, bytes: Uint8Array, at: number, like: number | null): void {
  const odds = ODDS.literal + (at > 0 ? bytes[at - 1] >> 5 : 0) * 768
  let [node, alike] = [1, like !== null]
  for (let i = 7; i >= 0; i--) {
    const expected = (like ?? 0) >> i & 1
    const one = bytes[at] >> i & 1
    sink.bit(odds + node + (alike ? 256 << expected : 0), one)
    node = node << 1 | one
    alike &&= one === expected
  }
}

function writeLength(sink: Sink, at: number, length: number): void {
  sink.bit(at, length < 10 ? 0 : 1)
  if (length < 10) return writeTree(sink, at + 2, 3, length - 2)
  sink.bit(at + 1, length < 18 ? 0 : 1)
  if (length < 18) writeTree(sink, at + 16, 3, length - 10)
  else writeTree(sink, at + 256, 8, length - 18)
}

function writeDistance(sink: Sink, distance: number, length: number): void {
  const value = distance - 1
  const high = 31 - Math.clz32(value)
  const slot = value < 4 ? value : high * 2 + (value >> high - 1 & 1)
  writeTree(sink, ODDS.slot + Math.min(length - 2, 3) * 64, 6, slot)
  if (slot < 4) return
  const bits = high - 1
  const rest = value & (1 << bits) - 1
  if (slot < 14) return writeReverseTree(sink, ODDS.low + slot * 32, bits, rest)
  sink.evenly(rest >> 4, bits - 4)
  writeReverseTree(sink, ODDS.align, 4, rest & 15)
}

function writeTree(sink: Sink, at: number, bits: number, value: number): void {
  for (let i = bits - 1, node = 1; i >= 0; i--) {
    sink.bit(at + node, value >> i & 1)
    node = node << 1 | value >> i & 1
  }
}

function writeReverseTree(sink: Sink, at: number, bits: number, value: number): void {
  for (let i = 0, node = 1; i < bits; i++) {
    sink.bit(at + node, value >> i & 1)
    node = node << 1 | value >> i & 1
  }
}

interface Match {
  readonly length: number
  readonly distance: number
}

/** Of each place the nearest match of each length that the nearer do not have. */
function findMatches(bytes: Uint8Array): readonly (readonly Match[])[] {
  const newest = new Map<number, number>()
  const older = new Int32Array(bytes.length)
  return Array.from(bytes, (_, at) => {
    const pair = bytes[at] << 8 | bytes[at + 1]
    const found: Match[] = []
    older[at] = newest.get(pair) ?? -1
    newest.set(pair, at)
    let best = 1
    for (let from = older[at], tries = 0; from >= 0 && tries < TRIES && best < LONGEST; from = older[from], tries++) {
      const length = common(bytes, at, at - from)
      if (length <= best) continue
      found.push({ length, distance: at - from })
      best = length
    }
    return found
  })
}

/** How many bytes from `at` on are those `distance` before them. */
function common(bytes: Uint8Array, at: number, distance: number): number {
  if (distance > at) return 0
  const most = Math.min(LONGEST, bytes.length - at)
  let length = 0
  while (length < most && bytes[at + length] === bytes[at + length - distance]) length++
  return length
}

/** A way to a place: its price, its last step, and the state behind it. */
interface Way {
  readonly price: number
  readonly step: Step | null
  readonly state: State
}

/**
 * The steps of the cheapest way. States of other ways than the cheapest to each place are not followed.
 *
 * @param odds of each stretch, and of what follows
 */
function cheapest(bytes: Uint8Array, matches: readonly (readonly Match[])[], odds: readonly Uint16Array[]): readonly Step[] {
  const prices = odds.map(each => new Price(each))
  const ways: Way[] = [{ price: 0, step: null, state: START }]
  for (let at = 0; at < bytes.length; at++) {
    const { price: sofar, state } = ways[at]
    const price = prices[Math.min(Math.floor(at / STRETCH), prices.length - 1)]
    for (const step of stepsAt(bytes, at, state, matches[at])) {
      const sum = sofar + price.of(sink => writeStep(sink, bytes, at, state, step))
      const to = at + step.length
      if (!ways[to] || sum < ways[to].price) ways[to] = { price: sum, step, state: after(state, step) }
    }
  }
  const steps: Step[] = []
  for (let at = bytes.length; at > 0; at -= steps.at(-1)!.length) steps.push(ways[at].step!)
  return steps.reverse()
}

function* stepsAt(bytes: Uint8Array, at: number, { last, before }: State, matches: readonly Match[]): Iterable<Step> {
  yield { kind: 'literal', length: 1 }
  for (let length = common(bytes, at, last); length > 0; length--) yield { kind: 'repeat', length, older: false }
  for (let length = common(bytes, at, before); length > 1; length--) yield { kind: 'repeat', length, older: true }
  let shorter = 1
  for (const { length: longest, distance } of matches) {
    for (let length = shorter + 1; length <= longest; length++) yield { kind: 'match', length, distance }
    shorter = longest
  }
}

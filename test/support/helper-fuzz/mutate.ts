/** Damages a payload in ways that keep much of its structure. */
import type { Random } from '../random.js'

/** What a mutation may take from. */
export interface Stock {
  /** Words of the protocol, and the addresses of the connection in every form. */
  readonly words: readonly Uint8Array[]
  /** Other payloads of the protocol. */
  readonly others: readonly Uint8Array[]
}

type Mutation = (random: Random, bytes: Uint8Array, stock: Stock) => Uint8Array

const LONGEST = 65_507
const LF = 10
const EDGES = [
  0, 1, 9, 10, 20, 21, 255, 256, 257, 1023, 1024, 1025, 4095, 5000, 65535, 65536, 65537, 66560, 99999, 2 ** 31 - 1,
  2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 5000, 4463329538, 1e15,
]
const EDGE_TEXTS = ['', '-1', '+5', '0x10', '00000005000', '18446744073709551615', '9'.repeat(400)]
const EDGE_BYTES = [0, 1, 0x7f, 0x80, 0xfe, 0xff, 9, 10, 13, 32, 44, 58, 64]

const latin1 = (text: string) => Buffer.from(text, 'latin1')
const isDigit = (byte: number) => byte >= 48 && byte <= 57

/** The bytes with those from `from` up to `to` replaced. */
function replaced(bytes: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)])
}

function changed(bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array {
  const copy = Uint8Array.from(bytes)
  if (copy.length > 0) change(copy)
  return copy
}

/** Two places in order, mostly near each other. */
function span(random: Random, length: number): [number, number] {
  const from = random.below(length + 1)
  return [from, Math.min(length, from + 1 + random.below(random.chance(4) ? length + 1 : 8))]
}

function lines(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(LF, at) + 1 || bytes.length
    found.push(bytes.subarray(at, end))
    at = end
  }
  return found
}

/** A decimal number's place, of those behind a random one the first. */
function numberIn(random: Random, bytes: Uint8Array): [number, number] | null {
  const start = random.below(bytes.length + 1)
  for (let i = 0; i < bytes.length; i++) {
    const at = (start + i) % bytes.length
    if (!isDigit(bytes[at]) || isDigit(bytes[at - 1])) continue
    let end = at
    while (isDigit(bytes[end])) end++
    return [at, end]
  }
  return null
}

const flipBit: Mutation = (random, bytes) =>
  changed(bytes, copy => { copy[random.below(copy.length)] ^= 1 << random.below(8) })

const setByte: Mutation = (random, bytes) => changed(bytes, copy => {
  copy[random.below(copy.length)] = random.chance(2) ? random.pick(EDGE_BYTES) : random.below(256)
})

const edgeNumber: Mutation = (random, bytes) => {
  const place = numberIn(random, bytes)
  if (!place) return edgeWord(random, bytes, { words: [], others: [] })
  return replaced(bytes, ...place, latin1(random.chance(6) ? random.pick(EDGE_TEXTS) : String(random.pick(EDGES))))
}

/** An edge number over two or four bytes. */
const edgeWord: Mutation = (random, bytes) => changed(bytes, copy => {
  const value = random.pick(EDGES)
  let at = random.below(copy.length)
  for (const shift of random.chance(2) ? [8, 0] : [24, 16, 8, 0]) copy[at++] = Math.floor(value / 2 ** shift) & 255
})

const changeLines: Mutation = (random, bytes) => {
  const all = lines(bytes)
  const [one, other] = [random.below(all.length + 1), random.below(all.length + 1)]
  switch (random.below(3)) {
    case 0: all.splice(one, 1); break
    case 1: all.splice(one, 0, ...all.slice(other, other + 1)); break
    default: if (one < all.length && other < all.length) [all[one], all[other]] = [all[other], all[one]]
  }
  return Buffer.concat(all)
}

const insertWord: Mutation = (random, bytes, { words }) => {
  const at = random.below(bytes.length + 1)
  const word = random.pick(words)
  return replaced(bytes, at, random.chance(2) ? at : Math.min(bytes.length, at + word.length), word)
}

const truncate: Mutation = (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1))
const behead: Mutation = (random, bytes) => bytes.subarray(random.below(bytes.length + 1))
const cutOut: Mutation = (random, bytes) => replaced(bytes, ...span(random, bytes.length), new Uint8Array(0))

const repeat: Mutation = (random, bytes) => {
  const [from, to] = span(random, bytes.length)
  return replaced(bytes, to, to, bytes.subarray(from, to))
}

const insertNuls: Mutation = (random, bytes) => {
  const at = random.below(bytes.length + 1)
  return replaced(bytes, at, at, new Uint8Array(1 + random.below(4)))
}

const insertBlank: Mutation = (random, bytes) => {
  const at = random.below(bytes.length + 1)
  return replaced(bytes, at, at, latin1(random.pick([' ', '\t', '\r', '\n', '\r\n', '\r\n ', '\r\n\r\n', '  '])))
}

/** The other case from some place on. */
const changeCase: Mutation = (random, bytes) => changed(bytes, copy => {
  const [from, to] = span(random, copy.length)
  for (let i = from; i < to; i++) if ((copy[i] | 32) >= 97 && (copy[i] | 32) <= 122) copy[i] ^= 32
})

/** One byte or word over and over; now and then as much as a packet takes. */
const longRun: Mutation = (random, bytes, { words }) => {
  const piece = random.chance(2) ? Uint8Array.of(random.below(256)) : random.pick(words)
  const length = random.chance(60) ? random.below(LONGEST) : random.below(300)
  const at = random.below(bytes.length + 1)
  return piece.length === 0 ? bytes : replaced(bytes, at, at, Buffer.alloc(length, piece))
}

/** The beginning of this and the end of another. */
const splice: Mutation = (random, bytes, { others }) => {
  const other = random.pick(others)
  return Buffer.concat([truncate(random, bytes, NO_STOCK), behead(random, other, NO_STOCK)])
}

const noise: Mutation = random => Uint8Array.from({ length: random.below(64) }, () => random.below(256))

const NO_STOCK: Stock = { words: [], others: [] }

/** The more often one stands here, the more often it is taken. */
const MUTATIONS: readonly Mutation[] = [
  flipBit, flipBit, setByte, setByte, edgeNumber, edgeNumber, edgeNumber, edgeWord, changeLines, changeLines,
  insertWord, insertWord, insertWord, truncate, behead, cutOut, cutOut, repeat, insertNuls, insertBlank, changeCase,
  longRun, splice,
]

const USER_USER = [0x7e, 5]

/** A TPKT whose length, and that of the user-user element in it, are right again; anything else as it is. */
export function withRightLengths(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== 3 || bytes[1] !== 0) return bytes
  return changed(bytes, copy => {
    copy.set([copy.length >> 8, copy.length & 255].slice(0, Math.max(0, copy.length - 2)), Math.min(2, copy.length))
    const [element, asn1] = USER_USER
    const at = copy.findIndex((byte, i) => i > 4 && byte === element && copy[i + 3] === asn1)
    const rest = copy.length - at - 3
    if (copy[4] === 8 && at > 0 && rest > 0) copy.set([rest >> 8, rest & 255], at + 1)
  })
}

/** One to three mutations, one after the other. */
export function mutate(random: Random, bytes: Uint8Array, stock: Stock): Uint8Array {
  if (random.chance(200)) return noise(random, bytes, stock)
  let result = bytes
  for (let left = 1 + random.below(3); left > 0; left--) result = random.pick(MUTATIONS)(random, result, stock)
  result = result.length > LONGEST ? result.subarray(0, LONGEST) : result
  return random.chance(2) ? withRightLengths(result) : result
}

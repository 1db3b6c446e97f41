/**
 * The core's bytes from the text they travel as: packed more closely than what servers send text with does, in base64.
 * In: what `core-packer.ts` wrote. Out: the bytes; for any other text nonsense, as many bytes of it.
 *
 * It is LZMA (7-zip's "LZMA specification": a range coder over bits, each with odds of its own), but that only two earlier
 * distances are remembered. Written for few bytes, not for speed.
 */

/** Where the odds of each kind of bit begin; of some there are as many as states. */
export const ODDS = {
  match: 0, repeat: 16, older: 32, long: 48, length: 64, repeatLength: 576, slot: 1088, low: 1344, align: 1792, literal: 1808,
  all: 1808 + 8 * 768,
} as const

/** @param size how many bytes there are */
export function unpack(text: string, size: number): Uint8Array {
  const packed = atob(text)
  const out = new Uint8Array(size)
  const odds = new Uint16Array(ODDS.all).fill(1024)
  // Typed, since other numbers of this size would be objects.
  const coder = Uint32Array.of(0xffffffff, 0)
  let next = 0

  const refill = () => {
    coder[1] = coder[1] << 8 | packed.charCodeAt(next++)
  }
  const scale = () => {
    if (coder[0] >= 1 << 24) return
    coder[0] <<= 8
    refill()
  }
  const bit = (at: number): number => {
    const bound = (coder[0] >>> 11) * odds[at]
    const value = coder[1] < bound ? 0 : 1
    if (value) {
      coder[0] -= bound
      coder[1] -= bound
      odds[at] -= odds[at] >> 5
    } else {
      coder[0] = bound
      odds[at] += (2048 - odds[at]) >> 5
    }
    scale()
    return value
  }
  const tree = (at: number, bits: number): number => {
    let node = 1
    for (let i = 0; i < bits; i++) node = node << 1 | bit(at + node)
    return node - (1 << bits)
  }
  const reverseTree = (at: number, bits: number): number => {
    let [node, value] = [1, 0]
    for (let i = 0; i < bits; i++) {
      const one = bit(at + node)
      node = node << 1 | one
      value |= one << i
    }
    return value
  }
  const evenly = (bits: number): number => {
    let value = 0
    for (let i = 0; i < bits; i++) {
      coder[0] >>>= 1
      const one = coder[1] < coder[0] ? 0 : 1
      if (one) coder[1] -= coder[0]
      value = value << 1 | one
      scale()
    }
    return value
  }
  const length = (at: number): number =>
    !bit(at) ? 2 + tree(at + 2, 3) : !bit(at + 1) ? 10 + tree(at + 16, 3) : 18 + tree(at + 256, 8)
  const distance = (long: number): number => {
    const slot = tree(ODDS.slot + Math.min(long - 2, 3) * 64, 6)
    if (slot < 4) return slot + 1
    const bits = (slot >> 1) - 1
    const high = (2 | slot & 1) << bits
    if (slot < 14) return high + reverseTree(ODDS.low + slot * 32, bits) + 1
    return high + (evenly(bits - 4) << 4) + reverseTree(ODDS.align, 4) + 1
  }
  /** Behind a match, `like` is the byte that would have made it longer: as long as bits are its bits, it has their odds. */
  const literal = (previous: number, like: number, behindMatch: boolean): number => {
    let [node, alike] = [1, behindMatch]
    for (let i = 7; i >= 0; i--) {
      const expected = like >> i & 1
      const one = bit(ODDS.literal + (previous >> 5) * 768 + node + (alike ? 256 << expected : 0))
      node = node << 1 | one
      alike &&= one === expected
    }
    return node
  }

  for (let i = 0; i < 4; i++) refill()
  let [state, last, before] = [0, 1, 1]
  for (let at = 0; at < size;) {
    const behindMatch = state > 6
    if (!bit(ODDS.match + state)) {
      out[at] = literal(out[at - 1], out[at - last], behindMatch)
      at++
      state = state < 4 ? 0 : state - (state < 10 ? 3 : 6)
      continue
    }
    let long = 1
    const repeats = bit(ODDS.repeat + state)
    if (!repeats) {
      before = last
      long = length(ODDS.length)
      last = distance(long)
      state = behindMatch ? 10 : 7
    } else {
      const older = bit(ODDS.older + state)
      if (older) [last, before] = [before, last]
      const single = !older && !bit(ODDS.long + state)
      if (!single) long = length(ODDS.repeatLength)
      state = behindMatch ? 11 : single ? 9 : 8
    }
    for (const end = at + long; at < end; at++) out[at] = out[at - last]
  }
  return out
}

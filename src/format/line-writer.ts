/**
 * ASCII text written byte by byte: each function puts something into `out` at `at` and answers where the next thing
 * goes. They check no bounds; `LineBuffer` makes the room.
 *
 * A line of NDJSON is two dozen small pieces. As JavaScript strings they become a tree that has to be walked again to
 * be written; as bytes they are copied once.
 */

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Text that is written often, as bytes. */
export function fragment(text: string): Uint8Array {
  return encoder.encode(text)
}

export function putFragment(out: Uint8Array, at: number, bytes: Uint8Array): number {
  const length = bytes.length
  for (let i = 0; i < length; i++) out[at + i] = bytes[i]
  return at + length
}

/** A short text, ASCII only. */
export function putAscii(out: Uint8Array, at: number, text: string): number {
  const length = text.length
  for (let i = 0; i < length; i++) out[at + i] = text.charCodeAt(i)
  return at + length
}

/** A whole number from 0. */
export function putNumber(out: Uint8Array, at: number, value: number): number {
  if (value > 0x3fffffff) return putAscii(out, at, String(value))
  const end = at + digits(value)
  let rest = value
  let place = end
  do {
    const tenth = (rest / 10) | 0
    out[--place] = 48 + rest - tenth * 10
    rest = tenth
  } while (rest > 0)
  return end
}

function digits(value: number): number {
  if (value < 100) return value < 10 ? 1 : 2
  if (value < 10_000) return value < 1000 ? 3 : 4
  let count = 5
  for (let limit = 100_000; value >= limit; limit *= 10) count++
  return count
}

/** 0 to 999 with their leading zeros, three bytes each. */
const TRIPLES = fragment(Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0')).join(''))

/** 0 to 999,999,999 in nine places. */
export function putNinePlaces(out: Uint8Array, at: number, value: number): number {
  const thousands = (value / 1000) | 0
  const millions = (thousands / 1000) | 0
  putTriple(out, at, millions)
  putTriple(out, at + 3, thousands - millions * 1000)
  putTriple(out, at + 6, value - thousands * 1000)
  return at + 9
}

function putTriple(out: Uint8Array, at: number, value: number): void {
  out[at] = TRIPLES[value * 3]
  out[at + 1] = TRIPLES[value * 3 + 1]
  out[at + 2] = TRIPLES[value * 3 + 2]
}

const INITIAL = 1 << 17
/** A buffer that grew beyond this for one large text is not kept. */
const KEPT = 1 << 22

/** The buffer that lines are written to, used again for the next lines. */
export class LineBuffer {
  bytes = new Uint8Array(INITIAL)

  /** The buffer with room for `needed` bytes at `at`; what is before `at` stays. */
  room(at: number, needed: number): Uint8Array {
    if (at + needed > this.bytes.length) {
      const larger = new Uint8Array((at + needed) * 2)
      larger.set(this.bytes.subarray(0, at))
      this.bytes = larger
    }
    return this.bytes
  }

  /** The first `length` bytes as a string. */
  text(length: number): string {
    const text = decoder.decode(this.bytes.subarray(0, length))
    if (this.bytes.length > KEPT) this.bytes = new Uint8Array(INITIAL)
    return text
  }
}

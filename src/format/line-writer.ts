/**
 * ASCII text being written, byte by byte, into a buffer that is used again.
 *
 * A line of NDJSON is two dozen small pieces. As JavaScript strings they become a tree that has to be walked again to
 * be written; as bytes they are copied once, which takes about two thirds of the time.
 */

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Text that is written often, as bytes. */
export function fragment(text: string): Uint8Array {
  return encoder.encode(text)
}

/** 0 to 999 with their leading zeros, three bytes each. */
const TRIPLES = fragment(Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0')).join(''))

/** Room for what is written between two calls of `reserve`. */
const STEP = 1024
const INITIAL = 1 << 17
/** A buffer that grew beyond this for one large text is not kept. */
const KEPT = 1 << 22

export class LineWriter {
  #bytes = new Uint8Array(INITIAL)
  #at = 0

  /** Forgets what was written. */
  clear(): void {
    this.#at = 0
  }

  /** Makes room for at least 1024 bytes; the other methods rely on it and check nothing. */
  reserve(): void {
    this.#room(STEP)
  }

  fragment(bytes: Uint8Array): void {
    const out = this.#bytes
    let at = this.#at
    for (let i = 0; i < bytes.length; i++) out[at++] = bytes[i]
    this.#at = at
  }

  /** A short text, ASCII only. */
  ascii(text: string): void {
    const out = this.#bytes
    let at = this.#at
    for (let i = 0; i < text.length; i++) out[at++] = text.charCodeAt(i)
    this.#at = at
  }

  /** A text of any length and any characters; makes its own room and leaves a new reserve. */
  text(text: string): void {
    const bytes = encoder.encode(text)
    this.#room(bytes.length + STEP)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** A whole number from 0. */
  number(value: number): void {
    if (value > 0x3fffffff) return this.ascii(String(value))
    const out = this.#bytes
    let end = this.#at + digits(value)
    this.#at = end
    let rest = value
    do {
      const tenth = (rest / 10) | 0
      out[--end] = 48 + rest - tenth * 10
      rest = tenth
    } while (rest > 0)
  }

  /** 0 to 999,999,999 in nine places. */
  ninePlaces(value: number): void {
    const thousands = (value / 1000) | 0
    const millions = (thousands / 1000) | 0
    this.#triple(millions)
    this.#triple(thousands - millions * 1000)
    this.#triple(value - thousands * 1000)
  }

  /** All that was written, as a string; the writer is empty again. */
  take(): string {
    const text = decoder.decode(this.#bytes.subarray(0, this.#at))
    this.#at = 0
    if (this.#bytes.length > KEPT) this.#bytes = new Uint8Array(INITIAL)
    return text
  }

  #triple(value: number): void {
    const out = this.#bytes
    const at = this.#at
    const from = value * 3
    out[at] = TRIPLES[from]
    out[at + 1] = TRIPLES[from + 1]
    out[at + 2] = TRIPLES[from + 2]
    this.#at = at + 3
  }

  #room(needed: number): void {
    if (this.#at + needed <= this.#bytes.length) return
    const larger = new Uint8Array((this.#at + needed) * 2)
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}

function digits(value: number): number {
  let count = 1
  for (let limit = 10; value >= limit; limit *= 10) count++
  return count
}

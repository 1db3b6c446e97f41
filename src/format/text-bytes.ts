/**
 * Text written as bytes: a buffer that is used again, and what is written on every line in the form in which it is written
 * fastest. In: texts prepared once, numbers, addresses. Out: the bytes, good until `clear`.
 */

/** The longest line without what `text` writes, generously. */
export const LINE = 1024

/** A text prepared to be copied eight bytes at a time. */
export interface Part {
  /** The bytes as doubles, little endian, filled up with zeros. */
  readonly words: Float64Array
  readonly length: number
}

/** Prepares a text. It must be ASCII: its bytes are then no double that changes when it is copied. */
export function part(text: string): Part {
  const words = new Float64Array(Math.ceil(text.length / 8))
  const view = new DataView(new ArrayBuffer(words.length * 8))
  putAscii(view, 0, text)
  for (let i = 0; i < words.length; i++) words[i] = view.getFloat64(i * 8, true)
  return { words, length: text.length }
}

/**
 * Numbers from 0 to 999, in four bytes each: the digits, and how many of them count. First without leading zeros, then with
 * them.
 */
const SHORT = new Uint32Array(1000)
const PADDED = new Uint32Array(1000)
for (let i = 0; i < 1000; i++) {
  const [a, b, c] = [i / 100 | 0, (i / 10 | 0) % 10, i % 10].map(digit => digit + 48)
  PADDED[i] = a | b << 8 | c << 16 | 3 << 24
  SHORT[i] = i < 10 ? c | 1 << 24 : i < 100 ? b | c << 8 | 2 << 24 : PADDED[i]
}

/** Bytes with a dot behind them, and how many characters that is. */
const DOTTED = SHORT.slice(0, 256).map(digits => {
  const length = digits >>> 24
  return (digits & (1 << length * 8) - 1 | 46 << length * 8) >>> 0
})
const DOTTED_LENGTH = Uint8Array.from({ length: 256 }, (_, i) => (SHORT[i] >>> 24) + 1)

/** Puts the words of a text, `from` to `to` of them, where the next byte goes. */
export function putWords(view: DataView, at: number, words: Float64Array, from: number, to: number): void {
  for (let i = from; i < to; i++, at += 8) view.setFloat64(at, words[i], true)
}

// These answer where the next byte goes. All are integers of 32 bits, which V8 is told where it could not know, and calls are
// few, so that it copies them into the loops that they are called in.

/** A whole number, 0 to 2^32 - 1. */
export function putU32(view: DataView, at: number, value: number): number {
  if (value < 1000) return putShort(view, at, SHORT[value])
  const thousands = value / 1000 >>> 0
  const last = PADDED[value - Math.imul(thousands, 1000) | 0]
  if (thousands < 1000) at = putShort(view, at, SHORT[thousands])
  else {
    const millions = thousands / 1000 >>> 0
    const billions = millions / 1000 >>> 0
    if (billions > 0) view.setUint8(at++, 48 + billions)
    at = putShort(view, at, (billions > 0 ? PADDED : SHORT)[millions - Math.imul(billions, 1000) | 0])
    view.setUint32(at, PADDED[thousands - Math.imul(millions, 1000) | 0], true)
    at = at + 3 | 0
  }
  view.setUint32(at, last, true)
  return at + 3 | 0
}

/** A whole number, 0 or more. */
export function putNumber(view: DataView, at: number, value: number): number {
  if (value <= 0xffff_ffff) return putU32(view, at, value >>> 0)
  const above = Math.floor(value / 1_000_000_000)
  return putNineDigits(view, putNumber(view, at, above), value - above * 1_000_000_000)
}

function putNineDigits(view: DataView, at: number, value: number): number {
  const thousands = value / 1000 | 0
  const millions = thousands / 1000 | 0
  at = putShort(view, at, PADDED[millions])
  at = putShort(view, at, PADDED[thousands - millions * 1000])
  return putShort(view, at, PADDED[value - thousands * 1000])
}

/** The IPv4 address in the four bytes at `from`. */
export function putIpv4(view: DataView, at: number, data: Uint8Array, from: number): number {
  for (let i = from; i < from + 4; i++) {
    view.setUint32(at, DOTTED[data[i]], true)
    at += DOTTED_LENGTH[data[i]]
  }
  return at - 1
}

/** ASCII, not prepared. */
export function putAscii(view: DataView, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i))
  return at + text.length
}

/** Some bytes of another place. */
export function putBytes(view: DataView, at: number, data: Uint8Array, from: number, length: number): number {
  for (let i = 0; i < length; i++) view.setUint8(at + i, data[from + i])
  return at + length
}

/** Four bytes, of which as many count as the highest says. */
function putShort(view: DataView, at: number, digits: number): number {
  view.setUint32(at, digits, true)
  return at + (digits >>> 24) | 0
}

export class TextBytes {
  private bytes: Uint8Array
  /** Where it is written to, and the next byte's place, for who writes with the functions above. */
  view: DataView
  at = 0
  private readonly encoder = new TextEncoder()

  /** @param size bytes to begin with */
  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Everything written since `clear`, good until it is called again or more is written. */
  get written(): Uint8Array {
    return this.bytes.subarray(0, this.at)
  }

  /** Bytes written since `clear`. */
  get length(): number {
    return this.at
  }

  clear(): void {
    this.at = 0
  }

  /** Makes room: to be called before writing, for as much as will be written and 8 bytes. */
  reserve(length: number): void {
    if (this.at + length <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.at + length, 2 * this.bytes.length))
    larger.set(this.written)
    this.bytes = larger
    this.view = new DataView(larger.buffer)
  }

  part({ words, length }: Part): void {
    putWords(this.view, this.at, words, 0, words.length)
    this.at += length
  }

  /** ASCII, not prepared. */
  ascii(text: string): void {
    this.at = putAscii(this.view, this.at, text)
  }

  /** Any text, of which no more than a line's worth is left when it has been written. */
  text(text: string): void {
    this.reserve(text.length * 3 + LINE)
    this.at += this.encoder.encodeInto(text, this.bytes.subarray(this.at)).written
  }

  /** A whole number, 0 or more. */
  number(value: number): void {
    this.at = putNumber(this.view, this.at, value)
  }

  /** Nine digits of a number below 10^9. */
  nineDigits(value: number): void {
    this.at = putNineDigits(this.view, this.at, value)
  }

  /** The IPv4 address in the four bytes at `from`. */
  ipv4(data: Uint8Array, from: number): void {
    this.at = putIpv4(this.view, this.at, data, from)
  }
}

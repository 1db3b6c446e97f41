/**
 * Text written as bytes: a buffer that is used again, and what is written on every line in the form in which it is written
 * fastest. In: texts prepared once, numbers, addresses. Out: the bytes, good until `clear`.
 */

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** The longest line without what `text` writes, generously. */
export const LINE = 1024

/** A text prepared to be copied eight bytes at a time. */
export interface Part {
  /** The bytes as doubles, filled up with zeros. */
  readonly words: Float64Array
  readonly length: number
}

/** Prepares a text. It must be ASCII: its bytes are then no double that changes when it is copied. */
export function part(text: string): Part {
  const words = new Float64Array(Math.ceil(text.length / 8))
  const bytes = new Uint8Array(words.buffer)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
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

const DOT = 46

export class TextBytes {
  private bytes: Uint8Array
  private view: DataView
  private at = 0
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
    const { view, at } = this
    for (let i = 0; i < words.length; i++) view.setFloat64(at + i * 8, words[i], LITTLE_ENDIAN)
    this.at = at + length
  }

  /** ASCII, not prepared. */
  ascii(text: string): void {
    const { bytes, at } = this
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i)
    this.at = at + text.length
  }

  /** Any text, of which no more than a line's worth is left when it has been written. */
  text(text: string): void {
    this.reserve(text.length * 3 + LINE)
    this.at += this.encoder.encodeInto(text, this.bytes.subarray(this.at)).written
  }

  /** A whole number, 0 or more. */
  number(value: number): void {
    if (value < 1000) this.short(SHORT[value])
    else {
      const above = Math.floor(value / 1000)
      this.number(above)
      this.short(PADDED[value - above * 1000])
    }
  }

  /** Nine digits of a number below 10^9. */
  nineDigits(value: number): void {
    const millions = Math.floor(value / 1_000_000)
    const thousands = Math.floor((value - millions * 1_000_000) / 1000)
    this.short(PADDED[millions])
    this.short(PADDED[thousands])
    this.short(PADDED[value % 1000])
  }

  /** The IPv4 address in the four bytes at `from`. */
  ipv4(data: Uint8Array, from: number): void {
    for (let i = 0; i < 4; i++) {
      this.short(SHORT[data[from + i]])
      this.bytes[this.at++] = DOT
    }
    this.at--
  }

  private short(digits: number): void {
    const { bytes, at } = this
    bytes[at] = digits
    bytes[at + 1] = digits >>> 8
    bytes[at + 2] = digits >>> 16
    this.at = at + (digits >>> 24)
  }
}

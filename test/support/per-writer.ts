/** Writes the aligned Packed Encoding Rules (ITU-T X.691): bits, and octets on whole bytes. */

export class PerWriter {
  readonly #bits: number[] = []

  bits(value: number, count: number): this {
    for (let i = count - 1; i >= 0; i--) this.#bits.push(Math.floor(value / 2 ** i) & 1)
    return this
  }

  /** Whole octets from the next octet on. */
  octets(...octets: readonly number[]): this {
    while (this.#bits.length % 8 !== 0) this.#bits.push(0)
    for (const octet of octets) this.bits(octet, 8)
    return this
  }

  word(value: number): this {
    return this.octets(value >> 8, value & 255)
  }

  /** Octets with their length in front of them. */
  sized(bytes: ArrayLike<number>): this {
    const { length } = bytes
    return this.octets(...(length < 128 ? [] : [0x80 | length >> 8]), length & 255, ...Array.from(bytes))
  }

  /** What another one has written, with its length in front of it. */
  open(inner: PerWriter): this {
    return this.sized(inner.bytes())
  }

  with(write: (to: PerWriter) => void): this {
    write(this)
    return this
  }

  bytes(): Uint8Array {
    return Uint8Array.from({ length: Math.ceil(this.#bits.length / 8) }, (_, i) =>
      Array.from({ length: 8 }, (_, k) => this.#bits[i * 8 + k] ?? 0).reduce((byte, bit) => byte << 1 | bit, 0))
  }
}

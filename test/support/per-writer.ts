/**
 * Writes aligned PER (ITU-T X.691) by hand: the bits in the order of the standard, without knowing any type. It shares
 * nothing with the reader that it is to test.
 */

/** A piece of an encoding. */
export type Piece = (out: PerWriter) => void

class PerWriter {
  private readonly all: number[] = []

  bit(value: number): void {
    this.all.push(value)
  }

  align(): void {
    while (this.all.length % 8) this.all.push(0)
  }

  get bytes(): Uint8Array {
    this.align()
    const octet = (i: number) => parseInt(this.all.slice(i * 8, i * 8 + 8).join(''), 2)
    return Uint8Array.from({ length: this.all.length / 8 }, (_, i) => octet(i))
  }
}

export function encode(...pieces: readonly Piece[]): Uint8Array {
  const out = new PerWriter()
  for (const piece of pieces) piece(out)
  return out.bytes
}

/** Bits as they stand: `bits('0 101')`; blanks are for the reader. */
export const bits = (text: string): Piece => out => {
  for (const digit of text.replaceAll(' ', '')) out.bit(Number(digit))
}

/** A number in so many bits. */
export const number = (value: number, count: number): Piece => bits(value.toString(2).padStart(count, '0'))

/** Whole octets, from the next octet on. */
export const octets = (values: Iterable<number>): Piece => out => {
  out.align()
  for (const value of values) number(value, 8)(out)
}

/** 16 bits, from the next octet on. */
export const word = (value: number): Piece => octets([value >> 8, value & 255])

/** A length without upper bound. */
const length = (value: number): Piece => octets(value < 128 ? [value] : [0x80 | value >> 8, value & 255])

/** Octets behind their length: an OBJECT IDENTIFIER, an OCTET STRING, an open type that is encoded already. */
export const counted = (values: Uint8Array | readonly number[]): Piece => all(length(values.length), octets(values))

/** An INTEGER of more than 65536 values, as its distance from the smallest. */
export function large(value: number): Piece {
  const digits = value.toString(16)
  const values = Buffer.from(digits.padStart(digits.length + digits.length % 2, '0'), 'hex')
  return all(number(values.length - 1, 2), octets(values))
}

export const all = (...pieces: readonly Piece[]): Piece => out => pieces.forEach(piece => piece(out))

/** SEQUENCE OF */
export const list = (...pieces: readonly Piece[]): Piece => all(length(pieces.length), ...pieces)

/** `1` for each that is there, `0` for each that is not: which optional components follow. */
export const present = (...components: readonly unknown[]): Piece =>
  bits(components.map(component => component === undefined ? '0' : '1').join(''))

/** Additions behind the `...`, each an open type; where none is there nothing is written. */
export function additions(...pieces: readonly (Piece | undefined)[]): Piece {
  if (!pieces.some(Boolean)) return all()
  const open = pieces.flatMap(piece => piece ? [counted(encode(piece))] : [])
  return all(number(pieces.length - 1, 7), present(...pieces), ...open, out => out.align())
}

/** The chosen one of a CHOICE's additions. */
export const added = (index: number, piece: Piece): Piece => all(bits('1'), number(index, 7), counted(encode(piece)))

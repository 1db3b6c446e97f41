/**
 * Aligned Packed Encoding Rules (ITU-T X.691), as much of them as H.225.0 and H.245 need, for reading only.
 *
 * ASN.1 types are constants, written down in the order of the standards, and `decode` makes plain values after them. The
 * reader is a window into the payload. A read that would leave it gives zero and marks the reader as failed, whereupon
 * every loop ends; what came out of a failed reader is to be thrown away.
 *
 * No type contains itself, so that recursion is as deep as the deepest constant. Lists and additions end with the bits.
 */

/** Reads the bits and octets of one encoding. */
class PerReader {
  /** A read ran past the end, or met a value that cannot be. */
  failed = false
  private bit: number
  private readonly endBit: number

  /** Reads `bytes` from the octet `start` up to, not with, the octet `end`. */
  constructor(private readonly bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bit = start * 8
    this.endBit = Math.min(end, bytes.length) * 8
  }

  fail(): 0 {
    this.failed = true
    return 0
  }

  private has(bits: number): boolean {
    return !this.failed && bits <= this.endBit - this.bit
  }

  /** Takes up to 32 bits as an unsigned number. */
  bits(count: number): number {
    if (!this.has(count)) return this.fail()
    let value = 0
    for (let i = 0; i < count; i++, this.bit++) value = value * 2 + (this.bytes[this.bit >> 3] >> (7 - (this.bit & 7)) & 1)
    return value
  }

  skipBits(count: number): void {
    if (this.has(count)) this.bit += count
    else this.fail()
  }

  /** So many octets must follow. */
  wants(octets: number): void {
    if (!this.has(octets * 8)) this.fail()
  }

  align(): void {
    this.bit = this.bit + 7 & ~7
  }

  /** Takes whole octets from the next octet on; they share the payload's memory. */
  octets(count: number): Uint8Array {
    this.align()
    const start = this.bit >> 3
    this.skipBits(count * 8)
    return this.failed ? NOTHING : this.bytes.subarray(start, start + count)
  }

  /** Takes so many octets as an unsigned number, of which the lowest 32 bits are kept. */
  number(octets: number): number {
    let value = 0
    for (const octet of this.octets(octets)) value = (value << 8 | octet) >>> 0
    return value
  }

  /** A length without upper bound. Linux takes 16 K and more, which is sent in fragments, for a length below it. */
  length(): number {
    const first = this.number(1)
    return first < 0x80 ? first : (first & 0x3f) << 8 | this.number(1)
  }

  /**
   * Reads an open type with `read`, then goes on behind it. Like Linux, `read` may see what follows the open type: its
   * length must be there, but does not confine its contents.
   */
  open(read: Read): PerValue {
    const length = this.length() * 8
    const start = this.bit
    if (!this.has(length)) return this.fail()
    const value = read(this)
    this.bit = start + length
    return value
  }

  /** A number below `size`, as X.691 10.5 sends it; 2^32 is the largest size. */
  below(size: number): number {
    if (size < 256) return this.bits(32 - Math.clz32(size - 1))
    if (size <= 65536) return this.number(size > 256 ? 2 : 1)
    return this.number(this.bits(2) + 1)
  }
}

const NOTHING = new Uint8Array(0)

/** What comes out of a type; see `decode`. */
type PerValue = any

type Read = (reader: PerReader) => PerValue

interface Field {
  readonly name: string
  readonly read: Read
  readonly optional: boolean
}

/** An ASN.1 type: how it is read. */
export interface PerType {
  readonly read: Read
  readonly optional?: boolean
}

/** Components of a SEQUENCE or alternatives of a CHOICE, in the standard's order. */
export type PerFields = Readonly<Record<string, PerType>>

const fieldsOf = (fields: PerFields): readonly Field[] =>
  Object.entries(fields).map(([name, type]) => ({ name, read: type.read, optional: type.optional ?? false }))

/** A component that may be left out. */
export const optional = (type: PerType): PerType => ({ read: type.read, optional: true })

export const NULL: PerType = { read: () => true }
export const BOOLEAN: PerType = { read: reader => reader.bits(1) === 1 }

/** INTEGER (min..max) */
export const integer = (min: number, max: number): PerType => ({ read: reader => reader.below(max - min + 1) + min })

/** An INTEGER without bounds, an OBJECT IDENTIFIER or an OCTET STRING of any size: a length and octets. */
export const VARIABLE: PerType = { read: reader => reader.octets(reader.length()) }

/** OCTET STRING (SIZE (min..max)) */
export function octets(min: number, max = min): PerType {
  if (min === max) return { read: reader => reader.octets(min) }
  return { read: reader => reader.octets(reader.below(max - min + 1) + min) }
}

/** A string of SIZE (1..max) of characters that take so many bits each. */
export const text = (width: 4 | 8 | 16, max: number): PerType => ({
  read(reader) {
    const length = reader.below(max) + 1
    reader.align()
    reader.skipBits(length * width)
    return true
  },
})

/** BIT STRING (SIZE (0..max)), or without bounds. */
export const bitString = (max?: number): PerType => ({
  read(reader) {
    const length = max === undefined ? reader.length() : reader.below(max + 1)
    reader.align()
    reader.skipBits(length)
    return true
  },
})

/** SEQUENCE OF, of any size; all are read, the first so many are kept, as Linux has room for no more. */
export const list = (type: PerType, most = Infinity): PerType => ({
  read(reader) {
    const values: PerValue[] = []
    for (let left = reader.length(); left > 0 && !reader.failed; left--) {
      const value = type.read(reader)
      if (values.length < most) values.push(value)
    }
    return values
  },
})

/** An OCTET STRING that holds the encoding of a type. */
export const encoded = (type: PerType): PerType => ({ read: reader => reader.open(type.read) })

/** An addition behind the `...` whose contents nobody asks for. */
export const UNREAD: PerType = { read: () => true, optional: true }

/** An addition at which Linux stops, content with what it has: only for where nothing of use comes behind. */
export const STOP: PerType = { read: () => true, optional: true }

/** SEQUENCE; with `additions`, if only empty ones, it has a `...`. Those that are not named are passed over. */
export function sequence(components: PerFields, additions?: PerFields): PerType {
  const fields = fieldsOf(components)
  const optionals = fields.filter(field => field.optional).length
  const extensible = additions !== undefined
  const added = fieldsOf(additions ?? {})
  return {
    read(reader) {
      const values: Record<string, PerValue> = {}
      const extended = extensible && reader.bits(1) === 1
      let present = reader.bits(optionals), left = optionals
      for (const field of fields) {
        if (reader.failed) return values
        if (!field.optional || present >>> --left & 1) values[field.name] = field.read(reader)
      }
      if (extended) readAdditions(reader, added, values)
      return values
    },
  }
}

/** Additions: how many this version of the type has, which of them are there, each as an open type. */
function readAdditions(reader: PerReader, fields: readonly Field[], values: Record<string, PerValue>): void {
  const count = reader.bits(7) + 1
  if (count > MAX_ADDITIONS) reader.fail()
  const present = Array.from({ length: reader.failed ? 0 : count }, () => reader.bits(1) === 1)
  for (let i = 0; i < present.length && !reader.failed; i++) {
    const field = fields[i]
    if (field?.read === STOP.read) return
    if (!present[i]) continue
    reader.wants(2) // Linux does for the length alone, though it may have one octet
    const value = reader.open(field?.read ?? UNREAD.read)
    if (field) values[field.name] = value
  }
  reader.align()
}

/** Linux keeps which additions are there in 32 bits, and takes a message with more of them for broken. */
const MAX_ADDITIONS = 32

/** CHOICE: an object with the one alternative that was chosen; empty if that is an unknown addition. */
export function choice(alternatives: PerFields, additions?: PerFields): PerType {
  const root = fieldsOf(alternatives)
  const added = fieldsOf(additions ?? {})
  const extensible = additions !== undefined
  return {
    read(reader) {
      const extended = extensible && reader.bits(1) === 1
      const field = extended ? added[reader.bits(7)] : root[reader.below(root.length)]
      if (extended) {
        if (field?.read === STOP.read) return {}
        const value = reader.open(field?.read ?? UNREAD.read)
        return field ? { [field.name]: value } : {}
      }
      if (!field) return reader.fail()
      return { [field.name]: field.read(reader) }
    },
  }
}

/** Reads the one value that `bytes` from `start` to `end` hold; `null` if they are not enough or do not make sense. */
export function decode<Value>(type: PerType, bytes: Uint8Array, start = 0, end = bytes.length): Value | null {
  const reader = new PerReader(bytes, start, end)
  const value = type.read(reader)
  return reader.failed ? null : value
}

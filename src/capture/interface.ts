/**
 * An interface of a pcapng section: link type, captured length, and what its time stamps count. In: the body of an
 * interface description block. Out: times as whole seconds and nanoseconds, exact for every resolution.
 */

/** A time: whole seconds since 1970 and nanoseconds, 0 to 999,999,999. Written to, so that no packet makes one. */
export interface Time {
  seconds: number
  nanoseconds: number
}

const NANOSECONDS = 1_000_000_000
const OPTION_END = 0
const OPTION_TSRESOL = 9
const OPTION_TSOFFSET = 14
const MICROSECONDS_EXPONENT = 6

export class Interface {
  /** Bytes of a packet that were captured at most; 0 means no limit. */
  readonly snaplen: number
  /** LINKTYPE_ number. */
  readonly linkType: number
  private exponent = MICROSECONDS_EXPONENT
  private binary = false
  private offsetSeconds = 0
  /** Time stamps count this part of a second, where that is 1 to 10^-9 seconds in powers of ten; 0 otherwise. */
  private readonly unitsPerSecond: number
  private readonly nanosecondsPerUnit: number
  private readonly bigUnitsPerSecond: bigint

  /**
   * @param view the file's bytes
   * @param start where the block's body starts: link type, 2 bytes unused, snaplen, options; 8 bytes at least
   * @param end where the body ends
   * @throws RangeError for an option that is longer than the block, or has a length that its kind cannot have
   */
  constructor(view: DataView, start: number, end: number, littleEndian: boolean) {
    this.linkType = view.getUint16(start, littleEndian)
    this.snaplen = view.getUint32(start + 4, littleEndian)
    this.readOptions(view, start + 8, end, littleEndian)
    const common = !this.binary && this.exponent <= 9
    this.unitsPerSecond = common ? 10 ** this.exponent : 0
    this.nanosecondsPerUnit = common ? 10 ** (9 - this.exponent) : 0
    this.bigUnitsPerSecond = (this.binary ? 2n : 10n) ** BigInt(this.exponent)
  }

  /** The time that the 64-bit time stamp `high`, `low` stands for, rounded down to nanoseconds. */
  time(high: number, low: number, into: Time): void {
    if (this.unitsPerSecond !== 0) this.decimalTime(high, low, into)
    else this.anyTime(high, low, into)
    into.seconds += this.offsetSeconds
  }

  /** Long division by digits of 16 bits: remainders stay below 10^9 and dividends below 2^46, which doubles hold. */
  private decimalTime(high: number, low: number, into: Time): void {
    const divisor = this.unitsPerSecond
    const top = Math.floor(high / divisor)
    let rest = (high - top * divisor) * 65536 + (low >>> 16)
    const middle = Math.floor(rest / divisor)
    rest = (rest - middle * divisor) * 65536 + (low & 0xffff)
    const bottom = Math.floor(rest / divisor)
    into.seconds = top * 4294967296 + middle * 65536 + bottom
    into.nanoseconds = (rest - bottom * divisor) * this.nanosecondsPerUnit
  }

  private anyTime(high: number, low: number, into: Time): void {
    const stamp = BigInt(high) * 4294967296n + BigInt(low)
    into.seconds = Number(stamp / this.bigUnitsPerSecond)
    into.nanoseconds = Number(((stamp % this.bigUnitsPerSecond) * BigInt(NANOSECONDS)) / this.bigUnitsPerSecond)
  }

  private readOptions(view: DataView, start: number, end: number, littleEndian: boolean): void {
    let position = start
    while (end - position >= 4) {
      const code = view.getUint16(position, littleEndian)
      const length = view.getUint16(position + 2, littleEndian)
      if (code === OPTION_END) return
      position += 4
      if (length > end - position) throw new RangeError(`an interface's option ${code} is longer than its block`)
      if (code === OPTION_TSRESOL) this.readResolution(view, position, length)
      if (code === OPTION_TSOFFSET) this.readOffset(view, position, length, littleEndian)
      // Values are padded to 4 bytes.
      position += (length + 3) & ~3
    }
  }

  private readResolution(view: DataView, position: number, length: number): void {
    if (length !== 1) throw new RangeError(`an interface's time resolution has ${length} bytes instead of 1`)
    const value = view.getUint8(position)
    this.binary = (value & 0x80) !== 0
    this.exponent = value & 0x7f
  }

  private readOffset(view: DataView, position: number, length: number, littleEndian: boolean): void {
    if (length !== 8) throw new RangeError(`an interface's time offset has ${length} bytes instead of 8`)
    this.offsetSeconds = Number(view.getBigInt64(position, littleEndian))
  }
}

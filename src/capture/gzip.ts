/**
 * gzip undone (RFC 1952), any number of members. In: compressed chunks. Out: decompressed ones, each as soon as its
 * bytes have come. It must give everything that can be decompressed before it reports damage, and its memory must not
 * depend on how much a byte of input decompresses to.
 *
 * fflate inflates; the members' headers and trailers are read here, because its own gzip reader keeps a header of any
 * length and does not check the sums. The platform's DecompressionStream is not used: it throws queued output away when
 * the input is damaged, and differs between runtimes.
 */
import { Inflate } from 'fflate/browser'
import { crc32 } from '../crc32.js'
import { GzipError } from './gzip-error.js'
import { GZIP_FREE, GZIP_MOST, GZIP_MOST_TIMES } from './limits.js'

/** Input given to the decompressor at once: a byte becomes 1,032 at most, so this much becomes 8.1 MiB at most. */
const SLICE = 8192

const FLAG_HEADER_SUM = 2
const FLAG_EXTRA = 4
const FLAG_NAME = 8
const FLAG_COMMENT = 16

/** Decompresses. @throws GzipError after everything that could be decompressed was yielded */
export async function* gunzip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const members = new Members()
  let [taken, given] = [0, 0]
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += SLICE) {
      const slice = chunk.subarray(at, at + SLICE)
      taken += slice.length
      for (const piece of members.push(slice)) {
        given += piece.length
        checkSize(taken, given)
        yield piece
      }
    }
  }
  members.end()
}

/** Refuses a bomb: its memory is bounded anyhow, the time it takes is not. */
function checkSize(taken: number, given: number): void {
  if (given > GZIP_MOST) throw new GzipError(`the gzip data decompresses to more than ${GZIP_MOST} bytes`)
  if (given <= GZIP_FREE + taken * GZIP_MOST_TIMES) return
  throw new GzipError(`the gzip data decompresses to more than ${GZIP_FREE} bytes and ${GZIP_MOST_TIMES} times its size`)
}

/** The members of a gzip file, one after the other. */
class Members {
  private header = new MemberHeader()
  private body: MemberBody | null = null
  private trailer: number[] = []
  private started = 0
  private padding = false

  /** The input has ended. */
  end(): void {
    const between = this.padding || (this.header.empty && this.started > 0)
    if (!between) throw new GzipError('the gzip data is cut off')
  }

  /** Yields what the slice decompresses to. */
  *push(slice: Uint8Array): Generator<Uint8Array, void, undefined> {
    let rest = slice
    while (rest.length > 0) {
      if (this.padding) rest = this.passPadding(rest)
      else if (!this.header.done) rest = this.readHeader(rest)
      else if (this.body && !this.body.done) rest = yield* this.body.push(rest)
      else rest = this.readTrailer(rest)
    }
  }

  private readHeader(bytes: Uint8Array): Uint8Array {
    // Tapes and block devices fill up with zeros; gzip(1) takes them without a word.
    if (this.header.empty && this.started > 0 && bytes[0] === 0) {
      this.padding = true
      return bytes
    }
    const rest = this.header.push(bytes)
    if (this.header.done) {
      this.started++
      this.body = new MemberBody()
    }
    return rest
  }

  private readTrailer(bytes: Uint8Array): Uint8Array {
    const missing = 8 - this.trailer.length
    this.trailer.push(...bytes.subarray(0, missing))
    if (this.trailer.length === 8) {
      this.body?.check(new DataView(Uint8Array.from(this.trailer).buffer))
      this.header = new MemberHeader()
      this.body = null
      this.trailer = []
    }
    return bytes.subarray(missing)
  }

  private passPadding(bytes: Uint8Array): Uint8Array {
    if (bytes.some((byte) => byte !== 0)) throw new GzipError('something that is not gzip follows the gzip data')
    return bytes.subarray(bytes.length)
  }
}

/** A member's header, of which nothing is kept. */
class MemberHeader {
  done = false
  /** Bytes of the part being read, and the part: fixed fields, extra length, extra, name, comment, sum. */
  private at = 0
  private part = 0
  private flags = 0
  private extra = 0

  /** Nothing of it was read yet. */
  get empty(): boolean {
    return this.part === 0 && this.at === 0
  }

  /** @returns what follows the header */
  push(bytes: Uint8Array): Uint8Array {
    let i = 0
    this.skipAbsent()
    while (!this.done && i < bytes.length) {
      this.read(bytes[i++])
      this.skipAbsent()
    }
    return bytes.subarray(i)
  }

  private read(byte: number): void {
    const at = this.at++
    if (this.part === 0) this.readFixed(byte, at)
    else if (this.part === 1) this.readExtraLength(byte, at)
    else if (this.part === 2) this.finish(at + 1 === this.extra)
    else if (this.part === 3 || this.part === 4) this.finish(byte === 0)
    else this.finish(at === 1)
  }

  private readFixed(byte: number, at: number): void {
    const expected = [0x1f, 0x8b, 8][at]
    if (expected !== undefined && byte !== expected) throw new GzipError(at < 2
      ? 'something that is not gzip follows the gzip data' : `gzip's compression method ${byte} is not known`)
    if (at === 3) this.flags = byte
    this.finish(at === 9)
  }

  private readExtraLength(byte: number, at: number): void {
    this.extra |= byte << (8 * at)
    this.finish(at === 1)
  }

  private finish(whether: boolean): void {
    if (!whether) return
    this.part++
    this.at = 0
  }

  /** Moves past the parts that the flags say are not there. */
  private skipAbsent(): void {
    if (this.part === 1 && (this.flags & FLAG_EXTRA) === 0) this.part = 3
    if (this.part === 2 && this.extra === 0) this.part = 3
    if (this.part === 3 && (this.flags & FLAG_NAME) === 0) this.part = 4
    if (this.part === 4 && (this.flags & FLAG_COMMENT) === 0) this.part = 5
    if (this.part === 5 && (this.flags & FLAG_HEADER_SUM) === 0) this.part = 6
    this.done = this.part === 6
  }
}

/**
 * The parts of fflate's `Inflate` that tell where the compressed data ended, which nothing public does. `s.f` is the
 * final block's flag, `s.l` the code table while in a block, `s.p` the bit in `p`, the input not used yet. A test
 * holds the pinned version to it.
 */
interface InflateInside {
  p: Uint8Array
  s: { f?: number; l?: unknown; p?: number }
}

/** A member's compressed data. */
class MemberBody {
  done = false
  private inflate = new Inflate()
  private pieces: Uint8Array[] = []
  private sum = 0
  private size = 0

  constructor() {
    this.inflate.ondata = (piece) => {
      if (piece.length > 0) this.pieces.push(piece)
    }
  }

  /** Yields what the bytes decompress to. @returns what follows the compressed data */
  *push(bytes: Uint8Array): Generator<Uint8Array, Uint8Array, undefined> {
    const before = copyOf(this.inflate)
    let rest: Uint8Array
    try {
      rest = this.step(bytes)
    } catch (error) {
      if (bytes.length === 1) throw new GzipError(`the gzip data is damaged: ${String((error as Error).message)}`)
      // What was decompressed before the damage was lost with the error; a byte at a time it comes out.
      this.inflate = before
      return yield* this.pushByByte(bytes)
    }
    yield* this.taken()
    return rest
  }

  /** @throws GzipError if what was decompressed has another size or sum than the trailer says */
  check(trailer: DataView): void {
    if (trailer.getUint32(0, true) !== this.sum) throw new GzipError("the gzip data's checksum is wrong")
    if (trailer.getUint32(4, true) !== this.size) throw new GzipError("the gzip data's length is wrong")
  }

  private *pushByByte(bytes: Uint8Array): Generator<Uint8Array, Uint8Array, undefined> {
    let i = 0
    while (!this.done && i < bytes.length) {
      yield* this.push(bytes.subarray(i, i + 1))
      i++
    }
    return bytes.subarray(i)
  }

  private step(bytes: Uint8Array): Uint8Array {
    this.pieces = []
    this.inflate.push(bytes)
    const { p, s } = this.inflate as unknown as InflateInside
    this.done = Boolean(s.f) && !s.l
    return this.done ? p.subarray(((s.p ?? 0) + 7) >> 3) : bytes.subarray(bytes.length)
  }

  private *taken(): Generator<Uint8Array, void, undefined> {
    for (const piece of this.pieces) {
      this.sum = crc32(piece, this.sum)
      this.size = (this.size + piece.length) >>> 0
      yield piece
    }
  }
}

/** The decompressor as it is now. Its tables and buffers are never changed in place where they are in use. */
function copyOf(inflate: Inflate): Inflate {
  const copy = Object.assign(Object.create(Inflate.prototype) as object, inflate)
  const inside = copy as unknown as InflateInside
  inside.s = { ...inside.s }
  return copy
}

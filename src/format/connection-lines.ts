/**
 * Many connections as lines, in bytes. In: a core from within, and what writes one connection as text. Out: for each slot the
 * same line, and a line feed.
 *
 * Nearly all connections are of a few shapes (`shape.ts`): their lines are filled in from the entries where they lie. What
 * few connections have (a helper, a start, keys of GRE, tags of SCTP) is written as text, as is what would be one shape too
 * many. A test holds the two against each other.
 */
import type { CoreInside } from '../border.js'
import { connState } from '../conn-state.js'
import type { Connection } from '../types.js'
import { ipv6Text } from './address.js'
import { Kind, shapeOf, type Shape } from './shape.js'
import { LINE, putAscii, putBytes, putIpv4, putNumber, putU32, putWords, TextBytes } from './text-bytes.js'

/** Bytes that are collected before they are handed on. */
const ENOUGH = 1 << 18
/** Places for shapes, of which half are used at most, and for codes of histories. */
const SHAPES = 1 << 11
const CODES = 1 << 8
const SPREAD = 0x9e3779b1

const TCP = 6
const ICMP: readonly number[] = [1, 58]
const GRE = 47
const SCTP = 132
/** Bits of `attached`: a start, and what helpers know. */
const APART = 2 | 32
const ACCOUNT_SIZE = 32
const HISTORY_SIZE = 32
/** Of a history, which begins with the set of its letters: their number, and they. */
const [COUNT, LETTERS] = [4, 8]

/** A shape by what all of its entries have in common. */
interface KnownShape {
  /** Protocol, version and zone. */
  readonly kind: number
  /** Status, state and origin. */
  readonly state: number
  readonly details: number
  readonly attached: number
  /** `null`: written as text. */
  readonly shape: Shape | null
}

/** What Zeek's code depends on, and it. */
interface KnownCode {
  /** Set of the letters of the history. */
  readonly letters: number
  readonly protocol: number
  readonly code: string
}

/** A form of line. */
export interface LineWriter {
  /** A connection as text, without a line feed. */
  readonly line: (connection: Connection) => string
  /** An IPv6 address as the line has it. */
  readonly address?: (text: string) => string
  /** Ids of connections of which the line says more than the connection does. */
  readonly apart?: { has(id: number): boolean }
}

export class ConnectionLines {
  private readonly out = new TextBytes(ENOUGH + 2 * LINE)
  private readonly shapes: (KnownShape | undefined)[] = new Array<undefined>(SHAPES).fill(undefined)
  private shapesKnown = 0
  private readonly codes: (KnownCode | undefined)[] = new Array<undefined>(CODES).fill(undefined)
  private readonly now: { readonly high: number; readonly low: number }

  constructor(private readonly inside: CoreInside, private readonly writer: LineWriter) {
    const { now } = inside.core
    this.now = { high: Number(now >> 32n), low: Number(now & 0xffffffffn) }
  }

  /** Enough was collected: call `take` before adding more. */
  get full(): boolean {
    return this.out.length >= ENOUGH
  }

  /** What was collected, good until more is added. */
  take(): Uint8Array {
    const bytes = this.out.written
    this.out.clear()
    return bytes
  }

  add(slot: number): void {
    const at = this.inside.entry(slot)
    this.out.reserve(2 * LINE)
    const shape = this.shapeAt(at, slot)
    if (shape !== null) this.fill(shape, at, slot)
    else this.out.text(`${this.writer.line(this.inside.core.connection(slot))}\n`)
  }

  private fill({ words, ends, lengths, kinds, places }: Shape, entry: number, slot: number): void {
    const { out, inside: { view, bytes } } = this
    const to = out.view
    let at = out.at
    let word = 0
    for (let i = 0; ; i++) {
      putWords(to, at, words, word, ends[i])
      word = ends[i]
      at = at + lengths[i] | 0
      if (i === kinds.length) break
      const kind = kinds[i]
      const from = entry + places[i]
      if (kind === Kind.ipv4) at = putIpv4(to, at, bytes, from)
      else if (kind > Kind.ipv4) at = this.putOther(kind, at, places[i], entry, slot)
      else {
        // One call for all: V8 copies it into the loop only where there are few.
        at = putU32(to, at, kind === Kind.u32 ? view.getUint32(from, true) : kind === Kind.u16 ? view.getUint16(from, true) : bytes[from])
      }
    }
    out.at = at
  }

  /** What few holes of a line are. */
  private putOther(kind: number, at: number, place: number, entry: number, slot: number): number {
    const { out: { view }, inside: { view: from, bytes, regions: { accounts, histories } } } = this
    const history = histories + slot * HISTORY_SIZE
    switch (kind) {
      case Kind.milliseconds: return putNumber(view, at, this.until(entry + place))
      case Kind.seconds: return putNumber(view, at, Math.floor(this.until(entry + place) / 1000))
      case Kind.counter: return putNumber(view, at, u64(from, accounts + slot * ACCOUNT_SIZE + place))
      case Kind.ipv6: return putAscii(view, at, this.ipv6(entry + place))
      case Kind.history: return putBytes(view, at, bytes, history + LETTERS, bytes[history + COUNT])
      default: return putAscii(view, at, this.codeOf(history, bytes[entry + 36]))
    }
  }

  private ipv6(at: number): string {
    const text = ipv6Text(this.inside.bytes, at)
    return this.writer.address?.(text) ?? text
  }

  /** Milliseconds until a time; the difference of its halves is rounded once, as that of the whole would be. */
  private until(at: number): number {
    const { view } = this.inside
    const nanoseconds = (view.getInt32(at + 4, true) - this.now.high) * 0x1_0000_0000 + (view.getUint32(at, true) - this.now.low)
    return Math.max(0, Math.floor(nanoseconds / 1e6))
  }

  private shapeAt(at: number, slot: number): Shape | null {
    const { inside: { view, bytes }, writer: { apart }, shapes } = this
    if (apart?.has(view.getUint32(at + 52, true))) return null
    const kind = view.getInt32(at + 36, true)
    const state = view.getInt32(at + 48, true)
    const details = this.detailsAt(at, kind & 0xff)
    const attached = bytes[at + 75]
    let place = Math.imul(Math.imul(kind ^ details, SPREAD) ^ state ^ attached, SPREAD) >>> 21
    for (let known; (known = shapes[place]) !== undefined; place = (place + 1) % SHAPES) {
      if (known.kind === kind && known.state === state && known.details === details && known.attached === attached) return known.shape
    }
    if (this.shapesKnown === SHAPES / 2) return null
    this.shapesKnown++
    const shape = this.newShape(at, slot, state >>> 24)
    shapes[place] = { kind, state, details, attached, shape }
    return shape
  }

  /** What of the rest of an entry decides about its shape. TCP: flags and a direction; ICMP: type and code. */
  private detailsAt(at: number, protocol: number): number {
    const { view, bytes } = this.inside
    if (protocol === TCP) return bytes[at + 97] | bytes[at + 117] << 8 | bytes[at + 73] << 16 | bytes[at + 71] << 24
    return ICMP.includes(protocol) ? view.getUint16(at + 34, true) : 0
  }

  private newShape(at: number, slot: number, origin: number): Shape | null {
    const { core, view } = this.inside
    const protocol = view.getUint8(at + 36)
    if (protocol === GRE || protocol === SCTP || core.parts.labels || view.getUint8(at + 75) & APART) return null
    return shapeOf(core.connection(slot), origin, this.writer.line)
  }

  private codeOf(history: number, protocol: number): string {
    const { inside: { view, bytes }, codes } = this
    const letters = view.getUint32(history, true)
    const place = Math.imul(letters ^ protocol, SPREAD) >>> 24
    const known = codes[place]
    if (known?.letters === letters && known.protocol === protocol) return known.code
    const text = String.fromCharCode(...bytes.subarray(history + LETTERS, history + LETTERS + bytes[history + COUNT]))
    const code = connState(protocol, text)
    codes[place] = { letters, protocol, code }
    return code
  }
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true)
}

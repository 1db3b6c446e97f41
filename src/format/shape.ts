/**
 * Lines of connections that are alike. In: a connection, and what writes one as text. Out: its line as parts that never
 * change and, between them, holes: which field of an entry belongs there and how it is written.
 *
 * Connections have one shape where no more than the fields of `FIELDS` tells them apart. What those fields are in text is
 * found by writing a connection that has stand-ins for them, so that every form of line is told in one place: where it is
 * written as text.
 */
import type { Connection } from '../types.js'
import { part } from './text-bytes.js'

/** How a field is written. */
export const Kind = {
  u8: 0, u16: 1, u32: 2, ipv4: 3, ipv6: 4,
  /** Until a time: whole milliseconds, or whole seconds. */
  milliseconds: 5, seconds: 6,
  /** 64 bits of its account. */
  counter: 7,
  /** Letters of its history, and the code for them. */
  history: 8, connState: 9,
} as const

/** One of two endpoints, by who sent the first packet: its address or port. */
const ADDRESS = -1
const PORT = -2

/** What differs within a shape: where a connection has it, how it is written, and where the entry, or the record beside it, has it. */
const FIELDS: readonly (readonly [path: string, kind: number, place: number])[] = [
  ['id', Kind.u32, 52], ['mark', Kind.u32, 76], ['timeoutMs', Kind.milliseconds, 40], ['streamInMs', Kind.milliseconds, 80],
  ['original.src', ADDRESS, 0], ['original.dst', ADDRESS, 1], ['reply.src', ADDRESS, 1], ['reply.dst', ADDRESS, 0],
  ['original.sport', PORT, 0], ['original.dport', PORT, 1], ['reply.sport', PORT, 1], ['reply.dport', PORT, 0],
  ['original.id', Kind.u16, 32], ['reply.id', Kind.u16, 32],
  ...['original', 'reply'].flatMap((side, i) => [
    [`tcp.${side}.end`, Kind.u32, 80 + i * 20], [`tcp.${side}.maxEnd`, Kind.u32, 84 + i * 20],
    [`tcp.${side}.maxWindow`, Kind.u32, 88 + i * 20], [`tcp.${side}.maxAck`, Kind.u32, 92 + i * 20],
    [`tcp.${side}.scale`, Kind.u8, 96 + i * 20],
    [`packets.${side}`, Kind.counter, i * 16], [`bytes.${side}`, Kind.counter, 8 + i * 16],
  ] as const),
  ['tcp.retransmissions', Kind.u8, 74], ['tcp.last.index', Kind.u8, 70], ['tcp.last.seq', Kind.u32, 56], ['tcp.last.ack', Kind.u32, 60],
  ['tcp.last.end', Kind.u32, 64], ['tcp.last.window', Kind.u16, 68], ['tcp.last.scale', Kind.u8, 72],
  ['history', Kind.history, 0], ['connState', Kind.connState, 0],
]
const PATHS = new Map(FIELDS.map(([path], i) => [path, i]))

export interface Shape {
  /** What is before each hole, and behind the last, one after the other as `part` prepares them. */
  readonly words: Float64Array
  /** Of each of these: where its words end, and how many bytes count. */
  readonly ends: Uint16Array
  readonly lengths: Uint16Array
  /** Of each hole. */
  readonly kinds: Uint8Array
  readonly places: Uint8Array
}

/** Stands for the first field. Nothing else in a line is as large, and a thousand times as much is still exact. */
const STAND_IN = 7_000_000_000_000
const HOLE = /(70000000000\d\d)(000)?/

/**
 * The shape of the lines of connections like this one.
 *
 * @param origin which endpoint sent the first packet, 0 or 1
 */
export function shapeOf(connection: Connection, origin: number, lineOf: (connection: Connection) => string): Shape {
  const pieces = `${lineOf(withStandIns(connection, '') as Connection)}\n`.split(HOLE)
  // Of three pieces the first is text, the second a stand-in, the third there where it is the whole of it.
  const parts = pieces.filter((_, i) => i % 3 === 0).map(part)
  const { family } = connection.original
  const holes = pieces.flatMap((piece, i) => i % 3 !== 1 ? []
    : [holeOf(Number(piece) - STAND_IN, pieces[i + 1] !== undefined, family, origin)])
  let end = 0
  return {
    words: Float64Array.from(parts.flatMap(({ words }) => [...words])),
    ends: Uint16Array.from(parts, ({ words }) => end += words.length), lengths: Uint16Array.from(parts, ({ length }) => length),
    kinds: Uint8Array.from(holes, ([kind]) => kind), places: Uint8Array.from(holes, ([, place]) => place),
  }
}

/** Of times there is a thousandth where a line has seconds. */
function withStandIns(value: unknown, path: string): unknown {
  if (value === null || value === undefined) return value
  const field = PATHS.get(path)
  if (field !== undefined) {
    const standIn = STAND_IN + field
    return typeof value === 'string' ? String(standIn) : FIELDS[field][1] === Kind.milliseconds ? standIn * 1000 : standIn
  }
  if (typeof value !== 'object' || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) =>
    [name, withStandIns(inner, path === '' ? name : `${path}.${name}`)]))
}

function holeOf(field: number, whole: boolean, family: 4 | 6, origin: number): readonly [kind: number, place: number] {
  const [, kind, place] = FIELDS[field]
  if (kind === ADDRESS) return family === 4 ? [Kind.ipv4, (place ^ origin) * 16 + 12] : [Kind.ipv6, (place ^ origin) * 16]
  if (kind === PORT) return [Kind.u16, 32 + (place ^ origin) * 2]
  return kind === Kind.milliseconds && !whole ? [Kind.seconds, place] : [kind, place]
}

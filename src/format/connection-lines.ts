/**
 * `connections --json`: entries as bytes, one JSON object a line. In: entries of the SDK. Out: what `connectionJson` gives for
 * each, and a line feed; a test holds the two against each other.
 */
import type { Connection, TcpSide, Tuple } from '../types.js'
import { LINE, part, type Part, TextBytes } from './text-bytes.js'
import { nanosecondsText } from './time.js'

/** Bytes that are collected before they are handed on. */
const ENOUGH = 1 << 16

/** Names of fields as they stand in front of their values: the first of an object, and those behind it. */
const first = (name: string) => part(`{"${name}":`)
const field = (name: string) => part(`,"${name}":`)

const FAMILY = part('{"family":')
const PROTOCOL = field('protocol')
const SRC = part(',"src":"')
const DST = part('","dst":"')
const QUOTE = part('"')
const PORTS = [['sport', field('sport')], ['dport', field('dport')], ['type', field('type')], ['code', field('code')],
  ['id', field('id')], ['srcKey', field('srcKey')], ['dstKey', field('dstKey')]] as const
const END = part('}')
const LINE_END = part('}\n')
const NULL = part('null')

const [ID, ORIGINAL, REPLY, ZONE, ZONE_DIRECTION, MARK, LABELS] =
  [first('id'), field('original'), field('reply'), field('zone'), field('zoneDirection'), field('mark'), field('labels')]
const [STATUS, ASSURED, SEEN_REPLY, TIMEOUT, HELPER, MASTER, TCP_STATE, SCTP_STATE] = [
  field('status'), field('assured'), field('seenReply'), field('timeoutMs'), field('helper'), field('master'),
  field('tcpState'), field('sctpState')]
const [TCP, TAGS, STREAM, PACKETS, BYTES, START, STOP, HISTORY, CONN_STATE] = [
  field('tcp'), field('verificationTags'), field('streamInMs'), field('packets'), field('bytes'), field('start'),
  field('stop'), field('history'), field('connState')]
const FIRST_ORIGINAL = first('original')
const [SIDE_END, MAX_END, MAX_WINDOW, MAX_ACK, SCALE, FLAGS] =
  [first('end'), field('maxEnd'), field('maxWindow'), field('maxAck'), field('scale'), field('flags')]
const [RETRANSMISSIONS, LAST] = [field('retransmissions'), field('last')]
const [INDEX, DIRECTION, SEQ, ACK, LAST_END, WINDOW] =
  [first('index'), field('direction'), field('seq'), field('ack'), field('end'), field('window')]

export class ConnectionLines {
  private readonly out = new TextBytes(ENOUGH + 2 * LINE)

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

  add(connection: Connection): void {
    const { out } = this
    out.reserve(2 * LINE)
    writeWhat(out, connection)
    writeState(out, connection)
    writeTcp(out, connection.tcp)
    writeRest(out, connection)
    out.part(LINE_END)
  }
}

function writeWhat(out: TextBytes, { id, original, reply, zone, zoneDirection, mark, labels }: Connection): void {
  number(out, ID, id)
  out.part(ORIGINAL)
  writeTuple(out, original)
  out.part(REPLY)
  writeTuple(out, reply)
  number(out, ZONE, zone)
  value(out, ZONE_DIRECTION, zoneDirection)
  number(out, MARK, mark)
  value(out, LABELS, labels)
}

function writeTuple(out: TextBytes, tuple: Tuple): void {
  number(out, FAMILY, tuple.family)
  number(out, PROTOCOL, tuple.protocol)
  out.part(SRC)
  out.ascii(tuple.src)
  out.part(DST)
  out.ascii(tuple.dst)
  out.part(QUOTE)
  for (const [name, written] of PORTS) if (tuple[name] !== undefined) number(out, written, tuple[name])
  out.part(END)
}

function writeState(out: TextBytes, connection: Connection): void {
  value(out, STATUS, connection.status)
  value(out, ASSURED, connection.assured)
  value(out, SEEN_REPLY, connection.seenReply)
  number(out, TIMEOUT, connection.timeoutMs)
  value(out, HELPER, connection.helper)
  number(out, MASTER, connection.master)
  value(out, TCP_STATE, connection.tcpState)
  value(out, SCTP_STATE, connection.sctpState)
}

function writeTcp(out: TextBytes, tcp: Connection['tcp']): void {
  out.part(TCP)
  if (tcp === null) return out.part(NULL)
  const { original, reply, retransmissions, last } = tcp
  out.part(FIRST_ORIGINAL)
  writeSide(out, original)
  out.part(REPLY)
  writeSide(out, reply)
  number(out, RETRANSMISSIONS, retransmissions)
  out.part(LAST)
  number(out, INDEX, last.index)
  value(out, DIRECTION, last.direction)
  number(out, SEQ, last.seq)
  number(out, ACK, last.ack)
  number(out, LAST_END, last.end)
  number(out, WINDOW, last.window)
  number(out, SCALE, last.scale)
  value(out, FLAGS, last.flags)
  out.part(END)
  out.part(END)
}

function writeSide(out: TextBytes, side: TcpSide): void {
  number(out, SIDE_END, side.end)
  number(out, MAX_END, side.maxEnd)
  number(out, MAX_WINDOW, side.maxWindow)
  number(out, MAX_ACK, side.maxAck)
  number(out, SCALE, side.scale)
  value(out, FLAGS, side.flags)
  out.part(END)
}

function writeRest(out: TextBytes, connection: Connection): void {
  const { start, stop } = connection
  value(out, TAGS, connection.verificationTags)
  number(out, STREAM, connection.streamInMs)
  value(out, PACKETS, connection.packets)
  value(out, BYTES, connection.bytes)
  value(out, START, start === null ? null : nanosecondsText(start))
  value(out, STOP, stop === null ? null : nanosecondsText(stop))
  value(out, HISTORY, connection.history)
  value(out, CONN_STATE, connection.connState)
}

/** A whole number, 0 or more. */
function number(out: TextBytes, name: Part, what: number | null): void {
  out.part(name)
  if (what === null) out.part(NULL)
  else out.number(what)
}

/** Parts by the value: words, and lists of words, which are the same objects again. Few of them occur. */
const known = new Map<unknown, Part>([[null, NULL], [true, part('true')], [false, part('false')]])
const MOST_KNOWN = 4096

function value(out: TextBytes, name: Part, what: unknown): void {
  out.part(name)
  const prepared = known.get(what)
  if (prepared) return out.part(prepared)
  const text = JSON.stringify(what)
  // Only what cannot change afterwards may be remembered by itself, and only ASCII is prepared.
  const lasts = typeof what === 'string' || Object.isFrozen(what)
  if (lasts && known.size < MOST_KNOWN && text.length < 256 && /^[ -~]*$/.test(text)) known.set(what, part(text))
  out.text(text)
  out.reserve(2 * LINE)
}

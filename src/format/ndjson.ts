/**
 * `classify --json`: one JSON object a packet, one packet a line.
 *
 * In: a batch and its verdicts. Out: text. Runs anywhere, and on every packet of every capture: a line is made of
 * fragments prepared once per value of a small integer, and of numbers. Nothing that is written needs escaping, so the
 * text is what JSON.stringify would give; a test holds the two against each other.
 */
import type { PacketBatch } from '../batch.js'
import { DIRECTIONS, REASONS, STATES, TCP_STATES, VERDICT_ASSURED, VERDICT_DROPPED } from '../names.js'
import type { Connection, VerdictBatch } from '../types.js'
import { ipv6Text } from './address.js'
import { entryDetail } from './detail.js'
import { fragment, LineBuffer, putAscii, putFragment, putNinePlaces, putNumber } from './line-writer.js'
import { KIND_ICMP, KIND_PORTS, networkStart, PROTOCOL_KINDS, PROTOCOL_NAMES, read16, transportStart } from './packet.js'
import { timeText } from './time.js'

const PACKET = fragment('{"packet":')
const TIME = fragment(',"time":"')
const DOT = 0x2e

/** `,"state":…,"direction":…,"connection":` by state and direction. */
const VERDICTS = STATES.map(state => DIRECTIONS.map(direction =>
  fragment(`","state":${JSON.stringify(state)},"direction":${JSON.stringify(direction)},"connection":`)))
const NULL = fragment('null')

const PROTOCOLS = PROTOCOL_NAMES.map(name => fragment(`,"protocol":${JSON.stringify(name)},"src":`))
const DESTINATION = fragment(',"dst":')
const NOT_IP = fragment(',"protocol":null,"src":null,"dst":null')
const QUOTE = 0x22

const SPORT = fragment(',"sport":')
const DPORT = fragment(',"dport":')
const TYPE = fragment(',"type":')
const CODE = fragment(',"code":')
const ID = fragment(',"id":')

/** `,"tcpState":…,"assured":…,"timeout":` by assured and TCP state; NONE is what other protocols have. */
const ENTRIES = [false, true].map(assured => TCP_STATES.map((state, i) =>
  fragment(`,"tcpState":${i === 0 ? 'null' : JSON.stringify(state)},"assured":${assured},"timeout":`)))
const NO_ENTRY = fragment(',"tcpState":null,"assured":null,"timeout":null')

const REASONS_OUT = REASONS.map(reason => fragment(`,"reason":${JSON.stringify(reason)}`))
const DROPPED = fragment(',"dropped":true')
const ENTRY = fragment(',"entry":')
const END = fragment('}\n')

/** Longest line without its entry, rounded up; a test of the longest values holds it. */
const LINE = 1024

/** Used again by every call: none of them waits for anything in between. */
const buffer = new LineBuffer()

/**
 * The lines of a batch, each ended by a line feed.
 * @param firstPacketNumber number of the batch's first packet; 1 for a capture's first
 * @param entry for `--detail`: the table entry right after the packet at an index of the batch
 */
export function classifyLines(
  batch: PacketBatch, verdicts: VerdictBatch, firstPacketNumber: number, entry?: (index: number) => Connection | null,
): string {
  let at = 0
  for (let i = 0; i < batch.count; i++) {
    const out = buffer.room(at, LINE)
    at = putLine(out, at, batch, verdicts, i, firstPacketNumber + i)
    if (entry !== undefined) at = putDetail(at, entry(i))
    at = putFragment(buffer.bytes, at, END)
  }
  return buffer.text(at)
}

/** A line up to its closing brace. */
function putLine(
  out: Uint8Array, at: number, batch: PacketBatch, verdicts: VerdictBatch, i: number, packet: number,
): number {
  at = putFragment(out, at, PACKET)
  at = putNumber(out, at, packet)
  at = putFragment(out, at, TIME)
  at = putTime(out, at, batch.seconds[i], batch.nanoseconds[i])
  at = putFragment(out, at, VERDICTS[verdicts.state[i]][verdicts.direction[i]])
  const connection = verdicts.connection[i]
  at = connection === 0 ? putFragment(out, at, NULL) : putNumber(out, at, connection)
  at = verdicts.family[i] === 0 ? putFragment(out, at, NOT_IP) : putPacket(out, at, batch, verdicts, i)
  at = connection === 0 ? putFragment(out, at, NO_ENTRY) : putEntry(out, at, verdicts, i)
  at = putFragment(out, at, REASONS_OUT[verdicts.reason[i]])
  return (verdicts.flags[i] & VERDICT_DROPPED) === 0 ? at : putFragment(out, at, DROPPED)
}

function putTime(out: Uint8Array, at: number, seconds: number, nanoseconds: number): number {
  if (seconds < 0) return putAscii(out, at, timeText(seconds, nanoseconds))
  at = putNumber(out, at, seconds)
  out[at] = DOT
  return putNinePlaces(out, at + 1, nanoseconds)
}

function putPacket(out: Uint8Array, at: number, batch: PacketBatch, verdicts: VerdictBatch, i: number): number {
  const family = verdicts.family[i]
  const protocol = verdicts.protocol[i]
  const network = networkStart(batch, verdicts, i)
  at = putFragment(out, at, PROTOCOLS[protocol])
  at = putAddress(out, at, batch.data, network, family === 4 ? 12 : 8, family)
  at = putFragment(out, at, DESTINATION)
  at = putAddress(out, at, batch.data, network, family === 4 ? 16 : 24, family)
  const kind = PROTOCOL_KINDS[protocol]
  if (kind === KIND_PORTS) return putPorts(out, at, batch, verdicts, i)
  return kind === KIND_ICMP ? putIcmp(out, at, batch, verdicts, i) : at
}

function putAddress(
  out: Uint8Array, at: number, data: Uint8Array, network: number, field: number, family: number,
): number {
  if (network < 0) return putFragment(out, at, NULL)
  out[at] = QUOTE
  at = family === 4 ? putIpv4(out, at + 1, data, network + field) : putAscii(out, at + 1, ipv6Text(data, network + field))
  out[at] = QUOTE
  return at + 1
}

function putIpv4(out: Uint8Array, at: number, data: Uint8Array, from: number): number {
  at = putNumber(out, at, data[from])
  for (let i = 1; i < 4; i++) {
    out[at] = DOT
    at = putNumber(out, at + 1, data[from + i])
  }
  return at
}

function putPorts(out: Uint8Array, at: number, batch: PacketBatch, verdicts: VerdictBatch, i: number): number {
  const transport = transportStart(batch, verdicts, i, 4)
  if (transport < 0) return at
  at = putFragment(out, at, SPORT)
  at = putNumber(out, at, read16(batch.data, transport))
  at = putFragment(out, at, DPORT)
  return putNumber(out, at, read16(batch.data, transport + 2))
}

function putIcmp(out: Uint8Array, at: number, batch: PacketBatch, verdicts: VerdictBatch, i: number): number {
  const transport = transportStart(batch, verdicts, i, 2)
  if (transport < 0) return at
  at = putFragment(out, at, TYPE)
  at = putNumber(out, at, batch.data[transport])
  at = putFragment(out, at, CODE)
  at = putNumber(out, at, batch.data[transport + 1])
  if (transportStart(batch, verdicts, i, 6) < 0) return at
  at = putFragment(out, at, ID)
  return putNumber(out, at, read16(batch.data, transport + 4))
}

function putEntry(out: Uint8Array, at: number, verdicts: VerdictBatch, i: number): number {
  at = putFragment(out, at, ENTRIES[verdicts.flags[i] & VERDICT_ASSURED][verdicts.protocolState[i]])
  return putNumber(out, at, Math.floor(verdicts.timeoutNs[i] / 1e9))
}

/** The entry, of any length and with any characters; leaves room for the end of the line. */
function putDetail(at: number, connection: Connection | null): number {
  const text = fragment(connection === null ? 'null' : JSON.stringify(entryDetail(connection)))
  const out = buffer.room(at, ENTRY.length + text.length + END.length)
  at = putFragment(out, at, ENTRY)
  out.set(text, at)
  return at + text.length
}

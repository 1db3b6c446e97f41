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
import { fragment, LineWriter } from './line-writer.js'
import { KIND_ICMP, KIND_PORTS, networkStart, PROTOCOL_KINDS, PROTOCOL_NAMES, read16, transportStart } from './packet.js'
import { timeText } from './time.js'

const PACKET = fragment('{"packet":')
const TIME = fragment(',"time":"')
const DOT = fragment('.')

/** `,"state":…,"direction":…,"connection":` by state and direction. */
const VERDICTS = STATES.map(state => DIRECTIONS.map(direction =>
  fragment(`","state":${JSON.stringify(state)},"direction":${JSON.stringify(direction)},"connection":`)))
const NULL = fragment('null')

const PROTOCOLS = PROTOCOL_NAMES.map(name => fragment(`,"protocol":${JSON.stringify(name)},"src":`))
const DESTINATION = fragment(',"dst":')
const NOT_IP = fragment(',"protocol":null,"src":null,"dst":null')
const QUOTE = fragment('"')

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

/** Used again by every call: none of them waits for anything in between. */
const writer = new LineWriter()

/**
 * The lines of a batch, each ended by a line feed.
 * @param firstPacketNumber number of the batch's first packet; 1 for a capture's first
 * @param entry for `--detail`: the table entry right after the packet at an index of the batch
 */
export function classifyLines(
  batch: PacketBatch, verdicts: VerdictBatch, firstPacketNumber: number, entry?: (index: number) => Connection | null,
): string {
  // A call that threw may have left half a line behind.
  writer.clear()
  for (let i = 0; i < batch.count; i++) {
    writer.reserve()
    writer.fragment(PACKET)
    writer.number(firstPacketNumber + i)
    writer.fragment(TIME)
    writeTime(batch.seconds[i], batch.nanoseconds[i])
    writer.fragment(VERDICTS[verdicts.state[i]][verdicts.direction[i]])
    if (verdicts.connection[i] === 0) writer.fragment(NULL)
    else writer.number(verdicts.connection[i])
    writePacket(batch, verdicts, i)
    writeEntry(verdicts, i)
    writer.fragment(REASONS_OUT[verdicts.reason[i]])
    if ((verdicts.flags[i] & VERDICT_DROPPED) !== 0) writer.fragment(DROPPED)
    if (entry !== undefined) writeDetail(entry(i))
    writer.fragment(END)
  }
  return writer.take()
}

function writeTime(seconds: number, nanoseconds: number): void {
  if (seconds < 0) return writer.ascii(timeText(seconds, nanoseconds))
  writer.number(seconds)
  writer.fragment(DOT)
  writer.ninePlaces(nanoseconds)
}

function writePacket(batch: PacketBatch, verdicts: VerdictBatch, i: number): void {
  const family = verdicts.family[i]
  if (family === 0) return writer.fragment(NOT_IP)
  const network = networkStart(batch, verdicts, i)
  writer.fragment(PROTOCOLS[verdicts.protocol[i]])
  writeAddress(batch.data, network, family === 4 ? 12 : 8, family)
  writer.fragment(DESTINATION)
  writeAddress(batch.data, network, family === 4 ? 16 : 24, family)
  const kind = PROTOCOL_KINDS[verdicts.protocol[i]]
  if (kind === KIND_PORTS) writePorts(batch, verdicts, i)
  else if (kind === KIND_ICMP) writeIcmp(batch, verdicts, i)
}

function writeAddress(data: Uint8Array, network: number, field: number, family: number): void {
  if (network < 0) return writer.fragment(NULL)
  writer.fragment(QUOTE)
  if (family === 4) writeIpv4(data, network + field)
  else writer.ascii(ipv6Text(data, network + field))
  writer.fragment(QUOTE)
}

function writeIpv4(data: Uint8Array, at: number): void {
  writer.number(data[at])
  for (let i = 1; i < 4; i++) {
    writer.fragment(DOT)
    writer.number(data[at + i])
  }
}

function writePorts(batch: PacketBatch, verdicts: VerdictBatch, i: number): void {
  const at = transportStart(batch, verdicts, i, 4)
  if (at < 0) return
  writer.fragment(SPORT)
  writer.number(read16(batch.data, at))
  writer.fragment(DPORT)
  writer.number(read16(batch.data, at + 2))
}

function writeIcmp(batch: PacketBatch, verdicts: VerdictBatch, i: number): void {
  const at = transportStart(batch, verdicts, i, 2)
  if (at < 0) return
  writer.fragment(TYPE)
  writer.number(batch.data[at])
  writer.fragment(CODE)
  writer.number(batch.data[at + 1])
  if (transportStart(batch, verdicts, i, 6) < 0) return
  writer.fragment(ID)
  writer.number(read16(batch.data, at + 4))
}

function writeEntry(verdicts: VerdictBatch, i: number): void {
  if (verdicts.connection[i] === 0) return writer.fragment(NO_ENTRY)
  writer.fragment(ENTRIES[verdicts.flags[i] & VERDICT_ASSURED][verdicts.protocolState[i]])
  writer.number(Math.floor(verdicts.timeoutNs[i] / 1e9))
}

function writeDetail(connection: Connection | null): void {
  writer.fragment(ENTRY)
  if (connection === null) writer.fragment(NULL)
  else writer.text(JSON.stringify(entryDetail(connection)))
}

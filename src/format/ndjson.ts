/**
 * `classify --json`: one JSON object a packet, one packet a line.
 *
 * In: a batch and its verdicts. Out: bytes, or text. Runs anywhere, and on every packet of every capture: a line is put
 * together of parts prepared once per value of a small integer. Nothing that is written needs escaping, so the text is
 * what JSON.stringify would give; a test holds the two against each other.
 */
import type { PacketBatch } from '../batch.js'
import {
  DIRECTIONS, REASONS, SCTP_STATE_BASE, SCTP_STATES, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED,
} from '../names.js'
import type { Connection, VerdictBatch } from '../types.js'
import { ipv6Text } from './address.js'
import { entryDetail } from './detail.js'
import { KIND_ICMP, KIND_PORTS, networkStart, PROTOCOL_KINDS, PROTOCOL_NAMES, read16, transportStart } from './packet.js'
import { LINE, part, type Part, TextBytes } from './text-bytes.js'
import { timeText } from './time.js'

const PACKET_PART = part('{"packet":')
const TIME_PART = part(',"time":"')
const DOT_PART = part('.')

/** `,"state":…,"direction":…,"connection":` by state and direction. */
const VERDICT_PARTS = STATES.map(state => DIRECTIONS.map(direction =>
  part(`","state":${JSON.stringify(state)},"direction":${JSON.stringify(direction)},"connection":`)))
const NULL_PART = part('null')

/** `,"protocol":…,"src":"` by protocol, of those that occurred. */
const PROTOCOL_PARTS: (Part | undefined)[] = PROTOCOL_NAMES.map(() => undefined)
const DESTINATION_PART = part('","dst":"')
const NO_ADDRESS = ',"src":null,"dst":null'
const NOT_IP_PART = part(`,"protocol":null${NO_ADDRESS}`)
const QUOTE_PART = part('"')
const [SPORT_PART, DPORT_PART] = [part(',"sport":'), part(',"dport":')]
const [TYPE_PART, CODE_PART, ID_PART] = [part(',"type":'), part(',"code":'), part(',"id":')]

/** `,"tcpState":…,"assured":…,"timeout":` by assured and protocol state; SCTP has `sctpState` besides. */
const ENTRY_PARTS = [false, true].map(assured => Array.from({ length: SCTP_STATE_BASE + SCTP_STATES.length }, (_, i) => {
  const sctp = sctpStateName(i)
  const state = `,"tcpState":${JSON.stringify(tcpStateName(i))}${sctp === null ? '' : `,"sctpState":"${sctp}"`}`
  return part(`${state},"assured":${assured},"timeout":`)
}))
const NO_ENTRY_PART = part(',"tcpState":null,"assured":null,"timeout":null')

const REASON_PARTS = REASONS.map(reason => part(`,"reason":${JSON.stringify(reason)}`))
const DROPPED_PART = part(',"dropped":true')
const END_PART = part('}\n')

/** A batch of the usual size, written. */
const FIRST_SIZE = 1 << 16

/**
 * The lines of a batch, each ended by a line feed.
 * @param firstPacketNumber number of the batch's first packet; 1 for a capture's first
 * @param entry for `--detail`: the table entry right after the packet at an index of the batch
 */
export function classifyLines(
  batch: PacketBatch, verdicts: VerdictBatch, firstPacketNumber: number, entry?: (index: number) => Connection | null,
): string {
  return new TextDecoder().decode(new ClassifyLines().lines(batch, verdicts, firstPacketNumber, entry))
}

/** Writes lines batch by batch. */
export class ClassifyLines {
  private readonly out = new TextBytes(FIRST_SIZE)

  /**
   * What `classifyLines` gives, as bytes.
   *
   * @returns a view that is good until the next call
   */
  lines(
    batch: PacketBatch, verdicts: VerdictBatch, firstPacketNumber: number, entry?: (index: number) => Connection | null,
  ): Uint8Array {
    const { out } = this
    out.clear()
    for (let i = 0; i < batch.count; i++) {
      out.reserve(LINE)
      writeHead(out, batch, verdicts, i, firstPacketNumber + i)
      writePacket(out, batch, verdicts, i)
      writeEntry(out, verdicts, i)
      out.part(REASON_PARTS[verdicts.reason[i]])
      if ((verdicts.flags[i] & VERDICT_DROPPED) !== 0) out.part(DROPPED_PART)
      if (entry !== undefined) out.text(detailText(entry(i)))
      out.part(END_PART)
    }
    return out.written
  }
}

function writeHead(out: TextBytes, batch: PacketBatch, verdicts: VerdictBatch, i: number, packet: number): void {
  out.part(PACKET_PART)
  out.number(packet)
  out.part(TIME_PART)
  writeTime(out, batch.seconds[i], batch.nanoseconds[i])
  out.part(VERDICT_PARTS[verdicts.state[i]][verdicts.direction[i]])
  const connection = verdicts.connection[i]
  if (connection === 0) out.part(NULL_PART)
  else out.number(connection)
}

function writeTime(out: TextBytes, seconds: number, nanoseconds: number): void {
  if (seconds < 0) return out.ascii(timeText(seconds, nanoseconds))
  out.number(seconds)
  out.part(DOT_PART)
  out.nineDigits(nanoseconds)
}

function writePacket(out: TextBytes, batch: PacketBatch, verdicts: VerdictBatch, i: number): void {
  const family = verdicts.family[i]
  if (family === 0) return out.part(NOT_IP_PART)
  const protocol = verdicts.protocol[i]
  const network = networkStart(batch, verdicts, i)
  if (network < 0) return out.ascii(`,"protocol":"${PROTOCOL_NAMES[protocol]}"${NO_ADDRESS}`)
  out.part(PROTOCOL_PARTS[protocol] ??= part(`,"protocol":"${PROTOCOL_NAMES[protocol]}","src":"`))
  writeAddresses(out, batch.data, network, family)
  const kind = PROTOCOL_KINDS[protocol]
  if (kind === KIND_PORTS) writePorts(out, batch, verdicts, i)
  else if (kind === KIND_ICMP) writeIcmp(out, batch, verdicts, i)
}

function writeAddresses(out: TextBytes, data: Uint8Array, network: number, family: number): void {
  if (family === 4) {
    out.ipv4(data, network + 12)
    out.part(DESTINATION_PART)
    out.ipv4(data, network + 16)
  } else {
    out.ascii(ipv6Text(data, network + 8))
    out.part(DESTINATION_PART)
    out.ascii(ipv6Text(data, network + 24))
  }
  out.part(QUOTE_PART)
}

function writePorts(out: TextBytes, batch: PacketBatch, verdicts: VerdictBatch, i: number): void {
  const at = transportStart(batch, verdicts, i, 4)
  if (at < 0) return
  out.part(SPORT_PART)
  out.number(read16(batch.data, at))
  out.part(DPORT_PART)
  out.number(read16(batch.data, at + 2))
}

function writeIcmp(out: TextBytes, batch: PacketBatch, verdicts: VerdictBatch, i: number): void {
  const at = transportStart(batch, verdicts, i, 2)
  if (at < 0) return
  out.part(TYPE_PART)
  out.number(batch.data[at])
  out.part(CODE_PART)
  out.number(batch.data[at + 1])
  if (transportStart(batch, verdicts, i, 6) < 0) return
  out.part(ID_PART)
  out.number(read16(batch.data, at + 4))
}

function writeEntry(out: TextBytes, verdicts: VerdictBatch, i: number): void {
  if (verdicts.connection[i] === 0) return out.part(NO_ENTRY_PART)
  out.part(ENTRY_PARTS[verdicts.flags[i] & VERDICT_ASSURED][verdicts.protocolState[i]])
  out.number(Math.floor(verdicts.timeoutNs[i] / 1e9))
}

function detailText(connection: Connection | null): string {
  return `,"entry":${connection === null ? 'null' : JSON.stringify(entryDetail(connection))}`
}

/**
 * `classify --json`: one JSON object a packet, one packet a line.
 *
 * In: a batch and its verdicts. Out: text. Runs anywhere, and on every packet of every capture: a line is a handful of
 * concatenations of fragments prepared once per value of a small integer. Nothing that is written needs escaping, so
 * the text is what JSON.stringify would give; a test holds the two against each other.
 */
import type { PacketBatch } from '../batch.js'
import {
  DIRECTIONS, REASONS, SCTP_STATE_BASE, SCTP_STATES, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED,
} from '../names.js'
import type { Connection, VerdictBatch } from '../types.js'
import { entryDetail } from './detail.js'
import {
  destinationText, KIND_ICMP, KIND_PORTS, PROTOCOL_KINDS, PROTOCOL_NAMES, read16, sourceText, transportStart,
} from './packet.js'
import { timeText } from './time.js'

/** `,"state":…,"direction":…,"connection":` by state and direction. */
const VERDICT_PARTS = STATES.map(state => DIRECTIONS.map(direction =>
  `","state":${JSON.stringify(state)},"direction":${JSON.stringify(direction)},"connection":`))

const PROTOCOL_PARTS = PROTOCOL_NAMES.map(name => `,"protocol":${JSON.stringify(name)},"src":`)
const NOT_IP_PART = ',"protocol":null,"src":null,"dst":null'

/** `,"tcpState":…,"assured":…,"timeout":` by assured and protocol state; SCTP has `sctpState` besides. */
const ENTRY_PARTS = [false, true].map(assured => Array.from({ length: SCTP_STATE_BASE + SCTP_STATES.length }, (_, i) => {
  const sctp = sctpStateName(i)
  const state = `,"tcpState":${JSON.stringify(tcpStateName(i))}${sctp === null ? '' : `,"sctpState":"${sctp}"`}`
  return `${state},"assured":${assured},"timeout":`
}))
const NO_ENTRY_PART = ',"tcpState":null,"assured":null,"timeout":null'

const REASON_PARTS = REASONS.map(reason => `,"reason":${JSON.stringify(reason)}`)

/**
 * The lines of a batch, each ended by a line feed.
 * @param firstPacketNumber number of the batch's first packet; 1 for a capture's first
 * @param entry for `--detail`: the table entry right after the packet at an index of the batch
 */
export function classifyLines(
  batch: PacketBatch, verdicts: VerdictBatch, firstPacketNumber: number, entry?: (index: number) => Connection | null,
): string {
  let lines = ''
  for (let i = 0; i < batch.count; i++) {
    lines += `{"packet":${firstPacketNumber + i},"time":"` + timeText(batch.seconds[i], batch.nanoseconds[i])
      + VERDICT_PARTS[verdicts.state[i]][verdicts.direction[i]] + connectionPart(verdicts, i)
      + packetPart(batch, verdicts, i) + entryPart(verdicts, i) + REASON_PARTS[verdicts.reason[i]]
    if ((verdicts.flags[i] & VERDICT_DROPPED) !== 0) lines += ',"dropped":true'
    if (entry !== undefined) lines += detailPart(entry(i))
    lines += '}\n'
  }
  return lines
}

function connectionPart(verdicts: VerdictBatch, i: number): string {
  const connection = verdicts.connection[i]
  return connection === 0 ? 'null' : String(connection)
}

function packetPart(batch: PacketBatch, verdicts: VerdictBatch, i: number): string {
  if (verdicts.family[i] === 0) return NOT_IP_PART
  return PROTOCOL_PARTS[verdicts.protocol[i]] + quoted(sourceText(batch, verdicts, i)) + ',"dst":'
    + quoted(destinationText(batch, verdicts, i)) + transportPart(batch, verdicts, i)
}

function quoted(text: string | null): string {
  return text === null ? 'null' : `"${text}"`
}

function transportPart(batch: PacketBatch, verdicts: VerdictBatch, i: number): string {
  const kind = PROTOCOL_KINDS[verdicts.protocol[i]]
  if (kind === KIND_PORTS) return portsPart(batch, verdicts, i)
  return kind === KIND_ICMP ? icmpPart(batch, verdicts, i) : ''
}

function portsPart(batch: PacketBatch, verdicts: VerdictBatch, i: number): string {
  const at = transportStart(batch, verdicts, i, 4)
  return at < 0 ? '' : `,"sport":${read16(batch.data, at)},"dport":${read16(batch.data, at + 2)}`
}

function icmpPart(batch: PacketBatch, verdicts: VerdictBatch, i: number): string {
  const at = transportStart(batch, verdicts, i, 2)
  if (at < 0) return ''
  const id = transportStart(batch, verdicts, i, 6) < 0 ? '' : `,"id":${read16(batch.data, at + 4)}`
  return `,"type":${batch.data[at]},"code":${batch.data[at + 1]}${id}`
}

function entryPart(verdicts: VerdictBatch, i: number): string {
  if (verdicts.connection[i] === 0) return NO_ENTRY_PART
  const assured = verdicts.flags[i] & VERDICT_ASSURED
  return ENTRY_PARTS[assured][verdicts.protocolState[i]] + Math.floor(verdicts.timeoutNs[i] / 1e9)
}

function detailPart(connection: Connection | null): string {
  return `,"entry":${connection === null ? 'null' : JSON.stringify(entryDetail(connection))}`
}

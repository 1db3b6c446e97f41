/**
 * A packet's own fields, read where the verdict says its headers are.
 *
 * In: a batch, its verdicts and a place in them. Out: addresses as text, ports and ICMP fields as numbers. The captured
 * bytes may end anywhere, and Ethernet may have padded a short packet: what is not there as part of the IP packet is
 * reported as absent, never read.
 */
import type { PacketBatch } from '../batch.js'
import { protocolName } from '../names.js'
import type { VerdictBatch } from '../types.js'
import { ipv4Text, ipv6Text } from './address.js'

/** What follows a protocol's name in its tuple. */
const KIND_OTHER = 0
export const KIND_PORTS = 1
export const KIND_ICMP = 2

/** By IP protocol number: ports, ICMP fields or neither. */
export const PROTOCOL_KINDS: Uint8Array = kinds()

/** By IP protocol number: its name. */
export const PROTOCOL_NAMES: readonly string[] = Array.from({ length: 256 }, (_, i) => protocolName(i))

function kinds(): Uint8Array {
  const table = new Uint8Array(256).fill(KIND_OTHER)
  for (const protocol of [6, 17, 33, 132, 136]) table[protocol] = KIND_PORTS
  for (const protocol of [1, 58]) table[protocol] = KIND_ICMP
  return table
}

const IPV4_HEADER = 20
const IPV6_HEADER = 40

/** The packet's source address; `null` where it is not IP or cut short before its addresses end. */
export function sourceText(batch: PacketBatch, verdicts: VerdictBatch, i: number): string | null {
  const at = networkStart(batch, verdicts, i)
  if (at < 0) return null
  return verdicts.family[i] === 4 ? ipv4Text(batch.data, at + 12) : ipv6Text(batch.data, at + 8)
}

/** The packet's destination address; `null` like the source. */
export function destinationText(batch: PacketBatch, verdicts: VerdictBatch, i: number): string | null {
  const at = networkStart(batch, verdicts, i)
  if (at < 0) return null
  return verdicts.family[i] === 4 ? ipv4Text(batch.data, at + 16) : ipv6Text(batch.data, at + 24)
}

/** Where the fixed IP header starts in `batch.data`; -1 unless all of it was captured. */
export function networkStart(batch: PacketBatch, verdicts: VerdictBatch, i: number): number {
  const family = verdicts.family[i]
  if (family === 0) return -1
  const needed = family === 4 ? IPV4_HEADER : IPV6_HEADER
  if (verdicts.networkOffset[i] + needed > batch.length[i]) return -1
  return batch.offset[i] + verdicts.networkOffset[i]
}

/**
 * Where the transport header starts in `batch.data`; -1 unless its first `needed` bytes were captured and belong to
 * the IP packet.
 */
export function transportStart(batch: PacketBatch, verdicts: VerdictBatch, i: number, needed: number): number {
  const transport = verdicts.transportOffset[i]
  if (transport === 0) return -1
  const network = networkStart(batch, verdicts, i)
  if (network < 0) return -1
  const end = Math.min(batch.length[i], verdicts.networkOffset[i] + ipLength(batch.data, network, verdicts.family[i]))
  return transport + needed > end ? -1 : batch.offset[i] + transport
}

/** Length the IP header claims for its packet, header included. */
function ipLength(data: Uint8Array, network: number, family: number): number {
  if (family === 4) return read16(data, network + 2)
  const payload = read16(data, network + 4)
  // 0 announces a jumbogram (RFC 2675): the captured bytes are the only bound.
  return payload === 0 ? Infinity : IPV6_HEADER + payload
}

/** A big-endian 16-bit number. */
export function read16(data: Uint8Array, at: number): number {
  return data[at] << 8 | data[at + 1]
}

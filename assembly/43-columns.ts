/**
 * The columns of the verdicts: where the core writes what it found, one row a packet.
 */
import {
  batchSize, Packet, verdictAt, VERDICT_CONNECTION, VERDICT_DIRECTION, VERDICT_FAMILY, VERDICT_FLAGS, VERDICT_NETWORK,
  VERDICT_PROTOCOL, VERDICT_PROTOCOL_STATE, VERDICT_REASON, VERDICT_STATE, VERDICT_TIMEOUT, VERDICT_TRANSPORT,
} from './01-records'
import { shards } from './09-shard'

/**
 * Writes row `index` of all columns.
 *
 * @param columns, n where they are and how long, read by the caller: they are in memory, and a store might have changed them
 */
// @ts-ignore: decorator
@inline export function writeColumns(
  columns: u32, n: u32, p: Packet, index: u32, state: u8, direction: u8, reason: u8, protocolState: u8, flags: u8, connection: u32, left: f64,
): void {
  store<f64>(columns + VERDICT_TIMEOUT * n + (index << 3), left)
  const words = columns + (index << 2)
  store<u32>(words + VERDICT_CONNECTION * n, connection)
  store<u32>(words + VERDICT_NETWORK * n, p.ownFamily ? p.ownNetwork : 0)
  store<u32>(words + VERDICT_TRANSPORT * n, p.ownTransport)
  const bytes = columns + index
  store<u8>(bytes + VERDICT_STATE * n, state)
  store<u8>(bytes + VERDICT_DIRECTION * n, direction)
  store<u8>(bytes + VERDICT_REASON * n, reason)
  store<u8>(bytes + VERDICT_PROTOCOL_STATE * n, protocolState)
  store<u8>(bytes + VERDICT_FLAGS * n, flags)
  store<u8>(bytes + VERDICT_PROTOCOL * n, p.ownProtocol)
  store<u8>(bytes + VERDICT_FAMILY * n, p.ownFamily)
}

/** Row `to` of the columns becomes row `from` of others, a shard's: numbers of its connections are 1, 2, 3 … there. */
// @ts-ignore: decorator
@inline export function copyVerdict(others: u32, from: u32, to: u32, shard: u32): void {
  const columns = verdictAt
  const n = batchSize
  store<f64>(columns + VERDICT_TIMEOUT * n + (to << 3), load<f64>(others + VERDICT_TIMEOUT * n + (from << 3)))
  const words = columns + (to << 2)
  const otherWords = others + (from << 2)
  const id = load<u32>(otherWords + VERDICT_CONNECTION * n)
  store<u32>(words + VERDICT_CONNECTION * n, id ? (id - 1) * shards() + shard + 1 : 0)
  store<u32>(words + VERDICT_NETWORK * n, load<u32>(otherWords + VERDICT_NETWORK * n))
  store<u32>(words + VERDICT_TRANSPORT * n, load<u32>(otherWords + VERDICT_TRANSPORT * n))
  const bytes = columns + to
  const otherBytes = others + from
  store<u8>(bytes + VERDICT_STATE * n, load<u8>(otherBytes + VERDICT_STATE * n))
  store<u8>(bytes + VERDICT_DIRECTION * n, load<u8>(otherBytes + VERDICT_DIRECTION * n))
  store<u8>(bytes + VERDICT_REASON * n, load<u8>(otherBytes + VERDICT_REASON * n))
  store<u8>(bytes + VERDICT_PROTOCOL_STATE * n, load<u8>(otherBytes + VERDICT_PROTOCOL_STATE * n))
  store<u8>(bytes + VERDICT_FLAGS * n, load<u8>(otherBytes + VERDICT_FLAGS * n))
  store<u8>(bytes + VERDICT_PROTOCOL * n, load<u8>(otherBytes + VERDICT_PROTOCOL * n))
  store<u8>(bytes + VERDICT_FAMILY * n, load<u8>(otherBytes + VERDICT_FAMILY * n))
}

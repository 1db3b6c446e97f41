/**
 * The columns of the verdicts: where the core writes what it found, one row a packet.
 */
import {
  STATE_ESTABLISHED, STATE_NEW, STATE_RELATED, STATUS_ASSURED, STATUS_EXPECTED, STATUS_SEEN_REPLY, VERDICT_ASSURED,
  VERDICT_SEEN_REPLY,
} from './00-constants'
import {
  batchSize, Packet, verdictAt, VERDICT_CONNECTION, VERDICT_DIRECTION, VERDICT_FAMILY, VERDICT_FLAGS, VERDICT_NETWORK,
  VERDICT_PROTOCOL, VERDICT_PROTOCOL_STATE, VERDICT_REASON, VERDICT_STATE, VERDICT_TIMEOUT, VERDICT_TRANSPORT,
} from './01-records'

/**
 * Writes row `index` of all columns.
 *
 * @param columns, n where they are and how long, read by the caller: they are in memory, and a store might have changed them
 */
// @ts-ignore: decorator
@inline export function writeColumns(
  columns: u32, n: u32, p: Packet, index: u32, state: u8, direction: u8, reason: u8, protocolState: u8, flags: u8,
  connection: u32, left: f64,
): void {
  // Each column lies right behind the one before: steps instead of products.
  store<f64>(columns + (index << 3), left)
  let at = columns + (n << 3) + (index << 2)
  store<u32>(at, connection)
  store<u32>(at += n << 2, p.ownFamily ? p.ownNetwork : 0)
  store<u32>(at += n << 2, p.ownTransport)
  at = columns + VERDICT_STATE * n + index
  store<u8>(at, state)
  store<u8>(at += n, direction)
  store<u8>(at += n, reason)
  store<u8>(at += n, protocolState)
  store<u8>(at += n, flags)
  store<u8>(at += n, p.ownProtocol)
  store<u8>(at + n, p.ownFamily)
}
if (
  VERDICT_TIMEOUT != 0 || VERDICT_CONNECTION != 8 || VERDICT_NETWORK != 12 || VERDICT_TRANSPORT != 16 ||
  VERDICT_DIRECTION != VERDICT_STATE + 1 || VERDICT_REASON != VERDICT_STATE + 2 || VERDICT_PROTOCOL_STATE != VERDICT_STATE + 3 ||
  VERDICT_FLAGS != VERDICT_STATE + 4 || VERDICT_PROTOCOL != VERDICT_STATE + 5 || VERDICT_FAMILY != VERDICT_STATE + 6
) ERROR('verdict columns')

/** An entry's status when a packet of it was seen. Without a branch, since directions are a toss of a coin. */
// @ts-ignore: decorator
@inline export function statusWith(status: u32, direction: u32): u32 {
  return status | direction * STATUS_SEEN_REPLY
}

/** What rules see of a connection's packet. */
// @ts-ignore: decorator
@inline export function stateOf(status: u32, direction: u32): u8 {
  if (statusWith(status, direction) & STATUS_SEEN_REPLY) return STATE_ESTABLISHED
  return status & STATUS_EXPECTED ? STATE_RELATED : STATE_NEW
}

/** What a row's flags say of an entry. */
// @ts-ignore: decorator
@inline export function verdictFlags(status: u32): u8 {
  return u8((status & STATUS_ASSURED ? VERDICT_ASSURED : 0) | (status & STATUS_SEEN_REPLY ? VERDICT_SEEN_REPLY : 0))
}

/** Copies row `from` of the columns to row `to` of others. */
// @ts-ignore: decorator
@inline export function copyVerdict(from: u32, others: u32, to: u32): void {
  const n = batchSize
  const columns = verdictAt
  store<f64>(others + VERDICT_TIMEOUT * n + (to << 3), load<f64>(columns + VERDICT_TIMEOUT * n + (from << 3)))
  const words = columns + (from << 2)
  const otherWords = others + (to << 2)
  store<u32>(otherWords + VERDICT_CONNECTION * n, load<u32>(words + VERDICT_CONNECTION * n))
  store<u32>(otherWords + VERDICT_NETWORK * n, load<u32>(words + VERDICT_NETWORK * n))
  store<u32>(otherWords + VERDICT_TRANSPORT * n, load<u32>(words + VERDICT_TRANSPORT * n))
  const bytes = columns + from
  const otherBytes = others + to
  store<u8>(otherBytes + VERDICT_STATE * n, load<u8>(bytes + VERDICT_STATE * n))
  store<u8>(otherBytes + VERDICT_DIRECTION * n, load<u8>(bytes + VERDICT_DIRECTION * n))
  store<u8>(otherBytes + VERDICT_REASON * n, load<u8>(bytes + VERDICT_REASON * n))
  store<u8>(otherBytes + VERDICT_PROTOCOL_STATE * n, load<u8>(bytes + VERDICT_PROTOCOL_STATE * n))
  store<u8>(otherBytes + VERDICT_FLAGS * n, load<u8>(bytes + VERDICT_FLAGS * n))
  store<u8>(otherBytes + VERDICT_PROTOCOL * n, load<u8>(bytes + VERDICT_PROTOCOL * n))
  store<u8>(otherBytes + VERDICT_FAMILY * n, load<u8>(bytes + VERDICT_FAMILY * n))
}

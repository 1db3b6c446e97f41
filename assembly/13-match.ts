/**
 * In: a packet with its IP and transport header known. Out: whether one of a list of matches fits it.
 *
 * Two lists exist: what is not to be tracked (the raw table's NOTRACK) and what the rules after the tracker drop.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE } from './00-constants'
import { Match, MATCH_ADDRESSES, MATCH_SIZE, Packet } from './01-records'
import { be16 } from './10-link'

const PROTOCOL_DCCP: u32 = 33
const PROTOCOL_SCTP: u32 = 132

/** Whether any of `n` matches at `list` fits. Only called for lists that are not empty. */
export function matchesAny(p: Packet, list: u32, n: u32): bool {
  const source = address(p, 0)
  const destination = address(p, 1)
  for (let i: u32 = 0; i < n; i++) {
    if (matches(p, list + i * MATCH_SIZE, source, destination)) return true
  }
  return false
}

/** Source (0) or destination (1) address of the packet itself, IPv4 in the first four bytes. */
// @ts-ignore: decorator
@inline function address(p: Packet, which: u32): v128 {
  if (p.ownFamily == 4) return i32x4.replace_lane(i32x4.splat(0), 0, load<i32>(p.network + 12 + (which << 2)))
  return v128.load(p.network + 8 + (which << 4))
}

function matches(p: Packet, at: u32, source: v128, destination: v128): bool {
  const m = changetype<Match>(at)
  if (m.protocol != 256 && m.protocol != u32(p.ownProtocol)) return false
  if (m.family && m.family != u32(p.ownFamily)) return false
  const addresses = at + MATCH_ADDRESSES
  if (!masked(source, addresses) || !masked(destination, addresses + 32)) return false
  return !m.ports || portsMatch(p, m)
}

/** Address equals the one at `at` under the mask behind it. */
// @ts-ignore: decorator
@inline function masked(value: v128, at: u32): bool {
  return !v128.any_true(v128.and(v128.xor(value, v128.load(at)), v128.load(at + 16)))
}

function portsMatch(p: Packet, m: Match): bool {
  const protocol: u32 = p.ownProtocol
  const hasPorts = protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_UDPLITE ||
    protocol == PROTOCOL_SCTP || protocol == PROTOCOL_DCCP
  if (!hasPorts || !p.transport || p.transportCaptured < 4) return false
  const sport = be16(p.transport)
  const dport = be16(p.transport + 2)
  return sport >= m.sportFrom && sport <= m.sportTo && dport >= m.dportFrom && dport <= m.dportTo
}

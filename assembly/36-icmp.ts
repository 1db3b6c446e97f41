/**
 * ICMP and ICMPv6 queries: echo, timestamp, information, address mask; echo and node information.
 *
 * Only a request may open a connection. All requests with the same addresses, identifier and code share one, whatever
 * their sequence numbers. Never ASSURED. (Errors are RELATED to other connections and have none of their own.)
 */
import { REASON_ICMP_NOT_A_REQUEST, REASON_NONE } from './00-constants'
import { Packet } from './01-records'

/** The asking endpoint is A in every ICMP key; a packet from B is an answer. */
export function beginIcmp(p: Packet): u8 {
  return p.side == 0 ? REASON_NONE : REASON_ICMP_NOT_A_REQUEST
}

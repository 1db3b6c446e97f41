/**
 * The row of each protocol: what opens a connection, what a packet does to it, the timeout it gets. A protocol is added
 * by a file and its rows here. What has no row is generic: addresses and protocol number, one timeout.
 */
import {
  PROTOCOL_GRE, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE, REASON_NONE,
  RESULT_ACCEPT, RULE_PLAIN,
} from './00-constants'
import { Entry, Packet, timeout, TIMEOUT_GENERIC, TIMEOUT_ICMP, TIMEOUT_ICMPV6 } from './01-records'
import { beginTcp, tcpTimeout, updateTcp } from './30-tcp'
import { beginUdp, udpTimeout, updateUdp } from './35-udp'
import { beginIcmp } from './36-icmp'
import { beginGre, greTimeout, updateGre } from './38-gre'
import { beginSctp, sctpTimeout, updateSctp } from './39-sctp'
import { recordRule } from './41-record'

/** Fills a new entry; REASON_NONE, or why this packet opens no connection. */
export function begin(p: Packet, e: Entry, now: i64): u8 {
  switch (e.protocol) {
    case PROTOCOL_TCP: return beginTcp(p, e)
    case PROTOCOL_UDP: case PROTOCOL_UDPLITE:
      beginUdp(e, now)
      return REASON_NONE
    case PROTOCOL_ICMP: case PROTOCOL_ICMPV6: return beginIcmp(p)
    case PROTOCOL_SCTP: return beginSctp(p, e)
    case PROTOCOL_GRE:
      beginGre(e)
      return REASON_NONE
  }
  return REASON_NONE
}

/** Lets a packet act on its connection; a RESULT_. */
export function update(p: Packet, e: Entry, direction: u32, now: i64): u32 {
  const protocol: u32 = e.protocol
  if (protocol == PROTOCOL_TCP) return updateTcp(p, e, direction, now)
  if (protocol == PROTOCOL_UDP || protocol == PROTOCOL_UDPLITE) return updateUdp(e, now)
  if (protocol == PROTOCOL_SCTP) return updateSctp(p, e, direction)
  if (protocol == PROTOCOL_GRE) return updateGre(e)
  recordRule(RULE_PLAIN)
  return RESULT_ACCEPT
}

/** The timeout that an accepted packet sets, nanoseconds. */
// @ts-ignore: decorator
@inline export function acceptedTimeout(e: Entry): i64 {
  const protocol: u32 = e.protocol
  if (protocol == PROTOCOL_TCP) return tcpTimeout
  if (protocol == PROTOCOL_UDP || protocol == PROTOCOL_UDPLITE) return udpTimeout
  if (protocol == PROTOCOL_SCTP) return sctpTimeout
  if (protocol == PROTOCOL_GRE) return greTimeout
  if (protocol == PROTOCOL_ICMP) return timeout(TIMEOUT_ICMP)
  return timeout(protocol == PROTOCOL_ICMPV6 ? TIMEOUT_ICMPV6 : TIMEOUT_GENERIC)
}

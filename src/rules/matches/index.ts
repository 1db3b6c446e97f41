/** Matches by the names that `-m` loads them with. */
import type { MatchModule } from '../match.js'
import { connbytes, connmark, conntrack, helper, mark, state } from './connection.js'
import { connlimit } from './connlimit.js'
import { addrtype, comment, dscp, hl, iprange, length, mac, ttl } from './header.js'
import { limit, statistic } from './limit.js'
import { recent } from './recent.js'
import { icmp, icmp6, multiport, sctp, tcp, udp } from './transport.js'

const MODULES: Readonly<Record<string, MatchModule>> = {
  addrtype, comment, connbytes, connlimit, connmark, conntrack, dscp, helper, icmp, icmp6, icmpv6: icmp6, iprange, length, limit, mac,
  mark, multiport, recent, sctp, state, statistic, tcp, udp, ttl, hl,
}

/** Which family a match is of, where it is of one. */
const FAMILIES: Readonly<Record<string, 4 | 6>> = { icmp: 4, ttl: 4, icmp6: 6, icmpv6: 6, hl: 6 }
/** The protocol that a match needs `-p` for. */
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132, icmp: 1, icmp6: 58, icmpv6: 58 }

export function matchModule(name: string): MatchModule | null {
  return Object.hasOwn(MODULES, name) ? MODULES[name] : null
}

export function matchFamily(name: string): 4 | 6 | null {
  return FAMILIES[name] ?? null
}

export function matchProtocol(name: string): number | null {
  return PROTOCOLS[name] ?? null
}

/** The match that options of a protocol belong to, loaded or not. */
export function implicitMatch(protocol: number, family: 4 | 6): string | null {
  const name = Object.keys(PROTOCOLS).find(each => PROTOCOLS[each] === protocol)
  return name === undefined || (FAMILIES[name] ?? family) !== family ? null : name
}

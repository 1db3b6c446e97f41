/**
 * The words of connection tracking and the small integers that stand for them in the core and in batch views. Each
 * table's order is the core's numbering (`assembly/constants.ts`); a test holds the two against each other.
 */

export type State = 'NEW' | 'ESTABLISHED' | 'RELATED' | 'INVALID' | 'UNTRACKED'

/** `state` of a verdict. 0: the packet never reached the tracker. */
export const STATES = [null, 'NEW', 'ESTABLISHED', 'RELATED', 'INVALID', 'UNTRACKED'] as const

/** `direction` of a verdict. 0: no entry is attached. */
export const DIRECTIONS = [null, 'original', 'reply'] as const

/** `protocolState` of a TCP connection, by Linux's names; 0 is also what other protocols have. */
export const TCP_STATES = [
  'NONE', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK', 'TIME_WAIT', 'CLOSE', 'SYN_SENT2',
] as const

/** `protocolState` of an SCTP association, by Linux's names. */
export const SCTP_STATES = [
  'NONE', 'CLOSED', 'COOKIE_WAIT', 'COOKIE_ECHOED', 'ESTABLISHED', 'SHUTDOWN_SENT', 'SHUTDOWN_RECD', 'SHUTDOWN_ACK_SENT',
  'HEARTBEAT_SENT',
] as const

/** What is added to an SCTP state in batch views: 0 to 9 are TCP's. */
export const SCTP_STATE_BASE = 16

/** Bits of an entry's status. */
export const STATUS_BITS = [
  'EXPECTED', 'SEEN_REPLY', 'ASSURED', 'CONFIRMED', 'SRC_NAT', 'DST_NAT', 'SEQ_ADJUST', 'SRC_NAT_DONE', 'DST_NAT_DONE',
  'DYING', 'FIXED_TIMEOUT', 'TEMPLATE', 'NAT_CLASH', 'HELPER', 'OFFLOAD', 'HW_OFFLOAD',
] as const

/** Bits of a TCP side's flags (and of the last ignored SYN's). */
export const TCP_FLAGS = [
  'WINDOW_SCALE', 'SACK_PERM', 'CLOSE_INIT', 'BE_LIBERAL', 'DATA_UNACKNOWLEDGED', 'MAXACK_SET', 'CHALLENGE_ACK',
  'SIMULTANEOUS_OPEN',
] as const

/** Bits of an event's changes. */
export const EVENTS = [
  'NEW', 'RELATED', 'DESTROY', 'REPLY', 'ASSURED', 'PROTOINFO', 'HELPER', 'MARK', 'SEQADJ', 'SECMARK', 'LABEL', 'SYNPROXY',
] as const

/** Bits of a verdict's `flags`. */
export const VERDICT_ASSURED = 1
export const VERDICT_DROPPED = 2
export const VERDICT_SEEN_REPLY = 4
/** Another tracker's packet (option `shard`): nothing else is in its row. */
export const VERDICT_ELSEWHERE = 8

/** Why a packet is INVALID or never reached the tracker; index is the code in batch views, 0 is none. */
export const REASONS = [
  null,
  // The packet never reaches the tracker: state null.
  'not-ip', 'ip-malformed', 'cut-short', 'fragment-held',
  // IP
  'ipv6-header-chain', 'fragment-not-first', 'transport-short',
  // ICMP and ICMPv6
  'icmp-short', 'icmp-checksum', 'icmp-type', 'icmp-wrong-family', 'icmp-not-a-request', 'icmp-error-quote',
  'icmp-error-unknown', 'icmp-error-target', 'icmp-redirect',
  // TCP
  'tcp-short', 'tcp-data-offset', 'tcp-checksum', 'tcp-flags', 'tcp-no-connection', 'tcp-loose-off', 'tcp-transition',
  'tcp-rst-below-ack', 'tcp-seq-over-window', 'tcp-ack-over-sent',
  // UDP and UDP-Lite
  'udp-short', 'udp-length', 'udp-checksum', 'udplite-short', 'udplite-coverage', 'udplite-no-checksum', 'udplite-checksum',
  // SCTP and GRE
  'sctp-short', 'sctp-checksum', 'sctp-chunks', 'sctp-no-association', 'sctp-vtag', 'sctp-init', 'sctp-transition',
  'gre-protocol',
  // The table
  'table-full',
] as const

export type Reason = NonNullable<(typeof REASONS)[number]>

/** The TCP state behind a `protocolState`, `null` where it is none. */
export function tcpStateName(protocolState: number): string | null {
  return protocolState > 0 && protocolState < SCTP_STATE_BASE ? TCP_STATES[protocolState] : null
}

/** The SCTP state behind a `protocolState`, `null` where it is none. */
export function sctpStateName(protocolState: number): string | null {
  return protocolState >= SCTP_STATE_BASE ? SCTP_STATES[protocolState - SCTP_STATE_BASE] : null
}

/** IP protocol numbers of the protocols that have names here. */
export const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
  icmp: 1, igmp: 2, ipip: 4, tcp: 6, udp: 17, dccp: 33, ipv6: 41, gre: 47, esp: 50, ah: 51, icmpv6: 58, ospf: 89, pim: 103,
  sctp: 132, udplite: 136,
}

const names = new Map(Object.entries(PROTOCOL_NUMBERS).map(([name, number]) => [number, name]))

/** The name of an IP protocol, its number as a string where it has none here. */
export function protocolName(protocol: number): string {
  return names.get(protocol) ?? String(protocol)
}

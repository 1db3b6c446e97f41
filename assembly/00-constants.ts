/**
 * The small integers of the core. `src/names.ts` holds the words for those that leave it, in the same order.
 */

// Verdict states (STATES)
export const STATE_NONE: u8 = 0
export const STATE_NEW: u8 = 1
export const STATE_ESTABLISHED: u8 = 2
export const STATE_RELATED: u8 = 3
export const STATE_INVALID: u8 = 4
export const STATE_UNTRACKED: u8 = 5

/** Added to SCTP states in verdicts: 0 to 9 are TCP's. */
export const SCTP_STATE_BASE: u8 = 16

// Directions within a connection; a verdict's direction is one more (0 is none).
export const ORIGINAL: u32 = 0
export const REPLY: u32 = 1

// Bits of a verdict's flags
export const VERDICT_ASSURED: u8 = 1
export const VERDICT_DROPPED: u8 = 2
export const VERDICT_SEEN_REPLY: u8 = 4
export const VERDICT_ELSEWHERE: u8 = 8

// Status bits of an entry, Linux's values
export const STATUS_EXPECTED: u16 = 0x1
export const STATUS_SEEN_REPLY: u16 = 0x2
export const STATUS_ASSURED: u16 = 0x4
export const STATUS_CONFIRMED: u16 = 0x8
export const STATUS_DYING: u16 = 0x200
export const STATUS_FIXED_TIMEOUT: u16 = 0x400
export const STATUS_HELPER: u16 = 0x2000

// Bits of an event's changes, Linux's numbering
export const CHANGE_NEW: u16 = 1 << 0
export const CHANGE_RELATED: u16 = 1 << 1
export const CHANGE_DESTROY: u16 = 1 << 2
export const CHANGE_REPLY: u16 = 1 << 3
export const CHANGE_ASSURED: u16 = 1 << 4
export const CHANGE_PROTOINFO: u16 = 1 << 5
export const CHANGE_HELPER: u16 = 1 << 6
export const CHANGE_MARK: u16 = 1 << 7
export const CHANGE_LABEL: u16 = 1 << 10

// Kinds of event
export const EVENT_NEW: u8 = 0
export const EVENT_UPDATE: u8 = 1
export const EVENT_DESTROY: u8 = 2
export const EVENT_EXPECTATION_NEW: u8 = 3
export const EVENT_EXPECTATION_DESTROY: u8 = 4

// Reasons (REASONS). 1 to 4: the packet never reaches the tracker.
export const REASON_NONE: u8 = 0
export const REASON_NOT_IP: u8 = 1
export const REASON_IP_MALFORMED: u8 = 2
export const REASON_CUT_SHORT: u8 = 3
export const REASON_FRAGMENT_HELD: u8 = 4
export const REASON_IPV6_HEADER_CHAIN: u8 = 5
export const REASON_FRAGMENT_NOT_FIRST: u8 = 6
export const REASON_TRANSPORT_SHORT: u8 = 7
export const REASON_ICMP_SHORT: u8 = 8
export const REASON_ICMP_CHECKSUM: u8 = 9
export const REASON_ICMP_TYPE: u8 = 10
export const REASON_ICMP_WRONG_FAMILY: u8 = 11
export const REASON_ICMP_NOT_A_REQUEST: u8 = 12
export const REASON_ICMP_ERROR_QUOTE: u8 = 13
export const REASON_ICMP_ERROR_UNKNOWN: u8 = 14
export const REASON_ICMP_ERROR_TARGET: u8 = 15
export const REASON_ICMP_REDIRECT: u8 = 16
export const REASON_TCP_SHORT: u8 = 17
export const REASON_TCP_DATA_OFFSET: u8 = 18
export const REASON_TCP_CHECKSUM: u8 = 19
export const REASON_TCP_FLAGS: u8 = 20
export const REASON_TCP_NO_CONNECTION: u8 = 21
export const REASON_TCP_LOOSE_OFF: u8 = 22
export const REASON_TCP_TRANSITION: u8 = 23
export const REASON_TCP_RST_BELOW_ACK: u8 = 24
export const REASON_TCP_SEQ_OVER_WINDOW: u8 = 25
export const REASON_TCP_ACK_OVER_SENT: u8 = 26
export const REASON_UDP_SHORT: u8 = 27
export const REASON_UDP_LENGTH: u8 = 28
export const REASON_UDP_CHECKSUM: u8 = 29
export const REASON_UDPLITE_SHORT: u8 = 30
export const REASON_UDPLITE_COVERAGE: u8 = 31
export const REASON_UDPLITE_NO_CHECKSUM: u8 = 32
export const REASON_UDPLITE_CHECKSUM: u8 = 33
export const REASON_SCTP_SHORT: u8 = 34
export const REASON_SCTP_CHECKSUM: u8 = 35
export const REASON_SCTP_CHUNKS: u8 = 36
export const REASON_SCTP_NO_ASSOCIATION: u8 = 37
export const REASON_SCTP_VTAG: u8 = 38
export const REASON_SCTP_INIT: u8 = 39
export const REASON_SCTP_TRANSITION: u8 = 40
export const REASON_GRE_PROTOCOL: u8 = 41
export const REASON_TABLE_FULL: u8 = 42

// IP protocol numbers
export const PROTOCOL_ICMP: u8 = 1
export const PROTOCOL_TCP: u8 = 6
export const PROTOCOL_UDP: u8 = 17
export const PROTOCOL_GRE: u8 = 47
export const PROTOCOL_ICMPV6: u8 = 58
export const PROTOCOL_SCTP: u8 = 132
export const PROTOCOL_UDPLITE: u8 = 136

// What a protocol makes of a packet of one of its connections
/** Refresh the timeout, count the packet. */
export const RESULT_ACCEPT: u32 = 0
/** The packet keeps its entry and its verdict; timeout and counters stay. */
export const RESULT_IGNORE: u32 = 1
/** INVALID, with the reason in the packet. */
export const RESULT_INVALID: u32 = 2
/** The entry is in the way of a new connection: destroy it, look again. */
export const RESULT_REPEAT: u32 = 3
/** Count the packet, then destroy the entry. */
export const RESULT_DESTROY: u32 = 4

// Checksum modes
export const CHECKSUM_VERIFY: u32 = 0
export const CHECKSUM_OFFLOAD: u32 = 1
export const CHECKSUM_IGNORE: u32 = 2

// The rule that decided about a packet, for `explain` (RULES in src/explain.ts)
export const RULE_NONE: u8 = 0
export const RULE_TCP_IGNORED: u8 = 1
export const RULE_TCP_CHALLENGE_ACK: u8 = 2
export const RULE_TCP_WINDOW_SKIPPED: u8 = 3
export const RULE_TCP_IN_WINDOW: u8 = 4
export const RULE_TCP_SEQ_OVER: u8 = 5
export const RULE_TCP_SEQ_OVERSHOOT: u8 = 6
export const RULE_TCP_ACK_OVER: u8 = 7
export const RULE_TCP_SEQ_OLD: u8 = 8
export const RULE_TCP_ACK_OLD: u8 = 9
export const RULE_TCP_LIBERAL: u8 = 10
export const RULE_TCP_RST_BELOW_ACK: u8 = 11
export const RULE_TCP_SYN_REPEATED: u8 = 12
export const RULE_TCP_RST_ENDS_UNANSWERED: u8 = 13
export const RULE_TCP_TRANSITION: u8 = 14
export const RULE_ICMP_ERROR: u8 = 15
export const RULE_NOTRACK: u8 = 16
export const RULE_DISCOVERY: u8 = 17
export const RULE_UDP_WAITING: u8 = 18
export const RULE_UDP_STREAM: u8 = 19
export const RULE_PLAIN: u8 = 20
export const RULE_SCTP_IGNORED: u8 = 21

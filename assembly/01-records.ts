/**
 * The memory map and the records in it.
 *
 * All memory is laid out once, in `createCore`; nothing is allocated afterwards and nothing moves. In order:
 *
 *     settings · table of CRC32c · counters · match lists · batch columns in · verdict columns out · scratch (64 packets)
 *     · records · events · fragments · input bytes · index · entries
 *     · side arrays, one record an entry, each only where it was asked for: accounts, starts, labels, histories, provenance
 *
 * Every region starts on a cache line. Multi-byte fields are little endian, addresses stay in network order.
 */

/** Packets that travel through the stages together: enough cache misses in flight, scratch that stays in L1. */
export const GROUP: u32 = 64

/** More of one packet is not read, whatever way it came: the largest IP packet and its link-layer header. */
export const MAX_PACKET: u32 = 72 * 1024

/**
 * A packet on its way through the stages. The first 40 bytes are the key in the form the table holds it: the two
 * endpoints in canonical order, so that both directions of a connection have the same key.
 */
@unmanaged
export class Packet {
  /** Endpoint A: 16 address bytes (IPv4 mapped into IPv6). */
  a0: u64
  a1: u64
  /** Endpoint B. */
  b0: u64
  b1: u64
  /** Port (host order) of A and B; for ICMP the identifier, and type | code << 8 of the request. */
  portA: u16
  portB: u16
  protocol: u8
  /** 4 or 6. */
  family: u8
  zone: u16

  /** Nanoseconds since 1970. */
  time: i64

  // From here to `vlan` a packet starts with zeros (`clearPacket`).
  hash: u32
  /** Entry that the index suggests, or 0: a hint, checked again before use. */
  candidate: u32
  /** First byte of the transport header (0: none to read). */
  transport: u32
  /** Bytes from the transport header to the end of the IP packet, as its length field has it ... */
  transportLength: u32
  /** ... and how many of them were captured. */
  transportCaptured: u32
  /** Where the IP header starts within the frame, and the transport header (0: none to read). */
  ownNetwork: u32
  ownTransport: u32
  /** Its checksum was left to the capturing host's network card. */
  offloaded: u32
  /** One of the PATH_ values: what is to be done with it. */
  path: u8
  /** Why it is INVALID or never reaches the tracker. On the tracked path: what its header check found. */
  reason: u8
  /** Endpoint that sent it: 0 is A, 1 is B. */
  side: u8
  /** Both endpoints are the same. */
  symmetric: u8
  /** IP protocol and version of the packet itself (an ICMP error's key has those of the quoted packet). */
  ownProtocol: u8
  ownFamily: u8
  /** ICMP error: it went to the sender of the packet it quotes. */
  atSender: u8
  /** Rules drop it after tracking, so that it confirms nothing; or RULED: the host's rules are still to say. */
  dropped: u8
  /** VLAN id of the outermost tag, 0 without one. */
  vlan: u16

  /** Directions that its zone applies to: ZONE_ORIGINAL, ZONE_REPLY. */
  zoneDirections: u8
  spare: u8
  /** First byte of the frame, and of the IP header. */
  frame: u32
  network: u32
  /** Length of the IP packet, as accounting counts it. */
  networkLength: u32
  /** Captured bytes of the frame, and its bytes on the wire. */
  length: u32
  wireLength: u32

  /** TCP, decoded by the header check. SCTP: `seq` is the set of its chunk types. */
  seq: u32
  ack: u32
  window: u16
  kind: u8
  flags: u8
  /** Bytes after the TCP header. */
  payload: u32
}

/** Four stores instead of thirteen: 2 ns a packet. */
// @ts-ignore: decorator
@inline export function clearPacket(p: Packet): void {
  const at = changetype<u32>(p) + offsetof<Packet>('hash')
  v128.store(at, i64x2.splat(0))
  v128.store(at, i64x2.splat(0), 16)
  store<u64>(at, 0, 32)
  p.vlan = 0
}
if (offsetof<Packet>('path') != offsetof<Packet>('hash') + 32 || offsetof<Packet>('vlan') != offsetof<Packet>('path') + 8) ERROR('Packet')
export const PACKET_SIZE: u32 = 128

/** `dropped` of a packet that the host has rules about (`readForRules`). */
export const RULED: u8 = 2

/** The packet never reaches the tracker. */
export const PATH_NONE: u8 = 0
/** Looked up and tracked. */
export const PATH_TRACK: u8 = 1
/** INVALID before any lookup, counted as `invalid`. */
export const PATH_INVALID: u8 = 2
/** Refused by the ICMP check before any lookup, counted as `error`. */
export const PATH_ERROR: u8 = 3
/** An ICMP error: RELATED to the connection it quotes, or refused. */
export const PATH_ICMP_ERROR: u8 = 4
/** Exempted by a match. */
export const PATH_UNTRACKED: u8 = 5
/** Exempted by what it is: neighbour and multicast listener discovery. */
export const PATH_DISCOVERY: u8 = 6
/** Another tracker's, where several share the packets. */
export const PATH_ELSEWHERE: u8 = 7

/** One direction of a TCP connection: what that side has sent and allowed. */
@unmanaged
export class TcpSide {
  /** Highest sequence number + length sent. */
  end: u32
  /** Highest sequence number it may send: what the other side acknowledged + its window. */
  maxEnd: u32
  /** Largest window it offered; 0 while it has not been seen. */
  maxWindow: u32
  /** Highest acknowledgement it sent. */
  maxAck: u32
  /** Window scale, 0 to 14. */
  scale: u8
  flags: u8
  /** Not TCP's: `pendingChanges` in the original side, `policyOf` in the reply side, of entries of all protocols. */
  lent: u16
}
export const SIDE_SIZE: u32 = 20

/**
 * One connection: 128 bytes, two cache lines. A free entry has status 0 and is linked through `next`.
 */
@unmanaged
export class Entry {
  /** The key, as in `Packet`. */
  a0: u64
  a1: u64
  b0: u64
  b1: u64
  portA: u16
  portB: u16
  protocol: u8
  family: u8
  zone: u16

  /** When it expires, nanoseconds. */
  deadline: i64
  /** STATUS_ bits. */
  status: u16
  /** TCP and SCTP: its state. */
  state: u8
  /** Endpoint that sent the first packet: 0 is A, 1 is B. */
  origin: u8
  /** Connection id. */
  id: u32
  /** TCP: numbers of the last recorded packet. */
  lastSeq: u32
  lastAck: u32

  lastEnd: u32
  lastWindow: u16
  lastKind: u8
  lastDirection: u8
  lastScale: u8
  lastFlags: u8
  retransmissions: u8
  /** What came with it when it was made: ATTACHED_ and ZONE_ bits. */
  attached: u8
  mark: u32
  /** TCP: two `TcpSide`, original first. UDP: `streamAt`, when the connection may become a stream. GRE and
   * SCTP: what their files say. */
  streamAt: i64
  side0c: u32
  side0d: u32
  side0e: u32
  side1a: u32
  side1b: u32
  side1c: u32
  side1d: u32
  side1e: u32
  hash: u32
  /** Next entry of an overflowing bucket, or of the free list. */
  next: u32
}
export const ENTRY_SIZE: u32 = 128
/** The key, at its beginning. */
export const KEY_SIZE: u32 = 40
export const ENTRY_SIDES: u32 = 80

// Bits of `attached`
/** Packets and bytes are counted (sysctl acct at the time it was made), its start was noted (timestamp). */
export const ATTACHED_ACCOUNT: u8 = 1
export const ATTACHED_START: u8 = 2
/** Its events are told (sysctl events, and whether somebody listened). */
export const ATTACHED_EVENTS: u8 = 4
/** There is something in its `Helped` record, which is all zeros otherwise and need not be looked at. */
export const ATTACHED_HELPED: u8 = 32
/** Its zone applies to the original, to the reply direction; where it does not, the direction is in zone 0. */
export const ZONE_ORIGINAL: u8 = 8
export const ZONE_REPLY: u8 = 16
export const ZONE_BOTH: u8 = 24

/** Events not yet told because the packets that caused them were dropped by rules. */
// @ts-ignore: decorator
@inline export function pendingChanges(e: Entry): u16 {
  return tcpSide(e, 0).lent
}

// @ts-ignore: decorator
@inline export function setPendingChanges(e: Entry, changes: u16): void {
  tcpSide(e, 0).lent = changes
}

/** Number of its timeout policy, 0 for the sysctls. */
// @ts-ignore: decorator
@inline export function policyOf(e: Entry): u32 {
  return tcpSide(e, 1).lent
}

// @ts-ignore: decorator
@inline export function setPolicy(e: Entry, policy: u32): void {
  tcpSide(e, 1).lent = u16(policy)
}

/** The side of a connection: direction 0 original, 1 reply. */
// @ts-ignore: decorator
@inline export function tcpSide(e: Entry, direction: u32): TcpSide {
  return changetype<TcpSide>(changetype<usize>(e) + ENTRY_SIDES + direction * SIDE_SIZE)
}

/** Packets and bytes each way of one connection. */
@unmanaged
export class Account {
  packets0: u64
  bytes0: u64
  packets1: u64
  bytes1: u64
}
export const ACCOUNT_SIZE: u32 = 32

/**
 * What the side arrays hold of one connection, gathered for the host: account at 0, start at 32, master and helper at
 * 40, labels at 48, history at 64.
 */
export const EXTRAS_START: u32 = 32
export const EXTRAS_MASTER: u32 = 40
export const EXTRAS_HELPER: u32 = 44
export const EXTRAS_LABELS: u32 = 48
export const EXTRAS_HISTORY: u32 = 64
export const EXTRAS_SIZE: u32 = 96

/** What there is of helpers beside an entry. */
@unmanaged
export class Helped {
  /** Id of the connection that announced it, 0 for none. */
  master: u32
  /** First of its expectations. */
  expectations: u32
  /** Number of what its helper remembers of it with the host, 0 for nothing yet. */
  state: u32
  /** Its helper, 0 for none. */
  helper: u8
  /** The helper that its master had when it was announced, 0 for none. */
  masterHelper: u8
  spare: u16
}
export const HELPED_SIZE: u32 = 16
if (offsetof<Helped>() != HELPED_SIZE) ERROR('Helped')

export const EXPECTATION_SIZE: u32 = 104
/** Lists of expectations by destination; a power of two. */
export const EXPECTATION_BUCKETS: u32 = 1024
export const GRE_PAIR_SIZE: u32 = 48
export const HELPER_PORTS_SIZE: u32 = 65536 / 8
/** PPTP's pairs of keys at most. */
export const GRE_PAIRS: u32 = 64

/** Nanoseconds. */
export const START_SIZE: u32 = 8
/** 128 bits. */
export const LABELS_SIZE: u32 = 16
export const HISTORY_SIZE: u32 = 32

/** Something that happened to a connection: the entry as it was at that moment. */
@unmanaged
export class Event {
  kind: u32
  changes: u32
  packet: u32
  spare: u32
  time: i64
  /** DESTROY: when it was over. */
  stop: i64
  /** Followed by the entry (128 bytes, at 32) and its extras (96 bytes, at 160). */
}
export const EVENT_ENTRY: u32 = 32
export const EVENT_EXTRAS: u32 = 160
export const EVENT_SIZE: u32 = 256
/** Events that wait for the host at most. */
export const EVENTS: u32 = 1024
/** Events that one packet can cause at most: what a sweep destroys, an eviction and its own few. */
export const EVENTS_PER_PACKET: u32 = 512

/**
 * What `explain` wants to know about one packet: the numbers a rule compared, the entry before and after it, and which
 * packets had set the entry's values.
 */
@unmanaged
export class Record {
  rule: u8
  /** 1: an entry was found, 2: one was made. */
  entry: u8
  oldState: u8
  newState: u8
  direction: u8
  kind: u8
  /** The window check was made. */
  checked: u8
  /** 1: the packet took the place of a connection that was over; 2: it brought an ignored SYN into force. */
  restarted: u8
  packet: u32
  /** As the window check compared them. */
  seq: u32
  end: u32
  ack: u32
  sack: u32
  /** Scaled. */
  window: u32
  /** Two `TcpSide` follow at 32 and 52: sender and receiver as compared. */
}
export const RECORD_SENDER: u32 = 32
export const RECORD_RECEIVER: u32 = 52
export const RECORD_BEFORE: u32 = 128
export const RECORD_AFTER: u32 = 256
export const RECORD_EXTRAS: u32 = 384
export const RECORD_PROVENANCE: u32 = 480
/** Number of the packet that announced the connection which this one opens. */
export const RECORD_ANNOUNCED: u32 = 544
export const RECORD_SIZE: u32 = 576

/** Which packet set what, one a connection. */
@unmanaged
export class Provenance {
  created: u32
  last: u32
  end0: u32
  maxEnd0: u32
  maxWindow0: u32
  maxAck0: u32
  /** Acknowledgement and (scaled) window of the packet that set `maxEnd0`. */
  ack0: u32
  window0: u32
  end1: u32
  maxEnd1: u32
  maxWindow1: u32
  maxAck1: u32
  ack1: u32
  window1: u32
  spare: u64
}
export const PROVENANCE_SIZE: u32 = 64

/** What a rule of a list matches, and what it gives: everything that is not masked out. */
@unmanaged
export class Match {
  /** IP protocol, or 256 for any. */
  protocol: u32
  /** 4 or 6; 0: any. */
  family: u32
  sportFrom: u16
  sportTo: u16
  dportFrom: u16
  dportTo: u16
  /** It asks for ports: packets of protocols without ports do not match. */
  ports: u32
  /** Code point and VLAN id, ANY for all. */
  dscp: u16
  vlan: u16
  /** What the rule gives: zone or timeout policy ... */
  value: u32
  /** ... and the directions of a zone. */
  directions: u32
  /** Source address and mask, destination address and mask, 16 bytes each, at 32. */
}
export const MATCH_ADDRESSES: u32 = 32
export const MATCH_SIZE: u32 = 96
/** Matches a list holds at most. */
export const MATCHES: u32 = 64
export const ANY: u32 = 0xffff
/** Timeout policies at most. */
const POLICIES: u32 = MATCHES

// The sizes above are what the compiler makes of the fields: a mistake does not compile.
if (offsetof<Packet>() > PACKET_SIZE) ERROR('Packet')
if (offsetof<TcpSide>() != SIDE_SIZE) ERROR('TcpSide')
if (offsetof<Entry>() != ENTRY_SIZE || offsetof<Entry>('streamAt') != ENTRY_SIDES) ERROR('Entry')
if (offsetof<Entry>('hash') != ENTRY_SIDES + 2 * SIDE_SIZE) ERROR('Entry')
if (offsetof<Account>() != ACCOUNT_SIZE) ERROR('Account')
if (offsetof<Event>() != EVENT_ENTRY) ERROR('Event')
if (offsetof<Record>() > RECORD_SENDER) ERROR('Record')
if (offsetof<Provenance>() != PROVENANCE_SIZE) ERROR('Provenance')
if (offsetof<Match>() != MATCH_ADDRESSES) ERROR('Match')

// Settings: timeouts in nanoseconds ...
/** TCP by state (0 to 9), then: */
export const TIMEOUT_TCP_MAX_RETRANS: u32 = 10
export const TIMEOUT_TCP_UNACKNOWLEDGED: u32 = 11
export const TIMEOUT_UDP: u32 = 12
export const TIMEOUT_UDP_STREAM: u32 = 13
export const TIMEOUT_ICMP: u32 = 14
export const TIMEOUT_ICMPV6: u32 = 15
export const TIMEOUT_GENERIC: u32 = 16
export const TIMEOUT_GRE: u32 = 17
export const TIMEOUT_GRE_STREAM: u32 = 18
/** SCTP by state (0 to 8). */
export const TIMEOUT_SCTP: u32 = 19
/** Until a datagram's fragments must be there. */
export const TIMEOUT_FRAGMENT_IPV4: u32 = 28
export const TIMEOUT_FRAGMENT_IPV6: u32 = 29
export const TIMEOUTS: u32 = 30
// of which there is one set for the sysctls and one for each timeout policy;
// ... and switches
export const SWITCH_TCP_LOOSE: u32 = 0
export const SWITCH_TCP_BE_LIBERAL: u32 = 1
export const SWITCH_TCP_MAX_RETRANS: u32 = 2
export const SWITCH_TCP_IGNORE_INVALID_RST: u32 = 3
export const SWITCH_CHECKSUM: u32 = 4
export const SWITCH_ACCT: u32 = 5
export const SWITCH_TIMESTAMP: u32 = 6
/** 0: none, 1: of all connections, 2: of those made while somebody listens. */
export const SWITCH_EVENTS: u32 = 7
/** Connections at most, `maxConnections` or less. */
export const SWITCH_MAX: u32 = 8
/** Expectations at most, `maxExpectations` or less. */
export const SWITCH_EXPECT_MAX: u32 = 9
/** Bytes of fragments held, beyond which no more are. */
export const SWITCH_FRAGMENT_IPV4_HIGH: u32 = 10
export const SWITCH_FRAGMENT_IPV6_HIGH: u32 = 11
/** Fragments of other datagrams that may come from a source between two of one; 0: any number. */
export const SWITCH_FRAGMENT_DISTANCE: u32 = 12
export const SWITCHES: u32 = 13

/** Bytes of secret that the hash takes. */
export const HASH_KEYS: u32 = 48

// Counters, 64 bit each
export const COUNTER_PACKETS: u32 = 0
export const COUNTER_INVALID: u32 = 1
export const COUNTER_ERROR: u32 = 2
export const COUNTER_DROP: u32 = 3
export const COUNTER_EARLY_DROP: u32 = 4
export const COUNTER_INSERT_FAILED: u32 = 5
export const COUNTER_OFFLOADED: u32 = 6
/** Entries confirmed and entries removed since creation: their difference is what the table holds. */
export const COUNTER_CONFIRMED: u32 = 7
export const COUNTER_REMOVED: u32 = 8
/** By state (6), by reason (up to 64), by IP protocol (256). */
export const COUNTER_STATES: u32 = 16
export const COUNTER_REASONS: u32 = 24
export const COUNTER_PROTOCOLS: u32 = 96
export const COUNTERS: u32 = 352

// Regions: addresses, set once by `createCore`
export let settingsAt: u32 = 0
export let switchesAt: u32 = 0
export let hashKeysAt: u32 = 0
export let crcTableAt: u32 = 0
export let countersAt: u32 = 0
export let notrackAt: u32 = 0
export let dropAt: u32 = 0
export let zonesAt: u32 = 0
export let policiesAt: u32 = 0
export let helpersAt: u32 = 0
export let offsetAt: u32 = 0
export let lengthAt: u32 = 0
export let wireLengthAt: u32 = 0
export let secondsAt: u32 = 0
export let nanosecondsAt: u32 = 0
export let linkTypeAt: u32 = 0
export let verdictAt: u32 = 0
export let scratchAt: u32 = 0
/** An address for each packet of a group: what of memory it will need next. */
export let neededAt: u32 = 0
export let recordsAt: u32 = 0
export let eventsAt: u32 = 0
export let fragmentsAt: u32 = 0
export let inputAt: u32 = 0
export let indexAt: u32 = 0
export let entriesAt: u32 = 0
export let accountsAt: u32 = 0
export let startsAt: u32 = 0
export let labelsAt: u32 = 0
export let historiesAt: u32 = 0
export let provenanceAt: u32 = 0
/** Only with helpers. */
export let helpedAt: u32 = 0
export let expectationsAt: u32 = 0
export let expectationIndexAt: u32 = 0
export let grePairsAt: u32 = 0
/** A bit for each destination port that a match for helpers asks for. */
export let helperPortsAt: u32 = 0
/** Where the extras of one connection, and a tracker's life, are gathered for the host. */
export let extrasAt: u32 = 0
export let lifeAt: u32 = 0

// Sizes
export let maxConnections: u32 = 0
export let maxExpectations: u32 = 0
export let buckets: u32 = 0
export let batchSize: u32 = 0
export let inputSize: u32 = 0

// Optional parts
export const WITH_EXPLAIN: u32 = 1
export const WITH_ACCT: u32 = 2
export const WITH_TIMESTAMP: u32 = 4
export const WITH_LABELS: u32 = 8
export const WITH_HISTORY: u32 = 16
export const WITH_HELPERS: u32 = 32

export const LIFE_SIZE: u32 = 128

/** Bytes that readers may touch behind the input's last packet. */
const INPUT_SLACK: u32 = 64

/** Columns of the verdicts, each `batchSize` long; the widest first, so that all are aligned. Eight bytes wide: */
export const VERDICT_TIMEOUT: u32 = 0
/** Four bytes: */
export const VERDICT_CONNECTION: u32 = 8
export const VERDICT_NETWORK: u32 = 12
export const VERDICT_TRANSPORT: u32 = 16
/** One byte: */
export const VERDICT_STATE: u32 = 20
export const VERDICT_DIRECTION: u32 = 21
export const VERDICT_REASON: u32 = 22
export const VERDICT_PROTOCOL_STATE: u32 = 23
export const VERDICT_FLAGS: u32 = 24
export const VERDICT_PROTOCOL: u32 = 25
export const VERDICT_FAMILY: u32 = 26
const VERDICT_WIDTH: u32 = 27

let cursor: u64 = 0

function region(bytes: u64): u32 {
  const at = cursor
  cursor = (cursor + bytes + 63) & ~63
  return u32(at)
}

/**
 * Lays out the memory from `base` on.
 *
 * @returns where it ends, or 0 where they do not fit into the address space of 4 GiB
 */
export function layOut(
  base: u64, connections: u32, expectations: u32, batch: u32, input: u32, fragmentBytes: u64, parts: u32,
): u64 {
  maxConnections = connections
  maxExpectations = expectations
  batchSize = batch
  inputSize = input
  buckets = u32(u64(connections) * 2 / 7) + 8
  cursor = base
  settingsAt = region((1 + POLICIES) * TIMEOUTS * 8)
  timeoutsAt = settingsAt
  switchesAt = region(SWITCHES * 4)
  hashKeysAt = region(HASH_KEYS)
  crcTableAt = region(1024)
  countersAt = region(COUNTERS * 8)
  notrackAt = region(MATCHES * MATCH_SIZE)
  dropAt = region(MATCHES * MATCH_SIZE)
  zonesAt = region(MATCHES * MATCH_SIZE)
  policiesAt = region(MATCHES * MATCH_SIZE)
  helpersAt = region(MATCHES * MATCH_SIZE)
  extrasAt = region(EXTRAS_SIZE)
  lifeAt = region(LIFE_SIZE)
  layOutBatch(batch)
  scratchAt = region((GROUP + 1) * PACKET_SIZE) // one more for keys that belong to no packet
  neededAt = region(GROUP * 4)
  recordsAt = region(u64(batch) * RECORD_SIZE)
  eventsAt = region(EVENTS * EVENT_SIZE)
  fragmentsAt = region(fragmentBytes)
  inputAt = region(input + INPUT_SLACK)
  indexAt = region(u64(buckets) * 64)
  entriesAt = region(u64(connections + 1) * ENTRY_SIZE)
  accountsAt = sideArray(parts & WITH_ACCT, ACCOUNT_SIZE)
  startsAt = sideArray(parts & WITH_TIMESTAMP, START_SIZE)
  labelsAt = sideArray(parts & WITH_LABELS, LABELS_SIZE)
  historiesAt = sideArray(parts & WITH_HISTORY, HISTORY_SIZE)
  provenanceAt = sideArray(parts & WITH_EXPLAIN, PROVENANCE_SIZE)
  helpedAt = sideArray(parts & WITH_HELPERS, HELPED_SIZE)
  if (helpedAt) {
    // Record 0 is where the host writes what it asks for.
    expectationsAt = region(u64(expectations + 1) * EXPECTATION_SIZE)
    expectationIndexAt = region(EXPECTATION_BUCKETS * 4)
    grePairsAt = region(GRE_PAIRS * GRE_PAIR_SIZE)
    helperPortsAt = region(HELPER_PORTS_SIZE)
  }
  return cursor <= 0xffff0000 ? cursor : 0
}

/** Columns in, and verdicts out. */
function layOutBatch(batch: u32): void {
  offsetAt = region(batch * 4)
  lengthAt = region(batch * 4)
  wireLengthAt = region(batch * 4)
  secondsAt = region(batch * 8)
  nanosecondsAt = region(batch * 4)
  linkTypeAt = region(batch * 2)
  verdictAt = region(batch * VERDICT_WIDTH)
}

/** What a pool's worker has of a batch that lies elsewhere: a byte for each row, and its own rows and their times. */
export let shardsAt: u32 = 0
export let rowsAt: u32 = 0
export let timesAt: u32 = 0

/**
 * From now on a batch's columns, with the shards behind them, and its verdicts lie there; where its own would be there is
 * room for lists.
 */
export function useBatchAt(columns: u32, verdicts: u32): void {
  if (!rowsAt) {
    rowsAt = offsetAt
    timesAt = secondsAt
  }
  cursor = columns
  layOutBatch(batchSize)
  shardsAt = verdictAt
  verdictAt = verdicts
}

/** One record of `size` bytes for every entry, if it is wanted; 0 where not. */
function sideArray(wanted: u32, size: u32): u32 {
  return wanted ? region(u64(maxConnections + 1) * size) : 0
}

/** The timeouts that count for the connection at hand. */
let timeoutsAt: u32 = 0

/** Makes a timeout policy, or the sysctls (0), count from now on. */
// @ts-ignore: decorator
@inline export function useTimeouts(policy: u32): void {
  timeoutsAt = settingsAt + policy * (TIMEOUTS << 3)
}

/** A timeout of the connection at hand, nanoseconds. */
// @ts-ignore: decorator
@inline export function timeout(index: u32): i64 {
  return load<i64>(timeoutsAt + (index << 3))
}

/** A timeout that has nothing to do with a connection, nanoseconds. */
// @ts-ignore: decorator
@inline export function sysctlTimeout(index: u32): i64 {
  return load<i64>(settingsAt + (index << 3))
}

// @ts-ignore: decorator
@inline export function switched(index: u32): u32 {
  return load<u32>(switchesAt + (index << 2))
}

// @ts-ignore: decorator
@inline export function count(counter: u32): void {
  const at = countersAt + (counter << 3)
  store<u64>(at, load<u64>(at) + 1)
}

// @ts-ignore: decorator
@inline export function countMore(counter: u32, n: u32): void {
  const at = countersAt + (counter << 3)
  store<u64>(at, load<u64>(at) + n)
}

/** Number of an entry: 1 to `maxConnections`. */
// @ts-ignore: decorator
@inline export function slotOf(e: Entry): u32 {
  return (u32(changetype<usize>(e)) - entriesAt) >> 7
}

// @ts-ignore: decorator
@inline export function entryAt(slot: u32): Entry {
  return changetype<Entry>(entriesAt + (slot << 7))
}

// @ts-ignore: decorator
@inline export function accountOf(e: Entry): Account {
  return changetype<Account>(accountsAt + slotOf(e) * ACCOUNT_SIZE)
}

/** Gathers the extras of a connection: 96 bytes; of those that are not kept the host looks at nothing. */
export function copyExtras(to: u32, e: Entry): void {
  const slot = slotOf(e)
  if (accountsAt) copy32(to, accountsAt + slot * ACCOUNT_SIZE)
  if (startsAt) store<i64>(to + EXTRAS_START, load<i64>(startsAt + slot * START_SIZE))
  if (helpedAt) {
    const helped = changetype<Helped>(helpedAt + slot * HELPED_SIZE)
    store<u32>(to + EXTRAS_MASTER, helped.master)
    store<u8>(to + EXTRAS_HELPER, helped.helper)
  }
  if (labelsAt) v128.store(to + EXTRAS_LABELS, v128.load(labelsAt + slot * LABELS_SIZE))
  if (historiesAt) copy32(to + EXTRAS_HISTORY, historiesAt + slot * HISTORY_SIZE)
}

function copy32(to: u32, from: u32): void {
  v128.store(to, v128.load(from))
  v128.store(to, v128.load(from, 16), 16)
}

/** Some side array is zeroed for a new connection. */
// @ts-ignore: decorator
@inline export function hasExtras(): bool {
  return (accountsAt | labelsAt | historiesAt) != 0
}

/** Clears the extras of a new connection. */
export function clearExtras(e: Entry): void {
  const slot = slotOf(e)
  const zeros = i64x2.splat(0)
  if (accountsAt) clear32(accountsAt + slot * ACCOUNT_SIZE)
  if (labelsAt) v128.store(labelsAt + slot * LABELS_SIZE, zeros)
  if (historiesAt) clear32(historiesAt + slot * HISTORY_SIZE)
}

function clear32(at: u32): void {
  v128.store(at, i64x2.splat(0))
  v128.store(at, i64x2.splat(0), 16)
}

/** Copies 128 bytes. */
export function copyEntry(to: u32, from: u32): void {
  for (let i: u32 = 0; i < ENTRY_SIZE; i += 16) v128.store(to + i, v128.load(from + i))
}

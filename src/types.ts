/** The types of the SDK. What the strings and numbers stand for is in `names.ts`. */
import type { Reason, State } from './names.js'

/** One packet's verdict, as `track` gives it. */
export interface Verdict {
  /** The packet's number: 1 for the first packet this tracker was given. */
  readonly packet: number
  /** What rules would see; `null` when the packet never reaches the tracker. */
  readonly state: State | null
  /** Direction of the packet within its connection; `null` where no entry is attached. */
  readonly direction: 'original' | 'reply' | null
  /** Why the state is INVALID or `null`; `null` for every other state. */
  readonly reason: Reason | null
  /** The connection's id, or `null`. */
  readonly connection: number | null
  /** Linux itself drops the packet, rules or no rules. */
  readonly dropped: boolean
  /** State of the TCP connection after the packet, by Linux's name; `null` for other protocols. */
  readonly tcpState: string | null
  /** The same for an SCTP association. */
  readonly sctpState: string | null
  /** The connection is protected from early eviction. */
  readonly assured: boolean | null
  /** Time left to the connection after the packet, in milliseconds. */
  readonly timeoutMs: number | null
}

/** Verdicts of a batch: columns over the tracker's memory, good until its next call. */
export interface VerdictBatch {
  readonly count: number
  /** Index into `STATES`. */
  readonly state: Uint8Array
  /** Index into `DIRECTIONS`. */
  readonly direction: Uint8Array
  /** Index into `REASONS`. */
  readonly reason: Uint8Array
  /** Connection id, 0 for none. Ids count up from 1 in the order in which connections are first seen. */
  readonly connection: Uint32Array
  /** TCP: index into `TCP_STATES`; SCTP: `SCTP_STATE_BASE` and more, index into `SCTP_STATES`; other protocols 0. */
  readonly protocolState: Uint8Array
  /** `VERDICT_ASSURED` 1, `VERDICT_DROPPED` 2, `VERDICT_SEEN_REPLY` 4. */
  readonly flags: Uint8Array
  /** Nanoseconds left to the connection after the packet; 0 without one. */
  readonly timeoutNs: Float64Array
  /** The packet's own IP protocol number; meaningless where `family` is 0. */
  readonly protocol: Uint8Array
  /** 4, 6, or 0 where the packet is not IP. */
  readonly family: Uint8Array
  /** Where the IP header starts within the packet. */
  readonly networkOffset: Uint32Array
  /** Where the transport header starts within the packet; 0 where there is none to read (later fragments, unreadable headers). */
  readonly transportOffset: Uint32Array
}

/** One direction of a connection. */
export interface Tuple {
  readonly family: 4 | 6
  /** IP protocol number. */
  readonly protocol: number
  readonly src: string
  readonly dst: string
  /** TCP, UDP, UDP-Lite, SCTP. */
  readonly sport?: number
  readonly dport?: number
  /** GRE; 0 but for version 1. */
  readonly srcKey?: number
  readonly dstKey?: number
  /** ICMP, ICMPv6. */
  readonly type?: number
  readonly code?: number
  readonly id?: number
}

/** TCP window variables of one direction (what that side has sent and allowed). */
export interface TcpSide {
  /** Highest sequence number + length sent. */
  readonly end: number
  /** Highest sequence number it may send. */
  readonly maxEnd: number
  /** Largest window it offered, in bytes; 0 while it has not been seen. */
  readonly maxWindow: number
  /** Highest acknowledgement it sent. */
  readonly maxAck: number
  /** Its window scale, 0 to 14. */
  readonly scale: number
  /** Names from `TCP_FLAGS`. */
  readonly flags: readonly string[]
}

export interface TcpInfo {
  readonly original: TcpSide
  readonly reply: TcpSide
  /** How often the last acknowledgement was repeated. */
  readonly retransmissions: number
  /** The last packet that was recorded. */
  readonly last: {
    /** 0 SYN, 1 SYN/ACK, 2 FIN, 3 ACK, 4 RST, 5 none. */
    readonly index: number
    readonly direction: 'original' | 'reply'
    readonly seq: number
    readonly ack: number
    readonly end: number
    /** As in the header, unscaled. */
    readonly window: number
    readonly scale: number
    readonly flags: readonly string[]
  }
}

/** One entry of the connection table. */
export interface Connection {
  readonly id: number
  readonly original: Tuple
  readonly reply: Tuple
  readonly zone: number
  /** The directions that the zone applies to; the other one is in zone 0. */
  readonly zoneDirection: 'both' | 'original' | 'reply'
  readonly mark: number
  /** Numbers of the labels that are set, 0 to 127; `null` unless the tracker was made with `labels`. */
  readonly labels: readonly number[] | null
  /** Status bits by Linux's names, in the order of the bits. */
  readonly status: readonly string[]
  readonly assured: boolean
  readonly seenReply: boolean
  /** Milliseconds left. */
  readonly timeoutMs: number
  readonly helper: string | null
  /** Id of the connection that announced this one. */
  readonly master: number | null
  /** By Linux's name; `null` for other protocols. */
  readonly tcpState: string | null
  readonly sctpState: string | null
  readonly tcp: TcpInfo | null
  /** SCTP: verification tags that packets of each direction must carry; 0 while not known. */
  readonly verificationTags: { readonly original: number; readonly reply: number } | null
  /** UDP: milliseconds until a packet may make it a stream, which lives longer; 0 where that is so already. */
  readonly streamInMs: number | null
  /** Packets and bytes each way; `null` unless sysctl `acct` is 1. */
  readonly packets: { readonly original: number; readonly reply: number } | null
  readonly bytes: { readonly original: number; readonly reply: number } | null
  /** When it was confirmed, nanoseconds since 1970; `null` unless sysctl `timestamp` is 1. */
  readonly start: bigint | null
  /** When it was over; only in `destroy` events. */
  readonly stop: bigint | null
  /** Its life as Zeek writes it, such as `ShADadFf`; `null` unless the tracker was made with `history`. */
  readonly history: string | null
  /** Zeek's code of how it went, such as `SF`; `null` likewise. */
  readonly connState: string | null
}

/** What a connection is looked up by; missing fields of `Tuple` count as 0. */
export interface TupleQuery {
  readonly protocol: number | string
  readonly src: string
  readonly dst: string
  readonly sport?: number
  readonly dport?: number
  readonly type?: number
  readonly code?: number
  readonly id?: number
  /** GRE version 1: the call id. */
  readonly dstKey?: number
  readonly zone?: number
}

/** Which packets an option is about; what is left out matches everything. */
export interface PacketMatch {
  /** IP protocol number or name (`tcp`, `udp`, `icmp`, `icmpv6`, ...). */
  readonly protocol?: number | string
  /** Address, or prefix such as `10.0.0.0/8`. */
  readonly src?: string
  readonly dst?: string
  /** Port, or range such as `'1024-65535'`. */
  readonly sport?: number | string
  readonly dport?: number | string
  /** Differentiated services code point, 0 to 63. */
  readonly dscp?: number
  /** VLAN id of the outermost tag; 0: without a tag. */
  readonly vlan?: number
}

/** Puts packets into a zone. */
export interface ZoneRule extends PacketMatch {
  /** 0 to 65,535. */
  readonly id: number
  /** The directions that the zone applies to; the other one is in zone 0. Default `both`. */
  readonly direction?: 'both' | 'original' | 'reply'
}

/** Gives new connections timeouts of their own. */
export interface TimeoutPolicy extends PacketMatch {
  /** Seconds by the names of the sysctls (`tcp_timeout_established`, `udp_timeout` ...); what is left out is as the sysctls have it when the tracker is made. */
  readonly timeouts: Readonly<Record<string, number>>
}

/** A connection that another one has announced. */
export interface Expectation {
  readonly id: number
  /** Number of the packet that announced it. */
  readonly packet: number
  /** What it will look like; a port that may be any is 0. */
  readonly tuple: Tuple
  /** Under which its source is compared: netmasks in address form, and ports (65,535 exact, 0 any). */
  readonly mask: { readonly src: string; readonly dst: string; readonly sport: number; readonly dport: number }
  readonly zone: number
  /** Milliseconds left. */
  readonly timeoutMs: number
  /** Id of the connection that announced it, and its original tuple. */
  readonly master: number
  readonly masterTuple: Tuple
  /** The helper that read it, and the kind of expectation by its number and name. */
  readonly helper: string
  readonly class: number
  readonly className: string
  /** The helper that the new connection will have. */
  readonly assigns: string | null
  /** It survives a match. */
  readonly permanent: boolean
  /** It matches nothing yet. */
  readonly inactive: boolean
}

export type ExpectationEventKind = 'expectation-new' | 'expectation-destroy'

/** What happened to an expectation, as `conntrack -E expect` would tell it. */
export interface ExpectationEvent {
  readonly kind: ExpectationEventKind
  readonly time: bigint
  readonly packet: number
  readonly expectation: Expectation
}

export type ConnectionEventKind = 'new' | 'update' | 'destroy'

/** What happened to a connection, as `conntrack -E` would tell it. */
export interface ConnectionEvent {
  readonly kind: ConnectionEventKind
  /** Nanoseconds since 1970, the clock of the packets. */
  readonly time: bigint
  /** Number of the packet that caused it. */
  readonly packet: number
  /** What changed, names from `EVENTS`: NEW, DESTROY, REPLY, ASSURED, PROTOINFO ... */
  readonly changes: readonly string[]
  /** The entry at that moment. */
  readonly connection: Connection
}

/** Counters, since creation. */
export interface Statistics {
  readonly packets: number
  /** Packets by state; `null` is counted under `none`. */
  readonly states: Readonly<Record<State | 'none', number>>
  /** Packets by reason, only reasons that occurred. */
  readonly reasons: Readonly<Partial<Record<Reason, number>>>
  /** IP packets by protocol number. */
  readonly protocols: Readonly<Record<number, number>>
  /** Entries in the table now: `inserts - deletes`. */
  readonly entries: number
  /** Connections confirmed, and removed for whatever reason. */
  readonly inserts: number
  readonly deletes: number
  readonly maxConnections: number
  /** Errors that helpers threw, by the helper's name; only helpers that did. Their packets were accepted. */
  readonly helperErrors: Readonly<Record<string, number>>
  /** Packets whose checksum was left to the capturing host's network card (mode `offload`). */
  readonly offloadedChecksums: number
  /** The counters of `conntrack -S`, in its order. */
  readonly counters: {
    readonly found: number
    readonly invalid: number
    readonly insert: number
    readonly insert_failed: number
    readonly drop: number
    readonly early_drop: number
    readonly error: number
    readonly search_restart: number
    readonly clash_resolve: number
    readonly chaintoolong: number
  }
}

/** Why a packet got its verdict. */
export interface Explanation {
  readonly packet: number
  readonly verdict: Verdict
  /** One sentence: the verdict and the rule that gave it, with its numbers. */
  readonly text: string
  /** The steps, one sentence each, in the order in which they were taken. */
  readonly steps: readonly string[]
  /** Numbers of the packets that set the values the rule compared. */
  readonly setBy: readonly number[]
  /** The sysctl that would change the verdict, or `null`. */
  readonly sysctl: string | null
}

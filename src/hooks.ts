/**
 * Rules around the tracker: what decides about a packet before it is looked up, and about its first confirmation. The
 * tracker calls these two hooks for each packet, where Linux has the raw table and where it has all that follow it.
 */
/** A packet on its way: one object for all, filled in anew for each. Offsets are into `data`. */
export interface HookPacket {
  data: Uint8Array
  /** Where its frame starts, and the IP header: that of a reassembled datagram is not in the frame. */
  frame: number
  network: number
  /** Behind the last byte of the IP packet that was captured. */
  end: number
  /** Bytes of the whole IP packet. */
  length: number
  /** LINKTYPE_ number of the frame. */
  linkType: number
  /** When it came, nanoseconds since 1970. */
  timeOf: () => bigint
  family: 4 | 6
  /** Where the table has the connection that a tuple belongs to, in either direction; `null` where it has none. */
  find: (tuple: Tuple) => Place | null
  /** Status bits of the connection there, 0 where the table has it no longer. */
  statusAt: (place: Place) => number
  /** The connection there is one of TCP in TIME_WAIT or CLOSE. */
  isClosing: (place: Place) => boolean
  /** The zone of the original direction of the connection there. */
  zoneAt: (place: Place) => number
}

/** One direction of a connection. */
export interface Tuple {
  readonly family: 4 | 6
  readonly protocol: number
  /** The zone to look for it in as a connection's original direction, and as its reply. */
  readonly zones: Zones
  /** Source and destination, then the first eight bytes of a transport header. */
  readonly headers: Uint8Array
}

/** The zone of each direction. */
export interface Zones {
  readonly original: number
  readonly reply: number
}

/** A connection by where the table has it. */
export interface Place {
  readonly slot: number
  readonly id: number
}

/** What the raw table gives a packet, and its connection if it opens one. */
export interface Assignment {
  readonly notrack: boolean
  /** It comes from the machine itself: its checksums are not looked at. */
  readonly local: boolean
  readonly zone: number
  readonly zoneDirection: 'both' | 'original' | 'reply'
  /** Place of a timeout policy among the tracker's `timeouts`, 1 for the first; 0 for none. */
  readonly policy: number
  /** Name of one of the tracker's helpers. */
  readonly helper: string | null
}

/** The connection of a packet that is among rules; good until the hook returns. */
export interface HookConnection {
  readonly id: number
  /** Where the table has it; another connection may have the place later. */
  readonly slot: number
  readonly direction: 'original' | 'reply'
  /** Bits as `STATUS_BITS` counts them. */
  readonly status: number
  readonly protocol: number
  readonly family: 4 | 6
  readonly zone: number
  /** By direction: 0 in the one that `zone` does not apply to. */
  readonly zones: Zones
  readonly mark: number
  /** Where in the packet's `data` an address of a tuple is: 4 or 16 bytes. */
  addressAt(direction: 'original' | 'reply', side: 'src' | 'dst'): number
  /** A port of a tuple; of ICMP the id as source, type and code as destination; of GRE its keys; else 0. */
  port(direction: 'original' | 'reply', side: 'src' | 'dst'): number
  /** Nanoseconds left; 0 before it is confirmed. */
  readonly timeLeftNs: bigint
  /** Packets and bytes so far, this packet included; `null` unless sysctl `acct` is 1. */
  readonly account: { readonly packets: readonly [number, number]; readonly bytes: readonly [number, number] } | null
  /** Name of the helper of the connection that announced this one; `null` where none did. */
  readonly masterHelper: string | null
  /** Sets the connection's mark, told with the packet. */
  setMark(mark: number): void
  /** The packet is answered with a reset: Linux has the connection closed then, if an earlier packet confirmed it. */
  close(): void
  /** The packet ends it: Linux has taken it out of the table before rules see the packet. */
  readonly isDying: boolean
}

/** Decide about packets; both are called once for each that gets there. They must not call the tracker. */
export interface PacketHooks {
  /** The packet at hand. */
  readonly packet: HookPacket
  /** The raw table; `null` drops the packet. */
  before(): Assignment | null
  /**
   * All tables behind the tracker.
   *
   * @param state index into `STATES`
   * @param connection `null` for INVALID and UNTRACKED packets
   * @returns whether the packet passes
   */
  after(state: number, connection: HookConnection | null): boolean
}

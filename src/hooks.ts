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
  /** A connection with this key is in that slot: confirmed, alive and, of TCP, not closing. */
  isOpen: (slot: number, key: string) => boolean
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
  /** What the table knows it by: two connections that have it are the same or one after the other. */
  readonly key: string
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

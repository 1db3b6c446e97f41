/** A packet as rules see it. Bytes that are asked for are there, or it is said whether the packet or the capture lacks them. */
import type { HookConnection, HookPacket } from '../hooks.js'
import { STATES, STATUS_BITS, type State } from '../names.js'
import { TICK_NS } from './clock.js'

/** Where on its way a packet is. */
export const HOOKS = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] as const
export type Hook = (typeof HOOKS)[number]

const TEMPLATE = 1 << STATUS_BITS.indexOf('TEMPLATE')
const ETHERNET = 1
const LINUX_COOKED = 113
const NEXT_ROUTING = 43
const NEXT_FRAGMENT = 44
const NEXT_AH = 51
/** Hop by hop, routing, destination options: what all lengths are counted alike in. */
const EXTENSIONS: readonly number[] = [0, NEXT_ROUTING, 60]

/** States as matches ask for them. */
export const STATE_BITS: Readonly<Record<State, number>> = { INVALID: 1, NEW: 2, RELATED: 4, ESTABLISHED: 8, UNTRACKED: 16 }
/** The same by their index in `STATES`. */
export const BITS_OF_STATES: readonly number[] = STATES.map(state => state === null ? 0 : STATE_BITS[state])

/** Bytes that matches of a protocol's header ask for. */
export const HEADER_BYTES = { icmp: 8, tcp: 20, udp: 8, sctp: 12, ports: 4 } as const
const HEADER_OF_PROTOCOL = Uint8Array.from({ length: 256 }, () => 0)
HEADER_OF_PROTOCOL[1] = HEADER_OF_PROTOCOL[58] = HEADER_BYTES.icmp
HEADER_OF_PROTOCOL[6] = HEADER_BYTES.tcp
HEADER_OF_PROTOCOL[17] = HEADER_OF_PROTOCOL[136] = HEADER_BYTES.udp
HEADER_OF_PROTOCOL[33] = HEADER_BYTES.ports
HEADER_OF_PROTOCOL[132] = HEADER_BYTES.sctp

/** What `CT` and `NOTRACK` gave it. */
export interface Template {
  readonly notrack: boolean
  readonly zone: number
  /** The zone is the packet's mark when it is looked up. */
  readonly zoneOfMark: boolean
  readonly zoneDirection: 'both' | 'original' | 'reply'
  readonly helper: string | null
  readonly timeout: string | null
}

/** One object for all packets of a machine. */
export class RulePacket implements HookPacket {
  data: Uint8Array = new Uint8Array(0)
  frame = 0
  network = 0
  end = 0
  length = 0
  linkType = 0
  family: 4 | 6 = 4
  timeOf: HookPacket['timeOf'] = () => 0n
  find: HookPacket['find'] = () => null
  statusAt: HookPacket['statusAt'] = () => 0
  isClosing: HookPacket['isClosing'] = () => false
  zoneAt: HookPacket['zoneAt'] = () => 0
  /** The protocol behind extension headers, -1 where they do not say. */
  protocol = -1
  /** First byte of the transport header. */
  transport = 0
  /** Offset of the fragment that it is, which only a broken IPv6 packet can still be behind reassembly. */
  fragmentOffset = 0
  /** Its headers are all there: no match finds it broken or cut short for want of what every header of its protocol has. */
  isWhole = false
  inInterface = ''
  outInterface = ''
  mark = 0
  /** One of `STATE_BITS`; 0 before it has a state, which matches take as INVALID. */
  stateBit = 0
  connection: HookConnection | null = null
  template: Template | null = null
  /** It was forwarded: routing has taken one from its TTL. */
  forwarded = false
  /** It has left over `lo` and comes in again: a new connection was confirmed in between. */
  cameBack = false
  /** A match found it too short to be what it says: it is dropped whatever rules say. */
  broken = false
  /** A match asked for bytes that the capture does not have. */
  unseen = false

  /** Starts a packet, whose place in `data` is known. */
  start(): void {
    this.fragmentOffset = 0
    this.mark = 0
    this.stateBit = 0
    this.connection = null
    this.template = null
    this.forwarded = false
    this.broken = false
    this.unseen = false
    if (this.family === 4) this.#readIpv4()
    else this.#readIpv6()
    const { protocol } = this
    this.isWhole = protocol >= 0 && this.fragmentOffset === 0 && this.transport + HEADER_OF_PROTOCOL[protocol] <= this.end
  }

  #readIpv4(): void {
    this.protocol = this.data[this.network + 9]
    this.transport = this.network + (this.data[this.network] & 15) * 4
  }

  #readIpv6(): void {
    let next = this.data[this.network + 6]
    let at = this.network + 40
    const end = Math.min(this.end, this.wireEnd)
    // Linux steps over a header of which it has read the first bytes, though the others are not there.
    while (EXTENSIONS.includes(next) || next === NEXT_AH || next === NEXT_FRAGMENT) {
      if (at + (next === NEXT_FRAGMENT ? 4 : 2) > end) {
        next = -1
        break
      }
      if (next === NEXT_FRAGMENT) this.fragmentOffset = this.u16(at + 2) >> 3
      const size = next === NEXT_FRAGMENT ? 8 : next === NEXT_AH ? (this.data[at + 1] + 2) * 4 : (this.data[at + 1] + 1) * 8
      next = this.data[at]
      at += size
      if (this.fragmentOffset !== 0) break
    }
    this.protocol = next
    this.transport = at
  }

  get time(): bigint {
    return this.timeOf()
  }

  /** Its connection, where that is more than a template. */
  get tracked(): HookConnection | null {
    return this.connection === null || this.connection.status & TEMPLATE ? null : this.connection
  }

  /** Linux's clock tick that it comes in. */
  get tick(): bigint {
    return this.time / TICK_NS
  }

  u8(at: number): number {
    return this.data[at]
  }

  u16(at: number): number {
    return this.data[at] << 8 | this.data[at + 1]
  }

  /** Four bytes, signed. */
  word(at: number): number {
    const { data } = this
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
  }

  /** Behind its last byte on the wire. `length` is without the fragment header of an only fragment, which Linux takes out. */
  get wireEnd(): number {
    return this.network + (this.family === 4 ? this.length : Math.max(this.length, 40 + this.u16(this.network + 4)))
  }

  /** Where its source address is; the destination follows. */
  get addresses(): number {
    return this.network + (this.family === 4 ? 12 : 8)
  }

  /** As it is where the packet is now. */
  get ttl(): number {
    return this.data[this.network + (this.family === 4 ? 8 : 7)] - (this.forwarded ? 1 : 0)
  }

  /**
   * The first `bytes` of the transport header are there. Where the packet itself is shorter it is broken, as Linux's
   * matches find.
   */
  hasTransport(bytes: number): boolean {
    if (this.fragmentOffset !== 0) return false
    if (this.transport + bytes <= this.end) return true
    if (this.transport + bytes > this.wireEnd) this.broken = true
    else this.unseen = true
    return false
  }

  /** The address of the Ethernet that it came by as six bytes in `data`, or -1. */
  get sourceHardwareAddress(): number {
    if (this.linkType === ETHERNET) return this.frame + 6
    return this.linkType === LINUX_COOKED && this.u16(this.frame + 2) === 1 && this.u16(this.frame + 4) === 6 ? this.frame + 6 : -1
  }
}

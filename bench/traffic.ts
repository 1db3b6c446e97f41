/**
 * Traffic for the benchmark: packets as bytes, the same ones for the same seed. Ethernet, IPv4 or IPv6 without options,
 * TCP with the timestamps option (66-byte acknowledgements over IPv4) and UDP; all checksums are right.
 *
 * Packets lie in one buffer as in a capture file, 16 bytes (a pcap record header) apart, and are handed out as batches.
 */
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'

/** A run of packets that is tracked in order, and can be tracked again after `nextPass`. */
export interface Traffic {
  readonly count: number
  /** All packets, each after a gap as long as a pcap record header. */
  readonly data: Uint8Array
  /** Where each packet starts in `data`. */
  readonly start: Float64Array
  /** Captured bytes of each packet. */
  readonly length: Uint32Array
  readonly seconds: Float64Array
  readonly nanoseconds: Uint32Array
  /** The same packets, `BATCH_SIZE` at a time; the columns are views of those above. */
  readonly batches: readonly PacketBatch[]
  /** Makes the packets what they would be one pass later. Not part of what is measured. */
  nextPass(): void
}

const GAP = 16
const ETHERNET = 14
const IPV4 = 20
const IPV6 = 40
const TCP_PROTOCOL = 6
const UDP_PROTOCOL = 17
const UDP_HEADER = 8
const TIMESTAMPS = 12
const SYN_OPTIONS = 20
const WINDOW = 502
const START_SECONDS = 1_700_000_000
const LINKTYPE_ETHERNET = 1
/** Packets follow each other at this distance, in all traffic. */
const NANOSECONDS_APART = 1000

const FIN = 1
const SYN = 2
const PSH = 8
const ACK = 16

/** A small seeded generator (mulberry32): the same numbers on every machine. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
}

/** A fixed 32-bit number for a connection and a purpose: what need not be stored is computed again. */
function scramble(index: number, purpose: number): number {
  let h = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(purpose + 1, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad)
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97)
  return (h ^ (h >>> 15)) >>> 0
}

/**
 * The client of connection `index`: 16 connections an address, so that no tuple is used twice. Half of the servers have
 * lower addresses than the clients, half higher: no tracker may profit from one order.
 */
const clientAddress = (index: number) => (0x0a000000 + (index >>> 4)) >>> 0
const clientPort = (index: number) => 32768 + (index & 15) * 2048 + (scramble(index, 0) & 2047)
const serverAddress = (index: number) => ((index & 1 ? 0xc6120000 : 0x08080000) + (scramble(index, 1) & 0xff)) >>> 0
const clientIsn = (index: number) => scramble(index, 2)
const serverIsn = (index: number) => scramble(index, 3)

/** An address as a number, and a port. */
export interface Endpoint {
  readonly address: number
  readonly port: number
}

export type IpVersion = 4 | 6

export interface WriterOptions {
  /** Default 4. */
  readonly version?: IpVersion
  /** One in so many connections is to port 21, with lines of text; default 0, none is. */
  readonly ftpEvery?: number
}

/** Writes packets one after the other into one buffer, then cuts them into batches. */
export class Writer {
  readonly data: Uint8Array
  readonly start: Float64Array
  readonly length: Uint32Array
  /** Of each packet: 1 where the server sent it. */
  readonly fromServer: Uint8Array
  count = 0
  readonly version: IpVersion
  readonly ftpEvery: number
  /** Bytes of an IP header. */
  readonly network: number
  private readonly view: DataView
  private at = 0

  /** Room for so many packets with so many bytes in all, IPv4 headers counted. */
  constructor(packets: number, bytes: number, { version = 4, ftpEvery = 0 }: WriterOptions = {}) {
    this.version = version
    this.ftpEvery = ftpEvery
    this.network = version === 4 ? IPV4 : IPV6
    bytes += packets * (this.network - IPV4)
    this.data = new Uint8Array(bytes + packets * GAP)
    this.view = new DataView(this.data.buffer)
    this.start = new Float64Array(packets)
    this.length = new Uint32Array(packets)
    this.fromServer = new Uint8Array(packets)
  }

  tcp(
    index: number, reply: boolean, seq: number, ack: number, flags: number, payload: number,
    options = flags & SYN ? SYN_OPTIONS : TIMESTAMPS,
  ): void {
    const isFtp = this.ftpEvery > 0 && index % this.ftpEvery === 0
    const at = this.ip(index, reply, TCP_PROTOCOL, 20 + options + payload, isFtp ? 21 : 443)
    this.tcpHeader(at, seq, ack, flags, options)
    this.payload(at + 20 + options, payload)
    if (isFtp && payload > 1) this.view.setUint16(at + 20 + options + payload - 2, 0x0d0a)
    this.view.setUint16(at + 16, this.checksum(at, 20 + options + payload, TCP_PROTOCOL))
  }

  /** A TCP segment between any endpoints, with this payload. */
  segment(from: Endpoint, to: Endpoint, seq: number, ack: number, flags: number, payload: Uint8Array): void {
    const options = flags & SYN ? SYN_OPTIONS : TIMESTAMPS
    const header = 20 + options
    const at = this.between(from, to, TCP_PROTOCOL, header + payload.length)
    this.tcpHeader(at, seq, ack, flags, options)
    this.data.set(payload, at + header)
    this.view.setUint16(at + 16, this.checksum(at, header + payload.length, TCP_PROTOCOL))
  }

  /** A UDP datagram between any endpoints, with this payload. */
  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    const length = UDP_HEADER + payload.length
    const at = this.between(from, to, UDP_PROTOCOL, length)
    this.view.setUint16(at + 4, length)
    this.data.set(payload, at + UDP_HEADER)
    this.view.setUint16(at + 6, this.checksum(at, length, UDP_PROTOCOL) || 0xffff)
  }

  private tcpHeader(at: number, seq: number, ack: number, flags: number, options: number): void {
    this.view.setUint32(at + 4, seq)
    this.view.setUint32(at + 8, ack)
    this.view.setUint16(at + 12, ((20 + options) << 10) | flags)
    this.view.setUint16(at + 14, WINDOW)
    if (options > 0) this.options(at + 20, flags)
  }

  udp(index: number, reply: boolean, payload: number): void {
    const at = this.ip(index, reply, UDP_PROTOCOL, UDP_HEADER + payload, 53)
    this.view.setUint16(at + 4, UDP_HEADER + payload)
    this.payload(at + UDP_HEADER, payload)
    this.view.setUint16(at + 6, this.checksum(at, UDP_HEADER + payload, UDP_PROTOCOL) || 0xffff)
  }

  /** Ethernet and IPv4 headers and the ports of a connection; returns where the transport header starts. */
  private ip(index: number, reply: boolean, protocol: number, transportBytes: number, serverPort: number): number {
    const client = { address: clientAddress(index), port: clientPort(index) }
    const server = { address: serverAddress(index), port: serverPort }
    const at = reply
      ? this.between(server, client, protocol, transportBytes)
      : this.between(client, server, protocol, transportBytes)
    this.fromServer[this.count - 1] = reply ? 1 : 0
    return at
  }

  private between(from: Endpoint, to: Endpoint, protocol: number, transportBytes: number): number {
    const { view, network } = this
    const frame = this.begin(ETHERNET + network + transportBytes)
    const ip = frame + ETHERNET
    view.setUint32(frame, 0x02000000)
    view.setUint32(frame + 6, 0x02000000)
    if (this.version === 4) this.ipv4(ip, from, to, protocol, transportBytes)
    else this.ipv6(ip, from, to, protocol, transportBytes)
    view.setUint16(ip + network, from.port)
    view.setUint16(ip + network + 2, to.port)
    return ip + network
  }

  private ipv4(ip: number, from: Endpoint, to: Endpoint, protocol: number, transportBytes: number): void {
    const { view } = this
    view.setUint16(ip - 2, 0x0800)
    view.setUint16(ip, 0x4500)
    view.setUint16(ip + 2, IPV4 + transportBytes)
    view.setUint16(ip + 4, this.count)
    view.setUint16(ip + 6, 0x4000)
    view.setUint16(ip + 8, (64 << 8) | protocol)
    view.setUint32(ip + 12, from.address)
    view.setUint32(ip + 16, to.address)
    view.setUint16(ip + 10, ~fold(this.sum(ip, IPV4)) & 0xffff)
  }

  /** 2001:db8::, then the IPv4 address twice: upper half for the order, lower half for the host. */
  private ipv6(ip: number, from: Endpoint, to: Endpoint, protocol: number, transportBytes: number): void {
    const { view } = this
    view.setUint16(ip - 2, 0x86dd)
    view.setUint32(ip, 0x60000000)
    view.setUint16(ip + 4, transportBytes)
    view.setUint16(ip + 6, (protocol << 8) | 64)
    for (const [at, { address }] of [[8, from], [24, to]] as const) {
      view.setUint32(ip + at, 0x20010db8)
      view.setUint32(ip + at + 4, address)
      view.setUint32(ip + at + 8, 0)
      view.setUint32(ip + at + 12, address)
    }
  }

  private begin(length: number): number {
    const frame = this.at + GAP
    this.at = frame + length
    this.start[this.count] = frame
    this.length[this.count] = length
    this.count += 1
    return frame
  }

  private options(at: number, flags: number): void {
    const { view } = this
    if (flags & SYN) {
      view.setUint32(at, 0x020405b4)
      view.setUint16(at + 4, 0x0402)
      view.setUint16(at + 6, 0x080a)
      view.setUint32(at + 8, this.count)
      view.setUint32(at + 16, 0x01030307)
      return
    }
    view.setUint32(at, 0x0101080a)
    view.setUint32(at + 4, this.count)
  }

  private payload(at: number, length: number): void {
    if (length > 0) this.data.fill(0x61 + (this.count % 26), at, at + length)
  }

  private checksum(at: number, length: number, protocol: number): number {
    // Addresses stand right before the transport header, in both versions.
    const addresses = this.version === 4 ? 8 : 32
    return ~fold(this.sum(at - addresses, length + addresses) + protocol + length) & 0xffff
  }

  private sum(at: number, length: number): number {
    let sum = 0
    const end = at + (length & ~1)
    for (let i = at; i < end; i += 2) sum += this.view.getUint16(i)
    return length & 1 ? sum + (this.data[end] << 8) : sum
  }
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return sum
}

/** Batches and times over what was written. `firstPacket` is the place of its first packet on the common time line. */
export function traffic(writer: Writer, firstPacket: number, onNextPass: (time: Times) => void): Traffic {
  const { count, data, start, length } = writer
  const times = new Times(count, firstPacket)
  const batches: PacketBatch[] = []
  for (let from = 0; from < count; from += BATCH_SIZE) batches.push(cut(writer, times, from))
  const { seconds, nanoseconds } = times
  return { count, data, start, length, seconds, nanoseconds, batches, nextPass: () => onNextPass(times) }
}

function cut(writer: Writer, times: Times, from: number): PacketBatch {
  const to = Math.min(from + BATCH_SIZE, writer.count)
  const base = writer.start[from] - GAP
  const end = writer.start[to - 1] + writer.length[to - 1]
  const length = writer.length.subarray(from, to)
  return {
    count: to - from,
    data: writer.data.subarray(base, end),
    offset: Uint32Array.from(writer.start.subarray(from, to), (start) => start - base),
    length,
    originalLength: length,
    seconds: times.seconds.subarray(from, to),
    nanoseconds: times.nanoseconds.subarray(from, to),
    linkType: new Uint16Array(to - from).fill(LINKTYPE_ETHERNET),
  }
}

class Times {
  readonly seconds: Float64Array
  readonly nanoseconds: Uint32Array

  constructor(count: number, firstPacket: number) {
    this.seconds = new Float64Array(count)
    this.nanoseconds = new Uint32Array(count)
    for (let i = 0; i < count; i += 1) {
      const nanoseconds = (firstPacket + i) * NANOSECONDS_APART
      this.seconds[i] = START_SECONDS + Math.floor(nanoseconds / 1e9)
      this.nanoseconds[i] = nanoseconds % 1e9
    }
  }

  /** Whole seconds only: verdicts need an order of time, not a rate. */
  later(seconds: number): void {
    for (let i = 0; i < this.seconds.length; i += 1) this.seconds[i] += seconds
  }
}

const CONNECTIONS_AT_ONCE = 8192

/**
 * The handshakes of connections 0 to `connections` − 1, in pieces of 8,192 connections so that a million need little
 * memory: in each piece first all SYNs, then all answers, then all acknowledgements.
 */
export function* handshakes(connections: number, options: WriterOptions = {}): Generator<Traffic> {
  for (let from = 0; from < connections; from += CONNECTIONS_AT_ONCE) {
    yield handshakesOf(from, Math.min(from + CONNECTIONS_AT_ONCE, connections), options)
  }
}

function handshakesOf(from: number, to: number, options: WriterOptions): Traffic {
  const packets = (to - from) * 3
  const writer = new Writer(packets, packets * (ETHERNET + IPV4 + 20 + SYN_OPTIONS), options)
  for (let i = from; i < to; i += 1) writer.tcp(i, false, clientIsn(i), 0, SYN, 0)
  for (let i = from; i < to; i += 1) writer.tcp(i, true, serverIsn(i), clientIsn(i) + 1, SYN | ACK, 0)
  for (let i = from; i < to; i += 1) writer.tcp(i, false, clientIsn(i) + 1, serverIsn(i) + 1, ACK, 0)
  return traffic(writer, from * 3, () => {
    throw new Error('a handshake cannot be tracked twice')
  })
}

export interface SteadyOptions extends WriterOptions {
  readonly connections: number
  /**
   * Packets of one pass, rounded up so that every connection has the same number of exchanges. Fewer than one exchange
   * for each: only so many packets are dealt, and there is no second pass.
   */
  readonly packets: number
  /** Payload of a data packet. */
  readonly payload: number
  /** Bytes of TCP options of a data packet; the timestamps option unless told. */
  readonly dataOptions?: number
  readonly seed: number
}

/**
 * Established connections at work. An exchange is a data packet of the client and the server's acknowledgement of it.
 * Every connection has equally many exchanges in a pass, and their packets are shuffled like a deck of cards: the next
 * packet may be any connection's, and a connection's own packets stay in order.
 *
 * Because all connections move on by equally many bytes in a pass, `nextPass` only adds that number to the clients' seq
 * and the servers' ack (and corrects checksums): packets of every pass are in window, new, and ESTABLISHED.
 */
export function steady(options: SteadyOptions): Traffic {
  const { connections, payload, dataOptions = TIMESTAMPS } = options
  const exchanges = Math.ceil(options.packets / 2 / connections)
  const dealt = options.packets < connections * 2 ? options.packets : connections * exchanges * 2
  const deck = shuffledDeck(connections, exchanges * 2, dealt, random(options.seed))
  const writer = new Writer(dealt, dealt * (ETHERNET + IPV4 + 20 + TIMESTAMPS + payload), options)
  const seen = new Uint32Array(connections)
  for (const index of deck) {
    writeSteady(writer, index, seen[index], payload, dataOptions)
    seen[index] += 1
  }
  // Handshakes of these connections come first on the time line.
  return traffic(writer, connections * 3, (times) => {
    if (dealt < connections * 2) throw new Error('not every connection has had its exchange: there is no second pass')
    moveOn(writer, exchanges * payload)
    times.later(Math.ceil((dealt * NANOSECONDS_APART) / 1e9))
  })
}

/** The first `dealt` cards of a deck that has every connection so many times. */
function shuffledDeck(connections: number, each: number, dealt: number, next: () => number): Uint32Array {
  const deck = new Uint32Array(connections * each)
  for (let i = 0; i < deck.length; i += 1) deck[i] = i % connections
  for (let i = 0; i < dealt; i += 1) {
    const j = i + (next() % (deck.length - i))
    const card = deck[i]
    deck[i] = deck[j]
    deck[j] = card
  }
  return deck.subarray(0, dealt)
}

function writeSteady(writer: Writer, index: number, nth: number, payload: number, dataOptions: number): void {
  const client = clientIsn(index) + 1 + (nth >>> 1) * payload
  const server = serverIsn(index) + 1
  if (nth & 1) writer.tcp(index, true, server, client + payload, ACK, 0)
  else writer.tcp(index, false, client, server, PSH | ACK, payload, dataOptions)
}

/** Adds `bytes` to the clients' seq and the servers' ack. */
function moveOn(writer: Writer, bytes: number): void {
  const view = new DataView(writer.data.buffer)
  for (let i = 0; i < writer.count; i += 1) {
    const tcp = writer.start[i] + ETHERNET + writer.network
    addAt(view, tcp + (writer.fromServer[i] ? 8 : 4), bytes, tcp + 16)
  }
}

/** Adds to a 32-bit field and corrects the checksum over it (RFC 1624, equation 3). */
function addAt(view: DataView, field: number, bytes: number, checksum: number): void {
  const before = view.getUint32(field)
  const after = (before + bytes) >>> 0
  view.setUint32(field, after)
  const less = (~before >>> 16) + (~before & 0xffff)
  const more = (after >>> 16) + (after & 0xffff)
  view.setUint16(checksum, ~fold((~view.getUint16(checksum) & 0xffff) + less + more))
}

export interface LifeCycleOptions {
  /** Short connections in one pass. */
  readonly connections: number
  /** How many of them are open at a time. */
  readonly alive: number
  readonly seed: number
  /** Nothing but opening and closing: no data, no acknowledgements of it. */
  readonly bare?: boolean
}

/** One packet of a TCP connection's life: who sends it, flags, payload. */
type Step = readonly [reply: boolean, flags: number, payload: number]

const TCP_LIFE: readonly Step[] = [
  [false, SYN, 0], [true, SYN | ACK, 0], [false, ACK, 0],
  [false, PSH | ACK, 120], [true, ACK, 0], [true, PSH | ACK, 600], [false, ACK, 0],
  [false, FIN | ACK, 0], [true, ACK, 0], [true, FIN | ACK, 0], [false, ACK, 0],
]
/** The same without what comes in between. */
const TCP_BARE: readonly Step[] = [
  [false, SYN, 0], [true, SYN | ACK, 0], [false, ACK, 0], [false, FIN | ACK, 0], [true, FIN | ACK, 0], [false, ACK, 0],
]
const UDP_LIFE = [40, 110] as const

const TCP_LIFE_BYTES = TCP_LIFE.reduce((sum, step) => sum + ETHERNET + IPV4 + 20 + SYN_OPTIONS + step[2], 0)

/**
 * Whole lives of short connections, mixed: a TCP connection is 11 packets from SYN to the last ACK (bare: 6), a UDP one
 * a query and its answer; one half each. A pass later the same tuples come again ten minutes later, when every entry of
 * the pass before has expired.
 */
export function lifeCycles(options: LifeCycleOptions): Traffic {
  const { connections, alive } = options
  const life = new Life(options.bare ? TCP_BARE : TCP_LIFE)
  const packets = connections * (TCP_LIFE.length + UDP_LIFE.length)
  const writer = new Writer(packets, connections * TCP_LIFE_BYTES)
  const next = random(options.seed)
  const step = new Uint8Array(connections)
  interleave(connections, alive, next, (index) => {
    step[index] += 1
    return life.write(writer, index, step[index] - 1)
  })
  return traffic(writer, 0, (times) => times.later(600))
}

/** Lives side by side, `alive` at a time. `write` writes what comes next of one; false after its last. */
export function interleave(lives: number, alive: number, next: () => number, write: (index: number) => boolean): void {
  const open: number[] = Array.from({ length: Math.min(alive, lives) }, (_, index) => index)
  let started = open.length
  while (open.length > 0) {
    const place = next() % open.length
    if (write(open[place])) continue
    // At its end the next one takes the place, or the last open one when all have begun.
    const successor = started < lives ? started : open.pop()
    started += 1
    if (successor !== undefined && place < open.length) open[place] = successor
  }
}

/** What connections say from their first packet to their last: TCP by a script, UDP a query and its answer. */
class Life {
  /** Sequence numbers that client and server have used before each step. */
  readonly #sent: readonly (readonly [client: number, server: number])[]

  constructor(readonly tcp: readonly Step[]) {
    this.#sent = tcp.map((_, nth) => [sentBy(tcp, false, nth), sentBy(tcp, true, nth)] as const)
  }

  /** Writes a connection's packet number `nth`; false if that was its last. */
  write(writer: Writer, index: number, nth: number): boolean {
    // Bit 4 rather than bit 0: clients and servers of both address orders speak both protocols.
    if (index & 16) {
      writer.udp(index, nth === 1, UDP_LIFE[nth])
      return nth + 1 < UDP_LIFE.length
    }
    const [reply, flags, payload] = this.tcp[nth]
    const client = clientIsn(index) + this.#sent[nth][0]
    const server = serverIsn(index) + this.#sent[nth][1]
    writer.tcp(index, reply, reply ? server : client, flags & ACK ? (reply ? client : server) : 0, flags, payload)
    return nth + 1 < this.tcp.length
  }
}

function sentBy(steps: readonly Step[], reply: boolean, nth: number): number {
  return steps.slice(0, nth)
    .filter((step) => step[0] === reply)
    .reduce((sum, [, flags, payload]) => sum + payload + (flags & (SYN | FIN) ? 1 : 0), 0)
}

/** The header of a pcap file with microseconds, Ethernet, in the byte order of most machines. */
function pcapHeader(): Uint8Array {
  const header = new DataView(new ArrayBuffer(24))
  header.setUint32(0, 0xa1b2c3d4, true)
  header.setUint16(4, 2, true)
  header.setUint16(6, 4, true)
  header.setUint32(16, 262_144, true)
  header.setUint32(20, LINKTYPE_ETHERNET, true)
  return new Uint8Array(header.buffer)
}

/** Hands the packets to `write` as a pcap file has them: the gap before each is as long as its record header. */
export function writeCapture(packets: Traffic, withHeader: boolean, write: (bytes: Uint8Array) => void): void {
  const { data, start, length, count, seconds, nanoseconds } = packets
  const view = new DataView(data.buffer)
  for (let i = 0; i < count; i += 1) {
    const at = start[i] - GAP
    view.setUint32(at, seconds[i], true)
    view.setUint32(at + 4, nanoseconds[i] / 1000, true)
    view.setUint32(at + 8, length[i], true)
    view.setUint32(at + 12, length[i], true)
  }
  if (withHeader) write(pcapHeader())
  write(data.subarray(start[0] - GAP, start[count - 1] + length[count - 1]))
}

/**
 * Random fragments: a few datagrams at a time, in pieces in order or not, repeated, overlapping, with ends that
 * contradict each other, empty, odd, beyond the largest datagram, with other ECN bits, one within the other. Few
 * sources and identifications, so that datagrams meet.
 */
import { checksum, fragments, ip, udp, type Endpoints } from './build.js'
import { Random } from './random.js'

const ENDPOINTS: readonly Endpoints[] = [
  { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 },
  { src: '10.0.0.2', dst: '10.0.0.1', sport: 80, dport: 1000 },
  { src: '10.0.0.1', dst: '10.0.0.3', sport: 1001, dport: 80 },
  { src: '2001:db8:a::1', dst: '2001:db8:b::2', sport: 1000, dport: 80 },
  { src: '2001:db8:b::2', dst: '2001:db8:a::1', sport: 80, dport: 1000 },
]
const GENERIC = 253
/** Datagrams that are under way at a time. */
const UNDER_WAY = 6

/** An endless source of fragments. */
export class FragmentGenerator {
  readonly #random: Random
  readonly #largest: number
  readonly #pieces: Uint8Array[][] = []

  /** @param largest payload of a datagram */
  constructor(seed: number, largest: number) {
    this.#random = new Random(seed)
    this.#largest = largest
  }

  next(): Uint8Array {
    const random = this.#random
    while (this.#pieces.length < UNDER_WAY) this.#pieces.push(this.#datagram())
    const which = random.below(UNDER_WAY)
    const pieces = this.#pieces[which]
    const piece = random.chance(4) ? pieces.pop() : pieces.shift()
    if (pieces.length === 0 || random.chance(30)) this.#pieces.splice(which, 1)
    if (piece === undefined) return this.next()
    return random.chance(8) ? this.#change(piece) : piece
  }

  #datagram(): Uint8Array[] {
    const random = this.#random
    const at = random.pick(ENDPOINTS)
    const id = random.below(24)
    const length = 1 + random.below(random.chance(4) ? this.#largest : 600)
    const size = 8 * (1 + random.below(Math.ceil(length / random.pick([8, 16, 40]))))
    const pieces = fragments(random.chance(3) ? udp(at, length) : ip(at, GENERIC, new Uint8Array(length)), size, id)
    if (pieces.length > 40) return this.#datagram()
    if (random.chance(5)) pieces.push(random.pick(pieces))
    const other = () => random.pick(fragments(udp(at, length), size + 8, id))
    if (random.chance(8)) pieces.splice(random.below(pieces.length), 0, other())
    // A fragment that holds a fragment: only the outer one is reassembly's.
    if (random.chance(12) && at.src.includes(':')) return pieces.flatMap(piece => nested(piece, random.below(24)))
    return pieces
  }

  /** Something about a fragment that should not be so. */
  #change(piece: Uint8Array): Uint8Array {
    const random = this.#random
    const v6 = piece[0] >> 4 === 6
    const changed = random.chance(3) ? piece.slice(0, Math.max(48, piece.length - random.below(9))) : piece.slice()
    const view = new DataView(changed.buffer)
    const field = v6 ? 42 : 6
    if (random.chance(4)) changed[1] ^= (1 + random.below(3)) << (v6 ? 4 : 0)
    if (random.chance(4)) view.setUint16(field, view.getUint16(field) ^ (v6 ? 1 : 0x2000))
    if (random.chance(6)) view.setUint16(field, view.getUint16(field) | (v6 ? 0xfff8 : 0x1fff))
    if (random.chance(6)) view.setUint16(field, view.getUint16(field) ^ (v6 ? 8 : 1) << random.below(5))
    const empty = random.chance(6) ? changed.subarray(0, v6 ? 48 : 20) : changed
    return measured(empty.slice(), v6)
  }
}

/** A packet with its length and IPv4 header checksum made anew. */
function measured(packet: Uint8Array, v6: boolean): Uint8Array {
  const view = new DataView(packet.buffer)
  view.setUint16(v6 ? 4 : 2, packet.length - (v6 ? 40 : 0))
  if (v6) return packet
  view.setUint16(10, 0)
  view.setUint16(10, checksum(packet.subarray(0, 20)))
  return packet
}

/** An IPv6 fragment as the payload of a datagram that is in fragments itself, or is the only one of its datagram. */
function nested(piece: Uint8Array, id: number): Uint8Array[] {
  if (piece.length > 60_000) return [piece]
  return fragments(piece, id % 2 ? 65_528 : 8 * Math.ceil((piece.length - 40) / 16), id)
}

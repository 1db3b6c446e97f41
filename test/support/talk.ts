/** Conversations of two endpoints, for the generator: what a talk says next knows what it said before. */
import { gre, icmp, ip, udp, udpLite, type Endpoints } from './build.js'
import type { Random } from './random.js'

/** The next packet of a conversation, of either side. */
export type Talk = () => Uint8Array

/** Starts a conversation, seen from its first speaker. */
export type Talker = (random: Random, at: Endpoints) => Talk

/** The same endpoints from the other side. */
export function reversed({ src, dst, sport, dport }: Endpoints): Endpoints {
  return { src: dst, dst: src, sport: dport, dport: sport }
}

/** Either side, the first speaker a little more often. */
function eitherSide(random: Random, at: Endpoints): Endpoints {
  return random.below(5) < 3 ? at : reversed(at)
}

/** Datagrams, few of them with a wrong length, without a checksum or with a wrong one. */
export const talkUdp: Talker = (random, at) => () => {
  const from = eitherSide(random, at)
  const length = random.below(20)
  const field = random.chance(12) ? random.pick([0, 7, 8, 7 + length, 9 + length]) : 8 + length
  return damagedChecksum(random, udp(from, length, field), 6)
}

export const talkUdpLite: Talker = (random, at) => () => {
  const from = eitherSide(random, at)
  const length = random.below(20)
  const coverage = random.chance(3) ? random.pick([1, 7, 8, 8 + length, 9 + length, 6 + length]) : 0
  return damagedChecksum(random, udpLite(from, length, coverage, random.chance(5) ? 136 : 17), 6)
}

const TYPES4 = [8, 8, 8, 0, 0, 0, 13, 14, 15, 16, 17, 18, 9, 10, 30]
const TYPES6 = [128, 128, 128, 129, 129, 129, 139, 140, 135, 133, 143, 151, 138, 200]

/** Queries, answers and what is neither; few identifiers, so that answers have questions. */
export const talkIcmp: Talker = (random, at) => () => {
  const from = eitherSide(random, at)
  const type = random.pick(from.src.includes(':') ? TYPES6 : TYPES4)
  const rest = [0, random.below(2), 0, random.below(5), 1, 2, 3]
  const packet = icmp(from, type, random.chance(8) ? 1 : 0, random.chance(20) ? rest.slice(0, random.below(4)) : rest)
  return damagedChecksum(random, packet, 2)
}

const IPV4 = 0x0800
const PPP = 0x880b

/** Plain GRE, with a key, and version 1 as PPTP has it; some too short, some of versions that do not exist. */
export const talkGre: Talker = (random, at) => () => {
  const from = eitherSide(random, at)
  const rest = [0, 8, ...(random.chance(8) ? [0, 0] : [0, 1 + random.below(3)]), 0, 0, 0, 1]
  switch (random.below(9)) {
    case 0: return gre(from, 0x2000, IPV4, rest)
    case 1: case 2: case 3: return gre(from, 0x3001, PPP, rest)
    case 4: return gre(from, 0x3001, random.pick([PPP, IPV4]), rest.slice(0, random.below(9)))
    case 5: return gre(from, random.below(8), PPP, rest)
    case 6: return ip(from, 47, new Uint8Array(random.below(5)))
    default: return gre(from, 0, IPV4, rest)
  }
}

/** IGMP, IP in IP, DCCP, ESP, OSPF, PIM, ICMP of the other family, unassigned ones. */
const GENERIC4 = [2, 4, 33, 41, 50, 51, 58, 89, 103, 0, 43, 44, 59, 60, 253, 255]
const GENERIC6 = [2, 4, 33, 41, 50, 1, 59, 89, 135, 139, 140, 253, 255]

export const talkGeneric: Talker = (random, at) => {
  const usual = random.pick(at.src.includes(':') ? GENERIC6 : GENERIC4)
  return () => ip(eitherSide(random, at), usual, Uint8Array.from({ length: random.below(12) }, () => random.below(256)))
}

/** Now and then changes a packet's checksum, or takes it away; `at` is its place in the transport header. */
function damagedChecksum(random: Random, packet: Uint8Array, at: number): Uint8Array {
  if (!random.chance(15)) return packet
  const header = packet[0] >> 4 === 6 ? 40 : 20
  if (packet.length < header + at + 2) return packet
  if (random.chance(3)) packet.fill(0, header + at, header + at + 2)
  else packet[header + at] ^= 1 << random.below(8)
  return packet
}

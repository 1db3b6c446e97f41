/**
 * In: a packet with its IP and transport header known. Out: the first of a list of matches that fits it.
 *
 * Five lists exist: what is not to be tracked (the raw table's NOTRACK), what is in which zone, which timeouts and which
 * helper a new connection gets, and what the rules after the tracker drop.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_UDPLITE } from './00-constants'
import {
  ANY, dropAt, HELPER_PORTS_SIZE, helperPortsAt, helpersAt, Match, MATCH_ADDRESSES, MATCH_SIZE, notrackAt, Packet,
  policiesAt, RULED, ZONE_BOTH, zonesAt,
} from './01-records'
import { be16 } from './10-link'

const PROTOCOL_DCCP: u32 = 33
const PROTOCOL_AH: u32 = 51
const PROTOCOL_SCTP: u32 = 132

/** How many matches each list has. */
let notracks: u32 = 0
let zones: u32 = 0
export let policies: u32 = 0
let drops: u32 = 0
let helpers: u32 = 0

export function setLists(notrack: u32, zone: u32, policy: u32, helper: u32, drop: u32): void {
  notracks = notrack
  zones = zone
  policies = policy
  helpers = helper
  drops = drop
  if (helperPortsAt) noteHelperPorts()
}

/** Some match is held against every packet. */
export function hasMatches(): bool {
  return notracks + zones + drops != 0
}

/** Some match for helpers does without a destination port. */
let helpersOnAnyPort: bool = false

/** The bits of the ports that helpers are on. */
function noteHelperPorts(): void {
  helpersOnAnyPort = false
  memory.fill(helperPortsAt, 0, HELPER_PORTS_SIZE)
  for (let i: u32 = 0; i < helpers; i++) {
    const m = changetype<Match>(helpersAt + i * MATCH_SIZE)
    if (m.ports == 0 || (m.dportFrom == 0 && m.dportTo == 0xffff)) helpersOnAnyPort = true
    else for (let port: u32 = m.dportFrom; port <= m.dportTo; port++) noteHelperPort(port)
  }
}

function noteHelperPort(port: u32): void {
  const at = helperPortsAt + (port >> 3)
  store<u8>(at, load<u8>(at) | u8(1) << u8(port & 7))
}

/**
 * A match for helpers can fit the packet. With all helpers loaded, going through the matches for every new connection
 * made short lives ×1.06 slower (75 ns a connection); with the port asked for first ×1.01.
 */
// @ts-ignore: decorator
@inline function mayHaveHelper(p: Packet): bool {
  if (helpersOnAnyPort) return true
  if (!p.transport || p.transportCaptured < 4) return false
  const port: u32 = be16(p.transport + 2)
  return (load<u8>(helperPortsAt + (port >> 3)) >> (port & 7) & 1) != 0
}

/** The packet is not to be tracked. */
// @ts-ignore: decorator
@inline export function isExempt(p: Packet): bool {
  return notracks != 0 && firstMatch(p, notrackAt, notracks) != 0
}

/** Rules behind the tracker drop the packet. */
// @ts-ignore: decorator
@inline export function isDropped(p: Packet): bool {
  return drops != 0 && firstMatch(p, dropAt, drops) != 0
}

/** Puts a packet into its zone; zone 0 where no match fits. */
// @ts-ignore: decorator
@inline export function assignZone(p: Packet): void {
  if (zones) chooseZone(p)
}

function chooseZone(p: Packet): void {
  const found = firstMatch(p, zonesAt, zones)
  p.zone = found ? u16(changetype<Match>(found).value) : 0
  p.zoneDirections = found ? u8(changetype<Match>(found).directions) : ZONE_BOTH
}

let ruledPolicy: u32 = 0
let ruledHelper: u32 = 0

/** What the host's rules give to the packet at hand, and to its connection if it opens one; matches are not asked. */
export function assignByRules(p: Packet, zone: u32, directions: u32, policy: u32, helper: u32): void {
  p.zone = u16(zone)
  p.zoneDirections = u8(directions)
  p.dropped = RULED
  ruledPolicy = policy
  ruledHelper = helper
}

/** Number of the timeout policy that the packet's new connection gets, 0 for none. Only called where there are any. */
export function policyFor(p: Packet): u32 {
  if (p.dropped == RULED) return ruledPolicy
  const found = firstMatch(p, policiesAt, policies)
  return found ? changetype<Match>(found).value : 0
}

/** The helper that the packet's new connection gets, 0 for none. */
export function helperFor(p: Packet): u32 {
  if (p.dropped == RULED) return ruledHelper
  const found = helpers && mayHaveHelper(p) ? firstMatch(p, helpersAt, helpers) : 0
  return found ? changetype<Match>(found).value : 0
}

/** The first of `n` matches at `list` that fits, 0 for none. Only called for lists that are not empty. */
function firstMatch(p: Packet, list: u32, n: u32): u32 {
  const source = address(p, 0)
  const destination = address(p, 1)
  for (let i: u32 = 0; i < n; i++) {
    const at = list + i * MATCH_SIZE
    if (matches(p, at, source, destination)) return at
  }
  return 0
}

/** Source (0) or destination (1) address of the packet itself, IPv4 in the first four bytes. */
// @ts-ignore: decorator
@inline function address(p: Packet, which: u32): v128 {
  if (p.ownFamily == 4) return i32x4.replace_lane(i32x4.splat(0), 0, load<i32>(p.network + 12 + (which << 2)))
  return v128.load(p.network + 8 + (which << 4))
}

function matches(p: Packet, at: u32, source: v128, destination: v128): bool {
  const m = changetype<Match>(at)
  if (m.protocol != 256 && m.protocol != protocolForRules(p)) return false
  if (m.family && m.family != u32(p.ownFamily)) return false
  if (m.vlan != ANY && m.vlan != p.vlan) return false
  if (m.dscp != ANY && u32(m.dscp) != codePoint(p)) return false
  const addresses = at + MATCH_ADDRESSES
  if (!masked(source, addresses) || !masked(destination, addresses + 32)) return false
  return !m.ports || portsMatch(p, m)
}

/** Address equals the one at `at` under the mask behind it. */
// @ts-ignore: decorator
@inline function masked(value: v128, at: u32): bool {
  return !v128.any_true(v128.and(v128.xor(value, v128.load(at)), v128.load(at + 16)))
}

/** Of IPv6 packets with AH rules see AH and no ports, though tracking looks behind it. */
function protocolForRules(p: Packet): u32 {
  if (p.ownFamily == 4) return p.ownProtocol
  let next: u32 = load<u8>(p.network + 6)
  // The headers before the transport part were walked once: they are there.
  for (let at = p.network + 40; at < p.transport; ) {
    if (next == PROTOCOL_AH) return PROTOCOL_AH
    const size: u32 = next == 44 ? 8 : (u32(load<u8>(at + 1)) + 1) << 3
    next = load<u8>(at)
    at += size
  }
  return p.ownProtocol
}

function portsMatch(p: Packet, m: Match): bool {
  const protocol = protocolForRules(p)
  const hasPorts = protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_UDPLITE ||
    protocol == PROTOCOL_SCTP || protocol == PROTOCOL_DCCP
  if (!hasPorts || !p.transport) return false
  return portMatches(p, 0, m.sportFrom, m.sportTo) && portMatches(p, 2, m.dportFrom, m.dportTo)
}

/** The port at `at` of the transport header is within bounds; one that is not asked for need not be there. */
// @ts-ignore: decorator
@inline function portMatches(p: Packet, at: u32, from: u16, to: u16): bool {
  if (from == 0 && to == 0xffff) return true
  if (p.transportCaptured < at + 2) return false
  const port = be16(p.transport + at)
  return port >= from && port <= to
}

/** Differentiated services code point (RFC 2474). */
function codePoint(p: Packet): u32 {
  return p.ownFamily == 4 ? load<u8>(p.network + 1) >> 2 : (be16(p.network) >> 6) & 0x3f
}

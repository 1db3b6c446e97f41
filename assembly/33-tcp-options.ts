/**
 * TCP options: window scale and SACK-permitted of a SYN, the blocks of a SACK (RFC 9293, 7323, 2018).
 *
 * In: a packet whose header was checked. Every walk ends with the option area, or with what the capture has of it. A SYN
 * whose options were cut off may have offered a window scale: its sender counts as liberal then, since windows that are
 * not known cannot be overstepped.
 */
import { Entry, Packet, TcpSide } from './01-records'
import { be32 } from './10-link'
import { TCP_HEADER } from './17-tcp-header'
import { after } from './31-tcp-sequence'
import { BE_LIBERAL, SACK_PERM, WINDOW_SCALE } from './32-tcp-flags'

const END: u32 = 0
const NOP: u32 = 1
const SCALE: u32 = 3
const SACK_PERMITTED: u32 = 4
const SACK: u32 = 5
/** RFC 7323, section 2.3 */
const MAX_SCALE: u32 = 14
/** NOP NOP TIMESTAMP 10, as nearly every segment has it */
const ONLY_TIMESTAMPS: u32 = 0x0a080101

// @ts-ignore: decorator
@inline function optionsEnd(p: Packet): u32 {
  return p.transport + min(headerLength(p), p.transportCaptured)
}

// @ts-ignore: decorator
@inline function headerLength(p: Packet): u32 {
  return u32(load<u8>(p.transport + 12) >> 4) << 2
}

/** BE_LIBERAL where the capture cut the options. */
// @ts-ignore: decorator
@inline function liberalIfCut(p: Packet): u8 {
  return headerLength(p) > p.transportCaptured ? BE_LIBERAL : 0
}

// @ts-ignore: decorator
@inline function lengthOf(option: u32): u32 {
  return load<u8>(option + 1)
}

/** The first option from `at` on that has a length and lies before `end`, 0 where the list ends. */
// @ts-ignore: decorator
@inline function optionFrom(at: u32, end: u32): u32 {
  while (at < end && load<u8>(at) == NOP) at++
  if (at + 2 > end || load<u8>(at) == END) return 0
  return lengthOf(at) < 2 || at + lengthOf(at) > end ? 0 : at
}

/** Among what `synOptions` gives: there is no option area; there are blocks of a SACK, which no SYN should have. */
const NO_OPTIONS: u32 = 0x10000
export const SACK_BLOCKS: u32 = 0x20000

/** What a SYN's options say: scale in the low byte, flags in the next. */
export function synOptions(p: Packet): u32 {
  if (headerLength(p) == TCP_HEADER) return NO_OPTIONS
  const end = optionsEnd(p)
  let scale: u32 = 0
  let flags: u32 = liberalIfCut(p)
  let blocks: u32 = 0
  for (let at = optionFrom(p.transport + TCP_HEADER, end); at; at = optionFrom(at + lengthOf(at), end)) {
    const kind: u32 = load<u8>(at)
    if (kind == SACK_PERMITTED && lengthOf(at) == 2) flags |= SACK_PERM
    if (kind == SCALE && lengthOf(at) == 3) {
      scale = min<u32>(load<u8>(at + 2), MAX_SCALE)
      flags |= WINDOW_SCALE
    }
    if (kind == SACK) blocks = SACK_BLOCKS
  }
  return scale | flags << 8 | blocks
}

/** Takes a SYN's options over into its sender's side. A SYN without an option area touches nothing. */
// @ts-ignore: decorator
@inline export function takeSynOptions(side: TcpSide, options: u32): void {
  if (options == NO_OPTIONS) return
  side.scale = u8(options)
  side.flags = (side.flags & BE_LIBERAL) | u8(options >> 8)
}

/** Remembers the options of a SYN that is ignored: its answer may bring it into force. */
export function readIgnoredSynOptions(p: Packet, e: Entry): void {
  const options = synOptions(p)
  e.lastScale = u8(options)
  e.lastFlags = u8(options >> 8)
}

/** The highest right edge of a segment's SACK blocks, or `ack` where none is higher. */
// @ts-ignore: decorator
@inline export function highestSack(p: Packet, ack: u32): u32 {
  if (!mayHaveSack(p)) return ack
  const at = p.transport + TCP_HEADER
  return highestOfBlocks(at, optionsEnd(p), ack)
}

/** False where there are no options, or nothing but timestamps, as in nearly every segment. */
// @ts-ignore: decorator
@inline export function mayHaveSack(p: Packet): bool {
  const at = p.transport + TCP_HEADER
  const length = i32(optionsEnd(p) - at)
  return !(u32(length <= 0) | (u32(length == 12) & u32(load<u32>(at) == ONLY_TIMESTAMPS)))
}

function highestOfBlocks(at: u32, end: u32, ack: u32): u32 {
  for (at = optionFrom(at, end); at; at = optionFrom(at + lengthOf(at), end)) {
    const length = lengthOf(at)
    if (load<u8>(at) == SACK && length >= 10 && ((length - 2) & 7) == 0) return highestEdge(at + 2, at + length, ack)
  }
  return ack
}

function highestEdge(at: u32, end: u32, highest: u32): u32 {
  for (; at < end; at += 8) {
    const edge = be32(at + 4)
    if (after(edge, highest)) highest = edge
  }
  return highest
}

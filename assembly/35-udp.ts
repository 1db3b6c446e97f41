/**
 * UDP and UDP-Lite.
 *
 * A connection becomes a stream (the long timeout, ASSURED) with the first packet of either direction that comes after
 * a reply was seen, for UDP only if that is more than two seconds after its first packet.
 */
import {
  CHANGE_ASSURED, PROTOCOL_UDP, RESULT_ACCEPT, RULE_UDP_STREAM, RULE_UDP_WAITING, STATUS_ASSURED, STATUS_SEEN_REPLY,
} from './00-constants'
import { Entry, timeout, TIMEOUT_UDP, TIMEOUT_UDP_STREAM } from './01-records'
import { changed } from './40-events'
import { recordRule } from './41-record'

const STREAM_AFTER: i64 = 2_000_000_000

/** Timeout to set, nanoseconds. */
export let udpTimeout: i64 = 0

export function beginUdp(e: Entry, now: i64): void {
  e.streamAt = e.protocol == PROTOCOL_UDP ? now + STREAM_AFTER : i64.MIN_VALUE
}

// @ts-ignore: decorator
@inline export function updateUdp(e: Entry, now: i64): u32 {
  const stream = (e.status & STATUS_SEEN_REPLY) != 0 && now > e.streamAt
  udpTimeout = timeout(stream ? TIMEOUT_UDP_STREAM : TIMEOUT_UDP)
  recordRule(stream ? RULE_UDP_STREAM : RULE_UDP_WAITING)
  if (stream && !(e.status & STATUS_ASSURED)) {
    e.status |= STATUS_ASSURED
    changed(CHANGE_ASSURED)
  }
  return RESULT_ACCEPT
}

/**
 * GRE. Plain GRE has one connection for a pair of addresses; version 1 (PPTP's data, RFC 2637) has one for each call id
 * and direction. No checks; ASSURED with the first packet after a reply was seen.
 */
import { CHANGE_ASSURED, RESULT_ACCEPT, RULE_PLAIN, STATUS_ASSURED, STATUS_SEEN_REPLY } from './00-constants'
import { Entry, ENTRY_SIDES, timeout, TIMEOUT_GRE, TIMEOUT_GRE_STREAM } from './01-records'
import { changed } from './40-events'
import { recordRule } from './41-record'

/** Both timeouts are those of the moment at which the connection was made. */
@unmanaged
class GreState {
  first: i64
  stream: i64
}

/** Timeout to set, nanoseconds. */
export let greTimeout: i64 = 0

// @ts-ignore: decorator
@inline function greState(e: Entry): GreState {
  return changetype<GreState>(changetype<usize>(e) + ENTRY_SIDES)
}

export function beginGre(e: Entry): void {
  greState(e).first = timeout(TIMEOUT_GRE)
  greState(e).stream = timeout(TIMEOUT_GRE_STREAM)
}

export function updateGre(e: Entry): u32 {
  const answered = (e.status & STATUS_SEEN_REPLY) != 0
  greTimeout = answered ? greState(e).stream : greState(e).first
  recordRule(RULE_PLAIN)
  if (answered && !(e.status & STATUS_ASSURED)) {
    e.status |= STATUS_ASSURED
    changed(CHANGE_ASSURED)
  }
  return RESULT_ACCEPT
}

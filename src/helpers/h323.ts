/**
 * H.323: the three helpers that follow a call through RAS, call signalling (Q.931) and H.245 to its media channels.
 * RAS and call signalling have ports; H.245 is assigned by what call signalling announces.
 */
import { ConntrackError } from '../errors.js'
import type { Helper } from './helper.js'
import { q931Helper } from './q931.js'
import { rasHelper } from './ras.js'

/** What Linux has as parameters of its module. */
export interface H323Options {
  /** Seconds that a registration lives which does not say (`default_rrq_ttl`); default 300. */
  readonly defaultRrqTtl?: number
  /** Calls to a registered endpoint come from its gatekeeper only (`gkrouted_only`); default true. */
  readonly gkRoutedOnly?: boolean
  /** A call that is forwarded to the caller's own address is not announced (`callforward_filter`); default true. */
  readonly callForwardFilter?: boolean
}

/** The helpers `RAS` (UDP 1719) and `Q.931` (TCP 1720), the latter with `H.245`. */
export function h323(options: H323Options = {}): readonly Helper[] {
  const { defaultRrqTtl = 300, gkRoutedOnly = true, callForwardFilter = true } = options
  checkTtl(defaultRrqTtl)
  checkBoolean('gkRoutedOnly', gkRoutedOnly)
  checkBoolean('callForwardFilter', callForwardFilter)
  const q931 = q931Helper(callForwardFilter)
  return [rasHelper({ defaultRrqTtl, gkRoutedOnly }, q931), q931]
}

function checkTtl(seconds: unknown): void {
  if (Number.isInteger(seconds) && Number(seconds) >= 0 && Number(seconds) <= 0xffffffff) return
  throw new ConntrackError('invalid-argument', `defaultRrqTtl: a whole number of seconds from 0 to 4294967295, not ${String(seconds)}`)
}

function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw new ConntrackError('invalid-argument', `${name}: true or false, not ${String(value)}`)
}

/** SNMP (RFC 1157): answers to requests sent by broadcast. See `broadcast.ts`. */
import { BROADCAST_FIELDS, broadcastHelper, type BroadcastOptions } from './broadcast.js'
import type { Helper } from './helper.js'
import { checkFields } from './options.js'

/** `timeout` is 30 seconds by default, `ports` are 161. */
export type SnmpOptions = BroadcastOptions

/**
 * The helper for SNMP requests.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function snmp(options: SnmpOptions = {}): Helper {
  checkFields('the options of snmp', options, BROADCAST_FIELDS)
  return broadcastHelper({ name: 'snmp', port: 161, timeout: 30 }, options)
}

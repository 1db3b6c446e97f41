/** NetBIOS name service (RFC 1002): answers to names asked for by broadcast. See `broadcast.ts`. */
import { BROADCAST_FIELDS, broadcastHelper, type BroadcastOptions } from './broadcast.js'
import type { Helper } from './helper.js'
import { checkFields } from './options.js'

/** `timeout` is 3 seconds by default, `ports` are 137. */
export type NetbiosNsOptions = BroadcastOptions

/**
 * The helper for NetBIOS name queries.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function netbiosNs(options: NetbiosNsOptions = {}): Helper {
  checkFields('the options of netbios-ns', options, BROADCAST_FIELDS)
  return broadcastHelper({ name: 'netbios-ns', port: 137, timeout: 3 }, options)
}

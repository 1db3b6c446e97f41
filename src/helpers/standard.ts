/** The helpers by their names, each on its usual port unless others are given. */
import { ConntrackError } from '../errors.js'
import { amanda } from './amanda.js'
import { ftp } from './ftp.js'
import type { Helper } from './helper.js'
import { h323 } from './h323.js'
import { irc } from './irc.js'
import { netbiosNs } from './netbios-ns.js'
import { pptp } from './pptp.js'
import { sane } from './sane.js'
import { sip } from './sip.js'
import { snmp } from './snmp.js'
import { tftp } from './tftp.js'

type Make = (options: { readonly ports?: readonly number[] }) => Helper | readonly Helper[]

const HELPERS: Readonly<Record<string, Make>> = {
  amanda, ftp, h323: h323On, irc, 'netbios-ns': netbiosNs, pptp, sane, sip, snmp, tftp,
}

/** H.323: the ports are those of call signalling. */
function h323On({ ports }: { readonly ports?: readonly number[] }): readonly Helper[] {
  return h323().map(helper => ports && helper.name === 'Q.931' ? { ...helper, ports } : helper)
}

/** The names that `standardHelper` knows. */
export const HELPER_NAMES: readonly string[] = Object.keys(HELPERS)

/**
 * The helper of this name with Linux's behaviour.
 *
 * @param ports instead of the usual ones
 * @throws ConntrackError `invalid-argument`
 */
export function standardHelper(name: string, ports?: readonly number[]): readonly Helper[] {
  if (!Object.hasOwn(HELPERS, name)) {
    throw new ConntrackError('invalid-argument', `unknown helper '${name}'; known are: ${HELPER_NAMES.join(', ')}`)
  }
  return [HELPERS[name](ports === undefined ? {} : { ports })].flat()
}

/** Every helper on its usual ports. */
export function allHelpers(): readonly Helper[] {
  return HELPER_NAMES.flatMap(name => standardHelper(name))
}

/** Helpers as recordings name them: `ftp`, `ftp:2121`, `sip-tcp`, `h323-ras`. */
import { h323, HELPER_NAMES, netbiosNs, snmp, standardHelper, type Helper } from 'conntrack-wasm/helpers'

const OTHER_NAMES: Readonly<Record<string, string>> = { 'sip-tcp': 'sip' }

export function helpersOf(names: readonly string[]): Helper[] {
  return names.flatMap(text => {
    const [name, port] = text.split(':')
    if (name.startsWith('h323')) return h323().filter(helper => (helper.name === 'RAS') === (name === 'h323-ras'))
    const known = OTHER_NAMES[name] ?? name
    return HELPER_NAMES.includes(known) ? standardHelper(known, port === undefined ? undefined : [Number(port)]) : []
  })
}

/** The router of the lab network: the broadcast helpers' questions are those that it asks itself. */
const LAB_ROUTER = ['203.0.113.2/25']

/** The lab's router had every helper on its usual port, but that of H.323's RAS. */
export function labHelpers(): Helper[] {
  return [
    ...['ftp', 'irc', 'tftp', 'sip', 'amanda', 'sane', 'pptp'].flatMap(name => standardHelper(name)),
    ...h323().filter(({ name }) => name !== 'RAS'), netbiosNs({ networks: LAB_ROUTER }), snmp({ networks: LAB_ROUTER }),
  ]
}

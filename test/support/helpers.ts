/** Helpers as recordings name them: `ftp`, `ftp:2121`, `sip-tcp`, `h323-ras`. */
import { h323, HELPER_NAMES, standardHelper, type Helper } from 'conntrack-wasm/helpers'

const OTHER_NAMES: Readonly<Record<string, string>> = { 'sip-tcp': 'sip' }

export function helpersOf(names: readonly string[]): Helper[] {
  return names.flatMap(text => {
    const [name, port] = text.split(':')
    if (name.startsWith('h323')) return h323().filter(helper => (helper.name === 'RAS') === (name === 'h323-ras'))
    const known = OTHER_NAMES[name] ?? name
    return HELPER_NAMES.includes(known) ? standardHelper(known, port === undefined ? undefined : [Number(port)]) : []
  })
}

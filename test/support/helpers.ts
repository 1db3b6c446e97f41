/** Helpers as recordings name them: `ftp`, `ftp:2121`, `sip-tcp`, `h323-ras`. */
import { HELPER_NAMES, standardHelper, type Helper } from 'conntrack-wasm/helpers'

const OTHER_NAMES: Readonly<Record<string, string>> = { 'sip-tcp': 'sip', 'h323-ras': 'h323' }

export function helpersOf(names: readonly string[]): Helper[] {
  return names.flatMap(text => {
    const [name, port] = text.split(':')
    const known = OTHER_NAMES[name] ?? name
    return HELPER_NAMES.includes(known) ? standardHelper(known, port === undefined ? undefined : [Number(port)]) : []
  })
}

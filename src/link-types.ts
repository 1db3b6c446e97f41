import { ConntrackError, shown } from './errors.js'

/**
 * Link types by name: the LINKTYPE_ numbers of capture files (the registry of tcpdump.org), for those link types whose
 * packets the tracker reads. `raw` is an IPv4 or IPv6 packet without a link-layer header, told apart by its version
 * field; `null` and `loop` are the four-byte headers of BSD loopback; `linux_sll` and `linux_sll2` are what Linux
 * writes for `-i any`.
 *
 * Some names stand for one number: as the registry has them, and as users write them.
 */
export const LINK_TYPES = {
  null: 0,
  ethernet: 1,
  en10mb: 1,
  ppp: 9,
  bsd_raw: 12,
  openbsd_raw: 14,
  ppp_hdlc: 50,
  ppp_serial: 50,
  pppoe: 51,
  ppp_ether: 51,
  raw: 101,
  ip: 101,
  c_hdlc: 104,
  loop: 108,
  linux_sll: 113,
  sll: 113,
  ipv4: 228,
  ipv6: 229,
  linux_sll2: 276,
  sll2: 276,
} as const

/** A name in `LINK_TYPES`. */
export type LinkTypeName = keyof typeof LINK_TYPES

/**
 * The number of a link type given by name or number.
 *
 * @param linkType a name from `LINK_TYPES`, or a LINKTYPE_ number, 0 to 65,535, known here or not
 * @throws ConntrackError `invalid-argument` for a name that is not in the table and for what is no such number
 */
export function linkTypeNumber(linkType: LinkTypeName | number): number {
  const number = typeof linkType === 'number' ? linkType : NUMBERS.get(linkType)
  if (number !== undefined && Number.isInteger(number) && number >= 0 && number <= 0xffff) return number
  throw new ConntrackError('invalid-argument',
    `link type ${shown(linkType)}: expected a number from 0 to 65535 or one of ${Object.keys(LINK_TYPES).join(', ')}`)
}

const NUMBERS: ReadonlyMap<unknown, number> = new Map(Object.entries(LINK_TYPES))


/** The helpers under test: each with its default options, with strict ones, with the widest; and their vocabularies. */
import {
  amanda, ftp, h323, irc, netbiosNs, pptp, sane, sip, snmp, tftp, type Helper,
} from 'conntrack-wasm/helpers'
import { addressBytes } from '../../../src/match.js'
import type { Loosened } from './rules.js'
import { HOSTS, type Seed } from './seeds.js'

export interface Variant {
  /** Such as `ftp strict`. */
  readonly label: string
  readonly helper: Helper
  readonly loosened: Loosened
}

const [{ client, third }] = HOSTS
const networks = [`${client}/24`, '192.168.1.5/16']
const MASK_24 = '255.255.255.0'
const broadcastMask = MASK_24

function variant(label: string, helper: Helper, loosened: Loosened = {}): Variant {
  return { label: `${helper.name} ${label}`, helper, loosened }
}

/** The three helpers of H.323. */
function h323Variants(label: string, options: Parameters<typeof h323>[0], loosened: Loosened = {}): Variant[] {
  const [ras, q931] = h323(options)
  return [ras, q931, ...q931.assigns ?? []].map(helper => variant(label, helper, loosened))
}

export const VARIANTS: readonly Variant[] = [
  variant('by default', ftp()), variant('strict', ftp({ strict: true, minPort: 1024 }), { minPort: 1024 }),
  variant('loose', ftp({ loose: true }), { anyDestination: true }),
  variant('by default', irc()),
  variant('strict', irc({ strict: true, minPort: 1024, maxDccChannels: 1 }), { minPort: 1024 }),
  variant('for peers', irc({ peers: `${third}/24` }), { peers: { src: '192.0.2.0', srcMask: MASK_24 } }),
  variant('by default', tftp()),
  variant('by default', sip()), variant('strict', sip({ strictFraming: true, refreshBySipOnly: true })),
  variant('for anybody', sip({ directMedia: false, directSignalling: false }),
    { anyDestination: true, anySource: true }),
  variant('with media outside', sip({ directMedia: false, externalMedia: media => media === third }),
    { anyDestination: true }),
  variant('by default', amanda()), variant('strict', amanda({ strict: true })),
  variant('by default', pptp()), variant('by default', sane()),
  ...h323Variants('by default', {}),
  ...h323Variants('for anybody', { gkRoutedOnly: false, callForwardFilter: false, defaultRrqTtl: 0 },
    { anySource: true, forwardsToCaller: true }),
  variant('by default', netbiosNs()), variant('of a network', netbiosNs({ networks }), { broadcastMask }),
  variant('by default', snmp()), variant('of a network', snmp({ networks }), { broadcastMask }),
]

const LINE_ENDS = ['\r\n', '\n', '\r', '\0', ' ', ',', '.', ':', '|', ';', '=']
const SIP_WORDS = [
  'INVITE ', 'UPDATE ', 'ACK ', 'PRACK ', 'BYE ', 'REGISTER ', 'SIP/2.0 ', ' SIP/2.0', 'SIP/2.0 200 OK\r\n', 'CSeq: ',
  'Contact: ', 'm: ', 'l: ', 'Content-Length: ', 'Expires: ', ';expires=', 'expires=', ';transport=', 'transport=tcp',
  'transport=udp', '<sip:', 'sip:', '@', '[', ']', '>', ', <sip:', '\r\n\r\n', '\r\n ', 'v=0\r\n', 'o=', 's=-\r\n',
  'c=IN IP4 ', 'c=IN IP6 ', 'm=audio ', 'm=video ', 'm=image ', 'm=application ', 'm=audio 7000 RTP/AVP 0\r\n',
  ' RTP/AVP 0', '1 INVITE', '1 REGISTER', '1 PRACK', '*',
]
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  ftp: ['PORT ', 'EPRT ', '227 ', '229 ', '229 (', '|1|', '|2|', '|||', '(', ')', '10,0,0,1,19,136', '::', '%eth0'],
  irc: [
    'PRIVMSG ', 'PRIVMSG al :', ' :', '\x01DCC ', ' :\x01DCC ', 'SEND ', 'CHAT ', 'MOVE ', 'TSEND ', 'SCHAT ',
    '\x01\r\n',
  ],
  tftp: ['\0\x01', '\0\x02', '\0\x03', 'octet\0', 'netascii\0', 'blksize\x001400\0'],
  amanda: ['CONNECT ', 'DATA ', 'MESG ', 'INDEX ', 'STATE ', 'Amanda 2.4 REP', 'OPTIONS '],
  sane: ['\0\0\0\x07\0\0\0\x01', '\0\0\0\0\0\0\x13\x88', '\0\0\0\x07', '\0\0\0\0'],
  sip: SIP_WORDS,
  pptp: [
    '\0\x9c\0\x01\x1a\x2b\x3c\x4d', '\x1a\x2b\x3c\x4d',
    ...Array.from({ length: 16 }, (_, type) => `\0${String.fromCharCode(type)}\0\0`),
  ],
}

const Q931_WORDS = [
  [3, 0, 0, 4], [3, 0, 0, 3], [3, 0, 0xff, 0xff], [3, 0], [8, 2, 0, 1, 5], [0x7e, 0, 20, 5], [0x7e, 0xff, 0xff, 5],
  [0x28, 1, 0x41], [0xa1], [6, 0, 8, 0x91, 0x4a, 0, 2], [0x82, 0, 0], [0xbf, 0xff], [0x80], [0x40],
  [0xff, 0xff, 0xff, 0xff],
]

/** Words of a helper's protocol, and the parties' addresses and ports in every form. */
export function wordsOf(seed: Seed): Uint8Array[] {
  const texts = [...TEXTS[seed.helper] ?? [], ...LINE_ENDS, String(seed.sport), '5000', '1024', '1023', '0', '65536']
  const binary = ['RAS', 'Q.931', 'H.245'].includes(seed.helper) ? Q931_WORDS : []
  const other = HOSTS[seed.family === 4 ? 0 : 1].third
  const addresses = [seed.client, seed.server, other]
  return [
    ...[...texts, ...addresses, ...addresses.map(written)].map(text => Buffer.from(text, 'latin1')),
    ...binary.map(bytes => Uint8Array.from(bytes)), ...addresses.map(addressBytes),
    Uint8Array.of(seed.sport >> 8, seed.sport & 255), Uint8Array.of(0x13, 0x88),
  ]
}

/** As IRC, FTP or SIP write it. */
function written(address: string): string {
  if (address.includes(':')) return `[${address}]`
  return `${address.replaceAll('.', ',')},19,136 ${addressBytes(address).reduce((all, byte) => all * 256 + byte, 0)}`
}

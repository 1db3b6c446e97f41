/** Conversations with helpers as they are meant to be: what the fuzzer takes apart. Every one announces something. */
import { CALL, H245, RAS, tpkt } from './h323-seeds.js'

export interface Said {
  readonly direction: 'original' | 'reply'
  readonly payload: Uint8Array
}

/** A conversation of one connection. */
export interface Seed {
  /** The helper's name. */
  readonly helper: string
  readonly family: 4 | 6
  /** IP protocol number. */
  readonly protocol: number
  readonly client: string
  readonly server: string
  readonly sport: number
  readonly dport: number
  readonly said: readonly Said[]
}

interface Hosts {
  readonly family: 4 | 6
  readonly client: string
  readonly server: string
  /** Neither of the two. */
  readonly third: string
}

type Words = string | readonly number[] | Uint8Array
/** A line of a conversation: `c` is the client's, `s` the server's. */
type Line = readonly ['c' | 's', Words]

export const HOSTS: readonly Hosts[] = [
  { family: 4, client: '10.9.1.1', server: '10.9.1.255', third: '192.0.2.7' },
  { family: 6, client: '2001:db8:a::1', server: '2001:db8:b::2', third: '2001:db8:c::3' },
]

const bytes = (words: Words) => typeof words === 'string' ? Buffer.from(words, 'latin1') : Uint8Array.from(words)

function seed(helper: string, protocol: number, hosts: Hosts, dport: number, lines: readonly Line[]): Seed {
  const { family, client, server } = hosts
  const said = lines.map(([who, words]) => (
    { direction: who === 'c' ? 'original' as const : 'reply' as const, payload: bytes(words) }))
  return { helper, family, protocol, client, server, sport: 40_000, dport, said }
}

const commas = (address: string, port: number) => `${address.replaceAll('.', ',')},${port >> 8},${port & 255}`
const number = (address: string) => address.split('.').reduce((all, octet) => all * 256 + Number(octet), 0)

function ftp(hosts: Hosts): Seed {
  const { client, server, family } = hosts
  const plain: Line[] = [
    ['c', `PORT ${commas(client, 5000)}\r\n`], ['s', '200 ok\r\n'], ['c', 'PASV\r\n'],
    ['s', `227 Entering Passive Mode (${commas(server, 5001)})\r\n`],
  ]
  return seed('ftp', 6, hosts, 21, [
    ['s', '220 hi\r\n'], ['c', 'USER x\r\n'], ...(family === 4 ? plain : []),
    ['c', `EPRT |${family === 4 ? 1 : 2}|${client}|5002|\r\n`], ['s', '200 ok\r\n'], ['c', 'EPSV\r\n'],
    ['s', '229 Entering Extended Passive Mode (|||5003|)\r\n'],
  ])
}

function irc(hosts: Hosts): Seed {
  const offer = (kind: string, port: number): Line =>
    ['c', `PRIVMSG al :\x01DCC ${kind} file ${number(hosts.client)} ${port} 1000\x01\r\n`]
  return seed('irc', 6, hosts, 6667, [
    ['c', 'NICK bob\r\n'], ['s', ':irc NOTICE\r\n'], offer('SEND', 5000), offer('CHAT', 5001), offer('TSEND', 5002),
  ])
}

function tftp(hosts: Hosts): Seed {
  return seed('tftp', 17, hosts, 69, [['c', '\0\x01file\0octet\0'], ['c', '\0\x02file\0netascii\0']])
}

function amanda(hosts: Hosts): Seed {
  return seed('amanda', 17, hosts, 10080, [
    ['c', 'Amanda 2.4 REQ HANDLE 0 SEQ 1\n'],
    ['s', 'Amanda 2.4 REP HANDLE 0 SEQ 1\nCONNECT DATA 5000 MESG 5001 INDEX 5002\n'],
    ['s', 'CONNECT DATA 5004 MESG 5005 INDEX 5006 STATE 5007\nOPTIONS ;\n'],
  ])
}

function sane(hosts: Hosts): Seed {
  const start: Line = ['c', [0, 0, 0, 7, 0, 0, 0, 1]]
  return seed('sane', 6, hosts, 6566, [
    start, ['s', [0, 0, 0, 0, 0, 0, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0]], start, ['s', [0, 0, 0, 0, 0, 0, 0x13, 0x89]],
  ])
}

function broadcast(helper: string, port: number, hosts: Hosts): Seed {
  return seed(helper, 17, hosts, port, [['c', '\x80\x01\x01\x10\0\x01'], ['c', 'again'], ['s', 'answer']])
}

/** A PPTP control message of so many bytes in all. */
function pptpMessage(type: number, length: number, ...fields: readonly number[]): number[] {
  const message = [length >> 8, length & 255, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, type, 0, 0, ...fields]
  return [...message, ...Array<number>(Math.max(0, length - message.length)).fill(0)]
}

function pptp(hosts: Hosts): Seed {
  return seed('pptp', 6, hosts, 1723, [
    ['c', pptpMessage(1, 156, 1)], ['s', pptpMessage(2, 156, 1, 0, 1)], ['c', pptpMessage(7, 168, 0, 77)],
    ['s', pptpMessage(8, 32, 0, 88, 0, 77, 1)], ['s', pptpMessage(13, 148, 0, 88)],
    ['s', pptpMessage(9, 220, 0, 99)], ['c', pptpMessage(10, 24, 0, 66, 0, 99, 1)],
    ['s', pptpMessage(11, 28, 0, 66)], ['c', pptpMessage(12, 16)], ['c', pptpMessage(3, 16)],
    ['s', pptpMessage(4, 16, 1)],
  ])
}

/** In a SIP header. */
const inUri = (address: string) => address.includes(':') ? `[${address}]` : address

function sipMessage(first: string, hosts: Hosts, headers: readonly string[], body = ''): string {
  return [
    first, `Via: SIP/2.0/UDP ${inUri(hosts.client)}:5060;branch=z9hG4bK1`,
    `From: <sip:a@${inUri(hosts.client)}>;tag=1`, `To: <sip:b@${inUri(hosts.server)}>`, `Call-ID: 1@${hosts.client}`,
    ...headers, `Content-Length: ${body.length}`, '', body,
  ].join('\r\n')
}

function description(address: string, family: 4 | 6, ...media: readonly string[]): string {
  return [
    'v=0', `o=- 1 1 IN IP${family} ${address}`, 's=-', `c=IN IP${family} ${address}`, 't=0 0',
    ...media.flatMap(kind => [`m=${kind} RTP/AVP 0`, 'a=sendrecv']), '',
  ].join('\r\n')
}

function sipCall(protocol: number, hosts: Hosts): Seed {
  const { client, server, family } = hosts
  const uri = `sip:b@${inUri(server)}`
  const offer = description(client, family, 'audio 7000', 'video 7002', 'image 7004')
  const answer = description(server, family, 'audio 8000', `video 8002`)
    + `c=IN IP${family} ${hosts.third}\r\nm=image 8004 x\r\nc=IN IP${family} ${server}\r\n`
  return seed('sip', protocol, hosts, 5060, [
    ['c', sipMessage(`INVITE ${uri} SIP/2.0`, hosts, ['CSeq: 1 INVITE', 'Max-Forwards: 70'], offer)],
    ['s', sipMessage('SIP/2.0 180 Ringing', hosts, ['CSeq: 1 INVITE'], answer)],
    ['s', sipMessage('SIP/2.0 200 OK', hosts, ['CSeq: 1 INVITE', `m: <sip:b@${inUri(server)}:5060>`], answer)],
    ['c', sipMessage(`ACK ${uri} SIP/2.0`, hosts, ['CSeq: 1 ACK'])],
    ['c', sipMessage(`UPDATE ${uri} SIP/2.0`, hosts, ['CSeq: 2 UPDATE'], offer.replace('7000', '7010'))],
    ['s', sipMessage('SIP/2.0 486 Busy', hosts, ['CSeq: 1 INVITE'])],
    ['c', sipMessage(`BYE ${uri} SIP/2.0`, hosts, ['CSeq: 3 BYE'])],
  ])
}

function sipRegistration(protocol: number, hosts: Hosts): Seed {
  const transport = protocol === 6 ? 'tcp' : 'udp'
  const contact = `Contact: "A" <sip:a@${inUri(hosts.client)}:5070;transport=${transport}>`
  const request = (number: number, expires: number) => sipMessage(`REGISTER sip:${inUri(hosts.server)} SIP/2.0`, hosts,
    [`CSeq: ${number} REGISTER`, 'Expires: 60', `${contact};expires=${expires}, <sip:c@${hosts.third}>`])
  const answer = (number: number, code: number) => sipMessage(`SIP/2.0 ${code} X`, hosts,
    [`CSeq: ${number} REGISTER`, contact, 'Expires: 3600'])
  return seed('sip', protocol, hosts, 5060, [
    ['c', request(1, 3600)], ['s', answer(1, 100)], ['s', answer(1, 200)], ['c', request(2, 0)], ['s', answer(2, 200)],
    ['c', request(3, 90)], ['s', answer(3, 401)],
  ])
}

const at = (address: string, port: number) => ({ address, port })

function ras(hosts: Hosts): Seed {
  const { client, server, third } = hosts
  return seed('RAS', 17, hosts, 1719, [
    ['s', RAS.gatekeeperConfirm(at(third, 1719))],
    ['c', RAS.registrationRequest(at(client, 1720), 60)], ['s', RAS.registrationConfirm(at(client, 1720), 90)],
    ['s', RAS.admissionConfirm(at(third, 1720))], ['s', RAS.locationConfirm(at(server, 1721))],
    ['c', RAS.unregistrationRequest(at(client, 1720))],
    ['c', RAS.registrationRequest(at(client, 1722))], ['s', RAS.registrationConfirm(at(client, 1722))],
  ])
}

function q931(hosts: Hosts): Seed {
  const { client, server, third } = hosts
  const open = H245.openAudio(at(server, 6000), at(server, 6001))
  return seed('Q.931', 6, hosts, 1720, [
    ['c', CALL.setup(at(client, 5000), at(client, 5004))], ['s', CALL.connect(at(server, 5002))],
    ['s', CALL.connect(at(server, 5003), [open, H245.openT120(at(server, 1503))])],
    ['c', CALL.facility(at(client, 5006))],
    ['s', CALL.forward(at(third, 1720))], ['c', CALL.setup(at(client, 5001), at(client, 5008))],
  ])
}

function h245(hosts: Hosts): Seed {
  const { client, server } = hosts
  const opened = tpkt(H245.openAudio(at(client, 6000), at(client, 6001)))
  const acknowledged = tpkt(H245.acknowledge(at(server, 6100), at(server, 6101)))
  return seed('H.245', 6, hosts, 5000, [
    ['c', opened], ['s', acknowledged], ['s', tpkt(H245.openT120(at(server, 1503)))],
    // A header that travels alone, and two messages in one segment.
    ['c', opened.slice(0, 4)], ['c', opened.slice(4)],
    ['s', [...acknowledged, ...tpkt(H245.openT120(at(server, 1504)))]],
  ])
}

/** All conversations, over each IP version that the helper knows. */
export function writtenSeeds(): Seed[] {
  const [v4, v6] = HOSTS
  return [
    ...[ftp, tftp, amanda, sane, ras, q931, h245].flatMap(make => HOSTS.map(make)),
    ...[sipCall, sipRegistration].flatMap(make => [make(17, v4), make(6, v6)]),
    irc(v4), pptp(v4), broadcast('netbios-ns', 137, v4), broadcast('snmp', 161, v4),
  ]
}

/** Payloads for helpers: real ones, gathered from captures and conversations, and what becomes of them by damage. */
import { readdirSync, readFileSync } from 'node:fs'
import { createTracker } from 'conntrack-wasm'
import { allHelpers, type HelpedConnection, type Helper } from 'conntrack-wasm/helpers'
import { readFrames } from './frames.js'
import { SHARED, sharedIsThere } from './golden.js'
import { labHelpers } from './helpers.js'
import { helpedTrace } from './helped-trace.js'
import type { Random } from './random.js'

/** A packet as a helper is shown it. */
export interface Said {
  readonly direction: 'original' | 'reply'
  readonly payload: Uint8Array
  readonly seq: number
  readonly established: boolean
}

/** What one connection said. */
export interface Conversation {
  readonly connection: HelpedConnection
  readonly said: readonly Said[]
}

/** Real conversations by the helper that was shown them. */
export type Seeds = ReadonlyMap<string, readonly Conversation[]>

const BUNDLED = new URL('../captures/', import.meta.url)
const ANSWERS = new URL('../unit/helpers/kernel-answers.tsv', import.meta.url)
/** Folders of `../shared/captures` in which helpers find something. */
const FOLDERS = ['ftp', 'h323', 'irc', 'netbios-snmp', 'pptp', 'sip', 'tftp']
/** Of one helper no more conversations are kept, and of one no more packets: further ones say the same again. */
const MOST_CONVERSATIONS = 600
const LONGEST_CONVERSATION = 24
/** registrationRequest, number 6, H.225.0 version 4, call signalling at 10.9.1.1:1720, RAS at 10.9.1.1:1719. */
const REGISTRATION = [
  0x0e, 0x40, 0, 5, 6, 0, 8, 0x91, 0x4a, 0, 4, 0x80, 1, 0, 10, 9, 1, 1, 6, 0xb8, 1, 0, 10, 9, 1, 1, 6, 0xb7, 2, 0, 0, 0, 0, 0,
]

type Growing = Map<string, Map<string, { connection: HelpedConnection, said: Said[] }>>

/** What helpers are shown in the bundled captures, in conversations of ours, and in `../shared` where it is there. */
export async function gatherSeeds(): Promise<Seeds> {
  const seeds: Growing = new Map()
  let capture = 0
  const helpers = [...labHelpers(), ...allHelpers().filter(({ name }) => name === 'RAS')]
    .map(helper => recorder(helper, seeds, () => capture))
  for (const seed of [1, 2, 3]) {
    capture++
    track(helpers, helpedTrace(seed, 1500))
  }
  for (const path of capturePaths()) {
    capture++
    track(helpers, (await readFrames(path)).flatMap(({ packet, time }) => packet ? [{ data: packet, time }] : []))
  }
  for (const [name, conversation] of written()) seeds.get(name)!.set(`written ${seeds.get(name)!.size}`, conversation)
  return new Map([...seeds].map(([name, conversations]) => [name, [...conversations.values()]]))
}

/** Conversations whose answers by the kernel the unit tests have, and a registration at an H.323 gatekeeper. */
function written(): [name: string, conversation: { connection: HelpedConnection, said: Said[] }][] {
  const rows = readFileSync(ANSWERS, 'utf8').split('\n').filter(line => line !== '' && !line.startsWith('#'))
  const all = rows.map((row): ReturnType<typeof written>[number] => {
    const [name, family, client, port, payloads] = row.split('\t')
    const connection = connectionBetween(family === '4' ? 4 : 6, PROTOCOLS[name], client, Number(port))
    const seq = { original: 1001, reply: 5001 }
    const said = [...payloads.matchAll(/([or])[^ =]*=([0-9a-f]+)/g)].map(([, who, hex]): Said => {
      const direction = who === 'o' ? 'original' : 'reply'
      const payload = Uint8Array.from(Buffer.from(hex, 'hex')) // a Buffer's slice is no copy
      seq[direction] += payload.length
      return { direction, payload, seq: seq[direction] - payload.length, established: true }
    })
    return [name, { connection, said }]
  })
  const registration: Said = { direction: 'original', payload: Uint8Array.from(REGISTRATION), seq: 0, established: true }
  return [...all, ['RAS', { connection: connectionBetween(4, [17, 1719], '10.9.1.1', 1719), said: [registration] }]]
}

/** Protocol and port. */
const PROTOCOLS: Readonly<Record<string, readonly [number, number]>> = {
  ftp: [6, 21], irc: [6, 6667], tftp: [17, 69], amanda: [17, 10080], sane: [6, 6566],
}

function connectionBetween(family: 4 | 6, [protocol, dport]: readonly [number, number], src: string, sport: number): HelpedConnection {
  const dst = family === 4 ? '10.0.0.2' : '2001:db8:b::2'
  return {
    id: 1, family, protocol, expected: false, original: { family, protocol, src, dst, sport, dport },
    reply: { family, protocol, src: dst, dst: src, sport: dport, dport: sport },
  }
}

function capturePaths(): string[] {
  const under = (root: URL) => readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter(name => /\.(pcap|pcapng|cap|gz)$/.test(name)).map(name => new URL(name, root).pathname)
  if (!sharedIsThere) return under(BUNDLED)
  return [
    ...under(BUNDLED), new URL('labnet/captures/h323.pcap', SHARED).pathname,
    ...FOLDERS.flatMap(folder => under(new URL(`captures/${folder}/`, SHARED))),
  ]
}

function track(helpers: readonly Helper[], packets: readonly { data: Uint8Array, time: bigint }[]): void {
  const tracker = createTracker({ helpers, checksum: 'offload', maxConnections: 4096 })
  for (const { data, time } of packets) tracker.track(data, { time })
}

/** The helper, which keeps what it is shown; so do those that it assigns. */
function recorder(helper: Helper, seeds: Growing, capture: () => number): Helper {
  const kept = seeds.get(helper.name) ?? new Map()
  seeds.set(helper.name, kept)
  return {
    ...helper,
    assigns: helper.assigns?.map(other => seeds.has(other.name) ? other : recorder(other, seeds, capture)),
    inspect(packet, table) {
      const { connection, payload, direction, seq, established } = packet
      const key = `${capture()} ${connection.id}`
      const known = kept.get(key) ?? { connection, said: [] }
      if (kept.size < MOST_CONVERSATIONS) kept.set(key, known)
      if (payload.length > 0 && known.said.length < LONGEST_CONVERSATION) {
        known.said.push({ direction, payload: payload.slice(), seq, established })
      }
      return helper.inspect(packet, table)
    },
  }
}

/** What these protocols are made of. */
const WORDS = [
  'PORT ', 'EPRT |1|', 'EPRT |2|', '227 ', '229 (|||', '10,9,1,1,19,136', '10.9.1.1|5000|', '2001:db8:a::1|5000|', '::',
  'PRIVMSG al :', '\x01DCC SEND f ', '\x01DCC CHAT ', '168362241 5000', ' :', '\x01', 'CONNECT ', 'DATA ', 'INDEX ', '5000 ',
  'INVITE ', 'REGISTER ', 'SIP/2.0 200 OK\r\n', 'Content-Length: ', 'l: ', 'CSeq: 1 INVITE\r\n', 'Contact: <sip:a@10.9.1.1:5070>',
  'c=IN IP4 10.9.1.1\r\n', 'c=IN IP6 2001:db8:a::1\r\n', 'm=audio 6000 ', 'm=image 0 ', 'Expires: 0\r\n', ';expires=', ';transport=',
  '\r\n', '\n', '\0', ' ', ',', '.', '|', '\t', '\x03\0\0', '\x08\x02', '\x7e\0', '\x1a\x2b\x3c\x4d',
].map(word => Buffer.from(word, 'latin1'))
const NUMBERS = ['0', '1', '1023', '1024', '65535', '65536', '4294967295', '4294967296', '99999999999999999999', '-1', '00021', '2147483648', '']
const EDGES = [0, 1, 2, 4, 8, 0x0a, 0x0d, 0x20, 0x7e, 0x7f, 0x80, 0xc0, 0xff]

/** A damaged payload: a real one after one to four changes. */
export function damage(payload: Uint8Array, others: readonly Uint8Array[], random: Random): Uint8Array {
  let damaged = payload
  for (let n = 1 + random.below(4); n > 0; n--) damaged = change(damaged, others, random)
  return damaged
}

function change(bytes: Uint8Array, others: readonly Uint8Array[], random: Random): Uint8Array {
  const at = random.below(bytes.length + 1)
  const end = Math.min(bytes.length, at + 1 + random.below(random.chance(4) ? 400 : 8))
  switch (random.below(10)) {
    case 0: return bytes.slice(0, at)
    case 1: return bytes.slice(at)
    case 2: return replace(bytes, at, end, [])
    case 3: return replace(bytes, at, at, random.pick(WORDS))
    case 4: return replace(bytes, at, end, random.pick(WORDS))
    case 5: return replace(bytes, at, at, bytes.subarray(at, end))
    case 6: return splice(bytes, random.pick(others), random)
    case 7: return newNumber(bytes, at, random)
    default: return newByte(bytes, at, random)
  }
}

function replace(bytes: Uint8Array, from: number, to: number, by: ArrayLike<number>): Uint8Array {
  const made = new Uint8Array(bytes.length - (to - from) + by.length)
  made.set(bytes.subarray(0, from))
  made.set(by, from)
  made.set(bytes.subarray(to), from + by.length)
  return made.subarray(0, 65_536)
}

/** The beginning of one and the end of another. */
function splice(one: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  return replace(one, random.below(one.length + 1), one.length, other.subarray(random.below(other.length + 1)))
}

/** The next decimal number behind a place becomes another. */
function newNumber(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const isDigit = (i: number) => bytes[i] >= 48 && bytes[i] <= 57
  let from = at
  while (from < bytes.length && !isDigit(from)) from++
  let to = from
  while (to < bytes.length && isDigit(to)) to++
  return replace(bytes, from, to, Buffer.from(random.pick(NUMBERS), 'latin1'))
}

function newByte(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  if (at === bytes.length) return bytes
  const changed = Uint8Array.from(bytes)
  changed[at] = random.pick([random.pick(EDGES), bytes[at] ^ 1 << random.below(8), bytes[at] + 1, bytes[at] - 1, random.below(256)])
  return changed
}

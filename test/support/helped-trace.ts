/** A trace of conversations that helpers follow, interleaved: what they announce is opened, sometimes by the wrong side. */
import { gre, tcp, udpWith, type Endpoints } from './build.js'
import { Random } from './random.js'
import type { TimedPacket } from './trace.js'

const START = 1_700_000_000_000_000_000n
/** Conversations under way at a time. */
const AT_ONCE = 12

/** @param packets how many */
export function helpedTrace(seed: number, packets: number): TimedPacket[] {
  const random = new Random(seed)
  const under: Generator<Uint8Array>[] = []
  let time = START
  const next = (): Uint8Array => {
    while (under.length < AT_ONCE) under.push(conversation(random))
    const chosen = random.below(under.length)
    const { value, done } = under[chosen].next()
    if (!done) return value
    under.splice(chosen, 1)
    return next()
  }
  return Array.from({ length: packets }, () => {
    time += BigInt(random.chance(60) ? random.below(120_000) * 1_000_000 : random.below(2_000_000))
    return { data: next(), time }
  })
}

function conversation(random: Random): Generator<Uint8Array> {
  const client = `10.0.${random.below(2)}.${1 + random.below(6)}`
  const server = `10.9.0.${1 + random.below(3)}`
  const at = { src: client, dst: server, sport: 1024 + random.below(300) }
  return random.pick([ftp, irc, tftp, sip, pptp])(at, random)
}

type Client = Required<Omit<Endpoints, 'dport'>>

/** A TCP connection from its first packet on: what each side says, in turn. */
class Stream {
  readonly #at: Required<Endpoints>
  #seq = [1000, 5000]

  constructor(client: Client, dport: number) {
    this.#at = { ...client, dport }
  }

  *open(): Generator<Uint8Array> {
    yield this.#segment(0, 'S')
    yield this.#segment(1, 'SA')
    yield this.#segment(0, 'A')
  }

  say(side: 0 | 1, payload: string | Uint8Array): Uint8Array {
    return this.#segment(side, 'PA', typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload)
  }

  reset(): Uint8Array {
    return this.#segment(0, 'R')
  }

  #segment(side: 0 | 1, flags: string, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
    const { src, dst, sport, dport } = this.#at
    const at = side === 0 ? this.#at : { src: dst, dst: src, sport: dport, dport: sport }
    const [seq, ack] = [this.#seq[side], this.#seq[side ^ 1]]
    this.#seq[side] += payload.length + Number(flags.includes('S'))
    return tcp(at, { flags, seq, ack: flags === 'S' ? 0 : ack, payload })
  }
}

/** Most announcements are taken up. */
function* perhaps(random: Random, packet: Uint8Array): Generator<Uint8Array> {
  if (!random.chance(4)) yield packet
}

function* ftp(client: Client, random: Random): Generator<Uint8Array> {
  const control = new Stream(client, 21)
  yield* control.open()
  yield control.say(1, '220 ready\r\n')
  yield control.say(0, 'USER anonymous\r\n')
  for (let n = random.below(4); n > 0; n--) {
    const port = 4000 + random.below(3)
    if (random.chance(2)) {
      yield control.say(0, `PORT ${client.src.replaceAll('.', ',')},${port >> 8},${port & 255}\r\n`)
      yield control.say(1, '200 fine\r\n')
      const data = { src: client.dst, dst: client.src, sport: 20, dport: port }
      yield* perhaps(random, tcp(data, { flags: 'S', seq: 9 }))
    } else {
      yield control.say(0, 'EPSV\r\n')
      yield control.say(1, `229 Entering Extended Passive Mode (|||${port}|)\r\n`)
      yield* perhaps(random, tcp({ ...client, sport: 2000 + n, dport: port }, { flags: 'S', seq: 9 }))
    }
  }
  if (random.chance(2)) yield control.reset()
}

function* irc(client: Client, random: Random): Generator<Uint8Array> {
  const chat = new Stream(client, 6667)
  yield* chat.open()
  const number = client.src.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  for (let n = random.below(10); n > 0; n--) {
    const port = 5000 + random.below(12)
    yield chat.say(0, `PRIVMSG you :\x01DCC SEND file ${number} ${port}\x01\r\n`)
    yield* perhaps(random, tcp({ src: `10.7.0.${n}`, dst: client.src, sport: 77, dport: port }, { flags: 'S', seq: 3 }))
  }
  if (random.chance(2)) yield chat.reset()
}

function* tftp(client: Client, random: Random): Generator<Uint8Array> {
  yield udpWith({ ...client, dport: 69 }, Buffer.from('\0\x01file\0octet\0', 'latin1'))
  const answer = { src: client.dst, dst: client.src, sport: 3000 + random.below(9), dport: client.sport }
  yield* perhaps(random, udpWith(answer, Uint8Array.of(0, 3, 0, 1, 7)))
}

function* sip(client: Client, random: Random): Generator<Uint8Array> {
  const { src, dst } = client
  const port = 6000 + 2 * random.below(4)
  const body = `v=0\r\no=- 1 1 IN IP4 ${src}\r\ns=x\r\nc=IN IP4 ${src}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0\r\n`
  const common = `Via: SIP/2.0/UDP ${src}:${client.sport}\r\nFrom: <sip:a@${src}>\r\nTo: <sip:b@${dst}>\r\nCall-ID: ${port}\r\n`
  const say = (first: string, sequence: string, rest: string) =>
    Buffer.from(`${first}\r\n${common}CSeq: ${sequence}\r\n${rest}`, 'latin1')
  const there = { ...client, dport: 5060 }
  const back = { src: dst, dst: src, sport: 5060, dport: client.sport }
  const withBody = `Content-Type: application/sdp\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const contact = `Contact: <sip:a@${src}:${client.sport}>\r\nContent-Length: 0\r\n\r\n`
  if (random.chance(2)) {
    yield udpWith(there, say(`REGISTER sip:${dst} SIP/2.0`, '1 REGISTER', contact))
    yield udpWith(back, say('SIP/2.0 200 OK', '1 REGISTER', contact))
  }
  yield udpWith(there, say(`INVITE sip:b@${dst} SIP/2.0`, '2 INVITE', withBody))
  yield udpWith(back, say('SIP/2.0 100 Trying', '2 INVITE', 'Content-Length: 0\r\n\r\n'))
  yield* perhaps(random, udpWith({ src: dst, dst: src, sport: 7000, dport: port }, new Uint8Array(20)))
  if (random.chance(2)) yield udpWith(there, say(`BYE sip:b@${dst} SIP/2.0`, '3 BYE', 'Content-Length: 0\r\n\r\n'))
}

function* pptp(client: Client, random: Random): Generator<Uint8Array> {
  const control = new Stream(client, 1723)
  const [pns, pac] = [1 + random.below(9), 100 + random.below(9)]
  yield* control.open()
  yield control.say(0, pptpMessage(1, 156, []))
  yield control.say(1, pptpMessage(2, 156, [0, 0, 1]))
  yield control.say(0, pptpMessage(7, 168, [0, pns]))
  yield control.say(1, pptpMessage(8, 32, [0, pac, 0, pns, 1]))
  for (let n = random.below(4); n > 0; n--) {
    const toServer = random.chance(2)
    const [src, dst] = toServer ? [client.src, client.dst] : [client.dst, client.src]
    yield gre({ src, dst }, 0x3001, 0x880b, [0, 0, 0, toServer ? pac : pns, 0, 0, 0, n])
  }
  if (random.chance(2)) yield control.say(1, pptpMessage(13, 148, [0, pac]))
  if (random.chance(2)) yield control.reset()
}

/** A PPTP control message (RFC 2637): what follows its headers is `start`, then zeros. */
export function pptpMessage(type: number, length: number, start: readonly number[]): Uint8Array {
  const message = new Uint8Array(length)
  message.set([length >> 8, length & 255, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, type, 0, 0, ...start])
  return message
}

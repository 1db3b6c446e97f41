/**
 * What each helper may expect at the most, field by field, and a table that holds it to that. The rules are those of
 * Linux's helpers, written down here a second time: nothing in here is asked of our own.
 *
 * In a rule, `back` is the packet's other direction: `back.src` is who will answer, `back.dst` is the packet's sender
 * as that one knows it.
 */
import { isDeepStrictEqual } from 'node:util'
import type {
  Added, GreTuple, HelpedConnection, Helper, HelperPacket, HelperTable, NewExpectation, StandingExpectation,
} from '../../../src/helpers/helper.js'
import { addressBytes } from '../../../src/match.js'
import type { Tuple } from '../../../src/types.js'

/** Something that no payload may bring about. */
export class Violation extends Error {}

/** Options of helpers that change what is allowed. */
export interface Loosened {
  /** ftp: any destination. sip: `directMedia: false`. */
  readonly anyDestination?: boolean
  /** sip: `directSignalling: false`. RAS: `gkRoutedOnly: false`. */
  readonly anySource?: boolean
  readonly minPort?: number
  /** irc: network and mask of who may take up an offer. */
  readonly peers?: { readonly src: string, readonly srcMask: string }
  /** netbios-ns, snmp: the mask of the network, where the connection is a broadcast in it. */
  readonly broadcastMask?: string
  /** Q.931: `callForwardFilter`, true by default. */
  readonly forwardsToCaller?: boolean
}

/** The packet at which something is expected. */
export interface Moment extends Loosened {
  readonly connection: HelpedConnection
  readonly direction: 'original' | 'reply'
  readonly established: boolean
  readonly own: Tuple
  readonly back: Tuple
  /** The helper's state; `undefined` where it is not at hand. */
  readonly state: any
}

type Of<Value> = (at: Moment) => Value

/** What one kind of expectation must be. A field that is left out must be left out. */
interface Rule {
  readonly when?: Of<boolean>
  readonly protocol: Of<number>
  /** Default class 0 alone. */
  readonly classes?: readonly number[]
  /** `null`: anybody. */
  readonly src: Of<string | null>
  readonly srcMask?: Of<string | undefined>
  /** Left out: any. */
  readonly sport?: Of<number | undefined>
  /** `null`: any address of the connection's IP version. */
  readonly dst: Of<string | null>
  /** The one port it may be, or `least`. */
  readonly dport?: Of<number | undefined>
  readonly least?: Of<number>
  readonly permanent?: true
  readonly inactive?: true
  readonly helper?: string
  readonly skipMaster?: true
}

const TCP = () => 6
const UDP = () => 17
const GRE = () => 47
const BACK = (at: Moment) => at.back.src
const SENDER = (at: Moment) => at.back.dst
const established = (at: Moment) => at.established
const answer = (at: Moment) => at.direction === 'reply'
const question = (at: Moment) => at.direction === 'original'
const client = (at: Moment) => at.connection.original.src
const server = (at: Moment) => at.connection.original.dst
const ANYWHERE = () => null

/** Channels of H.245, wherever they are announced: RTP and RTCP, and T.120, to the sender. RTP of port 1 is port 0. */
const CHANNELS: readonly Rule[] = [
  { when: established, protocol: UDP, src: BACK, dst: SENDER },
  { when: established, protocol: TCP, src: BACK, dst: SENDER, least: () => 1, permanent: true },
]

const BROADCAST = (port: number): Rule => ({
  // Only the questions of this host, to the broadcast address of its network; answers come from the service's port.
  when: at => question(at) && at.broadcastMask !== undefined, protocol: UDP, src: at => at.connection.reply.src,
  srcMask: at => at.broadcastMask, sport: () => port, dst: at => at.connection.reply.dst,
  dport: at => at.connection.reply.dport, permanent: true,
})

const RULES: Readonly<Record<string, readonly Rule[]>> = {
  ftp: [{
    when: established, protocol: TCP, src: BACK, dst: at => at.anyDestination ? null : SENDER(at),
    // PORT and 227 may name port 0.
    least: at => at.minPort ?? 0,
  }],
  // The other client's address is not known.
  irc: [{
    when: at => established(at) && question(at), protocol: TCP, src: at => at.peers?.src ?? null,
    srcMask: at => at.peers?.srcMask, dst: at => at.connection.reply.dst, least: at => at.minPort ?? 1,
  }],
  tftp: [{
    protocol: UDP, src: at => at.connection.reply.src, dst: at => at.connection.reply.dst,
    dport: at => at.connection.reply.dport,
  }],
  amanda: [{ when: answer, protocol: TCP, src: client, dst: server, least: () => 1 }],
  sane: [{ when: at => established(at) && answer(at), protocol: TCP, src: client, dst: server }],
  // Audio, video and image; then a registration, which waits for the registrar.
  sip: [
    {
      protocol: UDP, classes: [1, 2, 3], src: at => at.anyDestination ? null : BACK(at),
      dst: at => at.anyDestination ? null : at.own.src, least: () => 1024, skipMaster: true,
    },
    {
      when: at => !at.connection.expected, protocol: at => at.connection.protocol,
      src: at => at.anySource ? null : BACK(at), dst: at => at.own.src, least: () => 1024, permanent: true,
      inactive: true, helper: 'sip',
    },
  ],
  // Both keys are those of the call.
  pptp: [
    {
      when: at => established(at) && answer(at), protocol: GRE, src: client, sport: at => at.state?.pns, dst: server,
      dport: at => at.state?.pac,
    },
    {
      when: at => established(at) && answer(at), protocol: GRE, src: server, sport: at => at.state?.pac, dst: client,
      dport: at => at.state?.pns,
    },
  ],
  // A gatekeeper elsewhere (not found by way of another); calls to whoever registers; admitted calls, anywhere.
  RAS: [
    { when: at => !at.connection.expected, protocol: UDP, src: BACK, dst: ANYWHERE, helper: 'RAS' },
    {
      protocol: TCP, src: at => at.anySource ? null : BACK(at), dst: SENDER, least: () => 1, permanent: true,
      helper: 'Q.931',
    },
    { protocol: TCP, src: BACK, dst: ANYWHERE, permanent: true, helper: 'Q.931' },
  ],
  // The control connection; a forwarded call, to anywhere.
  'Q.931': [
    { when: established, protocol: TCP, src: BACK, dst: SENDER, least: () => 1, helper: 'H.245' },
    { when: established, protocol: TCP, src: BACK, dst: ANYWHERE, least: () => 1, helper: 'Q.931' },
    ...CHANNELS,
  ],
  'H.245': CHANNELS,
  'netbios-ns': [BROADCAST(137)],
  snmp: [BROADCAST(161)],
}

/** How many one payload of so many bytes may announce. */
const MOST: Readonly<Record<string, (length: number) => number>> = {
  ftp: () => 1, irc: () => 1, tftp: () => 1, sane: () => 1, amanda: () => 4, pptp: () => 2, RAS: () => 1,
  'netbios-ns': () => 1, snmp: () => 1,
  // Three media of two ports in each message; the shortest with any has more than 60 bytes.
  sip: length => 6 * (1 + Math.floor(length / 60)),
  // An address has six bytes, and may announce two.
  'Q.931': length => 2 * Math.floor(length / 6), 'H.245': length => 2 * Math.floor(length / 6),
}

/** Calls of the table, for one payload: some, and no more than there are bytes. */
const mostCalls = (length: number) => 24 + length

/** @returns what is wrong with an expectation: nothing if it is as one of the helper's rules says */
export function violation(helper: string, expectation: NewExpectation, at: Moment): string | null {
  const wrong = RULES[helper].map(rule => misfits(rule, expectation, at))
  if (wrong.some(fields => fields.length === 0)) return forwardsToCaller(helper, expectation, at)
  const fields = wrong.map(each => each.join(', ')).join(' or ')
  return `${helper} may not expect ${JSON.stringify(expectation)}: ${fields}`
}

function forwardsToCaller(helper: string, { src, dst, helper: assigns }: NewExpectation, at: Moment): string | null {
  if (helper !== 'Q.931' || assigns !== 'Q.931' || at.forwardsToCaller || dst !== src) return null
  return `Q.931 may not forward a call to ${dst}, who makes it`
}

function misfits(rule: Rule, e: NewExpectation, at: Moment): string[] {
  if (rule.when && !rule.when(at)) return ['not in such a packet']
  const [dst, dport, sport] = [rule.dst(at), rule.dport?.(at), rule.sport?.(at)]
  const inPlace = {
    protocol: e.protocol === rule.protocol(at), class: (rule.classes ?? [0]).includes(e.class ?? 0),
    src: e.src === rule.src(at), srcMask: e.srcMask === rule.srcMask?.(at),
    sport: rule.sport ? isPort(e.sport) && (sport === undefined || e.sport === sport) : e.sport === undefined,
    dst: dst === null ? isAddress(e.dst, at.connection.family) : e.dst === dst,
    dport: isPort(e.dport) && e.dport >= (rule.least?.(at) ?? 0) && (dport === undefined || e.dport === dport),
    permanent: (e.permanent ?? false) === (rule.permanent ?? false),
    inactive: (e.inactive ?? false) === (rule.inactive ?? false), helper: e.helper === rule.helper,
    skipMaster: (e.skipMaster ?? false) === (rule.skipMaster ?? false), timeout: e.timeout === undefined,
  }
  return Object.entries(inPlace).filter(([, good]) => !good).map(([field]) => field)
}

const isPort = (value: number | undefined) => Number.isInteger(value) && value! >= 0 && value! <= 65535
const isSeconds = (value: number) => value >= 0 && value <= 2 ** 32

function isAddress(text: string, family: 4 | 6): boolean {
  return addressBytes(text).length === (family === 4 ? 4 : 16)
}

/** A connection's moment for a packet. */
export function momentOf(
  packet: Pick<HelperPacket, 'connection' | 'direction' | 'established' | 'state'>, loosened: Loosened,
): Moment {
  const { connection, direction, established, state } = packet
  const { original, reply } = connection
  const [own, back] = direction === 'original' ? [original, reply] : [reply, original]
  return { connection, direction, established, state, own, back, ...loosened }
}

/** A table that lets a helper do for one packet what its rules allow, and throws a `Violation` at anything else. */
export class WatchedTable implements HelperTable {
  /** How often it was called, and how much was announced. */
  calls = 0
  announced = 0
  added = 0

  constructor(
    private readonly table: HelperTable, private readonly helper: Helper, private readonly at: Moment,
    private readonly length: number,
  ) {}

  expect(expectation: NewExpectation): Added {
    this.#count()
    const wrong = violation(this.helper.name, expectation, this.at)
    if (wrong) throw new Violation(wrong)
    if (++this.announced > MOST[this.helper.name](this.length)) throw new Violation(`announces ${this.announced}`)
    const done = this.table.expect(expectation)
    if (done === 'added') this.added++
    return done
  }

  own(): readonly StandingExpectation[] {
    this.#count()
    return this.table.own()
  }

  find(protocol: number, src: string, sport: number, dst: string, dport: number): StandingExpectation | null {
    this.#count()
    const { family } = this.at.connection
    const addresses = isAddress(src, family) && isAddress(dst, family)
    if (!addresses) throw new Violation(`looks for ${src} > ${dst} over IPv${family}`)
    if (![protocol, sport, dport].every(isPort)) throw new Violation(`looks for ports ${sport} > ${dport}`)
    return this.table.find(protocol, src, sport, dst, dport)
  }

  remove(expectation: StandingExpectation): void {
    this.#count()
    if (expectation.master !== this.at.connection.id) throw new Violation("removes another connection's expectation")
    this.table.remove(expectation)
  }

  activate(expectation: StandingExpectation, timeout: number): void {
    this.#count()
    const { name } = this.helper
    // A gatekeeper's answer may come over another connection than the registration.
    const own = expectation.master === this.at.connection.id || name === 'RAS'
    const right = own && (name === 'RAS' || name === 'sip') && expectation.permanent && isSeconds(timeout)
    if (!right) throw new Violation(`activates ${JSON.stringify(expectation)} for ${timeout}`)
    this.table.activate(expectation, timeout)
  }

  setTimeout(seconds: number): void {
    this.#count()
    if (!isSeconds(seconds)) throw new Violation(`sets a timeout of ${seconds}`)
    this.table.setTimeout(seconds)
  }

  mapGreKeys(direction: 'original' | 'reply', tuple: GreTuple): boolean {
    this.#gre(tuple)
    const { src } = this.at.connection.original
    if ((direction === 'original') !== (tuple.src === src)) throw new Violation(`maps keys of the other direction`)
    return this.table.mapGreKeys(direction, tuple)
  }

  unmapGreKeys(): void {
    this.#count()
    this.table.unmapGreKeys()
  }

  destroyGre(tuple: GreTuple): void {
    this.#gre(tuple)
    this.table.destroyGre(tuple)
  }

  #gre({ src, srcKey, dst, dstKey }: GreTuple): void {
    this.#count()
    const { src: from, dst: to } = this.at.connection.original
    const ends = src === from && dst === to || src === to && dst === from
    if (this.helper.name !== 'pptp' || !ends || !isPort(srcKey) || !isPort(dstKey)) {
      throw new Violation(`GRE between ${src} and ${dst}, keys ${srcKey} and ${dstKey}`)
    }
  }

  #count(): void {
    if (++this.calls > mostCalls(this.length)) throw new Violation(`${this.calls} calls for ${this.length} bytes`)
  }
}

/** Throws where a state would not be the same after it was written down. */
export function checkState(state: unknown): void {
  if (state === undefined) return
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(state)), state)) throw new Violation('its state is not JSON')
}

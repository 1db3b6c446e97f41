/**
 * The SIP helper: calls announce their media streams, registrations the calls that come in.
 *
 * In: each datagram, or each TCP segment by itself, of a signalling connection. Out: expectations for RTP and RTCP from
 * the session descriptions of INVITE, UPDATE, PRACK, ACK and their answers; one for signalling from a REGISTER, which
 * matches nothing until the registrar has agreed; a drop where Linux drops. It behaves as Linux 6.18 without NAT: Via,
 * From, To and Call-ID are not looked at, and a message that Linux cannot read is dropped, not let through.
 *
 * A call's expectations go with its BYE, with the next INVITE and with the failure of the INVITE they came from.
 */
import { ConntrackError } from '../errors.js'
import { defineHelper } from './define.js'
import type { Helper, HelperPacket, HelperTable, HelperVerdict, NewExpectation } from './helper.js'
import { announcedMedia, MEDIA_TYPES, type Media } from './sdp.js'
import {
  contacts, CONTENT_LENGTH, CSEQ, digitsEnd, EXPIRES, headerNumber, headerValue, isExactly, isLetter, isLineBreak,
  numberAt, parameter, startsWith, type Uri,
} from './sip-message.js'

const TCP = 6
const UDP = 17

/** What is shorter is let through unread. */
const MIN_LENGTH = 11
const SPACE = 0x20
const STATUS_LINE = 'sip/2.0 '

/** Index of the signalling class; those of media follow in the order of `MEDIA_TYPES`. */
const SIGNALLING = 0
/** Seconds. */
const EXPECTATION_TIMEOUT = 180
/** Linux counts timeouts in ticks, with 32 bits; this is a common kernel's rate, and that of the golden answers. */
const TICKS_PER_SECOND = 250

/** `strictFraming`: a message that claims to be longer would reach around the space of sequence numbers. */
const MAX_STREAM_MESSAGE = 2 ** 30
/** `strictFraming`: nothing of this direction is read any more. */
const UNREADABLE = -1

/** Options of {@link sip}. */
export interface SipOptions {
  /** Destination ports of the connections it gets. Default 5060, as Linux's module parameter `ports`. */
  readonly ports?: readonly number[]
  /** Default both. */
  readonly protocol?: 'tcp' | 'udp' | readonly ('tcp' | 'udp')[]
  /** What every packet with payload leaves to the signalling connection, seconds. Default 3600 (`sip_timeout`). */
  readonly timeout?: number
  /** A registered party is called by its registrar only, not by anybody. Default true (`sip_direct_signalling`). */
  readonly directSignalling?: boolean
  /**
   * Media goes between the two ends of the signalling only: streams to other addresses are not expected, and expected
   * ones come from the peer. Otherwise any announced address is expected, from anybody. Default true
   * (`sip_direct_media`).
   */
  readonly directMedia?: boolean
  /**
   * Streams that do not pass here are not expected (`sip_external_media`). Linux finds out by its routes; a tracker has
   * none, so a function must say whether packets to `media` take the same way as packets to `peer`, the party that the
   * announcement is sent to. Asked only with `directMedia: false`. Default false: all pass here.
   */
  readonly externalMedia?: false | ((media: string, peer: string) => boolean)
  /**
   * Reads messages only where they can begin, against NAT slipstreaming: a web page makes a browser send a REGISTER
   * inside something else, cut so that a segment begins with it. Linux takes the start of every segment for the start
   * of a message, and whatever Content-Length says for its end, in HTTP too. Strict: a message begins with a SIP start
   * line, and over TCP at the first byte of its direction or right behind the message before. From the first byte on
   * where that is not so, after a gap, and where a header does not fit into one segment, that direction is not read any
   * more. Default false, as Linux.
   */
  readonly strictFraming?: boolean
  /**
   * Only packets that begin with a SIP start line set `timeout`. With Linux any payload does, so that a single byte
   * keeps the connection for an hour. Default false, as Linux.
   */
  readonly refreshBySipOnly?: boolean
}

/** What the helper remembers of a connection. */
export interface SipState {
  /** CSeq number of the last INVITE that was let through. */
  inviteCseq: number
  /** CSeq number of the last REGISTER that was let through. */
  registerCseq: number
  /**
   * `strictFraming`: by direction, the TCP sequence number at which the next message begins; `null`: nothing seen yet;
   * -1: nothing is read any more.
   */
  next: [number | null, number | null]
}

type Settings = Required<SipOptions>

/** A packet and what may be done about it. */
interface Visit {
  readonly packet: HelperPacket<SipState>
  readonly table: HelperTable
  readonly settings: Settings
}

/** A message and what is needed to act on it. */
interface Call extends Visit {
  readonly data: Uint8Array
  readonly cseq: number
  /** Status code; 0 for a request. */
  readonly code: number
  /** The sender. */
  readonly from: string
  /** Whom it is sent to. */
  readonly to: string
  /** Who sends in the other direction: `to`, unless addresses are translated. */
  readonly peer: string
}

type Handler = (call: Call) => HelperVerdict

interface Method {
  /** In lower case. */
  readonly name: string
  readonly request: Handler
  readonly response: Handler
}

const accept: Handler = () => 'accept'

const METHODS: readonly Method[] = [
  { name: 'invite', request: invite, response: answer },
  { name: 'update', request: expectMedia, response: answer },
  { name: 'ack', request: expectMedia, response: accept },
  { name: 'prack', request: expectMedia, response: answer },
  { name: 'bye', request: hangUp, response: accept },
  { name: 'register', request: register, response: registered },
]

const DEFAULTS: Settings = {
  ports: [5060],
  protocol: ['udp', 'tcp'],
  timeout: 3600,
  directSignalling: true,
  directMedia: true,
  externalMedia: false,
  strictFraming: false,
  refreshBySipOnly: false,
}

/**
 * The helper for SIP (RFC 3261) over UDP and TCP, IPv4 and IPv6, as Linux's `nf_conntrack_sip`.
 *
 * @throws ConntrackError `invalid-argument` naming the option
 */
export function sip(options: SipOptions = {}): Helper<SipState> {
  const settings = { ...DEFAULTS, ...checked(options) }
  return defineHelper({
    name: 'sip',
    protocol: settings.protocol,
    families: [4, 6],
    ports: settings.ports,
    classes: [
      { name: 'signalling', limit: 1, timeout: EXPECTATION_TIMEOUT },
      { name: 'audio', limit: 4, timeout: EXPECTATION_TIMEOUT },
      { name: 'video', limit: 4, timeout: EXPECTATION_TIMEOUT },
      { name: 'image', limit: 2, timeout: EXPECTATION_TIMEOUT },
    ],
    state: () => ({ inviteCseq: 0, registerCseq: 0, next: [null, null] }),
    inspect: (packet, table) => packet.connection.protocol === TCP
      ? inspectSegment({ packet, table, settings })
      : inspectDatagram({ packet, table, settings }),
  })
}

function inspectDatagram(visit: Visit): HelperVerdict {
  const { packet: { payload }, table, settings } = visit
  if (payload.length === 0) return 'accept'
  if (!settings.refreshBySipOnly || hasStartLine(payload)) table.setTimeout(settings.timeout)
  if (payload.length < MIN_LENGTH || settings.strictFraming && !hasStartLine(payload)) return 'accept'
  return handle(payload, visit)
}

function inspectSegment(visit: Visit): HelperVerdict {
  const { packet: { payload, established }, table, settings } = visit
  if (payload.length === 0) return 'accept'
  if (established && (!settings.refreshBySipOnly || hasStartLine(payload))) table.setTimeout(settings.timeout)
  if (settings.strictFraming) return inspectFramed(visit.packet, visit)
  if (!established || payload.length < MIN_LENGTH) return 'accept'
  let rest = payload
  for (let end = messageEnd(rest); end > 0 && end <= rest.length; end = messageEnd(rest)) {
    if (handle(rest.subarray(0, end), visit) === 'drop') return 'drop'
    rest = rest.subarray(end)
  }
  return 'accept'
}

/** As `inspectSegment`, for `strictFraming`: it knows where in the stream messages begin. */
function inspectFramed({ payload, established, seq, state, direction }: Visit['packet'], visit: Visit): HelperVerdict {
  const side = direction === 'original' ? 0 : 1
  const next = state.next[side] ?? seq
  if (next === UNREADABLE) return 'accept'
  // Sequence numbers wrap; behind a gap, and in what came with the SYN, nobody knows where messages begin.
  let at = (next - seq) | 0
  if (at < 0 || !established) at = UNREADABLE
  let verdict: HelperVerdict = 'accept'
  while (at >= 0 && at < payload.length && verdict === 'accept') {
    const rest = payload.subarray(at)
    if (isLineBreak(rest[0])) {
      at++ // RFC 5626, section 3.5.1: keep-alives between messages
      continue
    }
    const end = hasStartLine(rest) ? messageEnd(rest) : 0
    if (end > 0 && end <= rest.length) verdict = handle(rest.subarray(0, end), visit)
    at = end > 0 && end < MAX_STREAM_MESSAGE ? at + end : UNREADABLE
  }
  // What is dropped comes again.
  if (verdict === 'accept') state.next[side] = at < 0 ? UNREADABLE : (seq + at) >>> 0
  return verdict
}

/** Whether the first line is a SIP request's or response's (RFC 3261, section 7). */
function hasStartLine(data: Uint8Array): boolean {
  if (startsWith(data, 0, STATUS_LINE)) return true
  let end = 0
  while (end < data.length && !isLineBreak(data[end])) end++
  return end < data.length && isLetter(data[0]) && isExactly(data, end - 8, ' SIP/2.0')
}

/**
 * The end of the message by its Content-Length, which may lie beyond the data. 0: it has no such header, or no empty
 * line after it.
 *
 * The sum is one of doubles and the length has 32 bits at most, so it cannot wrap (CVE-2026-23457).
 */
function messageEnd(data: Uint8Array): number {
  const at = headerValue(data, 0, CONTENT_LENGTH)
  const length = at < 0 ? -1 : numberAt(data, at)
  if (length < 0) return 0
  for (let i = digitsEnd(data, at); i + 4 <= data.length; i++) {
    if (isExactly(data, i, '\r\n\r\n')) return i + 4 + length
  }
  return 0
}

/** Acts on one message. */
function handle(data: Uint8Array, { packet, table, settings }: Visit): HelperVerdict {
  const { original, reply } = packet.connection
  const [sent, back] = packet.direction === 'original' ? [original, reply] : [reply, original]
  const context = { data, packet, table, settings, from: sent.src, to: sent.dst, peer: back.src }
  if (startsWith(data, 0, STATUS_LINE)) return handleResponse(data, context)
  const method = METHODS.find(({ name }) => isNamed(data, name) && isLetter(data[name.length + 1]))
  if (!method) return 'accept'
  const cseq = headerNumber(data, CSEQ)
  return cseq < 0 ? 'drop' : method.request({ ...context, cseq, code: 0 })
}

function isNamed(data: Uint8Array, method: string): boolean {
  return startsWith(data, 0, method) && data[method.length] === SPACE
}

/** A response is to the method that its CSeq names, one byte behind the number. */
function handleResponse(data: Uint8Array, context: Omit<Call, 'cseq' | 'code'>): HelperVerdict {
  const code = numberAt(data, STATUS_LINE.length)
  if (code <= 0) return 'drop'
  const at = headerValue(data, 0, CSEQ)
  const cseq = at < 0 ? -1 : numberAt(data, at)
  if (cseq < 0) return 'drop'
  const named = digitsEnd(data, at) + 1
  const method = METHODS.find(({ name }) => startsWith(data, named, name))
  return method ? method.response({ ...context, cseq, code }) : 'accept'
}

function invite(call: Call): HelperVerdict {
  removeMedia(call)
  const verdict = expectMedia(call)
  if (verdict === 'accept') call.packet.state.inviteCseq = call.cseq
  return verdict
}

function hangUp(call: Call): HelperVerdict {
  removeMedia(call)
  return 'accept'
}

/** A response to INVITE, UPDATE or PRACK. Only an INVITE's number is remembered, which a failed PRACK may match too. */
function answer(call: Call): HelperVerdict {
  if (call.code >= 100 && call.code <= 299) return expectMedia(call)
  if (call.cseq === call.packet.state.inviteCseq) removeMedia(call)
  return 'accept'
}

/** Expects the streams that a session description announces. Those before one that cannot be read stay expected. */
function expectMedia(call: Call): HelperVerdict {
  for (const media of announcedMedia(call.data, call.packet.connection.family)) {
    if (media.port < 1024 || media.port > 65535 || media.address === null) return 'drop'
    if (!expectStream(call, media, media.address)) return 'drop'
  }
  return 'accept'
}

/** @returns false where the stream should be expected and cannot be */
function expectStream(call: Call, media: Media, dst: string): boolean {
  const { settings, table } = call
  const { directMedia, externalMedia } = settings
  if (directMedia ? dst !== call.from : externalMedia && externalMedia(dst, call.to)) return true
  const mediaClass = MEDIA_TYPES.indexOf(media.type) + 1
  const standing = table.find(UDP, call.peer, 0, dst, media.port)
  // Another call of the same parties has announced it: it stays that call's.
  const foreign = standing && standing.master !== call.packet.connection.id && standing.madeBy === 'sip'
  if (foreign && (standing.class ?? 0) === mediaClass) return true
  const src = directMedia ? call.peer : null
  const rtp = { protocol: UDP, src, dst, dport: media.port & ~1, class: mediaClass, skipMaster: true }
  return expectPair(table, rtp, { ...rtp, dport: rtp.dport + 1 })
}

/** Both or none. What is expected already, of whatever class, counts as done. */
function expectPair(table: HelperTable, rtp: NewExpectation, rtcp: NewExpectation): boolean {
  const first = table.expect(rtp)
  if (!isExpected(first)) return false
  if (isExpected(table.expect(rtcp))) return true
  if (first === 'added') {
    const added = table.own().find(({ dst, dport }) => dst === rtp.dst && dport === rtp.dport)
    if (added) table.remove(added)
  }
  return false
}

function isExpected(added: ReturnType<HelperTable['expect']>): boolean {
  return added === 'added' || added === 'already'
}

/** Announces the Contact of a registration. Not if this connection was itself announced by one. */
function register(call: Call): HelperVerdict {
  const { packet, settings, table } = call
  if (packet.connection.expected) return 'accept'
  const contact = contacts(call.data, packet.connection.family).next().value
  if (!contact || contact.address !== call.from || !isSameTransport(call, contact)) return 'accept'
  const expires = expiry(call, contact, headerNumber(call.data, EXPIRES))
  if (expires < 0) return 'drop'
  if (expires > 0) {
    const src = settings.directSignalling ? call.peer : null
    const { protocol } = packet.connection
    const incoming = { protocol, src, dst: contact.address, dport: contact.port, class: SIGNALLING, helper: 'sip' }
    if (table.expect({ ...incoming, permanent: true, inactive: true }) !== 'added') return 'drop'
  }
  packet.state.registerCseq = call.cseq
  return 'accept'
}

/** The registrar's answer: it makes the announced Contact active for as long as it says, or withdraws it. */
function registered(call: Call): HelperVerdict {
  const { connection, state } = call.packet
  if (call.cseq !== state.registerCseq || call.code >= 100 && call.code <= 199) return 'accept'
  if (call.code < 200 || call.code > 299) return withdraw(call)
  const common = headerNumber(call.data, EXPIRES)
  for (const contact of contacts(call.data, connection.family)) {
    if (contact.address !== call.to || !isSameTransport(call, contact)) continue
    const expires = expiry(call, contact, common)
    if (expires < 0) return 'drop'
    if (expires === 0) return withdraw(call)
    const standing = call.table.own().find(({ class: index = SIGNALLING, protocol, dst, dport }) => index === SIGNALLING
      && protocol === connection.protocol && dst === contact.address && dport === contact.port)
    if (!standing) continue
    call.table.activate(standing, wrapped(expires))
    return 'accept'
  }
  return withdraw(call)
}

/** Removes the newest expectation of signalling. */
function withdraw(call: Call): HelperVerdict {
  const standing = call.table.own().find(expectation => (expectation.class ?? SIGNALLING) === SIGNALLING)
  if (standing) call.table.remove(standing)
  return 'accept'
}

function removeMedia(call: Call): void {
  for (const standing of [...call.table.own()]) {
    if ((standing.class ?? SIGNALLING) !== SIGNALLING) call.table.remove(standing)
  }
}

/** Whether the Contact names this connection's transport, or none. Linux compares three letters: `udpx` is UDP. */
function isSameTransport(call: Call, contact: Uri): boolean {
  const at = parameter(call.data, contact, 'transport=')
  return at < 0 || startsWith(call.data, at, call.packet.connection.protocol === TCP ? 'tcp' : 'udp')
}

/**
 * Seconds; -1 where the Contact's own parameter is no number.
 *
 * @param common what the Expires header says for Contacts without such a parameter; -1: nothing, which counts as 0
 */
function expiry(call: Call, contact: Uri, common: number): number {
  const at = parameter(call.data, contact, 'expires=')
  return at < 0 ? Math.max(0, common) : numberAt(call.data, at)
}

/** From 198 days on, Linux's count of ticks wraps. */
function wrapped(seconds: number): number {
  return seconds * TICKS_PER_SECOND % 2 ** 32 / TICKS_PER_SECOND
}

const CHECKS: { readonly [Name in keyof Settings]: readonly [(value: unknown) => boolean, string] } = {
  ports: [value => Array.isArray(value) && value.every(port => isInteger(port, 0, 65535)), 'an array of port numbers'],
  protocol: [isProtocols, "'tcp', 'udp' or an array of them"],
  timeout: [value => isInteger(value, 1, 0x7fffffff), 'whole seconds, 1 to 2147483647'],
  directSignalling: [isBoolean, 'a boolean'],
  directMedia: [isBoolean, 'a boolean'],
  externalMedia: [value => value === false || typeof value === 'function', 'false or a function'],
  strictFraming: [isBoolean, 'a boolean'],
  refreshBySipOnly: [isBoolean, 'a boolean'],
}

/** The options that are given, checked. */
function checked(options: SipOptions): SipOptions {
  if (typeof options !== 'object' || options === null) throw invalid('options must be an object')
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [name, value] of given) {
    if (!Object.hasOwn(CHECKS, name)) throw invalid(`unknown option '${name}'`)
    const [holds, what] = CHECKS[name as keyof Settings]
    if (!holds(value)) throw invalid(`${name} must be ${what}`)
  }
  return Object.fromEntries(given)
}

function isProtocols(value: unknown): boolean {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value]
  return names.length > 0 && names.every(name => name === 'tcp' || name === 'udp')
}

function isInteger(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean'
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', `sip: ${message}`)
}

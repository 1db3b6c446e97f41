/** Messages of H.323 for tests, written after the standards: RAS and call signalling (H.225.0), H.245, TPKT. */
import { addressBytes } from '../../src/match.js'
import {
  added, additions, all, bits, counted, encode, large, list, number, octets, present, word, type Piece,
} from './per-writer.js'

/** `192.0.2.1:5000`, `[2001:db8::1]:5000` */
export type At = string

function endOf(at: At): { ip: Uint8Array, port: number } {
  const [, address, port] = /^\[?(.*?)\]?:(\d+)$/.exec(at)!
  return { ip: addressBytes(address), port: Number(port) }
}

const part = (at: At | undefined, piece: (at: At) => Piece): Piece => at === undefined ? all() : piece(at)

// H.225.0

/** TransportAddress of H.225.0: an ipAddress or an ip6Address. */
function address(at: At): Piece {
  const { ip, port } = endOf(at)
  return all(bits(ip.length === 4 ? '0 000' : '0 011 0'), octets(ip), word(port))
}

/** A TransportAddress that is none of IP: ipxAddress. */
const ipxAddress: Piece = all(bits('0 010'), octets(Array<number>(12).fill(1)))

const PROTOCOL = counted([0, 8, 0x91, 0x4a, 0, 4])
const GUID = octets(Array.from({ length: 16 }, (_, i) => i))
/** A terminal: no addition, no other component. */
const TERMINAL = all(bits('0 000001'), bits('0 0'), bits('0 0'))
const VENDOR = all(bits('0 00'), bits('0'), octets([1, 2]), word(3))
const TERMINAL_WITH_VENDOR = all(bits('0 010001'), VENDOR, bits('0 0'), bits('0 0'))
const callIdentifier = all(bits('0'), GUID)

/** What call messages have in common. */
export interface CallFields {
  readonly h245Address?: At
  /** Encoded openLogicalChannels. */
  readonly fastStart?: readonly Uint8Array[]
}

const elements = (values: readonly Uint8Array[]) => list(...values.map(value => counted(value)))
const fast = ({ fastStart }: CallFields): Piece | undefined => fastStart && elements(fastStart)
const extended = (...pieces: readonly unknown[]) => bits(pieces.some(piece => piece !== undefined) ? '1' : '0')

/** A call message: which one of the CHOICE it is, and its contents. */
export type CallBody = Piece

export function setup(fields: CallFields & { readonly destination?: At, readonly source?: At } = {}): CallBody {
  const { h245Address, destination, source } = fields
  const sourceAddress = source === undefined ? undefined : address(source)
  return all(
    bits('0 000'), bits('1'), present(h245Address, undefined, undefined, destination, undefined,
      undefined, undefined),
    PROTOCOL, part(h245Address, address), TERMINAL_WITH_VENDOR, part(destination, address),
    bits('0'), GUID, bits('0 00'), bits('0 00'),
    additions(sourceAddress, undefined, callIdentifier, undefined, undefined, undefined, fast(fields)),
  )
}

const answerAdditions = (fields: CallFields) =>
  additions(callIdentifier, undefined, undefined, undefined, fast(fields))

const answer = (index: string) => (fields: CallFields = {}): CallBody => all(
  bits(`0 ${index}`), bits('1'), present(fields.h245Address), PROTOCOL, TERMINAL, part(fields.h245Address, address),
  answerAdditions(fields),
)

export const callProceeding = answer('001')
export const alerting = answer('011')

export const connect = (fields: CallFields = {}): CallBody => all(
  bits('0 010'), bits('1'), present(fields.h245Address), PROTOCOL, part(fields.h245Address, address), TERMINAL, GUID,
  answerAdditions(fields),
)

export const information = (fields: CallFields = {}): CallBody => all(
  bits('0 100'), bits('1'), PROTOCOL, additions(callIdentifier, undefined, undefined, fast(fields)))

export const releaseComplete = (): CallBody => all(bits('0 101'), bits('0 0'), PROTOCOL)

const REASONS = ['routeCallToGatekeeper', 'callForwarded', 'routeCallToMC', 'undefinedReason'] as const

export interface FacilityFields extends CallFields {
  readonly reason?: typeof REASONS[number]
  readonly alternativeAddress?: At
}

export function facility(fields: FacilityFields = {}): CallBody {
  const { reason = 'undefinedReason', alternativeAddress, h245Address } = fields
  const control = h245Address === undefined ? undefined : address(h245Address)
  return all(
    bits('0 110'), extended(control, fields.fastStart), present(alternativeAddress, undefined, undefined), PROTOCOL,
    part(alternativeAddress, address), bits('0'), number(REASONS.indexOf(reason), 2),
    additions(undefined, undefined, undefined, undefined, undefined, undefined, control, fast(fields)),
  )
}

export const progress = (fields: CallFields = {}): CallBody => added(0, all(
  bits('0'), present(fields.h245Address, undefined, undefined, undefined, fields.fastStart), PROTOCOL, TERMINAL,
  part(fields.h245Address, address), callIdentifier, fast(fields) ?? all(),
))

/** A call message of a kind that Linux does not know: an addition to the CHOICE. */
export const statusInquiry: CallBody = added(2, PROTOCOL)

/** H323-UserInformation, with H.245 messages in it (h245Control, and then h245Tunneling is true). */
export function userInformation(body: CallBody, h245Control?: readonly Uint8Array[]): Uint8Array {
  const tunnelling = h245Control && bits('1')
  return encode(bits('0 0'), extended(h245Control), bits('0'), body,
    additions(undefined, tunnelling, h245Control && elements(h245Control)))
}

export interface Q931Fields {
  /** Octets of the call reference. */
  readonly reference?: readonly number[]
  /** Information elements before the user-user element. */
  readonly elements?: readonly number[]
  /** Those behind it. */
  readonly trailing?: readonly number[]
  /** What the user-user element says its length is. */
  readonly length?: number
  readonly discriminator?: number
  readonly protocol?: number
}

/** Bearer capability (two octets of contents) and display. */
const USUAL_ELEMENTS = [0x04, 2, 0x88, 0x90, 0x28, 3, 0x61, 0x62, 0]

/** A Q.931 message; its type is that of a setup, at which nobody looks. */
export function q931(user: Uint8Array, fields: Q931Fields = {}): Uint8Array {
  const { reference = [0, 1], elements = USUAL_ELEMENTS, trailing = [], discriminator = 5, protocol = 8 } = fields
  const size = fields.length ?? user.length + 1
  return Uint8Array.of(
    protocol, reference.length, ...reference, 5, ...elements, 0x7e, size >> 8, size & 255, discriminator, ...user,
    ...trailing,
  )
}

/** TPKTs, one after the other. */
export function tpkt(...messages: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(messages.flatMap(message => {
    const size = message.length + 4
    return [3, 0, size >> 8, size & 255, ...message]
  }))
}

/** A segment with this call message. */
export const call = (body: CallBody, h245Control?: readonly Uint8Array[]): Uint8Array =>
  tpkt(q931(userInformation(body, h245Control)))

// H.245

/** TransportAddress of H.245, a unicastAddress. */
function controlAddress(at: At): Piece {
  const { ip, port } = endOf(at)
  return all(bits('0 0'), bits(ip.length === 4 ? '0 000 0' : '0 010 0'), octets(ip), word(port))
}

/** A multicastAddress. */
const multicastAddress = (at: At): Piece => {
  const { ip, port } = endOf(at)
  return all(bits('0 1'), bits(ip.length === 4 ? '0 0 0' : '0 1 0'), octets(ip), word(port))
}

/** Where a channel goes: media (RTP) and media control (RTCP). */
interface Channels {
  readonly media?: At
  readonly control?: At
  /** Its addresses are written as those of groups. */
  readonly multicast?: boolean
}

/** H2250LogicalChannelParameters */
function channelParameters({ media, control, multicast = false }: Channels): Piece {
  const write = multicast ? multicastAddress : controlAddress
  return all(
    bits('0'), present(undefined, undefined, media, undefined, control, undefined, undefined, undefined, undefined,
      undefined),
    octets([1]), part(media, write), part(control, write),
  )
}

/** H2250LogicalChannelAckParameters */
const ackParameters = ({ media, control }: Channels): Piece => all(
  bits('0'), present(undefined, undefined, media, control, undefined), part(media, controlAddress),
  part(control, controlAddress),
)

/** NetworkAccessParameters with a localAreaAddress. */
const separateStack = (at: At): Piece => all(bits('0 00'), bits('0 10'), controlAddress(at), bits('0'))

const AUDIO = all(bits('0 011'), bits('0 0011'), octets([19]))
const NULL_DATA = bits('0 001')
/** data: T.120 over a separateLANStack. */
const T120 = all(bits('0 100'), bits('0'), bits('0 0001'), added(3, octets([0])), large(6400))
/** data: T.120 over another one (`transparent`). */
const T120_TRANSPARENT = all(bits('0 100'), bits('0'), bits('0 0001'), bits('0 110'), large(6400))
const NO_PARAMETERS = added(1, octets([0]))

const DATA = { audio: AUDIO, none: NULL_DATA, t120: T120, t120Transparent: T120_TRANSPARENT } as const

export interface ChannelFields {
  /** The forward channel; what it carries. */
  readonly forward?: Channels
  readonly data?: keyof typeof DATA
  readonly reverse?: Channels
  readonly separateStack?: At
}

/** openLogicalChannel by itself, as fastStart has it. */
export const openLogicalChannel = (fields: ChannelFields): Uint8Array => encode(olc(fields))

function olc({ forward, data = 'audio', reverse, separateStack: stack }: ChannelFields): Piece {
  return all(
    extended(stack), present(reverse), word(0),
    bits('0 0'), DATA[data], forward ? added(0, channelParameters(forward)) : NO_PARAMETERS,
    reverse ? all(bits('0 1'), AUDIO, added(0, channelParameters(reverse))) : all(),
    additions(stack === undefined ? undefined : separateStack(stack)),
  )
}

/** The request openLogicalChannel. */
export const open = (fields: ChannelFields): Uint8Array => encode(bits('0 00'), bits('0 0011'), olc(fields))

/** The response openLogicalChannelAck. */
export function openAck({ forward, reverse, separateStack: stack }: ChannelFields): Uint8Array {
  const acknowledged = forward && all(bits('0'), ackParameters(forward))
  return encode(
    bits('0 01'), bits('0 00101'), extended(stack, forward), present(reverse), word(0),
    reverse ? all(bits('0 01'), word(0), added(0, channelParameters(reverse))) : all(),
    additions(stack === undefined ? undefined : separateStack(stack), acknowledged),
  )
}

/** The request masterSlaveDetermination. */
export const masterSlave = (): Uint8Array =>
  encode(bits('0 00'), bits('0 0001'), bits('0'), octets([50]), number(2, 2), octets([1, 2, 3]))

/** The command endSessionCommand: disconnect. */
export const endSession = (): Uint8Array => encode(bits('0 10'), bits('0 101'), bits('0 01'))

// RAS

const SEQUENCE_NUMBER = word(6)
/** EndpointIdentifier, GatekeeperIdentifier: BMPString of two characters. */
const IDENTIFIER = all(number(1, 7), octets([0, 0x61, 0, 0x62]))
const ras = (index: number, ...pieces: readonly Piece[]): Uint8Array => encode(bits('0'), number(index, 5), ...pieces)
const seconds = (ttl: number | undefined): Piece | undefined => ttl === undefined ? undefined : large(ttl - 1)
const addresses = (values: readonly (At | 'ipx')[]) =>
  list(...values.map(value => value === 'ipx' ? ipxAddress : address(value)))

export const gatekeeperRequest = (at: At) =>
  ras(0, bits('0 0000'), SEQUENCE_NUMBER, PROTOCOL, address(at), TERMINAL)

export const gatekeeperConfirm = (at: At) => ras(1, bits('0 00'), SEQUENCE_NUMBER, PROTOCOL, address(at))

export interface RegistrationFields {
  /** callSignalAddress */
  readonly calls: readonly (At | 'ipx')[]
  readonly ras?: readonly At[]
  /** timeToLive, seconds */
  readonly ttl?: number
  /** Nothing follows the timeToLive. */
  readonly ttlLast?: boolean
}

/** A timeToLive and, of the later additions, two. */
const ttlAdditions = ({ ttl, ttlLast }: RegistrationFields, ...later: readonly Piece[]) => ttl === undefined ? all()
  : additions(undefined, seconds(ttl), ...ttlLast ? [] : [undefined, undefined, undefined, ...later])

export const registrationRequest = (fields: RegistrationFields) => ras(3,
  extended(fields.ttl), bits('000'), SEQUENCE_NUMBER, PROTOCOL, bits('0'), addresses(fields.calls),
  addresses(fields.ras ?? []), TERMINAL, VENDOR, ttlAdditions(fields, bits('0'), bits('1')))

export const registrationConfirm = (fields: RegistrationFields) => ras(4,
  extended(fields.ttl), bits('000'), SEQUENCE_NUMBER, PROTOCOL, addresses(fields.calls), IDENTIFIER,
  ttlAdditions(fields, bits('0'), bits('0 1111')))

export const registrationReject = () => ras(5, bits('0 00'), SEQUENCE_NUMBER, PROTOCOL, bits('0 0000'))

export const unregistrationRequest = (calls: readonly At[]) =>
  ras(6, bits('0 001'), SEQUENCE_NUMBER, addresses(calls), IDENTIFIER)

export const unregistrationConfirm = () => ras(7, bits('0 0'), SEQUENCE_NUMBER)

export const admissionRequest = (destination: At) => ras(9,
  bits('0 0010000'), SEQUENCE_NUMBER, bits('0 00'), IDENTIFIER, list(), address(destination), large(640), word(1), GUID,
  bits('0 0'))

export const admissionConfirm = (destination: At) => ras(10,
  bits('0 00'), SEQUENCE_NUMBER, large(640), bits('0 0'), address(destination))

export const locationRequest = (reply: At) => ras(18, bits('0 000'), SEQUENCE_NUMBER, list(), address(reply))

export const locationConfirm = (calls: At, own: At) =>
  ras(19, bits('0 0'), SEQUENCE_NUMBER, address(calls), address(own))

export const infoRequest = (reply: At) => ras(21, bits('0 01'), SEQUENCE_NUMBER, word(1), address(reply))

export const infoRequestResponse = (own: At, calls: readonly At[]) => ras(22,
  bits('0 000'), SEQUENCE_NUMBER, TERMINAL, IDENTIFIER, address(own), addresses(calls))

/** A message of a kind that came later: requestInProgress, an addition to the CHOICE. */
export const requestInProgress = () => encode(added(0, all(bits('0 0'), SEQUENCE_NUMBER, word(100))))

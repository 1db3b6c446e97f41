/**
 * H.225.0 RAS (registration, admission and status): what endpoints and gatekeepers tell each other in UDP, one message a
 * datagram. A confirmed discovery, admission or location names an address to which the requester will turn; a
 * registration, one at which the endpoint takes calls for as long as it is registered.
 */
import {
  BANDWIDTH, ENDPOINT_IDENTIFIER, GATEKEEPER_IDENTIFIER, PROTOCOL_IDENTIFIER, TCP, UDP, aliasAddress, endpoint,
  endpointType, nonStandardParameter, transportAddress, tuplesOf, vendorIdentifier, type TransportAddress,
} from './h225.js'
import { toSender } from './h245.js'
import { defineHelper } from './define.js'
import type { Helper, HelperPacket, HelperTable, HelperVerdict } from './helper.js'
import {
  BOOLEAN, NULL, STOP, UNREAD, choice, decode, integer, list, optional, sequence, type PerFields, type PerType,
} from './per.js'
import { Q931_HELPER } from './q931.js'

// Messages

const REQUEST_SEQ_NUM = integer(1, 65535)

/**
 * INTEGER (1..4294967295). Linux 6.18 goes past its octets twice: where as many do not follow in the datagram, the
 * message is broken to it. The largest one, which cannot be, wraps to 0.
 */
const TIME_TO_LIVE: PerType = {
  read(reader) {
    const octets = reader.bits(2) + 1
    const seconds = reader.number(octets) + 1 >>> 0
    reader.octets(octets)
    return seconds
  },
}

const callSignalAddresses = list(transportAddress, 10)

const gatekeeperConfirm = sequence({
  requestSeqNum: REQUEST_SEQ_NUM,
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  nonStandardData: optional(nonStandardParameter),
  gatekeeperIdentifier: optional(GATEKEEPER_IDENTIFIER),
  rasAddress: transportAddress,
}, { added: STOP })

const registrationRequest = sequence({
  requestSeqNum: REQUEST_SEQ_NUM,
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  nonStandardData: optional(nonStandardParameter),
  discoveryComplete: BOOLEAN,
  callSignalAddress: callSignalAddresses,
  rasAddress: list(transportAddress),
  terminalType: endpointType,
  terminalAlias: optional(list(aliasAddress)),
  gatekeeperIdentifier: optional(GATEKEEPER_IDENTIFIER),
  endpointVendor: vendorIdentifier,
}, { alternateEndpoints: UNREAD, timeToLive: TIME_TO_LIVE, tokens: STOP })

const registrationConfirm = sequence({
  requestSeqNum: REQUEST_SEQ_NUM,
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  nonStandardData: optional(nonStandardParameter),
  callSignalAddress: callSignalAddresses,
  terminalAlias: optional(list(aliasAddress)),
  gatekeeperIdentifier: optional(GATEKEEPER_IDENTIFIER),
  endpointIdentifier: ENDPOINT_IDENTIFIER,
}, { alternateGatekeeper: UNREAD, timeToLive: TIME_TO_LIVE, tokens: STOP })

const unregistrationRequest = sequence({
  requestSeqNum: REQUEST_SEQ_NUM,
  callSignalAddress: callSignalAddresses,
  endpointAlias: optional(list(aliasAddress)),
  nonStandardData: optional(nonStandardParameter),
  endpointIdentifier: optional(ENDPOINT_IDENTIFIER),
}, { added: STOP })

const admissionConfirm = sequence({
  requestSeqNum: REQUEST_SEQ_NUM,
  bandWidth: BANDWIDTH,
  callModel: choice({ direct: NULL, gatekeeperRouted: NULL }, {}),
  destCallSignalAddress: transportAddress,
  irrFrequency: optional(integer(1, 65535)),
  nonStandardData: optional(nonStandardParameter),
}, { added: STOP })

const locationConfirm = sequence({
  requestSeqNum: REQUEST_SEQ_NUM,
  callSignalAddress: transportAddress,
  rasAddress: transportAddress,
  nonStandardData: optional(nonStandardParameter),
}, { added: STOP })

/** The 25 messages before the `...`; those that announce nothing are not read. */
const messages: PerFields = {
  gatekeeperRequest: UNREAD, gatekeeperConfirm, gatekeeperReject: UNREAD, registrationRequest, registrationConfirm,
  registrationReject: UNREAD, unregistrationRequest, unregistrationConfirm: UNREAD, unregistrationReject: UNREAD,
  admissionRequest: UNREAD, admissionConfirm, admissionReject: UNREAD, bandwidthRequest: UNREAD, bandwidthConfirm: UNREAD,
  bandwidthReject: UNREAD, disengageRequest: UNREAD, disengageConfirm: UNREAD, disengageReject: UNREAD,
  locationRequest: UNREAD, locationConfirm, locationReject: UNREAD, infoRequest: UNREAD, infoRequestResponse: UNREAD,
  nonStandardMessage: UNREAD, unknownMessageResponse: UNREAD,
}

const rasMessage = choice(messages, {})

// As they are decoded

interface Registration {
  readonly callSignalAddress: readonly TransportAddress[]
  readonly timeToLive?: number
}

interface RasMessage {
  readonly gatekeeperConfirm?: { readonly rasAddress: TransportAddress }
  readonly registrationRequest?: Registration
  readonly registrationConfirm?: Registration
  readonly unregistrationRequest?: Registration
  readonly admissionConfirm?: { readonly destCallSignalAddress: TransportAddress }
  readonly locationConfirm?: { readonly callSignalAddress: TransportAddress }
}

/** What is remembered of a registration. */
export interface RasState {
  /** Seconds; 0 before a request. */
  timeToLive: number
  /** At which port each side takes calls; 0 if that is not known. */
  port: { original: number, reply: number }
}

export interface RasOptions {
  readonly defaultRrqTtl: number
  readonly gkRoutedOnly: boolean
}

type Ras = HelperPacket<RasState>

const RAS_HELPER = 'RAS'

/** Linux counts time in 32 bits of ticks, mostly 250 a second: a time to live above 17179869 seconds begins anew. */
const TICKS = 250

/** Seconds that an endpoint has for the answer to its unregistration. */
const UNREGISTRATION_TIMEOUT = 30

function inspectRas(packet: Ras, table: HelperTable, options: RasOptions): HelperVerdict {
  const message = decode<RasMessage>(rasMessage, packet.payload)
  if (message?.gatekeeperConfirm) return discovered(message.gatekeeperConfirm.rasAddress, packet, table)
  if (message?.registrationRequest) return registering(message.registrationRequest, packet, table, options)
  if (message?.registrationConfirm) return registered(message.registrationConfirm, packet, table)
  if (message?.unregistrationRequest) return unregistering(packet, table)
  if (message?.admissionConfirm) return admitted(message.admissionConfirm.destCallSignalAddress, packet, table)
  if (message?.locationConfirm) return located(message.locationConfirm.callSignalAddress, packet, table)
  return 'accept'
}

/** A gatekeeper that wants registrations elsewhere than where it was found. Not twice over, lest one leads to the next. */
function discovered(address: TransportAddress, packet: Ras, table: HelperTable): HelperVerdict {
  const at = endpoint(address, packet.connection.family)
  const { own, peer } = tuplesOf(packet)
  if (!at || at.address === own.src && at.port === own.sport || packet.connection.expected) return 'accept'
  const registration = { protocol: UDP, src: peer.src, dst: at.address, dport: at.port, helper: RAS_HELPER }
  return table.expect(registration) === 'added' ? 'accept' : 'drop'
}

/** Calls to the endpoint, by the gatekeeper or by anyone, until the registration ends. */
function registering(request: Registration, packet: Ras, table: HelperTable, options: RasOptions): HelperVerdict {
  const { own } = tuplesOf(packet)
  const at = request.callSignalAddress.map(address => endpoint(address, packet.connection.family))
    .find(one => one !== null && one.address === own.src && one.port !== 0)
  if (at) {
    const calls = { ...toSender(packet, TCP, at.port), permanent: true, helper: Q931_HELPER }
    const added = table.expect(options.gkRoutedOnly ? calls : { ...calls, src: null })
    if (added !== 'added') return 'drop'
    packet.state.port[packet.direction] = at.port
  }
  packet.state.timeToLive = request.timeToLive ?? options.defaultRrqTtl
  return 'accept'
}

/** Connection and expectation live as long as the registration. */
function registered(confirm: Registration, packet: Ras, table: HelperTable): HelperVerdict {
  const { state, direction } = packet
  state.timeToLive = confirm.timeToLive ?? state.timeToLive
  if (state.timeToLive === 0) return 'accept'
  const ticks = state.timeToLive * TICKS % 2 ** 32
  // What is half of all ticks away or more is past.
  table.setTimeout(ticks < 2 ** 31 ? ticks / TICKS : 0)
  const endpointPort = state.port[direction === 'original' ? 'reply' : 'original']
  const { own } = tuplesOf(packet)
  // Linux looks for one that takes calls from anywhere: with `gkRoutedOnly` there is none, and the time stays.
  const calls = table.find(TCP, packet.connection.family === 4 ? '0.0.0.0' : '::', 0, own.dst, endpointPort)
  if (calls) table.activate(calls, ticks / TICKS)
  return 'accept'
}

function unregistering(packet: Ras, table: HelperTable): HelperVerdict {
  for (const expectation of table.own()) table.remove(expectation)
  packet.state.port.original = packet.state.port.reply = 0
  table.setTimeout(UNREGISTRATION_TIMEOUT)
  return 'accept'
}

/** The call to which the gatekeeper admits; not if it is one that the requester itself takes. */
function admitted(address: TransportAddress, packet: Ras, table: HelperTable): HelperVerdict {
  const at = endpoint(address, packet.connection.family)
  if (!at || at.address === tuplesOf(packet).own.dst) return 'accept'
  return announceCall(at, packet, table)
}

function located(address: TransportAddress, packet: Ras, table: HelperTable): HelperVerdict {
  const at = endpoint(address, packet.connection.family)
  return at ? announceCall(at, packet, table) : 'accept'
}

function announceCall(at: { address: string, port: number }, packet: Ras, table: HelperTable): HelperVerdict {
  const call = { protocol: TCP, src: tuplesOf(packet).peer.src, dst: at.address, dport: at.port, permanent: true, helper: Q931_HELPER }
  return table.expect(call) === 'added' ? 'accept' : 'drop'
}

/** The RAS helper. */
export function rasHelper(options: RasOptions, q931: Helper): Helper<RasState> {
  return defineHelper<RasState>({
    name: RAS_HELPER,
    protocol: 'udp',
    families: [4, 6],
    ports: [1719],
    classes: [{ name: '', limit: 32, timeout: 240 }],
    assigns: [q931],
    state: () => ({ timeToLive: 0, port: { original: 0, reply: 0 } }),
    inspect: (packet, table) => inspectRas(packet, table, options),
  })
}

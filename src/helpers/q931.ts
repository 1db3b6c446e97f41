/**
 * H.225.0 call signalling: H323-UserInformation in the user-user element of Q.931 messages, each in a TPKT.
 *
 * It says where the H.245 control connection will be, and may carry H.245 in itself: channels opened with the call
 * (fastStart) and whole tunnelled messages (h245Control). A facility message can forward the call to another host.
 */
import {
  CONFERENCE_IDENTIFIER, PROTOCOL_IDENTIFIER, TCP, aliasAddress, callIdentifier, callType, clearToken,
  cryptoToken, endpoint, endpointType, h245Security, nonStandardParameter, qseriesOptions, transportAddress, tuplesOf,
  type TransportAddress,
} from './h225.js'
import {
  announceChannel, announceOpened, controlMessage, h245Helper, openLogicalChannel, toSender, type ControlMessage,
  type OpenLogicalChannel,
} from './h245.js'
import { defineHelper } from './define.js'
import type { Helper, HelperPacket, HelperTable, HelperVerdict } from './helper.js'
import {
  BOOLEAN, NULL, UNREAD, choice, decode, encoded, integer, list, octets, optional, sequence,
} from './per.js'
import { eachMessage, tpktState, type MessageVerdict, type TpktState } from './tpkt.js'

// H.225.0 messages

/** They are read with the message: if one of them is broken, the message is. */
const fastStart = list(encoded(openLogicalChannel), 30)
const h245Control = list(encoded(controlMessage), 4)

const setup = sequence({
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  h245Address: optional(transportAddress),
  sourceAddress: optional(list(aliasAddress)),
  sourceInfo: endpointType,
  destinationAddress: optional(list(aliasAddress)),
  destCallSignalAddress: optional(transportAddress),
  destExtraCallInfo: optional(list(aliasAddress)),
  destExtraCRV: optional(list(integer(0, 65535))),
  activeMC: BOOLEAN,
  conferenceID: CONFERENCE_IDENTIFIER,
  conferenceGoal: choice({ create: NULL, join: NULL, invite: NULL }, {}),
  callServices: optional(qseriesOptions),
  callType,
}, {
  sourceCallSignalAddress: transportAddress, remoteExtensionAddress: UNREAD, callIdentifier: UNREAD,
  h245SecurityCapability: UNREAD, tokens: UNREAD, cryptoTokens: UNREAD, fastStart,
})

const answerAdditions = { callIdentifier: UNREAD, h245SecurityMode: UNREAD, tokens: UNREAD, cryptoTokens: UNREAD, fastStart }

/** callProceeding and alerting */
const answer = sequence({
  protocolIdentifier: PROTOCOL_IDENTIFIER, destinationInfo: endpointType, h245Address: optional(transportAddress),
}, answerAdditions)

const connect = sequence({
  protocolIdentifier: PROTOCOL_IDENTIFIER, h245Address: optional(transportAddress), destinationInfo: endpointType,
  conferenceID: CONFERENCE_IDENTIFIER,
}, answerAdditions)

/** Linux does not look at its fastStart. */
const information = sequence({ protocolIdentifier: PROTOCOL_IDENTIFIER }, {})

const nulls = (...names: string[]) => Object.fromEntries(names.map(name => [name, NULL]))

const releaseComplete = sequence({
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  reason: optional(choice(nulls('noBandwidth', 'gatekeeperResources', 'unreachableDestination', 'destinationRejection',
    'invalidRevision', 'noPermission', 'unreachableGatekeeper', 'gatewayResources', 'badFormatAddress', 'adaptiveBusy',
    'inConf', 'undefinedReason'), {})),
}, {})

const facility = sequence({
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  alternativeAddress: optional(transportAddress),
  alternativeAliasAddress: optional(list(aliasAddress)),
  conferenceID: optional(CONFERENCE_IDENTIFIER),
  reason: choice(nulls('routeCallToGatekeeper', 'callForwarded', 'routeCallToMC', 'undefinedReason'), {}),
}, {
  callIdentifier: UNREAD, destExtraCallInfo: UNREAD, remoteExtensionAddress: UNREAD, tokens: UNREAD, cryptoTokens: UNREAD,
  conferences: UNREAD, h245Address: transportAddress, fastStart,
})

const progress = sequence({
  protocolIdentifier: PROTOCOL_IDENTIFIER,
  destinationInfo: endpointType,
  h245Address: optional(transportAddress),
  callIdentifier,
  h245SecurityMode: optional(h245Security),
  tokens: optional(list(clearToken)),
  cryptoTokens: optional(list(cryptoToken)),
  fastStart: optional(fastStart),
}, {})

const userInformation = sequence({
  uuPdu: sequence({
    body: choice({
      setup, callProceeding: answer, connect, alerting: answer, information, releaseComplete, facility,
    }, { progress }),
    nonStandardData: optional(nonStandardParameter),
  }, { h4501SupplementaryService: UNREAD, h245Tunneling: UNREAD, h245Control }),
  userData: optional(sequence({ protocolDiscriminator: integer(0, 255), userInformation: octets(1, 131) }, {})),
}, {})

// As they are decoded

interface CallMessage {
  readonly h245Address?: TransportAddress
  readonly fastStart?: readonly OpenLogicalChannel[]
  readonly alternativeAddress?: TransportAddress
  readonly reason?: { readonly callForwarded?: true }
}

interface UserInformation {
  readonly uuPdu: {
    readonly body: Readonly<Record<string, CallMessage>>
    readonly h245Control?: readonly ControlMessage[]
  }
}

// Q.931

/** Protocol discriminator of Q.931 (section 4.2). */
const Q931 = 8
const USER_USER = 0x7e

/** What a Q.931 message carries for H.323; `null` where it is not there or broken. */
function readQ931(message: Uint8Array): UserInformation | null {
  if (message.length < 2 || message[0] !== Q931) return null
  // Behind the call reference is the message type, which Linux does not look at.
  let at = 3 + message[1]
  while (at < message.length && message[at] !== USER_USER) {
    at += message[at] & 0x80 ? 1 : 2 + (message[at + 1] ?? 0)
  }
  return userUser(message, at)
}

/**
 * A user-user element; its length has two octets in H.225.0 and counts the discriminator, at which Linux does not look.
 * The length may be 0, so it is checked before that octet is taken off it (CVE-2026-23455).
 */
function userUser(message: Uint8Array, at: number): UserInformation | null {
  if (at + 4 > message.length) return null
  const length = message[at + 1] << 8 | message[at + 2]
  const start = at + 3
  if (length < 1 || length > message.length - start) return null
  return decode(userInformation, message, start + 1, start + length)
}

// What it announces

/** Whether a forwarded call is left alone: where both hosts reach each other without passing here. */
export type CallForwardFilter = boolean

/** Announces what a call message says. `broken` for what is not one: Linux then leaves the segment. */
function inspectCall(
  bytes: Uint8Array, packet: HelperPacket, table: HelperTable, filter: CallForwardFilter,
): MessageVerdict {
  const message = readQ931(bytes)
  if (!message) return 'broken'
  for (const [name, call] of Object.entries(message.uuPdu.body)) {
    if (announceCall(name, call, packet, table, filter) === 'drop') return 'drop'
  }
  for (const control of message.uuPdu.h245Control ?? []) {
    if (announceOpened(control, packet, table) === 'drop') return 'drop'
  }
  return 'accept'
}

function announceCall(
  name: string, call: CallMessage, packet: HelperPacket, table: HelperTable, filter: CallForwardFilter,
): HelperVerdict {
  if (name === 'facility' && call.reason?.callForwarded) return announceForwarded(call.alternativeAddress, packet, table, filter)
  if (announceControl(call.h245Address, packet, table) === 'drop') return 'drop'
  for (const open of call.fastStart ?? []) {
    if (announceChannel(open, packet, table) === 'drop') return 'drop'
  }
  return 'accept'
}

/** The H.245 connection, if it is to the sender itself. */
function announceControl(address: TransportAddress | undefined, packet: HelperPacket, table: HelperTable): HelperVerdict {
  const at = endpoint(address, packet.connection.family)
  if (!at || at.port === 0 || at.address !== tuplesOf(packet).own.src) return 'accept'
  return table.expect({ ...toSender(packet, TCP, at.port), helper: h245Helper.name }) === 'added' ? 'accept' : 'drop'
}

/** The call goes on from the other side to whatever host the facility names. */
function announceForwarded(
  address: TransportAddress | undefined, packet: HelperPacket, table: HelperTable, filter: CallForwardFilter,
): HelperVerdict {
  const at = endpoint(address, packet.connection.family)
  const { peer } = tuplesOf(packet)
  if (!at || at.port === 0 || filter && at.address === peer.src) return 'accept'
  const call = { protocol: TCP, src: peer.src, dst: at.address, dport: at.port, helper: Q931_HELPER }
  return table.expect(call) === 'added' ? 'accept' : 'drop'
}

export const Q931_HELPER = 'Q.931'

/** The call signalling helper. */
export function q931Helper(filter: CallForwardFilter): Helper<TpktState> {
  return defineHelper({
    name: Q931_HELPER,
    protocol: 'tcp',
    families: [4, 6],
    ports: [1720],
    classes: [{ name: '', limit: 20, timeout: 240 }],
    assigns: [h245Helper],
    state: tpktState,
    inspect(packet, table) {
      if (!packet.established) return 'accept'
      return eachMessage(packet, message => inspectCall(message, packet, table, filter))
    },
  })
}

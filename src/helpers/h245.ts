/**
 * H.245 control: which media channels are opened (ITU-T H.245, annex A). Read are openLogicalChannel and its
 * acknowledgement, in which a side says at which of its own addresses it will receive.
 *
 * An address that is not the sender's own is not announced (it would open a way to a third host), nor is port 0.
 */
import { TCP, UDP, endpoint, tuplesOf, type Endpoint, type IpAddress } from './h225.js'
import { defineHelper } from './define.js'
import type { Helper, HelperPacket, HelperTable, HelperVerdict, NewExpectation } from './helper.js'
import {
  BOOLEAN, NULL, STOP, UNREAD, VARIABLE, choice, decode, integer, list, octets, optional, sequence, text,
  type PerType,
} from './per.js'
import { eachMessage, tpktState, type MessageVerdict, type TpktState } from './tpkt.js'

const BYTE = integer(0, 255)
const WORD = integer(0, 65535)
const DWORD = integer(0, 4294967295)
const CHANNEL = integer(1, 65535)
const FRAMES = integer(1, 256)

const flags = (...names: string[]) => Object.fromEntries(names.map(name => [name, BOOLEAN]))

const nonStandardParameter = sequence({
  nonStandardIdentifier: choice({
    object: VARIABLE, h221NonStandard: sequence({ t35CountryCode: BYTE, t35Extension: BYTE, manufacturerCode: WORD }),
  }),
  data: VARIABLE,
})

// Video

const videoCapability = choice({
  nonStandard: nonStandardParameter,
  h261VideoCapability: sequence({
    qcifMPI: optional(integer(1, 4)), cifMPI: optional(integer(1, 4)), temporalSpatialTradeOffCapability: BOOLEAN,
    maxBitRate: integer(1, 19200), stillImageTransmission: BOOLEAN,
  }, {}),
  h262VideoCapability: sequence({
    ...flags('SPatML', 'MPatLL', 'MPatML', 'MPatH14', 'MPatHL', 'SNRatLL', 'SNRatML', 'SpatialatH14', 'HPatML',
      'HPatH14', 'HPatHL'),
    videoBitRate: optional(integer(0, 1073741823)), vbvBufferSize: optional(integer(0, 262143)),
    samplesPerLine: optional(integer(0, 16383)), linesPerFrame: optional(integer(0, 16383)),
    framesPerSecond: optional(integer(0, 15)), luminanceSampleRate: optional(DWORD),
  }, {}),
  h263VideoCapability: sequence({
    sqcifMPI: optional(integer(1, 32)), qcifMPI: optional(integer(1, 32)), cifMPI: optional(integer(1, 32)),
    cif4MPI: optional(integer(1, 32)), cif16MPI: optional(integer(1, 32)), maxBitRate: integer(1, 192400),
    ...flags('unrestrictedVector', 'arithmeticCoding', 'advancedPrediction', 'pbFrames',
      'temporalSpatialTradeOffCapability'),
    hrdB: optional(integer(0, 524287)), bppMaxKb: optional(WORD),
  }, {}),
  is11172VideoCapability: sequence({
    constrainedBitstream: BOOLEAN, videoBitRate: optional(integer(0, 1073741823)),
    vbvBufferSize: optional(integer(0, 262143)), samplesPerLine: optional(integer(0, 16383)),
    linesPerFrame: optional(integer(0, 16383)), pictureRate: optional(integer(0, 15)),
    luminanceSampleRate: optional(DWORD),
  }, {}),
}, {})

// Audio

const audioCapability = choice({
  nonStandard: nonStandardParameter,
  g711Alaw64k: FRAMES, g711Alaw56k: FRAMES, g711Ulaw64k: FRAMES, g711Ulaw56k: FRAMES,
  g722_64k: FRAMES, g722_56k: FRAMES, g722_48k: FRAMES,
  g7231: sequence({ maxAlSduAudioFrames: FRAMES, silenceSuppression: BOOLEAN }),
  g728: FRAMES, g729: FRAMES, g729AnnexA: FRAMES,
  is11172AudioCapability: sequence({
    ...flags('layer1', 'layer2', 'layer3', 'sampling32k', 'sampling44k1', 'sampling48k', 'singleChannel', 'twoChannels'),
    bitRate: integer(1, 448),
  }, {}),
  is13818AudioCapability: sequence({
    ...flags('layer1', 'layer2', 'layer3', 'sampling16k', 'sampling22k05', 'sampling24k', 'sampling32k', 'sampling44k1',
      'sampling48k', 'singleChannel', 'twoChannels', 'threeChannels21', 'threeChannels30', 'fourChannels2020',
      'fourChannels22', 'fourChannels31', 'fiveChannels3020', 'fiveChannels32', 'lowFrequencyEnhancement',
      'multilingual'),
    bitRate: integer(1, 1130),
  }, {}),
}, {})

// Data

const dataProtocolCapability = choice({
  nonStandard: nonStandardParameter, v14buffered: NULL, v42lapm: NULL, hdlcFrameTunnelling: NULL,
  h310SeparateVCStack: NULL, h310SingleVCStack: NULL, transparent: NULL,
}, { segmentationAndReassembly: NULL, hdlcFrameTunnelingwSAR: NULL, v120: NULL, separateLANStack: NULL })

const t84Restricted = sequence(flags('qcif', 'cif', 'ccir601Seq', 'ccir601Prog', 'hdtvSeq', 'hdtvProg',
  'g3FacsMH200x100', 'g3FacsMH200x200', 'g4FacsMMR200x100', 'g4FacsMMR200x200', 'jbig200x200Seq', 'jbig200x200Prog',
  'jbig300x300Seq', 'jbig300x300Prog', 'digPhotoLow', 'digPhotoMedSeq', 'digPhotoMedProg', 'digPhotoHighSeq',
  'digPhotoHighProg'), {})

const dataApplicationCapability = sequence({
  application: choice({
    nonStandard: nonStandardParameter,
    t120: dataProtocolCapability,
    dsmcc: dataProtocolCapability,
    userData: dataProtocolCapability,
    t84: sequence({
      t84Protocol: dataProtocolCapability,
      t84Profile: choice({ t84Unrestricted: NULL, t84Restricted }),
    }),
    t434: dataProtocolCapability,
    h224: dataProtocolCapability,
    nlpid: sequence({ nlpidProtocol: dataProtocolCapability, nlpidData: VARIABLE }),
    dsvdControl: NULL,
    h222DataPartitioning: dataProtocolCapability,
  }, {}),
  maxBitRate: DWORD,
}, {})

const dataType = choice({
  nonStandard: nonStandardParameter,
  nullData: NULL,
  videoData: videoCapability,
  audioData: audioCapability,
  data: dataApplicationCapability,
  encryptionData: choice({ nonStandard: nonStandardParameter, h233Encryption: NULL }, {}),
}, {})

// Where to: addresses and parameters of a channel

const ipAddress = sequence({ ip: octets(4), port: WORD }, {})
const ip6Address = sequence({ ip: octets(16), port: WORD }, {})

const transportAddress = choice({
  unicastAddress: choice({
    ipAddress,
    ipxAddress: sequence({ node: octets(6), netnum: octets(4), port: octets(2) }, {}),
    ip6Address,
    netBios: octets(16),
    ipSourceRouteAddress: sequence({
      routing: choice({ strict: NULL, loose: NULL }), ip: octets(4), port: WORD, route: list(octets(4)),
    }, {}),
  }, {}),
  multicastAddress: choice({ ipAddress, ip6Address }, {}),
}, {})

const terminalLabel = sequence({ mcuNumber: integer(0, 192), terminalNumber: integer(0, 192) }, {})

const h2250LogicalChannelParameters = sequence({
  nonStandard: optional(list(nonStandardParameter)),
  sessionID: BYTE,
  associatedSessionID: optional(integer(1, 255)),
  mediaChannel: optional(transportAddress),
  mediaGuaranteedDelivery: optional(BOOLEAN),
  mediaControlChannel: optional(transportAddress),
  mediaControlGuaranteedDelivery: optional(BOOLEAN),
  silenceSuppression: optional(BOOLEAN),
  destination: optional(terminalLabel),
  dynamicRTPPayloadType: optional(integer(96, 127)),
  mediaPacketization: optional(choice({ h261aVideoPacketization: NULL }, {})),
}, {})

const h2250LogicalChannelAckParameters = sequence({
  nonStandard: optional(list(nonStandardParameter)),
  sessionID: optional(integer(1, 255)),
  mediaChannel: optional(transportAddress),
  mediaControlChannel: optional(transportAddress),
  dynamicRTPPayloadType: optional(integer(96, 127)),
}, {})

const h222LogicalChannelParameters = sequence({
  resourceID: WORD, subChannelID: integer(0, 8191), pcrPid: optional(integer(0, 8191)),
  programDescriptors: optional(VARIABLE), streamDescriptors: optional(VARIABLE),
}, {})

const h223LogicalChannelParameters = sequence({
  adaptationLayerType: choice({
    nonStandard: nonStandardParameter, al1Framed: NULL, al1NotFramed: NULL, al2WithoutSequenceNumbers: NULL,
    al2WithSequenceNumbers: NULL,
    al3: sequence({ controlFieldOctets: integer(0, 2), sendBufferSize: integer(0, 16777215) }),
  }, {}),
  segmentableFlag: BOOLEAN,
}, {})

const v76LogicalChannelParameters = sequence({
  hdlcParameters: sequence({
    crcLength: choice({ crc8bit: NULL, crc16bit: NULL, crc32bit: NULL }, {}),
    n401: integer(1, 4095), loopbackTestProcedure: BOOLEAN,
  }, {}),
  suspendResume: choice({ noSuspendResume: NULL, suspendResumewAddress: NULL, suspendResumewoAddress: NULL }, {}),
  uIH: BOOLEAN,
  mode: choice({
    eRM: sequence({
      windowSize: integer(1, 127), recovery: choice({ rej: NULL, sREJ: NULL, mSREJ: NULL }, {}),
    }, {}),
    uNERM: NULL,
  }, {}),
  v75Parameters: sequence({ audioHeaderPresent: BOOLEAN }, {}),
}, {})

const networkAccessParameters = sequence({
  distribution: optional(choice({ unicast: NULL, multicast: NULL }, {})),
  networkAddress: choice({
    q2931Address: sequence({
      address: choice({ internationalNumber: text(4, 16), nsapAddress: octets(1, 20) }, {}),
      subaddress: optional(octets(1, 20)),
    }, {}),
    e164Address: text(4, 128),
    localAreaAddress: transportAddress,
  }, {}),
  associateConference: BOOLEAN,
  externalReference: optional(octets(1, 255)),
}, {})

// Messages

export const openLogicalChannel = sequence({
  forwardLogicalChannelNumber: CHANNEL,
  forwardLogicalChannelParameters: sequence({
    portNumber: optional(WORD),
    dataType,
    multiplexParameters: choice({
      h222: h222LogicalChannelParameters, h223: h223LogicalChannelParameters, v76: v76LogicalChannelParameters,
    }, { h2250: h2250LogicalChannelParameters, none: NULL }),
  }, {}),
  reverseLogicalChannelParameters: optional(sequence({
    dataType,
    multiplexParameters: optional(choice({
      h223: h223LogicalChannelParameters, v76: v76LogicalChannelParameters,
    }, { h2250: h2250LogicalChannelParameters })),
  }, {})),
}, { separateStack: networkAccessParameters, encryptionSync: STOP })

const openLogicalChannelAck = sequence({
  forwardLogicalChannelNumber: CHANNEL,
  reverseLogicalChannelParameters: optional(sequence({
    reverseLogicalChannelNumber: CHANNEL,
    portNumber: optional(WORD),
    multiplexParameters: optional(choice({ h222: h222LogicalChannelParameters }, { h2250: h2250LogicalChannelParameters })),
  }, {})),
}, {
  separateStack: networkAccessParameters,
  forwardMultiplexAckParameters: choice({ h2250: h2250LogicalChannelAckParameters }, {}),
  encryptionSync: STOP,
})

/** The first so many alternatives, of which only one is read. */
const oneOf = (count: number, index: number, name: string, type: PerType) => Object.fromEntries(
  Array.from({ length: count }, (_, i) => i === index ? [name, type] : [`other${i}`, UNREAD]))

/** So many additions, of which none is read. */
const noneOf = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`added${i}`, STOP]))

export const controlMessage = choice({
  request: choice(oneOf(11, 3, 'openLogicalChannel', openLogicalChannel), noneOf(4)),
  response: choice(oneOf(19, 5, 'openLogicalChannelAck', openLogicalChannelAck), noneOf(5)),
  command: UNREAD,
  indication: UNREAD,
}, {})

// As they are decoded

interface ControlTransportAddress {
  readonly unicastAddress?: { readonly ipAddress?: IpAddress, readonly ip6Address?: IpAddress }
}

interface MediaChannels {
  readonly mediaChannel?: ControlTransportAddress
  readonly mediaControlChannel?: ControlTransportAddress
}

interface LogicalChannelParameters {
  readonly dataType?: { readonly data?: { readonly application: { readonly t120?: { readonly separateLANStack?: true } } } }
  readonly multiplexParameters?: { readonly h2250?: MediaChannels }
}

interface SeparateStack {
  readonly networkAddress: { readonly localAreaAddress?: ControlTransportAddress }
}

export interface OpenLogicalChannel {
  readonly forwardLogicalChannelParameters: LogicalChannelParameters
  readonly reverseLogicalChannelParameters?: LogicalChannelParameters
  readonly separateStack?: SeparateStack
}

interface OpenLogicalChannelAck {
  readonly reverseLogicalChannelParameters?: LogicalChannelParameters
  readonly forwardMultiplexAckParameters?: { readonly h2250?: MediaChannels }
  readonly separateStack?: SeparateStack
}

export interface ControlMessage {
  readonly request?: { readonly openLogicalChannel?: OpenLogicalChannel }
  readonly response?: { readonly openLogicalChannelAck?: OpenLogicalChannelAck }
}

// What they announce

/** Announces what a control message opens. `broken` for what is not one: Linux then leaves the segment. */
function inspectControl(bytes: Uint8Array, packet: HelperPacket, table: HelperTable): MessageVerdict {
  const message = decode<ControlMessage>(controlMessage, bytes)
  return message ? announceOpened(message, packet, table) : 'broken'
}

/** What a control message opens, also one that is tunnelled in call signalling. */
export function announceOpened(message: ControlMessage, packet: HelperPacket, table: HelperTable): HelperVerdict {
  const open = message.request?.openLogicalChannel
  const acknowledgement = message.response?.openLogicalChannelAck
  if (open) return announceChannel(open, packet, table)
  if (acknowledgement) return announceAcknowledged(acknowledgement, packet, table)
  return 'accept'
}

/** An openLogicalChannel, also as an element of H.225.0's fastStart. */
export function announceChannel(open: OpenLogicalChannel, packet: HelperPacket, table: HelperTable): HelperVerdict {
  const forward = open.forwardLogicalChannelParameters
  const t120 = forward.dataType?.data?.application.t120?.separateLANStack
  return first([
    () => announceMedia(forward.multiplexParameters?.h2250, packet, table),
    () => announceMedia(open.reverseLogicalChannelParameters?.multiplexParameters?.h2250, packet, table),
    () => t120 ? announceT120(open.separateStack, packet, table) : 'accept',
  ])
}

function announceAcknowledged(ack: OpenLogicalChannelAck, packet: HelperPacket, table: HelperTable): HelperVerdict {
  return first([
    () => announceMedia(ack.reverseLogicalChannelParameters?.multiplexParameters?.h2250, packet, table),
    () => announceMedia(ack.forwardMultiplexAckParameters?.h2250, packet, table),
    () => announceT120(ack.separateStack, packet, table),
  ])
}

/** Stops at the first `drop`, as Linux does. */
const first = (steps: readonly (() => HelperVerdict)[]): HelperVerdict =>
  steps.some(step => step() === 'drop') ? 'drop' : 'accept'

function announceMedia(channels: MediaChannels | undefined, packet: HelperPacket, table: HelperTable): HelperVerdict {
  return first([
    () => announceRtp(channels?.mediaChannel, packet, table),
    () => announceRtp(channels?.mediaControlChannel, packet, table),
  ])
}

/** The sender's own address at which it will receive. */
function ownEndpoint(address: ControlTransportAddress | undefined, packet: HelperPacket): Endpoint | null {
  const at = endpoint(address?.unicastAddress, packet.connection.family)
  return at && at.port !== 0 && at.address === tuplesOf(packet).own.src ? at : null
}

/** RTP at an even port and RTCP at the odd one after it, whichever of the two is named; both or none. */
function announceRtp(address: ControlTransportAddress | undefined, packet: HelperPacket, table: HelperTable): HelperVerdict {
  const at = ownEndpoint(address, packet)
  if (!at) return 'accept'
  const rtp = toSender(packet, UDP, at.port & ~1)
  const rtcp = toSender(packet, UDP, at.port | 1)
  if (table.expect(rtp) !== 'added') return 'drop'
  if (table.expect(rtcp) === 'added') return 'accept'
  const added = table.own().find(one => one.protocol === UDP && one.dst === rtp.dst && one.dport === rtp.dport)
  if (added) table.remove(added)
  return 'drop'
}

/** T.120 data: any number of TCP connections to one port. */
function announceT120(stack: SeparateStack | undefined, packet: HelperPacket, table: HelperTable): HelperVerdict {
  const at = ownEndpoint(stack?.networkAddress.localAreaAddress, packet)
  if (!at) return 'accept'
  return table.expect({ ...toSender(packet, TCP, at.port), permanent: true }) === 'added' ? 'accept' : 'drop'
}

/** A connection that the other side opens to the packet's sender. */
export function toSender(packet: HelperPacket, protocol: number, dport: number): NewExpectation {
  const { peer } = tuplesOf(packet)
  return { protocol, src: peer.src, dst: peer.dst, dport }
}

/** The H.245 helper: control connections that call signalling announces. */
export const h245Helper: Helper<TpktState> = defineHelper({
  name: 'H.245',
  protocol: 'tcp',
  families: [4, 6],
  ports: [],
  classes: [{ name: '', limit: 18, timeout: 240 }],
  state: tpktState,
  inspect(packet, table) {
    if (!packet.established) return 'accept'
    return eachMessage(packet, message => inspectControl(message, packet, table))
  },
})

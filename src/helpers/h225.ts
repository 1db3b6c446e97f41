/**
 * Types that the messages of H.225.0 share (ITU-T H.225.0, annex H; tokens: ITU-T H.235.0), for RAS and call signalling.
 * Additions are named as far as Linux looks at them or at later ones.
 */
import { formatIpv4, formatIpv6 } from '../format/address.js'
import type { Tuple } from '../types.js'
import type { HelperPacket } from './helper.js'
import { BOOLEAN, NULL, VARIABLE, bitString, choice, integer, list, octets, optional, sequence, text } from './per.js'

export const TCP = 6
export const UDP = 17

const OID = VARIABLE
const OCTET_STRING = VARIABLE
const DIGITS = text(4, 128)
const BYTE = integer(0, 255)
const WORD = integer(0, 65535)
export const BANDWIDTH = integer(0, 4294967295)

const h221NonStandard = sequence({ t35CountryCode: BYTE, t35Extension: BYTE, manufacturerCode: WORD }, {})

export const nonStandardParameter = sequence({
  nonStandardIdentifier: choice({ object: OID, h221NonStandard }, {}),
  data: OCTET_STRING,
})

export interface IpAddress {
  readonly ip: Uint8Array
  readonly port: number
}

/** A transport address that may be one of IP. */
export interface TransportAddress {
  readonly ipAddress?: IpAddress
  readonly ip6Address?: IpAddress
}

export const transportAddress = choice({
  ipAddress: sequence({ ip: octets(4), port: WORD }),
  ipSourceRoute: sequence({
    ip: octets(4), port: WORD, route: list(octets(4)), routing: choice({ strict: NULL, loose: NULL }, {}),
  }, {}),
  ipxAddress: sequence({ node: octets(6), netnum: octets(4), port: octets(2) }),
  ip6Address: sequence({ ip: octets(16), port: WORD }, {}),
  netBios: octets(16),
  nsap: octets(1, 20),
  nonStandardAddress: nonStandardParameter,
}, {})

export const aliasAddress = choice({ dialedDigits: DIGITS, h323ID: text(16, 256) }, {})
export const GATEKEEPER_IDENTIFIER = text(16, 128)
export const ENDPOINT_IDENTIFIER = text(16, 128)

export const vendorIdentifier = sequence({
  vendor: h221NonStandard, productId: optional(octets(1, 256)), versionId: optional(octets(1, 256)),
}, {})

const onlyNonStandard = sequence({ nonStandardData: optional(nonStandardParameter) }, {})

const supportedProtocols = choice({
  nonStandardData: nonStandardParameter,
  h310: onlyNonStandard, h320: onlyNonStandard, h321: onlyNonStandard, h322: onlyNonStandard,
  h323: onlyNonStandard, h324: onlyNonStandard, voice: onlyNonStandard, t120Only: onlyNonStandard,
}, {})

export const endpointType = sequence({
  nonStandardData: optional(nonStandardParameter),
  vendor: optional(vendorIdentifier),
  gatekeeper: optional(onlyNonStandard),
  gateway: optional(sequence({
    protocol: optional(list(supportedProtocols)), nonStandardData: optional(nonStandardParameter),
  }, {})),
  mcu: optional(onlyNonStandard),
  terminal: optional(onlyNonStandard),
  mc: BOOLEAN,
  undefinedNode: BOOLEAN,
}, {})

export const qseriesOptions = sequence({
  q932Full: BOOLEAN, q951Full: BOOLEAN, q952Full: BOOLEAN, q953Full: BOOLEAN, q955Full: BOOLEAN, q956Full: BOOLEAN,
  q957Full: BOOLEAN, q954Info: sequence({ conferenceCalling: BOOLEAN, threePartyService: BOOLEAN }, {}),
}, {})

export const PROTOCOL_IDENTIFIER = OID
export const CONFERENCE_IDENTIFIER = octets(16)
export const callIdentifier = sequence({ guid: octets(16) }, {})
export const callType = choice({ pointToPoint: NULL, oneToN: NULL, nToOne: NULL, nToN: NULL }, {})

const securityServiceMode = choice({ nonStandard: nonStandardParameter, none: NULL, default: NULL }, {})
const securityCapabilities = sequence({
  nonStandard: optional(nonStandardParameter),
  encryption: securityServiceMode, authenticaton: securityServiceMode, integrity: securityServiceMode,
}, {})

export const h245Security = choice({
  nonStandard: nonStandardParameter, noSecurity: NULL, tls: securityCapabilities, ipsec: securityCapabilities,
}, {})

// H.235.0

const TIME_STAMP = integer(1, 4294967295)
const diffieHellmanSet = sequence({ halfkey: bitString(2048), modSize: bitString(2048), generator: bitString(2048) }, {})

export const clearToken = sequence({
  tokenOID: OID,
  timeStamp: optional(TIME_STAMP),
  password: optional(text(16, 128)),
  dhkey: optional(diffieHellmanSet),
  challenge: optional(octets(8, 128)),
  random: optional(VARIABLE),
  certificate: optional(sequence({ type: OID, certificate: OCTET_STRING }, {})),
  generalID: optional(text(16, 128)),
  nonStandard: optional(sequence({ nonStandardIdentifier: OID, data: OCTET_STRING })),
}, {})

const params = sequence({ ranInt: optional(VARIABLE), iv8: optional(octets(8)) }, {})
const hashed = sequence({ algorithmOID: OID, paramS: params, hash: bitString() })
const encrypted = sequence({ algorithmOID: OID, paramS: params, encryptedData: OCTET_STRING })
const signed = sequence({ toBeSigned: OCTET_STRING, algorithmOID: OID, paramS: params, signature: bitString() })

export const cryptoToken = choice({
  cryptoEPPwdHash: sequence({ alias: aliasAddress, timeStamp: TIME_STAMP, token: hashed }),
  cryptoGKPwdHash: sequence({ gatekeeperId: GATEKEEPER_IDENTIFIER, timeStamp: TIME_STAMP, token: hashed }),
  cryptoEPPwdEncr: encrypted,
  cryptoGKPwdEncr: encrypted,
  cryptoEPCert: signed,
  cryptoGKCert: signed,
  cryptoFastStart: signed,
  nestedcryptoToken: choice({
    cryptoEncryptedToken: sequence({ tokenOID: OID, token: encrypted }),
    cryptoSignedToken: sequence({ tokenOID: OID, token: signed }),
    cryptoHashedToken: sequence({ tokenOID: OID, hashedVals: clearToken, token: hashed }),
    cryptoPwdEncr: encrypted,
  }, {}),
}, {})

/** An address as tuples have it. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** What is at an IP address of the connection's own version; `null` for any other address, as Linux ignores it. */
export function endpoint(address: TransportAddress | undefined, family: 4 | 6): Endpoint | null {
  const at = family === 4 ? address?.ipAddress : address?.ip6Address
  return at ? { address: family === 4 ? formatIpv4(at.ip, 0) : formatIpv6(at.ip, 0), port: at.port } : null
}

/** Tuples of a packet's connection: `own` in the packet's direction, `peer` in the other. */
export function tuplesOf(packet: HelperPacket): { readonly own: Tuple, readonly peer: Tuple } {
  const { original, reply } = packet.connection
  return packet.direction === 'original' ? { own: original, peer: reply } : { own: reply, peer: original }
}

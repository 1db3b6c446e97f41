/**
 * Messages of H.323, written with the aligned Packed Encoding Rules (ITU-T X.691) by hand: as little of H.225.0 and H.245
 * as the messages need that announce something. Bits are in the order of the standards.
 */

import { addressBytes } from '../../src/match.js'
import { PerWriter } from './per-writer.js'

export interface At {
  readonly address: string
  readonly port: number
}

const VERSION_4 = [0, 8, 0x91, 0x4a, 0, 4]
const GUID = new Array<number>(16).fill(7)

/** H.225.0 TransportAddress: ipAddress is alternative 0 of 7, ip6Address, which has a `...`, is 3. */
function transport(writer: PerWriter, { address, port }: At): PerWriter {
  if (address.includes(':')) writer.bits(0, 1).bits(3, 3).bits(0, 1)
  else writer.bits(0, 1).bits(0, 3)
  return writer.octets(...addressBytes(address)).word(port)
}

/** H.245 TransportAddress: unicast, and there alternatives 0 and 2 of 5, all with a `...`. */
function media(writer: PerWriter, { address, port }: At): PerWriter {
  writer.bits(0, 2).bits(0, 1).bits(address.includes(':') ? 2 : 0, 3).bits(0, 1)
  return writer.octets(...addressBytes(address)).word(port)
}

/** EndpointType with nothing in it. */
function endpointType(writer: PerWriter): PerWriter {
  return writer.bits(0, 1).bits(0, 6).bits(0, 2)
}

/** Additions of which only the last is there. */
function lastAddition(writer: PerWriter, count: number, contents: Uint8Array): PerWriter {
  return writer.bits(count - 1, 7).bits(1, count).sized(contents)
}

function list(contents: readonly Uint8Array[]): Uint8Array {
  const writer = new PerWriter().octets(contents.length)
  for (const each of contents) writer.sized(each)
  return writer.bytes()
}

// RAS

/** A message with its number in the CHOICE and what of it is optional. */
function ras(choice: number, optionals: number, extended = false): PerWriter {
  return new PerWriter().bits(0, 1).bits(choice, 5).bits(Number(extended), 1).bits(0, optionals).word(4)
}

function addresses(writer: PerWriter, all: readonly At[]): PerWriter {
  writer.octets(all.length)
  for (const at of all) transport(writer, at)
  return writer
}

export function gatekeeperConfirm(rasAddress: At): Uint8Array {
  return transport(ras(1, 2).sized(VERSION_4), rasAddress).bytes()
}

function timeToLive(writer: PerWriter, seconds: number | undefined): Uint8Array {
  if (seconds === undefined) return writer.bytes()
  // Behind it an empty list of tokens, as newer versions have it: timeToLive at the very end Linux takes for cut.
  return writer.bits(2, 7).bits(0b011, 3).sized(new PerWriter().bits(1, 2).word(seconds - 1).bytes()).sized([0]).bytes()
}

export function registrationRequest(callSignalling: readonly At[], ttl?: number): Uint8Array {
  const writer = addresses(ras(3, 3, ttl !== undefined).sized(VERSION_4).bits(0, 1), callSignalling)
  endpointType(addresses(writer, []))
  return timeToLive(writer.bits(0, 3).octets(0, 0).word(0), ttl)
}

export function registrationConfirm(callSignalling: readonly At[], ttl?: number): Uint8Array {
  const writer = addresses(ras(4, 3, ttl !== undefined).sized(VERSION_4), callSignalling)
  return timeToLive(writer.bits(0, 7).octets(0, 65), ttl)
}

export function unregistrationRequest(callSignalling: readonly At[]): Uint8Array {
  return addresses(ras(6, 3), callSignalling).bytes()
}

export function admissionConfirm(destination: At): Uint8Array {
  return transport(ras(10, 2).bits(0, 2).octets(100).bits(0, 2), destination).bytes()
}

export function locationConfirm(callSignalling: At): Uint8Array {
  return transport(transport(ras(19, 1), callSignalling), { ...callSignalling, port: 1719 }).bytes()
}

// Call signalling

/** H323-UserInformation around a body, with tunnelled H.245 if there is some. */
function userInformation(choice: number, body: (writer: PerWriter) => void, tunnelled: readonly Uint8Array[]): Uint8Array {
  const writer = new PerWriter().bits(0, 1).bits(0, 1).bits(Number(tunnelled.length > 0), 1).bits(0, 1).bits(0, 1).bits(choice, 3)
  body(writer)
  if (tunnelled.length > 0) lastAddition(writer, 3, list(tunnelled))
  return writer.bytes()
}

export interface CallOptions {
  readonly h245Address?: At
  readonly fastStart?: readonly Uint8Array[]
  readonly tunnelled?: readonly Uint8Array[]
}

/** What callProceeding and alerting have, and connect in another order, with a conference's identifier. */
function answer(choice: number, { h245Address, fastStart = [], tunnelled = [] }: CallOptions): Uint8Array {
  const isConnect = choice === 2
  return userInformation(choice, writer => {
    writer.bits(Number(fastStart.length > 0), 1).bits(Number(h245Address !== undefined), 1).sized(VERSION_4)
    if (!isConnect) endpointType(writer)
    if (h245Address) transport(writer, h245Address)
    if (isConnect) endpointType(writer).octets(...GUID)
    if (fastStart.length > 0) lastAddition(writer, 5, list(fastStart))
  }, tunnelled)
}

export const callProceeding = (options: CallOptions) => answer(1, options)
export const connect = (options: CallOptions) => answer(2, options)
export const alerting = (options: CallOptions) => answer(3, options)

export function setup({ h245Address, tunnelled = [] }: CallOptions): Uint8Array {
  return userInformation(0, writer => {
    writer.bits(0, 1).bits(Number(h245Address !== undefined), 1).bits(0, 6).sized(VERSION_4)
    if (h245Address) transport(writer, h245Address)
    // No MC; the conference is created; point to point.
    endpointType(writer).bits(0, 1).octets(...GUID).bits(0, 3).bits(0, 3)
  }, tunnelled)
}

/** A call that goes on at another address. */
export function callForwarded(alternativeAddress: At): Uint8Array {
  return userInformation(6, writer => {
    writer.bits(0, 1).bits(1, 1).bits(0, 2).sized(VERSION_4)
    transport(writer, alternativeAddress).bits(0, 1).bits(1, 2)
  }, [])
}

/** The Q.931 message that carries it; `length` is what its user-user element says. */
export function q931(information: Uint8Array, length = information.length + 1): Uint8Array {
  return Uint8Array.of(8, 2, 0, 1, 5, 0x7e, length >> 8, length & 255, 5, ...information)
}

/** In a TPKT (RFC 1006); `length` is what its header says. */
export function tpkt(message: Uint8Array, length = message.length + 4): Uint8Array {
  return Uint8Array.of(3, 0, length >> 8, length & 255, ...message)
}

// H.245

export interface Channels {
  readonly mediaChannel?: At
  readonly mediaControlChannel?: At
}

/** openLogicalChannel for G.711 audio, alone as fastStart has it. */
export function logicalChannel({ mediaChannel, mediaControlChannel }: Channels): Uint8Array {
  return channel(new PerWriter(), mediaChannel, mediaControlChannel).bytes()
}

/** The same as a request of the control connection. */
export function openLogicalChannel({ mediaChannel, mediaControlChannel }: Channels): Uint8Array {
  return channel(new PerWriter().bits(0, 1).bits(0, 2).bits(0, 1).bits(3, 4), mediaChannel, mediaControlChannel).bytes()
}

function channel(writer: PerWriter, mediaChannel: At | undefined, mediaControlChannel: At | undefined): PerWriter {
  const parameters = new PerWriter().bits(0, 1).bits(0, 2).bits(Number(mediaChannel !== undefined), 1).bits(0, 1)
    .bits(Number(mediaControlChannel !== undefined), 1).bits(0, 5).octets(1)
  if (mediaChannel) media(parameters, mediaChannel)
  if (mediaControlChannel) media(parameters, mediaControlChannel)
  writer.bits(0, 1).bits(0, 1).word(0).bits(0, 1).bits(0, 1)
  writer.bits(0, 1).bits(3, 3).bits(0, 1).bits(3, 4).octets(19)
  return writer.bits(1, 1).bits(0, 7).sized(parameters.bytes())
}

/** openLogicalChannelAck with the channels at which the speaker will receive. */
export function openLogicalChannelAck({ mediaChannel, mediaControlChannel }: Channels): Uint8Array {
  // forwardMultiplexAckParameters, the second addition: a CHOICE of one needs no bits for its index.
  const parameters = new PerWriter().bits(0, 1).bits(0, 1).bits(0, 2).bits(Number(mediaChannel !== undefined), 1)
    .bits(Number(mediaControlChannel !== undefined), 1).bits(0, 1)
  if (mediaChannel) media(parameters, mediaChannel)
  if (mediaControlChannel) media(parameters, mediaControlChannel)
  const writer = new PerWriter().bits(0, 1).bits(1, 2).bits(0, 1).bits(5, 5).bits(1, 1).bits(0, 1).word(0)
  return lastAddition(writer, 2, parameters.bytes()).bytes()
}

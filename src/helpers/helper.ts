/**
 * What a protocol helper is: it reads the payload of connections it is bound to and says which connections they announce.
 *
 * A helper sees each packet by itself, as Linux's do: put together from IP fragments, but not from TCP segments. It keeps
 * what it must remember of a connection in `packet.state`, in JSON values only, so that it can be written down.
 * Whatever it wants done it asks of the table; it touches nothing else, reads no clock and throws for no payload.
 */
import type { Tuple } from '../types.js'

/** `drop`: Linux drops the packet, rules or no rules. */
export type HelperVerdict = 'accept' | 'drop'

/** A connection as its helper sees it. */
export interface HelpedConnection {
  readonly id: number
  readonly family: 4 | 6
  /** IP protocol number. */
  readonly protocol: number
  /** Addresses are in the form in which the SDK prints them: compare them as strings. */
  readonly original: Tuple
  readonly reply: Tuple
  /** It was itself announced by another connection. */
  readonly expected: boolean
}

/** A packet of a helped connection. */
export interface HelperPacket<State = unknown> {
  /** What follows the TCP or UDP header; good until `inspect` returns. */
  readonly payload: Uint8Array
  readonly direction: 'original' | 'reply'
  /** The packet's state is ESTABLISHED: neither NEW nor RELATED. */
  readonly established: boolean
  /** TCP: sequence number of the payload's first byte; 0 for other protocols. */
  readonly seq: number
  readonly connection: HelpedConnection
  /** The helper's own memory of this connection, as `Helper.state` made it; it may change what is in it. */
  readonly state: State
}

/** A connection that is announced. */
export interface NewExpectation {
  /** IP protocol number. */
  readonly protocol: number
  /** Who will open it; `null`: anybody. */
  readonly src: string | null
  /** Netmask under which `src` is compared, such as `255.255.255.0`; left out: the whole address. */
  readonly srcMask?: string
  /** Source port (GRE: source key); left out: any. */
  readonly sport?: number
  readonly dst: string
  /** Destination port (GRE: destination key). */
  readonly dport: number
  /** Index into `Helper.classes`; default 0. */
  readonly class?: number
  /** Seconds; default: those of the class. */
  readonly timeout?: number
  /** It survives a match. */
  readonly permanent?: boolean
  /** It matches nothing until it is made active. */
  readonly inactive?: boolean
  /** Name of the helper that the new connection gets. */
  readonly helper?: string
  /** One that is equal counts as the same whoever its master is: `already`, unless it is this master's. */
  readonly skipMaster?: boolean
}

/** An expectation that stands. */
export interface StandingExpectation extends NewExpectation {
  readonly id: number
  /** Id of the connection that announced it. */
  readonly master: number
  /** Name of the helper that made it. */
  readonly madeBy: string
}

/** What became of a new expectation: `busy` where another one is in its way, `full` where a limit is reached. */
export type Added = 'added' | 'already' | 'busy' | 'full'

/** A pair of GRE endpoints with their keys (PPTP's call ids). */
export interface GreTuple {
  readonly src: string
  readonly srcKey: number
  readonly dst: string
  readonly dstKey: number
}

/** What a helper may do. All of it is done at once, for the connection whose packet it was given. */
export interface HelperTable {
  /** Announces a connection. Where its class is at its limit, the connection's oldest of that class goes. */
  expect(expectation: NewExpectation): Added
  /** This connection's expectations, newest first. */
  own(): readonly StandingExpectation[]
  /** The expectation, of whatever connection, that a packet with this tuple would match; `null` for none. */
  find(protocol: number, src: string, sport: number, dst: string, dport: number): StandingExpectation | null
  remove(expectation: StandingExpectation): void
  /** Gives an expectation another timeout (seconds) and makes it active. */
  activate(expectation: StandingExpectation, timeout: number): void
  /** Sets what is left to this connection, seconds, until its next packet sets it again. */
  setTimeout(seconds: number): void
  /**
   * GRE packets with these endpoints and destination key get this source key from now on. `false` where the connection
   * has another pair for that direction already.
   */
  mapGreKeys(direction: 'original' | 'reply', tuple: GreTuple): boolean
  /** Forgets both pairs of this connection. */
  unmapGreKeys(): void
  /** Destroys the GRE connection with this tuple, or else removes the expectation of one. */
  destroyGre(tuple: GreTuple): void
}

/** A kind of expectations of one helper. */
export interface ExpectationClass {
  readonly name: string
  /** How many one connection may have at a time. */
  readonly limit: number
  /** Seconds. */
  readonly timeout: number
}

/** A protocol helper, as `defineHelper` makes it: a tracker takes no other. */
export interface Helper<State = any> {
  /** As Linux names it, such as `ftp`. */
  readonly name: string
  readonly protocol: 'tcp' | 'udp' | readonly ('tcp' | 'udp')[]
  /** IP versions it knows. */
  readonly families: readonly (4 | 6)[]
  /** Destination ports of the connections it gets; none where it is only assigned by expectations. */
  readonly ports: readonly number[]
  readonly classes: readonly ExpectationClass[]
  /** Helpers that its expectations assign. */
  readonly assigns?: readonly Helper[]
  /** Memory for a new connection. */
  state?(): State
  /** Reads a packet. */
  inspect(packet: HelperPacket<State>, table: HelperTable): HelperVerdict
}

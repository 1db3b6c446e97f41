/** What a match is: read from a rule's words, listed as `iptables -L` lists it, and asked about packets. */
import type { RulePacket } from './packet.js'
import type { Trait } from './sieve.js'
import type { Arguments } from './text.js'
import type { RecentList } from './matches/recent.js'

/** Whether a packet fits. */
export type Holds = (packet: RulePacket) => boolean

/** What rules of one machine share and remember. */
export interface Machine {
  /** The address of the machine itself is at `at`. */
  readonly isLocal: (data: Uint8Array, at: number, family: 4 | 6) => boolean
  /** The interface that the network of the address at `at` is behind; empty where none is known. */
  readonly interfaceAt: (data: Uint8Array, at: number, family: 4 | 6) => string
  /** The IPv6 address at `at` is that of a network: any router's there (RFC 4291, section 2.6.1). */
  readonly isAnycast: (data: Uint8Array, at: number) => boolean
  /** Lists of `recent` by family and name. */
  readonly recent: Map<string, RecentList>
}

/** One match of a rule, as it was read. */
export interface Match {
  readonly name: string
  /** As `iptables -L -n` has it. */
  readonly listing: string
  /** Where there are several machines with the rule, each remembers for itself. */
  readonly prepare: (machine: Machine) => Holds
  /** What a packet must have, or it does not hold and being asked has no effect. */
  readonly traits?: readonly Trait[]
  /** Being asked about a packet whose headers are whole may change something: true unless it is said. */
  readonly hasEffects?: boolean
  /** It asks for what a tracker counts only with sysctl `acct`. */
  readonly needsAccounts?: boolean
}

/** What is known of a rule when its matches are complete. */
export interface RuleContext {
  readonly family: 4 | 6
  /** Of `-p`, 0 for any. */
  readonly protocol: number
  readonly protocolNegated: boolean
  readonly table: string
  readonly chain: string
}

/** Reads one option, whose word was taken; a `!` stood before it. */
export type ReadOption = (args: Arguments, negated: boolean) => void

/** A match while its options are read. */
export interface MatchReader {
  readonly options: Readonly<Record<string, ReadOption>>
  readonly finish: (args: Arguments, rule: RuleContext) => Match
}

export type MatchModule = (rule: RuleContext) => MatchReader

/** An option that cannot be negated. */
export function plain(read: (args: Arguments) => void): ReadOption {
  return (args, negated) => {
    if (negated) throw args.error(`${args.current.text} cannot be negated`)
    read(args)
  }
}

/** A match that remembers nothing. */
export function match(name: string, listing: string, holds: Holds, traits: readonly Trait[] = []): Match {
  return { name, listing, prepare: () => holds, traits, hasEffects: false }
}

/** `! ` where negated. */
export function not(negated: boolean, mark = '! '): string {
  return negated ? mark : ''
}

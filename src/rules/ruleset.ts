/** A ruleset as it was read: tables, their chains, their rules. */
import type { Match } from './match.js'
import type { Hook } from './packet.js'
import type { Target } from './target.js'
import type { Network } from './values.js'

/** Tables whose rules are judged, and their built-in chains. */
export const TABLES: Readonly<Record<string, readonly Hook[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  security: ['INPUT', 'FORWARD', 'OUTPUT'],
}

/** What every rule can ask for, with or without `!` before it. */
export interface Basics {
  readonly source: Negatable<Network> | null
  readonly destination: Negatable<Network> | null
  /** A name, or the beginning of one with `+` behind it. */
  readonly inInterface: Negatable<string> | null
  readonly outInterface: Negatable<string> | null
  /** 0: any. */
  readonly protocol: Negatable<number>
  /** `-f`: second and further fragments, of which there are none behind reassembly. */
  readonly fragment: Negatable<true> | null
}

export interface Negatable<T> {
  readonly value: T
  readonly negated: boolean
}

export interface Rule {
  readonly table: string
  readonly chain: string
  /** Its place in the chain, 1 for the first. */
  readonly number: number
  /** Line of the text, from 1. */
  readonly line: number
  /** The line itself, without counters. */
  readonly text: string
  readonly basics: Basics
  readonly matches: readonly Match[]
  /** `null`: it only counts. */
  readonly target: Target | null
  /** The chain that it goes to, with `-g` not to come back. */
  readonly jump: { readonly chain: string; readonly goto: boolean } | null
}

export interface Chain {
  readonly name: string
  /** Of a built-in chain; `null` of others. */
  readonly policy: 'ACCEPT' | 'DROP' | null
  /** Line of the text, from 1. */
  readonly line: number
  readonly rules: readonly Rule[]
}

export interface Table {
  readonly name: string
  readonly chains: readonly Chain[]
}

/** What was read but has no effect. */
export interface RulesWarning {
  readonly line: number
  readonly column: number
  readonly text: string
}

export interface Ruleset {
  readonly family: 4 | 6
  readonly tables: readonly Table[]
  readonly warnings: readonly RulesWarning[]
}

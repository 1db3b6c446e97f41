/** What is wrong with the text of a ruleset, and where. */
import { ConntrackError } from '../errors.js'

/** Of `parseRules`: the ruleset is not understood, or asks for what `iptables-restore` would refuse. */
export class RulesError extends ConntrackError {
  /**
   * @param line from 1
   * @param column from 1, in characters
   */
  constructor(readonly what: string, readonly line: number, readonly column: number) {
    super('bad-rules', `line ${line}, column ${column}: ${what}`)
  }
}

/** Right for `iptables-restore`, and not understood here. */
export class NotUnderstood extends RulesError {}

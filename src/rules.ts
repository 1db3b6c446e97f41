/** `conntrack-wasm/rules`: rulesets of iptables judged over packets. */
export { createFirewall, Firewall } from './rules/firewall.js'
export type { DecidedBy, Decision, FirewallOptions, JudgeInfo, RuleCounters } from './rules/firewall.js'
export type { Path } from './rules/judge.js'
export { RulesError } from './rules/error.js'
export { parseRules, type ParseOptions } from './rules/parse.js'
export type { Watcher } from './rules/machine.js'
export type { Chain, Rule, Ruleset, RulesWarning, Table } from './rules/ruleset.js'
export { ConntrackError, type ConntrackErrorCode } from './errors.js'

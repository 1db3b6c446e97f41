/** Rules and their counters as `iptables -L -v -n` prints them (1.8.9, with protocols by number). In: tables. Out: text. */
import type { Counted, LiveChain, LiveRule, LiveTable } from './machine.js'
import type { Negatable } from './ruleset.js'
import type { Network } from './values.js'

/** Exact up to five digits, then in thousands, millions ... */
export function count(value: number): string {
  if (value <= 99_999) return String(value)
  let rest = value
  for (const unit of 'KMG') {
    rest = Math.floor((rest + 500) / 1000)
    if (rest <= 9_999) return rest + unit
  }
  return Math.floor((rest + 500) / 1000) + 'T'
}

export function listTable(table: LiveTable, family: 4 | 6): string {
  const references = new Map<string, number>()
  for (const { rules } of table.chains.values()) {
    for (const { rule: { jump } } of rules) if (jump !== null) references.set(jump.chain, (references.get(jump.chain) ?? 0) + 1)
  }
  return inOrder(table).map(live => chainText(live, references.get(live.chain.name) ?? 0, family)).join('\n')
}

const BUILT_IN = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']

/** The built-in chains in a packet's order, then the others by name. */
function inOrder({ chains }: LiveTable): LiveChain[] {
  const rank = ({ chain }: LiveChain) => chain.policy === null ? BUILT_IN.length : BUILT_IN.indexOf(chain.name)
  return [...chains.values()].sort((a, b) => rank(a) - rank(b) || (a.chain.name < b.chain.name ? -1 : 1))
}

function chainText(live: LiveChain, references: number, family: 4 | 6): string {
  const { name, policy } = live.chain
  const head = policy === null ? `${references} references` : `policy ${policy} ${count(live.packets)} packets, ${count(live.bytes)} bytes`
  const titles = ` pkts bytes ${'target'.padEnd(9)}  prot opt ${'in'.padEnd(6)} ${'out'.padEnd(6)}  ${'source'.padEnd(19)}  ${'destination'.padEnd(19)} `
  return [`Chain ${name} (${head})`, titles, ...live.rules.map(rule => ruleText(rule, family))].join('\n') + '\n'
}

/** Right-aligned as the columns of counters are: a unit takes one place of the gap. */
function column(value: number): string {
  return count(value).padStart(5)
}

function ruleText(live: LiveRule, family: 4 | 6): string {
  const { basics, matches, target, jump } = live.rule
  const options = basics.fragment === null ? '--' : basics.fragment.negated ? '!f' : '-f'
  const details = [...matches.map(({ listing }) => listing), ...(target === null || target.listing === '' ? [] : [target.listing])]
  return counters(live) + `${(jump?.chain ?? target?.name ?? '').padEnd(9)} `
    + `${basics.protocol.negated ? '!' : ' '}${String(basics.protocol.value).padEnd(4)} ${options}  `
    + `${interfaceText(basics.inInterface)} ${interfaceText(basics.outInterface)} `
    + `${networkText(basics.source, family)} ${networkText(basics.destination, family)} `
    + (jump?.goto ? '[goto] ' : '') + details.map(text => ' ' + text).join('')
}

function counters({ packets, bytes }: Counted): string {
  return `${column(packets)} ${column(bytes)} `
}

function interfaceText(name: Negatable<string> | null): string {
  return (name === null ? '*' : `${name.negated ? '!' : ''}${name.value}`).padEnd(6)
}

function networkText(network: Negatable<Network> | null, family: 4 | 6): string {
  const everything = family === 4 ? '0.0.0.0/0' : '::/0'
  const text = network === null || network.value.everything ? everything : network.value.text
  return (network?.negated ? '!' : ' ') + text.padEnd(19)
}

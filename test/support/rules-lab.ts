/** Asks the kernel of this machine what iptables makes of packets (`test/kernel/rules-lab.py`). */
import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Firewall } from 'conntrack-wasm/rules'

const LAB = fileURLToPath(new URL('../../test/kernel/rules-lab.py', import.meta.url))

/** One ruleset and the packets that meet it. */
export interface LabCase {
  readonly tool: 'legacy' | 'nft'
  readonly family: 4 | 6
  readonly rules: string
  readonly interfaces: Readonly<Record<string, readonly string[]>>
  readonly local: readonly string[]
  /** Addresses of the machine that are of an interface of these. */
  readonly addresses?: Readonly<Record<string, string>>
  /** Packets begin with an Ethernet header. */
  readonly ethernet?: boolean
  readonly packets: readonly LabPacket[]
  /** Wait between packets as their times have it. */
  readonly pace?: boolean
  /** The tables as `iptables -L -v -n` prints them. */
  readonly list?: boolean
  readonly sysctl?: Readonly<Record<string, number>>
}

export interface LabPacket {
  /** In hex. */
  readonly bytes: string
  readonly way: string
  /** The interface that it comes by. */
  readonly in: string
  /** Nanoseconds. */
  readonly at: number
  /** Clock ticks to wait for after the packet before it. */
  readonly ticks?: number
}

export interface LabAnswer {
  /** `iptables-save -c` at the end. */
  readonly saved: string
  /** When each packet was sent, nanoseconds; a clock tick begins with every 4 ms. */
  readonly times: readonly number[]
  /** A clock tick ended while a packet was on its way. */
  readonly torn: boolean
  readonly lists?: Readonly<Record<string, string>>
  /** What `iptables-restore` did not like. */
  readonly refused?: string
}

/** Rules of a table, each to be loaded alone. */
export interface SpellingsTable {
  readonly table: string
  /** `:NAME - [0:0]` */
  readonly chains: readonly string[]
  readonly lines: readonly string[]
}

export interface SpellingsCase {
  readonly tool: 'legacy' | 'nft'
  readonly family: 4 | 6
  readonly spellings: readonly SpellingsTable[]
  /** All are right: they are loaded together, and not each alone. */
  readonly together?: boolean
}

export interface SpellingsAnswer {
  /** Of each table what became of each line. */
  readonly lines: readonly (readonly (
    | { readonly refused: string }
    /** Saved so that it is refused itself. */
    | { readonly unread: readonly string[] }
    /** `again`: as it is listed when what was saved is loaded. */
    | { readonly saved: readonly string[]; readonly listed: readonly string[]; readonly again: readonly string[] }
  )[])[]
  /** `iptables-save` and `iptables-save -c` of all lines that are listed the same again, and their tables as lists. */
  readonly plain: string
  readonly saved: string
  readonly lists: Readonly<Record<string, string>>
}

/** What is needed and not there; `null` for nothing. */
export function whatLabMisses(): string | null {
  if (process.platform !== 'linux') return 'Linux'
  if (process.getuid?.() !== 0) return 'root'
  try {
    const look = 'PATH=$PATH:/usr/sbin:/sbin; command -v iptables-legacy-restore && command -v iptables-nft-restore && command -v nft'
      + ' && command -v ip && command -v python3 && test -e /dev/net/tun'
    execFileSync('sh', ['-c', look], { stdio: 'ignore' })
    return null
  } catch {
    return 'iptables, nftables, iproute2, Python and /dev/net/tun'
  }
}

/** How often a case is asked again whose packets were torn apart by a clock tick: on a machine that is busy, now and then. */
const REPEATS = 8

export function askSpellings(given: SpellingsCase): SpellingsAnswer {
  return askOnce<SpellingsCase, SpellingsAnswer>([given])[0]
}

export function askLab(cases: readonly LabCase[]): LabAnswer[] {
  const answers = askOnce<LabCase, LabAnswer>(cases)
  for (let repeats = 0; repeats < REPEATS; repeats++) {
    const torn = answers.flatMap(({ torn }, i) => torn ? [i] : [])
    if (torn.length === 0) break
    askOnce<LabCase, LabAnswer>(torn.map(i => cases[i])).forEach((answer, i) => { answers[torn[i]] = answer })
  }
  return answers
}

function askOnce<Case, Answer extends object>(cases: readonly Case[]): Answer[] {
  if (cases.length === 0) return []
  const input = cases.map(each => JSON.stringify(each)).join('\n') + '\n'
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  const { stdout, stderr, status } = spawnSync('python3', [LAB], { input, encoding: 'utf8', maxBuffer: 1 << 30, env })
  if (status !== 0) throw new Error(`rules-lab.py: ${stderr}`)
  const answers = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Answer & { readonly failed?: string })
  const failed = answers.find(answer => answer.failed !== undefined)
  if (failed) throw new Error(`rules-lab.py: ${failed.failed}`)
  return answers
}

/** `table chain number` (0: the policy) and its packets and bytes, in the order of the text. */
export function savedCounters(text: string): Map<string, string> {
  const counters = new Map<string, string>()
  const numbers = new Map<string, number>()
  let table = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1)
    const policy = /^:(\S+) (?:ACCEPT|DROP) \[(\d+:\d+)\]/.exec(line)
    if (policy) counters.set(`${table} ${policy[1]} 0`, policy[2])
    const rule = /^\[(\d+:\d+)\] -A (\S+)/.exec(line)
    if (rule) {
      const chain = `${table} ${rule[2]}`
      numbers.set(chain, (numbers.get(chain) ?? 0) + 1)
      counters.set(`${chain} ${numbers.get(chain)}`, rule[1])
    }
  }
  return counters
}

/** The same of a firewall. */
export function ourCounters(firewall: Firewall, family: 4 | 6): Map<string, string> {
  return new Map(firewall.counters(family).map(({ table, chain, rule, packets, bytes }) =>
    [`${table} ${chain} ${rule?.number ?? 0}`, `${packets}:${bytes}`]))
}

/** Where the kernel's counters and ours differ. Tables that were not loaded count nothing here. */
export function compareCounters(kernel: ReadonlyMap<string, string>, ours: ReadonlyMap<string, string>): string[] {
  return [...ours.keys()].filter(place => kernel.get(place) !== ours.get(place))
    .map(place => `${place}: kernel ${kernel.get(place)}, ours ${ours.get(place)}`)
}

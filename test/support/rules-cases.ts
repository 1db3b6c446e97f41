/** The cases of `test/rules`, for the kernel and for us. */
import { readFileSync } from 'node:fs'
import { createFirewall, parseRules, type Firewall } from 'conntrack-wasm/rules'
import ipaddr from 'ipaddr.js'
import type { RulesCase } from '../rules/cases.js'
import type { LabCase } from './rules-lab.js'

/** A file of `test/rules`, below the project that the test runs in. */
export function caseFile(name: string, ending: string): string {
  return `${process.cwd()}/test/rules/${name}.${ending}`
}

export function rulesOf({ name }: RulesCase): string {
  return readFileSync(caseFile(name, 'rules'), 'utf8')
}

/** The packets' bytes, from the link header on where they have one. */
export function framesOf({ packets, ethernet }: RulesCase): Uint8Array[] {
  if (!ethernet) return packets.map(({ bytes }) => bytes)
  return packets.map(({ bytes }) => Uint8Array.of(0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, bytes[15], 8, 0, ...bytes))
}

function addressesOf(packet: Uint8Array): [string, string] {
  const [at, width] = packet[0] >> 4 === 4 ? [12, 4] : [8, 16]
  const text = (from: number) => ipaddr.fromByteArray([...packet.subarray(from, from + width)]).toString()
  return [text(at), text(at + width)]
}

function isIn(address: string, prefix: string): boolean {
  const parsed = ipaddr.parse(address)
  return parsed.kind() === ipaddr.parseCIDR(prefix)[0].kind() && parsed.match(ipaddr.parseCIDR(prefix))
}

function wayOf(local: readonly string[], [source, destination]: readonly [string, string]): string {
  const isOwn = (address: string) => local.includes(address) || address.startsWith('127.')
  if (!isOwn(source)) return isOwn(destination) ? 'input' : 'forward'
  return isOwn(destination) ? 'loopback' : 'output'
}

function comesBy(interfaces: RulesCase['interfaces'], source: string): string {
  const length = (prefix: string) => Number(prefix.split('/')[1])
  const fitting = Object.entries(interfaces)
    .flatMap(([name, prefixes]) => prefixes.filter(prefix => isIn(source, prefix)).map(prefix => ({ name, prefix })))
  return fitting.sort((a, b) => length(b.prefix) - length(a.prefix))[0]?.name ?? ''
}

/** What the kernel is asked. A `nat` table is left out: it is not evaluated here either. */
export function labCase(given: RulesCase, tool: LabCase['tool']): LabCase {
  const { family, interfaces, packets, ethernet, attached = false } = given
  let at = 0
  return {
    tool, family, interfaces, local: attached ? [] : given.local, ...(ethernet ? { ethernet } : {}), pace: true, list: true,
    addresses: attached ? Object.fromEntries(given.local.map(address => [address, comesBy(interfaces, address)])) : {},
    rules: rulesOf(given).replace(/^\*nat\n[\s\S]*?^COMMIT\n/m, ''),
    packets: framesOf(given).map((bytes, i) => {
      const addresses = addressesOf(packets[i].bytes)
      at += packets[i].afterMs * 1_000_000
      return { bytes: Buffer.from(bytes).toString('hex'), way: wayOf(given.local, addresses), in: comesBy(interfaces, addresses[0]), at }
    }),
  }
}

export function firewallOf(given: RulesCase): Firewall {
  const { family, local, interfaces } = given
  return createFirewall(parseRules(rulesOf(given), { family }), { local, interfaces, tracker: { hashSeed: 1 } })
}

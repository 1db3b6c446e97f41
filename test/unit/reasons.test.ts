/**
 * docs/reasons.md against the tracker: every reason has its section, and its packets get it. And the words of src/
 * against the small integers of the core.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { createTracker, LINK_TYPES, packetBatch, type Tracker, type Verdict } from 'conntrack-wasm'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import * as names from '../../src/names.js'
import { REASON_SYSCTLS, REASON_TEXTS } from '../../src/reasons.js'

const root = new URL('../../', import.meta.url)
const read = (file: string) => readFileSync(new URL(file, root), 'utf8')
const CONSTANTS = '00-constants.ts'
const CODES = names.REASONS.slice(1) as names.Reason[]

interface Packet {
  readonly bytes: Uint8Array
  readonly linkType: 'raw' | 'ethernet'
  readonly originalLength?: number
}

/** A block of packets, the last of which gets the section's reason. */
interface Block {
  readonly state: 'INVALID' | null
  /** The counter of `conntrack -S` that goes up, or `null`. */
  readonly counter: string | null
  /** `NAME=VALUE` that changes the verdict, or `null`. */
  readonly sysctl: string | null
  /** What `explain` says, where that is not the reason's text. */
  readonly explanation: string | null
  readonly options: { readonly maxConnections?: number; readonly sysctl: Readonly<Record<string, number>> }
  readonly packets: readonly Packet[]
}

interface Section {
  readonly code: string
  readonly text: string
  readonly blocks: readonly Block[]
}

const VERDICT = /^(?:State `null`, not counted|`(INVALID)`, counted as `(\w+)`)\.(?: With `(nf_conntrack_\w+=\d+)`.*)?$/
const PACKET = /^(?:(ethernet) |cut=(\d+) )?((?:[0-9a-f]{2})+)$/
const OPTION = /^(?:maxConnections (\d+)|sysctl (\w+)=(\d+))$/

function readSections(markdown: string): Section[] {
  return markdown.split(/^## /m).slice(1).map(text => ({
    code: text.slice(0, text.indexOf('\n')),
    text,
    // Prose and blocks by turns
    blocks: [...text.matchAll(/(.*?)^```packets ?(.*?)\n(.*?)^```$/gms)]
      .map(([, prose, options, lines]) => readBlock(prose, options, lines)),
  }))
}

function readBlock(prose: string, options: string, lines: string): Block {
  const paragraphs = prose.trim().split('\n\n').map(paragraph => paragraph.replace(/\n(?:> )?/g, ' '))
  const quote = paragraphs.at(-1)?.startsWith('> ') ? paragraphs.pop() : undefined
  const [, state, counter, sysctl] = match(VERDICT, paragraphs.at(-1) ?? '')
  return {
    state: state ? 'INVALID' : null,
    counter: counter ?? null,
    sysctl: sysctl ?? null,
    explanation: quote?.slice(2) ?? null,
    options: readOptions(options),
    packets: lines.trim().split('\n').filter(line => !line.startsWith('# ')).map(readPacket),
  }
}

function readOptions(text: string): Block['options'] {
  if (text === '') return { sysctl: {} }
  const [, maxConnections, name, value] = match(OPTION, text)
  return maxConnections ? { maxConnections: Number(maxConnections), sysctl: {} } : { sysctl: { [name]: Number(value) } }
}

function readPacket(line: string): Packet {
  const [, ethernet, cut, hex] = match(PACKET, line)
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], byte => parseInt(byte, 16))
  return { bytes, linkType: ethernet ? 'ethernet' : 'raw', ...(cut ? { originalLength: Number(cut) } : {}) }
}

function match(pattern: RegExp, text: string): readonly string[] {
  const found = pattern.exec(text)
  if (!found) throw new Error(`docs/reasons.md: '${text}' is not ${String(pattern)}`)
  return found
}

/** Feeds all packets but the last, which may have no reason, then the last. */
function feed(tracker: Tracker, { packets }: Block): { last: Verdict; risen: Record<string, number> } {
  const track = ({ bytes, ...info }: Packet) => tracker.track(bytes, info)
  for (const packet of packets.slice(0, -1)) expect(track(packet)).toMatchObject({ reason: null })
  const before: Record<string, number> = tracker.statistics().counters
  const last = track(packets[packets.length - 1])
  const rises = Object.entries(tracker.statistics().counters).map(([name, n]) => [name, n - before[name]] as const)
  return { last, risen: Object.fromEntries(rises.filter(([, n]) => n !== 0)) }
}

const trackerFor = ({ options }: Block) => createTracker({ ...options, hashSeed: 1, explain: true })

/** `nf_conntrack_tcp_loose=1` as an option. */
function setting(sysctl: string): Record<string, number> {
  const [name, value] = sysctl.split('=')
  return { [name]: Number(value) }
}

const sections = readSections(read('docs/reasons.md'))
const rows = sections.flatMap(({ code, blocks }) => blocks.map((block, i) =>
  ({ code: code as names.Reason, title: blocks.length > 1 ? `${code} (${i + 1})` : code, block })))

describe('docs/reasons.md', () => {
  test('has one section for each reason, in their order', () => {
    expect(sections.map(({ code }) => code)).toEqual(CODES)
  })

  test('has packets for every reason that the core gives, and says of the others that no packet gets them', () => {
    const files = readdirSync(new URL('assembly/', root)).filter(file => file.endsWith('.ts') && file !== CONSTANTS)
    const core = files.map(file => read(`assembly/${file}`)).join('\n')
    for (const { code, text, blocks } of sections) {
      const given = new RegExp(`\\b${constantOf(code)}\\b`).test(core)
      const saysNone = text.includes('No packet gets this reason today')
      expect({ code, packets: blocks.length > 0, saysNone }).toEqual({ code, packets: given, saysNone: !given })
    }
  })

  test('has no block of packets that this test does not read', () => {
    expect(rows.length).toBe(read('docs/reasons.md').split('```packets').length - 1)
    expect(read('docs/reasons.md').match(/^```/gm)).toHaveLength(2 * rows.length)
  })

  test.each(rows)('$title: the last packet, and only it, has this reason', ({ code, block }) => {
    const tracker = trackerFor(block)
    const { last } = feed(tracker, block)
    expect(last).toMatchObject({
      state: block.state, reason: code, direction: null, connection: null, dropped: code === 'table-full',
    })
    expect(tracker.statistics().reasons).toEqual({ [code]: 1 })
  })

  test.each(rows)('$title: only the counter that is named goes up, by one', ({ block }) => {
    expect(feed(trackerFor(block), block).risen).toEqual(block.counter ? { [block.counter]: 1 } : {})
  })

  test.each(rows)('$title: explain says so, and names the same sysctl', ({ code, block }) => {
    const tracker = trackerFor(block)
    const { last } = feed(tracker, block)
    const { text, sysctl } = tracker.explain(last)
    const verdict = `${last.state ?? 'never seen by the tracker'}${last.dropped ? ' and dropped' : ''}`
    expect(text).toBe(block.explanation ?? `Packet ${last.packet} is ${verdict}: ${REASON_TEXTS[code]}.`)
    expect(sysctl).toBe(block.sysctl)
    expect(REASON_SYSCTLS[code] ?? null).toBe(block.sysctl)
  })

  test.each(rows.filter(({ block }) => block.sysctl))('$title: the sysctl changes the verdict', ({ block }) => {
    const sysctl = { ...block.options.sysctl, ...setting(block.sysctl ?? '') }
    const { last } = feed(createTracker({ ...block.options, sysctl }), block)
    expect(last).toMatchObject({ reason: null, connection: 1 })
  })

  test.each(rows)('$title: a batch gives the same', ({ code, block }) => {
    const tracker = trackerFor(block)
    const batch = packetBatch(block.packets.map(({ bytes, linkType, originalLength }) =>
      ({ data: bytes, linkType: LINK_TYPES[linkType], originalLength })))
    const verdicts = tracker.trackBatch(batch)
    const last = block.packets.length - 1
    expect([names.STATES[verdicts.state[last]], names.REASONS[verdicts.reason[last]]]).toEqual([block.state, code])
  })
})

/** Constants of a core file whose name begins with a prefix, without it: name and value. */
function constants(file: string, prefix: string): [name: string, value: number][] {
  const found = read(`assembly/${file}`).matchAll(/^export const (\w+): \w+ = (\S+)(?: << (\d+))?(?: \/\/.*)?$/gm)
  return [...found].filter(([, name]) => name.startsWith(prefix))
    .map(([, name, value, shift]) => [name.slice(prefix.length), Number(value) << Number(shift ?? 0)])
}

/** REASON_TCP_FLAGS of 'tcp-flags'. */
function constantOf(code: string): string {
  return `REASON_${code.toUpperCase().replaceAll('-', '_')}`
}

/** Constants that stand for places in a table of words: all of the table, in order. */
function table(file: string, prefix: string, words: readonly (string | null)[], none: string): void {
  const expected = words.map((word, i) => [word === null ? none : word.toUpperCase().replaceAll('-', '_'), i])
  expect(constants(file, prefix)).toEqual(expected)
}

/** Constants that stand for bits with names: some of them. */
function bits(file: string, prefix: string, words: readonly string[]): void {
  const found = constants(file, prefix)
  expect(found).not.toEqual([])
  expect(found).toEqual(found.map(([name]) => [name, 1 << words.indexOf(name)]))
}

describe('numbers of the core and words of the package', () => {
  test('reasons', () => {
    table(CONSTANTS, 'REASON_', names.REASONS, 'NONE')
    expect(Object.keys(REASON_TEXTS)).toEqual(CODES)
  })

  test('states of a verdict', () => table(CONSTANTS, 'STATE_', names.STATES, 'NONE'))

  test('bits of a verdict', () => {
    const words = Object.entries(names).filter(([name]) => name.startsWith('VERDICT_'))
    expect(words).not.toEqual([])
    expect(Object.fromEntries(constants(CONSTANTS, 'VERDICT_').map(([name, value]) => [`VERDICT_${name}`, value])))
      .toEqual(Object.fromEntries(words))
  })

  test('status bits', () => bits(CONSTANTS, 'STATUS_', names.STATUS_BITS))

  test('changes of an event', () => bits(CONSTANTS, 'CHANGE_', names.EVENTS))

  test('directions', () => {
    const directions = constants(CONSTANTS, '').filter(([name]) => /^(ORIGINAL|REPLY)$/.test(name))
    expect(directions).toHaveLength(2)
    for (const [name, value] of directions) expect(names.DIRECTIONS[value + 1]?.toUpperCase()).toBe(name)
  })

  test('protocols', () => {
    const protocols = constants(CONSTANTS, 'PROTOCOL_')
    expect(protocols).not.toEqual([])
    expect(protocols).toEqual(protocols.map(([name]) => [name, names.PROTOCOL_NUMBERS[name.toLowerCase()]]))
  })

  test('TCP states', () => {
    const states = constants('30-tcp.ts', '').filter(([name]) => (names.TCP_STATES as readonly string[]).includes(name))
    expect(states).toEqual(names.TCP_STATES.map((name, i) => [name, i]))
  })

  test('TCP flags', () => {
    const flags = constants('32-tcp-flags.ts', '')
    expect(flags.map(([name]) => name === 'UNACKNOWLEDGED' ? 'DATA_UNACKNOWLEDGED' : name)).toEqual(names.TCP_FLAGS)
    expect(flags.map(([, value]) => value)).toEqual(names.TCP_FLAGS.map((_, i) => 1 << i))
  })

  test('rules have an explanation each, in their order', () => {
    const rules = constants(CONSTANTS, 'RULE_')
    expect(rules.map(([, value]) => value)).toEqual(rules.map((_, i) => i))
    const explained = rulesOf(read('src/explain.ts'))
    expect(explained).toHaveLength(rules.length)
    const named = explained.map((name, i) => name === null || name === 'byReason' ? name : camelCase(rules[i][0]))
    expect(explained).toEqual(named)
    expect(explained.filter(name => name !== null && name !== 'byReason')).not.toEqual([])
  })
})

/** 'seqOver' of TCP_SEQ_OVER. */
function camelCase(rule: string): string {
  return rule.replace(/^TCP_/, '').toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** The table of explanations: the names of functions, `null` for those without one. */
function rulesOf(source: string): (string | null)[] {
  const file = ts.createSourceFile('explain.ts', source, ts.ScriptTarget.Latest)
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement)) continue
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(name) || name.text !== 'RULES') continue
      if (!initializer || !ts.isArrayLiteralExpression(initializer)) continue
      return initializer.elements.map(element => ts.isIdentifier(element) ? element.text : null)
    }
  }
  throw new Error('src/explain.ts has no table RULES')
}

/**
 * The reader of rulesets over text that nobody would write: noise, words in any order, right rulesets damaged. It reads it
 * or throws a `RulesError` with a line and a column that the text has, and passes over nothing; nothing else is thrown, and nothing hangs.
 *
 *     SEED=7 INPUTS=1000000 npm run fuzz:rules
 */
import { parseRules, RulesError, type Ruleset } from 'conntrack-wasm/rules'
import { describe, expect, test } from 'vitest'
import { Random } from '../support/random.js'
import { randomRuleset } from '../support/rules-generator.js'

const SEED = Number(process.env.SEED ?? 1)
const INPUTS = Number(process.env.INPUTS ?? 30_000)
const HOUR = 60 * 60_000

const WORDS = [
  '*filter', '*raw', '*nat', '*mangle', 'COMMIT', ':INPUT', ':own', 'ACCEPT', 'DROP', '-', '[0:0]', '[1:', '-A', 'INPUT', 'own', '-j', '-g', '-m',
  '-p', 'tcp', 'udp', '!', '! !', '-s', '10.0.0.0/8', '::1', '1.2.3.4/33', '--dport', '80', '99999', '80:79', ':', '"', '\\', "'", '\t', '--ctstate', 'NEW,',
  'conntrack', '--syn', '--tcp-flags', 'ALL', 'NONE', '-i', 'eth+', '0x', '--limit', '1/day', '--connbytes', '18446744073709551616', '__proto__',
  'constructor', 'toString', '--comment', '\u0000', '\u{1f600}', 'CT', '--zone', '--helper', 'ftp', '#', '-f', 'multiport', '--ports', '1,2,3,', '-t', '--',
]

type Make = (random: Random) => string

const noise: Make = random => Array.from({ length: random.below(200) }, () => String.fromCharCode(random.chance(8) ? 10 : random.below(random.pick([128, 300, 65_536])))).join('')

const words: Make = random => Array.from({ length: random.below(60) }, () => random.pick(WORDS) + (random.chance(6) ? '\n' : ' ')).join('')

/** Right rules, with characters and words changed, lost or moved. */
const damaged: Make = random => {
  const lines = randomRuleset(random, random.chance(2) ? 4 : 6).split('\n')
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(lines.length)
    const line = lines[at]
    const from = random.below(line.length + 1)
    lines[at] = random.pick([
      () => line.slice(0, from) + random.pick(WORDS) + line.slice(from),
      () => line.slice(0, from), () => line.slice(0, from) + line.slice(from + 1 + random.below(9)),
      () => line + ' ' + lines[random.below(lines.length)], () => line.split(' ').reverse().join(' '), () => line.replace(/ /g, random.pick(['  ', '\t', ''])),
      () => line.split(' ').map(word => random.chance(8) ? random.pick(WORDS) : word).join(' '), () => '',
    ])()
  }
  return lines.join(random.chance(20) ? '\r\n' : '\n')
}

/** As long and as deep as a text can make it. */
const large: Make = random => {
  const size = 200 + random.below(2000)
  const chains = Array.from({ length: size }, (_, i) => `c${i}`)
  return random.pick([
    () => `*filter\n${chains.map(name => `:${name} - [0:0]\n`).join('')}${chains.slice(1).map((name, i) => `-A c${i} -j ${name}\n`).join('')}${random.chance(2) ? `-A c${size - 1} -j c0\n` : ''}COMMIT\n`,
    () => `*filter\n-A INPUT ${'! '.repeat(size)}-j DROP\nCOMMIT\n`, () => `*filter\n-A INPUT -m comment --comment "${'\\'.repeat(size)}"\nCOMMIT\n`,
    () => `*filter\n-A INPUT ${'-m state --state NEW '.repeat(size)}\nCOMMIT\n`, () => '"'.repeat(size), () => `*filter\n-A INPUT -p tcp -m multiport --ports ${'1,'.repeat(size)}\nCOMMIT`,
  ])()
}

/** Rules and chains that the text has, and those that were read. */
function checkRead(text: string, { tables, warnings }: Ruleset): void {
  const lines = text.split(/\r?\n/)
  const judged = new Set(tables.map(({ name }) => name))
  let table = ''
  const written = lines.filter(line => {
    if (line.startsWith('*')) table = line.slice(1).trimEnd()
    return judged.has(table) && /^(\[\d+:\d+\])?[ \t]*-(-append|A)[ \t]/.test(line.trimStart())
  })
  const rules = tables.flatMap(({ chains }) => chains.flatMap(chain => chain.rules))
  // Several addresses are a rule each.
  expect(new Set(rules.map(({ line }) => line)).size).toBe(written.length)
  for (const { line } of rules) expect(line).toBeLessThanOrEqual(lines.length)
  for (const { line, column } of warnings) expect(column).toBeLessThanOrEqual(lines[line - 1].length + 1)
}

const tally = { read: 0, refused: 0 }

function readOne(text: string, random: Random): void {
  try {
    const family = random.pick([undefined, 4, 6] as const)
    checkRead(text, parseRules(text, { unknown: random.pick(['error', 'never-match']), ...(family === undefined ? {} : { family }) }))
    tally.read++
  } catch (error) {
    if (!(error instanceof RulesError)) throw error
    const lines = text.split(/\r?\n/)
    expect(error.line >= 1 && error.line <= lines.length, error.message).toBe(true)
    expect(error.column >= 1 && error.column <= lines[error.line - 1].length + 1, error.message).toBe(true)
    tally.refused++
  }
}

describe('text is read, or refused with line and column', () => {
  test.each([['noise', noise, 4], ['words in any order', words, 4], ['damaged rulesets', damaged, 2], ['large', large, 2000]] as const)('%s', (name, make, share) => {
    for (let i = 0; i < INPUTS / share; i++) {
      const seed = SEED * 1_000_003 + i
      const text = make(new Random(seed))
      try {
        readOne(text, new Random(seed + 1))
      } catch (error) {
        throw new Error(`${name}, seed ${seed}: ${JSON.stringify(text.slice(0, 2000))}`, { cause: error })
      }
    }
  }, HOUR)

  test('some of it is right, and most is not', () => {
    process.stdout.write(`rules, seed ${SEED}: ${tally.read} texts read, ${tally.refused} refused\n`)
    expect(tally.read).toBeGreaterThan(0)
    expect(tally.refused).toBeGreaterThan(tally.read)
  })
})

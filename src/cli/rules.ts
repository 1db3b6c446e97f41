/** `rules RULESET CAPTURE`: the rules with their counters, one decision a packet, or the walk of one packet. */
import { readFileSync } from 'node:fs'
import { ConntrackError } from '../errors.js'
import { createFirewall, type Decision, type Firewall } from '../rules/firewall.js'
import { decisionJson, decisionText, type Sources } from '../rules/decision.js'
import { parseRules } from '../rules/parse.js'
import type { Ruleset } from '../rules/ruleset.js'
import { createTrace } from '../rules/trace.js'
import { CheckFailed, InputError, UsageError } from './errors.js'
import type { RulesRequest } from './options.js'
import { noticeOffloaded, readPackets, type Run } from './run.js'

export async function rules(run: Run): Promise<void> {
  const request = run.invocation.rules!
  const fromStandardInput = [...request.rulesets, run.invocation.capture].filter(path => path === '-')
  if (fromStandardInput.length > 1) throw new UsageError('only one of rulesets and capture can be standard input')
  const rulesets = request.rulesets.map(path => readRuleset(path, request, run.notice))
  const firewall = newFirewall(run, rulesets, request)
  try {
    for (const text of firewall.notices) run.notice(text)
    await judgeCapture(run, firewall, request, sourcesOf(request, rulesets))
  } finally {
    run.progress.end()
    firewall.close()
  }
}

/** Lines are of several files where there is `--also`. */
function sourcesOf({ rulesets: paths }: RulesRequest, rulesets: readonly Ruleset[]): Sources | undefined {
  return rulesets.length === 1 ? undefined : Object.fromEntries(rulesets.map(({ family }, i) => [family, paths[i]]))
}

/** Reads a ruleset; what it warns of is said. */
export function readRuleset(path: string, { unknown }: Pick<RulesRequest, 'unknown'>, notice: (text: string) => void): Ruleset {
  const text = fileText(path)
  try {
    const ruleset = parseRules(text, { unknown })
    for (const warning of ruleset.warnings) notice(`${path}: line ${warning.line}, column ${warning.column}: ${warning.text}`)
    return ruleset
  } catch (error) {
    throw error instanceof ConntrackError ? new InputError(`${path}: ${error.message}`) : error
  }
}

const STANDARD_INPUT = 0

function fileText(path: string): string {
  try {
    return readFileSync(path === '-' ? STANDARD_INPUT : path, 'utf8')
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? new InputError(error.message) : error
  }
}

function newFirewall({ invocation }: Run, rulesets: readonly Ruleset[], { firewall }: RulesRequest): Firewall {
  const { sysctl, hashSeed, checksum } = invocation.tracker
  try {
    return createFirewall(rulesets, { ...firewall, tracker: { sysctl, hashSeed, checksum } })
  } catch (error) {
    throw error instanceof ConntrackError ? new UsageError(error.message) : error
  }
}

async function judgeCapture(run: Run, firewall: Firewall, request: RulesRequest, sources?: Sources): Promise<void> {
  const { output, invocation: { json } } = run
  const { trace } = request
  const check = request.expect === null ? null : new Expected(request.expect, sources)
  const tally = { unseen: 0, notJudged: 0 }
  const told = createTrace(sources)
  const { packets, failure } = await readPackets(run, (batch, firstPacket) => {
    const decisions = firewall.judgeBatch(batch, index => firstPacket + index === trace ? told.watcher : undefined)
    for (const decision of decisions) {
      if (decision.unseen) tally.unseen++
      if (decision.by === 'not-judged') tally.notJudged++
      check?.compare(decision)
      if (json && trace === 0) output.write(decisionJson(decision, sources) + '\n')
      if (decision.packet === trace) output.write(json ? told.json(decision) + '\n' : told.text(decision))
    }
    return trace === 0 || check !== null || firstPacket + batch.count <= trace
  })
  run.progress.end()
  if (trace > packets) throw new UsageError(`there is no packet ${trace}: the capture has ${packets}`)
  if (!json && trace === 0) output.write(listText(firewall))
  await output.flush()
  giveNotices(run, tally, firewall)
  if (failure !== null) throw failure
  check?.end(packets)
}

function giveNotices({ notice }: Run, { unseen, notJudged }: { unseen: number; notJudged: number }, firewall: Firewall): void {
  noticeOffloaded(firewall.tracker, notice)
  if (passedByRules(firewall)) notice(PASSED_BY_RULES)
  if (unseen > 0) notice(`rules asked ${unseen} packets for bytes that the capture does not have; those matches did not hold`)
  if (notJudged > 0) notice(`${notJudged} packets never came to the rules: not IP, malformed, fragments of later packets, or cut short`)
}

export const PASSED_BY_RULES = 'no packet came to a chain that has rules: --local says which addresses are the machine\'s own, --hook which way packets go'

/** Packets were counted, and none in a built-in chain with rules. */
export function passedByRules(firewall: Firewall): boolean {
  const counters = ([4, 6] as const).flatMap(family => firewall.counters(family).map(each => ({ ...each, place: `${family} ${each.table} ${each.chain}` })))
  const withRules = new Set(counters.filter(({ rule }) => rule !== null).map(({ place }) => place))
  const counted = counters.filter(({ packets }) => packets > 0)
  return withRules.size > 0 && counted.length > 0 && counted.every(({ place }) => !withRules.has(place))
}

function listText(firewall: Firewall): string {
  const tables = ([4, 6] as const).flatMap(family => firewall.list(family).map(each => ({ ...each, family })))
  return tables.map(({ table, family, text }) => `# ${family === 4 ? '' : 'IPv6 '}table ${table}\n${text}`).join('\n')
}

/** Decisions as they should be. */
class Expected {
  readonly #lines: readonly string[]
  #differences = 0
  #first = ''

  constructor(readonly path: string, readonly sources?: Sources) {
    this.#lines = fileText(path).split('\n').filter(line => line.trim() !== '')
  }

  compare(decision: Decision): void {
    const wanted = this.#lines[decision.packet - 1]
    const got = decisionJson(decision, this.sources)
    if (wanted === undefined || sameDecision(wanted, got)) return
    this.#differ(`packet ${decision.packet}: ${decisionText(decision, this.sources)}; expected ${wanted}`)
  }

  #differ(what: string): void {
    this.#differences++
    this.#first ||= what
  }

  /** @throws CheckFailed with the first difference */
  end(packets: number): void {
    if (packets !== this.#lines.length) this.#differ(`there are ${packets} packets, and ${this.#lines.length} decisions in ${this.path}`)
    if (this.#differences > 0) throw new CheckFailed(`${this.#differences} decisions differ from ${this.path}; the first: ${this.#first}`)
  }
}

/** What is expected may leave fields out. */
function sameDecision(wanted: string, got: string): boolean {
  let fields: unknown
  try {
    fields = JSON.parse(wanted)
  } catch {
    return false
  }
  const have = JSON.parse(got) as Record<string, unknown>
  return typeof fields === 'object' && fields !== null && Object.entries(fields).every(([name, value]) => have[name] === value)
}

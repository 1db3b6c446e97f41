/** `diff CAPTURE`: several configurations in one pass over the capture; what each makes of packets that the first does not. */
import type { PacketBatch } from '../batch.js'
import { ConntrackError } from '../errors.js'
import { REASONS, STATES, VERDICT_DROPPED } from '../names.js'
import { decisionText } from '../rules/decision.js'
import { createFirewall } from '../rules/firewall.js'
import type { VerdictBatch } from '../types.js'
import { UsageError } from './errors.js'
import { explanationText } from './explain.js'
import { PASSED_BY_RULES, passedByRules, readRuleset } from './rules.js'
import { CLI_BATCH, noticeOffloaded, readPackets, type Run } from './run.js'

/** One configuration. */
interface Side {
  readonly name: string
  readonly tracker: Parameters<typeof noticeOffloaded>[0]
  /** What it makes of each packet, in a word or two. */
  readonly outcomes: (batch: PacketBatch) => string[]
  /** Why, of a packet of the last batch; numbered from 1 over all. */
  readonly explain: (index: number, packet: number) => string
  /** What is to be said when all packets were seen. */
  readonly notices: () => readonly string[]
  readonly close: () => void
}

export async function diff(run: Run): Promise<void> {
  const sides = sidesOf(run)
  try {
    const differences = sides.slice(1).map(() => new Difference())
    const { packets, failure } = await readPackets(run, (batch, firstPacket) => {
      const [base, ...others] = sides.map(({ outcomes }) => outcomes(batch))
      others.forEach((outcomes, i) => differences[i].compare(base, outcomes, firstPacket, (index, packet) =>
        [sides[0], sides[i + 1]].map(side => `${side.name}: ${side.explain(index, packet)}`)))
    })
    run.progress.end()
    const { json } = run.invocation
    differences.forEach((difference, i) => run.output.write(difference.text([sides[0].name, sides[i + 1].name], packets, json)))
    await run.output.flush()
    // Of all alike: it is the capture that they are of.
    noticeOffloaded(sides[0].tracker, run.notice)
    for (const { name, notices } of sides) for (const text of notices()) run.notice(`${name}: ${text}`)
    if (failure !== null) throw failure
  } finally {
    run.progress.end()
    for (const side of sides) side.close()
  }
}

function sidesOf(run: Run): Side[] {
  const { rulesets, settings, firewall, unknown } = run.invocation.diff!
  try {
    if (rulesets.length > 0) return rulesets.map(path => rulesSide(run, path, { firewall, unknown }))
    return [{}, ...settings].map(sysctl => trackerSide(run, sysctl))
  } catch (error) {
    throw error instanceof ConntrackError ? new UsageError(error.message) : error
  }
}

type RulesOf = Pick<NonNullable<Run['invocation']['diff']>, 'firewall' | 'unknown'>

function rulesSide({ invocation, notice }: Run, path: string, { firewall: options, unknown }: RulesOf): Side {
  const { sysctl, hashSeed, checksum } = invocation.tracker
  const firewall = createFirewall(readRuleset(path, { unknown }, notice), { ...options, tracker: { sysctl, hashSeed, checksum } })
  let decisions: ReturnType<typeof firewall.judgeBatch> = []
  return {
    name: path, tracker: firewall.tracker,
    outcomes: batch => {
      decisions = firewall.judgeBatch(batch)
      return decisions.map(({ action }) => action ?? 'not judged')
    },
    explain: index => decisionText(decisions[index]),
    notices: () => [...firewall.notices, ...(passedByRules(firewall) ? [PASSED_BY_RULES] : [])],
    close: () => firewall.close(),
  }
}

function trackerSide({ sdk, invocation }: Run, sysctl: Readonly<Record<string, number>>): Side {
  const tracker = sdk.createTracker({
    ...invocation.tracker, sysctl: { ...invocation.tracker.sysctl, ...sysctl }, explain: true, batchSize: CLI_BATCH,
  })
  const settings = Object.entries(sysctl).map(([name, value]) => `${name}=${value}`)
  return {
    name: settings.join(',') || 'without', tracker,
    outcomes: batch => {
      const verdicts = tracker.trackBatch(batch)
      return Array.from({ length: verdicts.count }, (_, i) => verdictText(verdicts, i))
    },
    explain: (_index, packet) => explanationText(tracker.explain(packet)).trimEnd(),
    notices: () => [],
    close: () => tracker.close(),
  }
}

function verdictText({ state, reason, flags }: VerdictBatch, i: number): string {
  const why = REASONS[reason[i]]
  return `${STATES[state[i]] ?? 'no state'}${why === null ? '' : ` (${why})`}${flags[i] & VERDICT_DROPPED ? ', dropped' : ''}`
}

/** What another configuration changes. */
class Difference {
  #packets = 0
  #first: { readonly packet: number; readonly stories: readonly string[] } | null = null
  readonly #kinds = new Map<string, number>()

  compare(
    base: readonly string[], other: readonly string[], firstPacket: number,
    explain: (index: number, packet: number) => string[],
  ): void {
    base.forEach((outcome, i) => {
      if (outcome === other[i]) return
      this.#packets++
      const kind = `${outcome} -> ${other[i]}`
      this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
      this.#first ??= { packet: firstPacket + i, stories: explain(i, firstPacket + i) }
    })
  }

  text([base, other]: readonly [string, string], packets: number, json: boolean): string {
    const kinds = [...this.#kinds].sort((a, b) => b[1] - a[1])
    if (json) {
      return JSON.stringify({ base, other, packets, differing: this.#packets, kinds: Object.fromEntries(kinds), first: this.#first }) + '\n'
    }
    return [
      `${base} | ${other}: ${this.#packets} of ${packets} packets differ`,
      ...kinds.map(([kind, count]) => `${String(count).padStart(8)}  ${kind}`),
      ...(this.#first === null ? [] : [`the first is packet ${this.#first.packet}:`, ...this.#first.stories]),
    ].join('\n') + '\n'
  }
}

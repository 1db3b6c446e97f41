/**
 * Payloads that no client would send, for every protocol helper: real conversations that were damaged, cut and glued.
 * No helper may throw, hang, expect more than its rule allows, or keep what is not JSON.
 *
 *     SEED=7 PAYLOADS=10000000 npx vitest run --project fuzz test/fuzz/helpers.test.ts
 *
 * Every failure names the seed, and shows the helper and the shortest conversation that still fails.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { capturedSeeds } from '../support/helper-fuzz/captured.js'
import { counted } from '../support/helper-fuzz/counted.js'
import { withRightLengths } from '../support/helper-fuzz/mutate.js'
import {
  cutScript, drawScript, failure, play, reduced, scriptText, straightScript, type Script,
} from '../support/helper-fuzz/script.js'
import { Violation } from '../support/helper-fuzz/rules.js'
import { writtenSeeds, type Seed } from '../support/helper-fuzz/seeds.js'
import { TrackedPlay } from '../support/helper-fuzz/through-tracker.js'
import { VARIANTS, wordsOf, type Variant } from '../support/helper-fuzz/variants.js'
import { Random } from '../support/random.js'

const SEED = Number(process.env.SEED ?? 1)
const PAYLOADS = Number(process.env.PAYLOADS ?? 300_000)
const EACH = Math.ceil(PAYLOADS / VARIANTS.length)
/** One payload in so many goes through a tracker as well. */
const TRACKED = 10
const HOURS = 4 * 3_600_000
/** A payload of repeated words, and how often each of its bytes may be read. */
const LONG = 4096
const READS = 20
/** So many scripts, one after the other, go through the same tracker. */
const SCRIPTS_OF_A_TRACKER = 500

const written = writtenSeeds()
let seeds: readonly Seed[] = written

beforeAll(async () => {
  seeds = [...written, ...await capturedSeeds()]
}, HOURS)

const of = (all: readonly Seed[], { helper }: Variant) => all.filter(seed => seed.helper === helper.name)

/** Draws scripts for a variant until they have so many payloads. */
function* scripts(variant: Variant, seed: number, payloads: number): Generator<Script> {
  const random = new Random(seed)
  const [own, all] = [of(written, variant), of(seeds, variant)]
  const others = all.flatMap(({ said }) => said.map(({ payload }) => payload))
  const stocks = new Map(all.map(one => [one, { others, words: wordsOf(one) }]))
  for (let left = payloads; left > 0;) {
    const chosen = random.pick(random.chance(2) ? own : all)
    const script = drawScript(random, chosen, stocks.get(chosen)!)
    left -= script.steps.length
    yield script
  }
}

type Playing<Result> = (script: Script) => Result

/** Plays a script; what fails is made shorter, playing it `anew`, and told. */
async function playOrTell<Result>(
  variant: Variant, script: Script, playing: Playing<Result>, anew: Playing<unknown> = playing,
): Promise<Result> {
  try {
    return playing(script)
  } catch (error) {
    const shortest = await reduced(script, anew)
    const shown = failure(() => anew(shortest)) ?? error as Error
    throw new Error(`seed ${SEED}, ${variant.label}: ${shown.stack}\n${scriptText(shortest)}`)
  }
}

/** A conversation in which each message has words repeated in its midst. */
function swollen(random: Random, seed: Seed): Script {
  const words = wordsOf(seed)
  const said = seed.said.map(({ direction, payload }) => {
    const piece = Buffer.concat(Array.from({ length: 1 + random.below(4) }, () => random.pick(words)))
    const at = random.below(payload.length + 1)
    const long = Buffer.concat([payload.subarray(0, at), Buffer.alloc(LONG, piece), payload.subarray(at)])
    return { direction, payload: withRightLengths(long) }
  })
  return straightScript({ ...seed, said })
}

/** Plays a script and throws if a payload is read too often. */
function playCounted(variant: Variant, script: Script): void {
  const reads = script.steps.map(() => ({ count: 0 }))
  const steps = script.steps.map((step, i) => ({ ...step, payload: counted(step.payload, reads[i]) }))
  play(variant, { ...script, steps })
  steps.forEach(({ payload: { length } }, i) => {
    if (reads[i].count > READS * length) throw new Violation(`payload ${i} of ${length} bytes: ${reads[i].count} reads`)
  })
}

describe.each(VARIANTS.map(variant => [variant.label, variant] as const))('%s', (_, variant) => {
  const silent = !variant.loosened.broadcastMask && ['netbios-ns', 'snmp'].includes(variant.helper.name)
  const widened = /anybody|outside|loose|peers/.test(variant.label)
  const playing = (script: Script) => play(variant, script)

  test('announces something in every conversation that is as it should be, if anything', async () => {
    for (const seed of of(written, variant)) {
      const { added } = await playOrTell(variant, straightScript(seed), playing)
      expect(added > 0).toBe(!silent)
    }
  })

  test('takes every message cut at every place', async () => {
    for (const seed of widened ? [] : of(written, variant)) {
      for (const [at, { payload }] of seed.said.entries()) {
        for (let cut = 0; cut <= payload.length; cut++) await playOrTell(variant, cutScript(seed, at, cut), playing)
      }
    }
  })

  test('takes damaged conversations', { timeout: HOURS }, async () => {
    const total = { payloads: 0, added: 0 }
    for (const script of scripts(variant, SEED, EACH)) {
      const { payloads, added } = await playOrTell(variant, script, playing)
      total.payloads += payloads
      total.added += added
    }
    expect(total.payloads).toBeGreaterThanOrEqual(EACH)
    expect(total.added > EACH / 100).toBe(!silent)
  })

  test('in a tracker, expectations are within limits and go with their masters', { timeout: HOURS }, async () => {
    const anew = (script: Script) => new TrackedPlay(variant, SEED).play(script)
    let seen = 0, played = 0, tracked = new TrackedPlay(variant, SEED)
    for (const script of scripts(variant, SEED + 1, EACH / TRACKED)) {
      seen += await playOrTell(variant, script, one => tracked.play(one), anew)
      if (++played % SCRIPTS_OF_A_TRACKER === 0) tracked = new TrackedPlay(variant, SEED + played)
    }
    expect(seen > 0).toBe(!silent)
  })

  test(`reads no byte of a long payload more than ${READS} times on average`, { timeout: HOURS }, async () => {
    const random = new Random(SEED + 2)
    for (let left = EACH / 500; left > 0; left--) {
      const script = swollen(random, random.pick(of(written, variant)))
      await playOrTell(variant, script, one => playCounted(variant, one))
    }
  })

  test('takes 64 KiB of any of its words', async () => {
    for (const seed of of(written, variant)) {
      for (const [i, word] of wordsOf(seed).entries()) {
        const said = seed.said.map((one, at) => at !== i % seed.said.length ? one
          : { ...one, payload: Buffer.concat([one.payload, Buffer.alloc(64 * 1024, word)]) })
        await playOrTell(variant, straightScript({ ...seed, said }), playing)
      }
    }
  })
})

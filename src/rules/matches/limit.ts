/** `limit` and `statistic --mode nth`: matches that count packets (iptables-extensions(8)). */
import { TICK_NS } from '../clock.js'
import { not, plain, type Machine, type Match, type MatchModule } from '../match.js'
import type { Arguments } from '../text.js'
import { readNumber, shown } from '../values.js'

/** Linux counts in ten-thousandths of a second. */
const SCALE = 10_000
const UNITS = [['day', 86_400], ['hour', 3_600], ['min', 60], ['sec', 1]] as const
const UNIT_WORDS = { second: 1, minute: 60, hour: 3_600, day: 86_400 } as const

export const limit: MatchModule = () => {
  let period = SCALE * 3_600 / 3
  let burst = 5
  return {
    options: {
      '--limit': plain(args => { period = readRate(args) }),
      '--limit-burst': plain(args => {
        burst = readNumber(args, 10_000, 'burst')
        if (burst === 0) throw args.error('burst: at least 1')
      }),
    },
    finish: () => limitMatch(period, burst),
  }
}

/** Ten-thousandths of a second for each packet. */
function readRate(args: Arguments): number {
  const text = args.value()
  const parts = /^(\d{1,9})(?:\/([a-z]+))?$/i.exec(text)
  const unit = parts?.[2]?.toLowerCase() ?? 'second'
  const word = Object.entries(UNIT_WORDS).find(([name]) => name.startsWith(unit))
  const rate = Number(parts?.[1] ?? 0)
  if (rate === 0 || word === undefined) throw args.error(`'${shown(text)}' is no rate such as 3/minute`)
  const period = Math.floor(SCALE * word[1] / rate)
  if (period === 0) throw args.error(`the rate ${shown(text)} is too fast`)
  return period
}

function rateText(period: number): string {
  let unit: (typeof UNITS)[number] = UNITS[0]
  for (const next of UNITS.slice(1)) {
    const steps = next[1] * SCALE
    if (period > steps || Math.floor(steps / period) < steps % period) break
    unit = next
  }
  return `${Math.floor(unit[1] * SCALE / period)}/${unit[0]}`
}

/** Linux's credits: so many a second, in 32 bits. A burst of low rates that overflows them is what is left of it, or refused. */
const CREDITS_PER_SECOND = 32_000
const CREDITS_PER_TICK = CREDITS_PER_SECOND * Number(TICK_NS) / 1e9
const U32 = 2 ** 32

function credits(steps: number): number {
  return steps > (U32 - 1) / CREDITS_PER_SECOND
    ? Math.floor(steps / SCALE) * CREDITS_PER_SECOND % U32 : Math.floor(steps * CREDITS_PER_SECOND / SCALE)
}

/**
 * What a packet costs and what there is at most. What is more than `iptables-legacy` can count and is refused by it,
 * `iptables-nft` counts.
 */
function budget(period: number, burst: number): [cost: number, most: number] {
  const [cost, most] = [credits(period), credits(period * burst % U32)]
  return most < cost ? [period, period * burst].map(steps => steps * CREDITS_PER_SECOND / SCALE) as [number, number] : [cost, most]
}

/** A bucket of tokens, full when the rules are loaded, and filled up with each clock tick. */
function limitMatch(period: number, burst: number): Match {
  const [cost, most] = budget(period, burst)
  return {
    name: 'limit',
    listing: `limit: avg ${rateText(period)} burst ${burst}`,
    prepare: () => {
      let credit = most
      let last: bigint | null = null
      return ({ tick }) => {
        if (last !== null && tick > last) credit = Math.min(most, credit + Number(tick - last) * CREDITS_PER_TICK)
        last = last === null || tick > last ? tick : last
        if (credit < cost) return false
        credit -= cost
        return true
      }
    },
  }
}

const MOST = 0xffffffff

export const statistic: MatchModule = () => {
  let isNth = false
  let every: number | null = null
  let packet: number | null = null
  let isNegated = false
  return {
    options: {
      '--mode': plain(args => {
        const mode = args.value()
        if (mode === 'random') throw args.notUnderstood('statistic: mode random is not understood: what is random cannot be told from packets')
        if (mode !== 'nth') throw args.error(`statistic: '${shown(mode)}' is neither nth nor random`)
        isNth = true
      }),
      '--every': (args, negated) => {
        every = readNumber(args, MOST, 'every')
        if (every === 0) throw args.error('every: at least 1')
        isNegated = negated
      },
      '--packet': plain(args => { packet = readNumber(args, MOST, 'packet') }),
    },
    finish: args => {
      if (!isNth || every === null || packet === null) throw args.error('statistic: --mode nth --every N --packet N is needed')
      if (packet >= every) throw args.error('statistic: --packet is below --every')
      return nth(every, packet, isNegated)
    },
  }
}

function nth(every: number, packet: number, negated: boolean): Match {
  return {
    name: 'statistic',
    listing: `statistic mode nth ${not(negated)}every ${every}${packet === 0 ? '' : ` packet ${packet}`}`,
    prepare: (_machine: Machine) => {
      // Linux counts up to the next turn, and begins where that makes `packet` the first.
      let left = packet
      return () => {
        const turn = left === 0
        left = turn ? every - 1 : left - 1
        return turn !== negated
      }
    },
  }
}

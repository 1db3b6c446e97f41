/**
 * Payloads for the protocol helpers: real ones at every length, damaged ones, cut into segments and put together, in
 * conversations that go on over several packets, over IPv4 and IPv6, under every option.
 *
 * No payload makes a helper throw, do more than a bounded number of things, remember what JSON cannot say, or expect
 * more than its rule allows (`expectation-rules.ts`). `SEED` and `PAYLOADS` choose others and more.
 */
import { isDeepStrictEqual } from 'node:util'
import { createTracker } from 'conntrack-wasm'
import {
  amanda, ftp, h323, irc, netbiosNs, pptp, sane, sip, snmp, tftp, type Helper, type HelperPacket, type HelperTable,
  type NewExpectation, type StandingExpectation,
} from 'conntrack-wasm/helpers'
import { afterAll, describe, expect, test } from 'vitest'
import { tcp, udpWith } from '../support/build.js'
import { tooWide } from '../support/expectation-rules.js'
import { damage, gatherSeeds, type Conversation, type Said } from '../support/payloads.js'
import { Random } from '../support/random.js'
import { minimise } from '../support/reduce.js'

const seed = Number(process.env.SEED ?? 1)
const wanted = Number(process.env.PAYLOADS ?? 400_000)
const LIMIT = { timeout: 7_200_000 }
/** One payload in so many is shown to a whole tracker. */
const THROUGH_TRACKER = 10

interface Variant {
  readonly helper: Helper
  /** Options that allow more, as `tooWide` calls them. */
  readonly options?: string
}

const [ras, q931] = h323()
const [rasAnybody] = h323({ gkRoutedOnly: false, callForwardFilter: false })
const NETWORKS = ['203.0.113.2/25']
const VARIANTS: readonly Variant[] = [
  { helper: ftp() }, { helper: ftp({ strict: true, minPort: 1024 }) }, { helper: ftp({ loose: true }), options: 'loose' },
  { helper: irc() }, { helper: irc({ strict: true, minPort: 1024 }) }, { helper: tftp() }, { helper: amanda() },
  { helper: amanda({ strict: true }) }, { helper: sane() }, { helper: netbiosNs({ networks: NETWORKS }) },
  { helper: snmp({ networks: NETWORKS }) }, { helper: pptp() }, { helper: sip() }, { helper: sip({ strictFraming: true, refreshBySipOnly: true }) },
  { helper: sip({ directMedia: false, directSignalling: false }), options: 'indirect' },
  { helper: ras }, { helper: rasAnybody, options: 'anybody' }, { helper: q931 }, { helper: q931.assigns!.find(({ name }) => name === 'H.245')! },
]

/** A table that is full of them takes no more. */
const MOST_STANDING = 64
/** Things that a helper may do for one payload: SIP's longest message announces a few streams, each with some look-ups. */
const MOST_CALLS = 64

/** Stands in for the tracker's table, and looks at everything that is announced. */
class CheckingTable implements HelperTable {
  calls = 0
  /** What was wrong with this payload's announcements. */
  wrong: string | null = null
  packet!: Pick<HelperPacket, 'connection' | 'direction'>
  announced = 0
  #standing: StandingExpectation[] = []

  constructor(readonly variant: Variant, readonly random: Random) {}

  expect(expectation: NewExpectation) {
    this.#count()
    this.announced++
    this.wrong ??= tooWide(expectation, this.variant.helper, this.packet, this.variant.options)
    if (this.random.chance(16)) return this.random.pick(['busy', 'full', 'already'] as const)
    if (this.#standing.length >= MOST_STANDING) this.#standing.pop()
    this.#standing.unshift({ ...expectation, id: this.announced, master: 1, madeBy: this.variant.helper.name })
    return 'added' as const
  }

  own() {
    this.#count()
    return [...this.#standing]
  }

  find(_protocol: number, src: string, _sport: number, dst: string) {
    this.#count()
    const { family } = this.packet.connection
    if ([src, dst].some(address => address.includes(':') !== (family === 6))) this.wrong ??= `looks for ${src} and ${dst} over IPv${family}`
    return this.#standing.length > 0 && this.random.chance(3) ? this.random.pick(this.#standing) : null
  }

  remove({ id }: StandingExpectation) {
    this.#standing = this.#standing.filter(one => one.id !== id)
  }

  activate(_: StandingExpectation, timeout: number) {
    this.#count()
    this.#seconds(timeout)
  }

  setTimeout(seconds: number) {
    this.#count()
    this.#seconds(seconds)
  }

  mapGreKeys() {
    this.#count()
    return !this.random.chance(8)
  }

  unmapGreKeys() { this.#count() }
  destroyGre() { this.#count() }

  #count() {
    if (++this.calls > MOST_CALLS) this.wrong ??= `more than ${MOST_CALLS} calls`
  }

  #seconds(seconds: number) {
    if (!(seconds >= 0 && Number.isFinite(seconds))) this.wrong ??= `a timeout of ${seconds}`
  }
}

/** Expectations announced, by variant. */
const announced = new Map<Variant, number>()

/** What is wrong with what a helper makes of a conversation; `null` where nothing is. */
function faultOf(variant: Variant, { connection, said }: Conversation, tableSeed: number): string | null {
  const { helper } = variant
  const table = new CheckingTable(variant, new Random(tableSeed))
  const state = helper.state?.()
  for (const packet of said) {
    table.calls = 0
    table.packet = { connection, direction: packet.direction }
    try {
      const verdict = helper.inspect({ ...packet, connection, state }, table)
      if (verdict !== 'accept' && verdict !== 'drop') return `verdict ${String(verdict)}`
    } catch (error) {
      return `threw ${String(error)}`
    }
    if (table.wrong) return table.wrong
  }
  announced.set(variant, (announced.get(variant) ?? 0) + table.announced)
  const text = JSON.stringify(state)
  return state === undefined || isDeepStrictEqual(JSON.parse(text), state) ? null : `remembers what JSON does not give back: ${text}`
}

/** A conversation in which payloads are damaged, left out, repeated, put in from others, cut in two or put together. */
function damaged({ connection, said }: Conversation, others: readonly Conversation[], random: Random): Conversation {
  const made: Said[] = []
  const shift = { original: 0, reply: 0 }
  const say = (packet: Said, payload: Uint8Array, seq = packet.seq) => {
    made.push({ ...packet, payload, seq: (seq + shift[packet.direction]) >>> 0, established: packet.established !== random.chance(40) })
  }
  const foreign = () => random.pick(others).said
  const payloads = said.map(({ payload }) => payload)
  for (const packet of said) {
    if (random.chance(12)) continue
    const { payload, seq, direction } = packet
    const other = foreign()
    if (random.chance(12) && other.length > 0) say(packet, random.pick(other).payload)
    const changed = random.chance(3) ? damage(payload, payloads, random) : payload
    if (random.chance(8)) {
      const cut = random.below(changed.length + 1)
      say(packet, changed.subarray(0, cut))
      say(packet, changed.subarray(cut), seq + cut)
    } else {
      say(packet, random.chance(12) ? Buffer.concat([changed, random.pick(payloads)]) : changed)
    }
    shift[direction] += changed.length - payload.length
    if (random.chance(16)) say(packet, payload)
  }
  return { connection, said: made }
}

async function reportFault(variant: Variant, { connection, said }: Conversation, tableSeed: number, fault: string): Promise<never> {
  const shows = (some: readonly Said[]) => Promise.resolve(faultOf(variant, { connection, said: some }, tableSeed) !== null)
  const least = await minimise(said, shows)
  const lines = least.map(({ direction, payload, seq }) => `${direction} @${seq} ${Buffer.from(payload).toString('hex')}`)
  const { src, sport, dst, dport } = connection.original
  throw new Error(`${title(variant)}, ${src} ${sport} > ${dst} ${dport}: ${fault}\n${lines.join('\n')}`)
}

const gathered = await gatherSeeds()
const realOnes = ({ name }: Helper): readonly Conversation[] => gathered.get(name)?.filter(({ said }) => said.length > 0) ?? []

const title = ({ helper, options }: Variant) => `${helper.name}${options ? ` (${options})` : ''}`

describe(`seed ${seed}`, () => {
  test('every helper has been shown real payloads', () => {
    for (const { helper } of VARIANTS) expect(realOnes(helper).length, helper.name).toBeGreaterThan(0)
  })

  const each = Math.ceil(wanted / VARIANTS.length)
  test.each(VARIANTS.map(variant => [title(variant), variant] as const))(`%s: ${each} payloads`, LIMIT, async (_, variant) => {
    const random = new Random(seed * 1000 + VARIANTS.indexOf(variant))
    const real = realOnes(variant.helper)
    for (let left = each; left > 0;) {
      const tableSeed = random.next()
      const conversation = damaged(random.pick(real), real, random)
      const fault = faultOf(variant, conversation, tableSeed)
      if (fault) await reportFault(variant, conversation, tableSeed, fault)
      left -= Math.max(1, conversation.said.length)
    }
    // Else nothing was looked at.
    expect(announced.get(variant)).toBeGreaterThan(each / 2000)
  })

  test.each(VARIANTS.map(variant => [title(variant), variant] as const))('%s: real payloads at every length', LIMIT, async (_, variant) => {
    const most = Math.max(6, Math.ceil(wanted / 60_000))
    for (const { connection, said } of realOnes(variant.helper).slice(0, most)) {
      for (const [i, packet] of said.entries()) {
        for (let length = 0; length <= packet.payload.length; length++) {
          const conversation = { connection, said: [...said.slice(0, i), { ...packet, payload: packet.payload.subarray(0, length) }] }
          const fault = faultOf(variant, conversation, 3)
          if (fault) await reportFault(variant, conversation, 3, fault)
        }
      }
    }
  })

  test(`through a tracker: ${Math.ceil(wanted / THROUGH_TRACKER)} payloads, no error, nothing is left behind`, LIMIT, () => {
    const random = new Random(seed)
    const helpers = [ftp(), irc(), tftp(), amanda(), sane(), netbiosNs({ networks: NETWORKS }), snmp({ networks: NETWORKS }), pptp(), sip(), ...h323()]
    const tracker = createTracker({ helpers, maxConnections: 64, hashSeed: seed, sysctl: { tcp_be_liberal: 1, expect_max: 40 } })
    let time = 1_700_000_000_000_000_000n
    for (let left = wanted / THROUGH_TRACKER; left > 0;) {
      const helper = random.pick(helpers)
      const conversation = damaged(random.pick(realOnes(helper)), realOnes(helper), random)
      left -= Math.max(1, conversation.said.length)
      for (const bytes of framesOf(conversation)) {
        time += BigInt(random.below(200)) * 1_000_000n
        const { state, reason } = tracker.track(bytes, { time })
        if (state === null) throw new Error(`the tracker did not get ${Buffer.from(bytes).toString('hex')}: ${reason}`)
      }
      if (random.chance(50)) checkBooks(tracker)
    }
    expect(tracker.statistics().helperErrors).toEqual({})
    for (const { id } of tracker.connections()) tracker.delete(id)
    expect(tracker.expectations()).toEqual([])
  })
})

afterAll(() => {
  const rows = [...announced].map(([variant, n]) => `${title(variant).padEnd(16)} ${String(n).padStart(9)} expectations`)
  process.stdout.write(`${rows.join('\n')}\n`)
})

function checkBooks(tracker: ReturnType<typeof createTracker>): void {
  const alive = new Set([...tracker.connections()].map(({ id }) => id))
  const expectations = tracker.expectations()
  expect(expectations.length).toBeLessThanOrEqual(40)
  for (const { master } of expectations) expect(alive.has(master)).toBe(true)
}

/** The packets of a conversation, opened by a handshake where it is TCP's. */
function* framesOf({ connection, said }: Conversation): Generator<Uint8Array> {
  const { original: there, reply: back, protocol } = connection
  const first = { original: 1001, reply: 5001, ...Object.fromEntries([...said].reverse().map(({ direction, seq }) => [direction, seq])) }
  if (protocol === 6) {
    yield tcp(there, { flags: 'S', seq: first.original - 1 })
    yield tcp(back, { flags: 'SA', seq: first.reply - 1, ack: first.original })
  }
  for (const { direction, payload, seq } of said) {
    const at = direction === 'original' ? there : back
    const bytes = payload.subarray(0, 60_000)
    yield protocol === 6 ? tcp(at, { flags: 'PA', seq, ack: 1, payload: bytes }) : udpWith(at, bytes)
  }
}

/**
 * `fuzz:packets`: a tracker of random settings is given packets in batches of random sizes, and between them is asked,
 * changed, saved and restored. Rows, books and table must be sound all along. What fails is done again, recorded, and
 * shortened.
 */
import { Random } from '../support/random.js'
import { minimise } from '../support/reduce.js'
import { Finding, seedOf, type Fuzzer, type Round } from './command.js'
import { PacketPool } from './packet-pool.js'
import { drawSetting, drawStep, drawStyle } from './packet-settings.js'
import { recorded, Subject, type RecordedPacket, type Setting, type Step } from './packet-steps.js'

/** Packets of one tracker. */
const ROUND = 262_144
/** Rounds that draw from one pool: making it takes as long as a quarter of a million packets. */
const ROUNDS_OF_A_POOL = 8
/** Between two batches something else is done, once in so many packets. */
const PACKETS_OF_A_STEP = 4096
const SHRINKING = 90_000

interface Recording {
  readonly setting: Setting
  readonly steps: readonly Step[]
}

let pool: { readonly seed: number; readonly pool: PacketPool } | null = null

function poolOf(seed: number): PacketPool {
  if (pool?.seed !== seed) pool = { seed, pool: new PacketPool(seed) }
  return pool.pool
}

/** Does a round. @param record told of each step before it is done @returns packets given */
function play(round: Round, record: ((step: () => Step) => void) | null): number {
  const random = new Random(seedOf(round.seed, round.number))
  const setting = drawSetting(random)
  const packets = poolOf(seedOf(~round.seed, Math.floor(round.number / ROUNDS_OF_A_POOL)))
  packets.start(random.next(), drawStyle(random))
  const subject = new Subject(setting, round.module)
  const most = Math.min(ROUND, round.most)
  let given = 0
  let untilStep = PACKETS_OF_A_STEP
  while (given < most) {
    const batch = packets.draw(Math.min(1 + random.below(setting.options.batchSize!), most - given))
    record?.(() => ({ do: 'track', packets: recorded(batch) }))
    subject.track(batch)
    given += batch.count
    untilStep -= batch.count
    if (untilStep > 0) continue
    untilStep += PACKETS_OF_A_STEP
    const step = drawStep(random, subject, setting, batch.count)
    record?.(() => step)
    subject.do(step)
  }
  record?.(() => ({ do: 'books' }))
  subject.end()
  return given
}

/** What goes wrong; `null` for nothing. */
function failure({ setting, steps }: Recording, module?: WebAssembly.Module): unknown {
  try {
    const subject = new Subject(setting, module)
    for (const step of steps) subject.do(step)
    subject.end()
    return null
  } catch (error) {
    return error ?? new Error('something that is no error was thrown')
  }
}

/** What an error says, whatever the numbers in it are: a shorter input must show the same. */
function gist(error: unknown): string {
  return String(error).replace(/\d+/g, '#')
}

async function shortened(round: Round, error: unknown): Promise<Recording> {
  const setting = drawSetting(new Random(seedOf(round.seed, round.number)))
  const steps: Step[] = []
  try {
    play(round, step => { steps.push(step()) })
  } catch {
    // What it is about: the steps up to here.
  }
  const end = Date.now() + SHRINKING
  const shows = async (some: readonly Step[]) => (
    Date.now() < end && gist(failure({ setting, steps: some }, round.module)) === gist(error))
  if (!await shows(steps)) return { setting, steps }
  const few = await minimise(steps, shows)
  return { setting, steps: await withFewerPackets(few, shows) }
}

async function withFewerPackets(steps: readonly Step[], shows: (steps: readonly Step[]) => Promise<boolean>): Promise<Step[]> {
  const left = [...steps]
  for (const [i, step] of steps.entries()) {
    if (step.do !== 'track') continue
    const withPackets = (packets: readonly RecordedPacket[]) => left.map((other, j) => j === i ? { ...step, packets } : other)
    left[i] = { ...step, packets: await minimise(step.packets, packets => shows(withPackets(packets))) }
  }
  return left
}

export const packets: Fuzzer = {
  name: 'packets',
  unit: 'packets',
  usual: 10_000_000,

  async round(round) {
    try {
      return play(round, null)
    } catch (error) {
      const input = Buffer.from(`${JSON.stringify(await shortened(round, error), null, 1)}\n`)
      throw new Finding(input, 'json', error)
    }
  },

  replay(input, module) {
    const wrong = failure(JSON.parse(Buffer.from(input).toString()) as Recording, module)
    if (wrong) throw wrong
  },
}

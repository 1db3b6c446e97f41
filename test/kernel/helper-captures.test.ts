/**
 * The public captures of helpers' protocols, through the kernel of this machine with all helpers: every packet with its
 * whole entry, its helper and whether it has a master included, and every expectation that is announced or ends.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { expectationText, goldenExpectationText } from '../support/compare-events.js'
import { readFrames, type Frame } from '../support/frames.js'
import { captureRecording, captureUrl, helpedCaptures, type Recording, sharedIsThere } from '../support/golden.js'
import { askKernel, whatIsMissing } from '../support/oracle.js'
import { ATTEMPTS, isAboutTimeouts, replay, type Agreement } from '../support/replay.js'
import { Tally } from '../support/tally.js'

const missing = sharedIsThere ? whatIsMissing() : '../shared with its captures'
const packets = new Tally('captures with helpers, live kernel')
const expectations = new Tally('their expectations', 'events')

interface Answer extends Agreement {
  /** What each tracker of the replay told: the one of packets one by one, then the one of batches. */
  readonly lists: readonly (readonly string[])[]
  readonly kernels: readonly string[]
}

describe.skipIf(missing)(`captures with helpers${missing ? ` (skipped: needs ${missing})` : ''}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
  afterAll(() => {
    rmSync(folder, { recursive: true })
    packets.print()
    expectations.print()
  })

  test.each(missing ? [] : helpedCaptures())('%s: the same packets, the same expectations', async name => {
    const frames = await readFrames(captureUrl(name).pathname)
    const ask = async () => compare(await askAgain(name), frames)
    let answer = await ask()
    for (let attempt = 1; attempt < ATTEMPTS && isAboutTimeouts(answer); attempt++) answer = await ask()
    const { lists: [ours, inBatches], kernels } = answer
    packets.add(name, answer.compared, answer.differing)
    const events = Math.max(ours.length, kernels.length)
    const differing = Array.from({ length: events }, (_, i) => i).filter(i => ours[i] !== kernels[i]).length
    if (events > 0) expectations.add(name, events, differing)
    expect(answer.differences.slice(0, 20)).toEqual([])
    expect(ours).toEqual(kernels)
    expect(inBatches).toEqual(kernels)
  })

  /** The kernel's answers of now, under the settings of the recording. */
  function askAgain(name: string): Promise<Recording> {
    const { helpers, sysctls = {} } = captureRecording(name).options
    const sysctl = Object.entries(sysctls).map(setting => setting.join('='))
    return askKernel(captureUrl(name).pathname, join(folder, 'kernel.jsonl'), { sysctl, helpers })
  }
})

function compare(recording: Recording, frames: readonly Frame[]): Answer {
  const lists: string[][] = []
  const listening: typeof createTracker = options => {
    const tracker = createTracker(options)
    const list: string[] = []
    lists.push(list)
    for (const kind of ['expectation-new', 'expectation-destroy'] as const) {
      tracker.on(kind, ({ expectation }) => list.push(`${kind} ${expectationText(expectation)}`))
    }
    return tracker
  }
  const kernels = recording.packets.flatMap(({ events = [] }) => events).filter(({ tuple }) => tuple)
    .map(event => `${event.event.replace('expect-', 'expectation-')} ${goldenExpectationText(event)}`)
  return { ...replay(listening, recording, frames), lists, kernels }
}

/** The bundled captures: every frame gets the state that the kernel gave it, in whatever format it was caught. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { eventLine } from '../../src/format/conntrack.js'
import { createTracker, type ConnectionEvent } from '../../src/index.js'
import { describe, expect, test } from 'vitest'
import { readFrames } from '../support/frames.js'
import { labHelpers } from '../support/helpers.js'
import { compareExpectations, compareStates, readExpectations, readStates } from '../support/lab.js'

const root = new URL('../captures/', import.meta.url)
const names = readdirSync(root).filter(name => name.endsWith('.states.tsv')).map(name => name.replace('.states.tsv', ''))

describe('bundled captures', () => {
  test.each(names)('%s: each packet gets the state that the kernel gave it, and the same is expected', async name => {
    const frames = await readFrames(new URL(`${name}.pcap`, root).pathname)
    const states = readStates(new URL(`${name}.states.tsv`, root))
    const { compared, differences, expectations, isCut } =
      compareStates(createTracker, frames, states, name === 'udplite_nocheck', labHelpers())
    expect(differences).toEqual([])
    expect(compared).toBeGreaterThan(name === 'forged_fragments' ? 0 : 5)
    const announced = new URL(`${name}.expectations.txt`, root)
    if (!isCut) expect(compareExpectations(expectations, existsSync(announced) ? readExpectations(announced) : [])).toEqual([])
  })

  test.each(['fmt_any_sll.sll.pcap', 'fmt_any_sll2.sll2.pcap', 'fmt_tun_raw.raw.pcap', 'fmt_pcapng_two.pcapng'])(
    '%s: other link types and formats lead to the same kinds of states', async file => {
      const frames = await readFrames(new URL(file, root).pathname)
      const tracker = createTracker()
      for (const { bytes, time, linkType, wireLength } of frames) tracker.track(bytes, { time, linkType, originalLength: wireLength })
      const { states, packets } = tracker.statistics()
      expect(packets).toBe(frames.length)
      expect(states.NEW).toBeGreaterThan(0)
      expect(states.ESTABLISHED).toBeGreaterThan(packets / 4)
      expect(states.INVALID).toBe(0)
    })
})

/** Captures whose events the kernel told in the same order and second; in the others packets crossed, were dropped
 * behind the tracker or fragmented, or an event fell within a tick of the kernel's clock. */
const TOLD = ['dns', 'fmt_nanoseconds', 'forged_icmp', 'forged_window', 'http_keepalive', 'http6_keepalive', 'tcp_cases',
  'tcp6_cases', 'tcp_ecn', 'tcp_half_open', 'tcp_keepalive', 'tcp_midstream', 'tcp_reuse']

describe('events', () => {
  test.each(TOLD)('%s: told as `conntrack -E -o extended` told them', async name => {
    const frames = await readFrames(new URL(`${name}.pcap`, root).pathname)
    const tracker = createTracker()
    const lines: string[] = []
    const tell = (event: ConnectionEvent) => { lines.push(eventLine(event, { extended: true, id: false, timestamp: false }).trim()) }
    for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, tell)
    for (const { bytes, time, linkType, wireLength } of frames) tracker.track(bytes, { time, linkType, originalLength: wireLength })
    const recorded = readFileSync(new URL(`${name}.events.txt`, root), 'utf8').trimEnd().split('\n')
    expect(lines).toEqual(recorded.map(line => line.replace(/^[\d.]+\s+/, '').replace(/ id=\d+$/, '')))
  })
})

/**
 * The kernel of this machine and the tracker on the same packets, now: the bundled captures, random packets and random
 * fragments from a seed. Needs root on Linux, nftables, iproute2 and Python; says so where they are missing.
 *
 * `SEED` and `PACKETS` choose other random packets and more of them (for each setting). They go through the kernel in
 * runs of a fraction of a second: its clock ticks, ours does not, so what depends on two seconds having passed could
 * differ by a packet in a longer one.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { readFrames } from '../support/frames.js'
import { FragmentGenerator } from '../support/fragment-generator.js'
import { PacketGenerator } from '../support/generator.js'
import { askKernel, whatIsMissing } from '../support/oracle.js'
import { rawCapture } from '../support/raw-capture.js'
import { ATTEMPTS, isAboutTimeouts, replay, type Agreement } from '../support/replay.js'
import { Tally } from '../support/tally.js'

const missing = whatIsMissing()
const seed = Number(process.env.SEED ?? 1)
const packets = Number(process.env.PACKETS ?? 4000)
const RUN = 4000
const tally = new Tally(`live kernel, seed ${seed}`)

describe.skipIf(missing)(`the live kernel${missing ? ` (skipped: needs ${missing})` : ''}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
  afterAll(() => {
    rmSync(folder, { recursive: true })
    tally.print()
  })

  const captures = new URL('../captures/', import.meta.url)
  test.each(readdirSync(captures).filter(name => /\.(pcap|pcapng)$/.test(name)))('%s', async name => {
    await compare(name, new URL(name, captures).pathname, [])
  })

  const settings = [
    '', 'tcp_be_liberal=1', 'tcp_loose=0', 'tcp_ignore_invalid_rst=1', 'tcp_max_retrans=1 tcp_timeout_max_retrans=20',
  ]
  test.each(settings)(`random packets, sysctl '%s'`, async setting => {
    const sysctl = setting.split(' ').filter(Boolean)
    const path = join(folder, 'random.pcap')
    for (let run = 0; run * RUN < packets; run++) {
      const own = seed + settings.indexOf(setting) + run * settings.length
      const generator = new PacketGenerator(own, { incomplete: 40 })
      const length = Math.min(RUN, packets - run * RUN)
      writeFileSync(path, rawCapture(Array.from({ length }, () => generator.next())))
      await compare(`random packets ${setting}, run ${run + 1}`, path, sysctl)
    }
  })

  // Memory that is full stays so until datagrams time out: many short runs.
  const reassembly = [
    { bytes: 4_194_304, distance: 64, largest: 65_000 }, { bytes: 400_000, distance: 3, largest: 20_000 },
    { bytes: 60_000, distance: 0, largest: 4000 }, { bytes: 15_000, distance: 10, largest: 1000 },
    { bytes: 0, distance: 64, largest: 100 },
  ]
  test.each(reassembly)('random fragments, high threshold $bytes, distance $distance', async setting => {
    const { bytes, distance, largest } = setting
    const low = Math.min(bytes, 3_145_728)
    const sysctl = [
      `net.ipv4.ipfrag_low_thresh=${low}`, `net.ipv4.ipfrag_high_thresh=${bytes}`,
      `net.ipv4.ipfrag_max_dist=${distance}`, `frag6_low_thresh=${low}`, `frag6_high_thresh=${bytes}`,
    ]
    const path = join(folder, 'fragments.pcap')
    const length = bytes ? 100 + Math.round(bytes ** 0.5) : 2000
    for (let run = 0; run * length < packets; run++) {
      const generator = new FragmentGenerator(seed + bytes + run, largest)
      writeFileSync(path, rawCapture(Array.from({ length }, () => generator.next())))
      await compare(`random fragments, ${bytes} bytes, run ${run + 1}`, path, sysctl)
    }
  }, 600_000)

  async function compare(name: string, path: string, sysctl: readonly string[]): Promise<void> {
    let result = await ask(path, sysctl)
    for (let attempt = 1; attempt < ATTEMPTS && isAboutTimeouts(result); attempt++) result = await ask(path, sysctl)
    tally.add(name, result.compared, result.differing)
    expect(result.differences.slice(0, 20)).toEqual([])
    expect(result.compared).toBeGreaterThan(0)
  }

  async function ask(path: string, sysctl: readonly string[]): Promise<Agreement> {
    const recording = await askKernel(path, join(folder, 'kernel.jsonl'), { sysctl })
    return replay(createTracker, recording, await readFrames(path))
  }
})

import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { differences } from '../../bench/agree.js'
import { MapTracker } from '../../bench/peers/map-tracker.js'
import type { Peer } from '../../bench/peers/peer.js'
import { TypedTracker } from '../../bench/peers/typed-tracker.js'
import { loadSdk, type Tracker } from '../../bench/sdk.js'
import { handshakes, lifeCycles, random, steady, type Traffic } from '../../bench/traffic.js'
import { REASONS, STATES } from '../../src/names.js'

const dist = new URL('../../dist/index.js', import.meta.url)
const sdk = existsSync(dist) ? await loadSdk(dist) : null

const ESTABLISHED = STATES.indexOf('ESTABLISHED')
const options = { maxConnections: 2048, checksum: 'verify' } as const

/** The two peers, and the real tracker where the package has been built. */
function trackers(): (Peer | Tracker)[] {
  const peers = [new TypedTracker(options), new MapTracker(options)]
  return sdk ? [...peers, sdk.createTracker(options)] : peers
}

/** Tracks all packets with all trackers, checks that they agree, and counts the verdicts by name of state or reason. */
function track(all: (Peer | Tracker)[], traffic: Traffic): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const batch of traffic.batches) {
    const [first, ...others] = all.map((tracker) => tracker.trackBatch(batch))
    for (const other of others) expect(differences(first, other, batch.count)).toEqual([])
    for (let i = 0; i < batch.count; i += 1) {
      const word = REASONS[first.reason[i]] ?? STATES[first.state[i]] ?? 'none'
      counts[word] = (counts[word] ?? 0) + 1
    }
  }
  return counts
}

describe('traffic of the benchmark', () => {
  it('is the same for the same seed', () => {
    const make = (seed: number) => steady({ connections: 50, packets: 500, payload: 64, seed }).data
    expect(make(1)).toEqual(make(1))
    expect(make(1)).not.toEqual(make(2))
  })

  it('has acknowledgements of 66 bytes and data packets longer by their payload', () => {
    const traffic = steady({ connections: 50, packets: 500, payload: 64, seed: 1 })
    expect([...new Set(traffic.length)].sort()).toEqual([130, 66])
  })

  it('lies in batches as it lies in the whole buffer', () => {
    const traffic = steady({ connections: 50, packets: 500, payload: 64, seed: 1 })
    const second = traffic.batches[1]
    const inBatch = second.data.subarray(second.offset[3], second.offset[3] + second.length[3])
    const inWhole = traffic.data.subarray(traffic.start[259], traffic.start[259] + traffic.length[259])
    expect(inBatch).toEqual(inWhole)
  })

  it('steady packets are ESTABLISHED in every pass', () => {
    const all = trackers()
    for (const piece of handshakes(300)) {
      expect(track(all, piece)).toEqual({ NEW: 300, ESTABLISHED: 600 })
    }
    const traffic = steady({ connections: 300, packets: 3000, payload: 64, seed: 1 })
    for (let pass = 0; pass < 20; pass += 1) {
      expect(track(all, traffic)).toEqual({ ESTABLISHED: traffic.count })
      traffic.nextPass()
    }
  })

  it('short connections open and close alike in every pass', () => {
    const all = trackers()
    const traffic = lifeCycles({ connections: 400, alive: 50, seed: 1 })
    const halves = 200 * 11 + 200 * 2
    expect(traffic.count).toBeGreaterThan(halves * 0.9)
    const first = track(all, traffic)
    expect(first).toEqual({ NEW: 400, ESTABLISHED: traffic.count - 400 })
    for (let pass = 0; pass < 3; pass += 1) {
      traffic.nextPass()
      expect(track(all, traffic)).toEqual(first)
    }
  })
})

describe('the peers of the benchmark', () => {
  it('agree on packets with damage anywhere', () => {
    const next = random(7)
    const all = trackers()
    const traffic = lifeCycles({ connections: 400, alive: 50, seed: 2 })
    const seen = new Set<string>()
    for (let pass = 0; pass < 4; pass += 1) {
      const copy = damaged(traffic, next)
      for (const word of Object.keys(track(all, copy))) seen.add(word)
      traffic.nextPass()
    }
    expect(seen).toContain('tcp-checksum')
    expect(seen).toContain('udp-checksum')
    expect(seen).toContain('ip-malformed')
  })

  it('agree on TCP packets whose flags and numbers are anything, checksums not looked at', () => {
    const loose = { maxConnections: 2048, checksum: 'ignore' } as const
    const all: (Peer | Tracker)[] = [new TypedTracker(loose), new MapTracker(loose)]
    if (sdk) all.push(sdk.createTracker(loose))
    const next = random(11)
    const traffic = lifeCycles({ connections: 600, alive: 20, seed: 3 })
    const seen = new Set<string>()
    for (let pass = 0; pass < 30; pass += 1) {
      for (const word of Object.keys(track(all, disturbed(traffic, next)))) seen.add(word)
      traffic.nextPass()
    }
    for (const reason of ['tcp-flags', 'tcp-no-connection', 'tcp-transition', 'tcp-rst-below-ack',
      'tcp-seq-over-window', 'tcp-ack-over-sent']) expect(seen).toContain(reason)
  })

  it('find a packet ESTABLISHED whose verdict they give as such', () => {
    const [peer] = trackers()
    for (const piece of handshakes(1)) {
      const { state } = peer.trackBatch(piece.batches[0])
      expect(state[2]).toBe(ESTABLISHED)
    }
  })
})

const IP = 14
const TCP = 34

/** The traffic with a bit flipped in one packet of eight, behind the parts that decide which protocol it is. */
function damaged(traffic: Traffic, next: () => number): Traffic {
  return altered(traffic, (bytes) => {
    if (next() % 8 !== 0) return
    const at = IP + 10 + (next() % (bytes.length - IP - 10))
    bytes[at] ^= 1 << (next() % 8)
  })
}

const FLAGS = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x14, 0x01, 0x22, 0x31] as const

/** The traffic with one TCP packet in five changed: flags, seq, ack or window. */
function disturbed(traffic: Traffic, next: () => number): Traffic {
  return altered(traffic, (bytes) => {
    if (bytes[IP + 9] !== 6 || next() % 5 !== 0) return
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const near = () => (next() % 3 === 0 ? next() : (next() % 200_000) - 100_000)
    switch (next() % 6) {
      case 0: return view.setUint32(TCP + 4, view.getUint32(TCP + 4) + near())
      case 1: return view.setUint32(TCP + 8, view.getUint32(TCP + 8) + near())
      case 2: return view.setUint16(TCP + 14, next() % 3 === 0 ? 0 : next())
      case 3: return view.setUint32(TCP + (next() % 2 ? 4 : 8), 0)
      default: bytes[TCP + 13] = FLAGS[next() % FLAGS.length]
    }
  })
}

function altered(traffic: Traffic, alter: (bytes: Uint8Array) => void): Traffic {
  const batches = traffic.batches.map((batch) => {
    const data = batch.data.slice()
    for (let i = 0; i < batch.count; i += 1) alter(data.subarray(batch.offset[i], batch.offset[i] + batch.length[i]))
    return { ...batch, data }
  })
  return { ...traffic, batches }
}

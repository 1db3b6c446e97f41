/** A SYN flood against live connections: none is lost, memory does not move, counters add up. `FLOOD` sends more. */
import { createTracker } from 'conntrack-wasm'
import { expect, test } from 'vitest'
import { flood } from '../../bench/flood.js'

const packets = Number(process.env.FLOOD ?? 1_000_000)

test(`${packets} SYNs, a table of 65,536 with 10,000 connections`, { timeout: 600_000 }, () => {
  const { kept, floodPackets } = flood(createTracker({ maxConnections: 65_536 }), 10_000, packets)
  expect(kept).toBe(10_000)
  expect(floodPackets).toBeGreaterThanOrEqual(packets)
})

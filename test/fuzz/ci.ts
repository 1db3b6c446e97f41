/** `npm run fuzz:ci`: all fuzzers, ten million packets in all, half a million more with the core's assertions on. */
import { api } from './api-fuzzer.js'
import { captures } from './capture-fuzzer.js'
import { run } from './command.js'
import { packets } from './packet-fuzzer.js'
import { snapshot } from './snapshot-fuzzer.js'

const PLAN = [
  { fuzzer: packets, core: 'release', count: 10_000_000 }, { fuzzer: packets, core: 'debug', count: 500_000 },
  { fuzzer: captures, core: 'release', count: 4000 },
  { fuzzer: snapshot, core: 'release', count: 4000 }, { fuzzer: snapshot, core: 'debug', count: 400 },
  { fuzzer: api, core: 'release', count: 60_000 }, { fuzzer: api, core: 'debug', count: 6000 },
] as const

const seed = Number(process.env.SEED ?? 1)
for (const { fuzzer, core, count } of PLAN) {
  if (await run(fuzzer, { seed, count, core, seconds: Infinity }) === null) process.exitCode = 1
}

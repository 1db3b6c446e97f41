/**
 * What the fuzzers have in common as commands: options, rounds until there are enough, progress, and what is done with an
 * input that fails: it is written to the corpus, and the command that reproduces it is printed.
 *
 * A round is decided by the seed and its own number alone, whatever was run before it.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Random } from '../support/random.js'

/** What a round may use. */
export interface Round {
  /** The run's seed and the round's number. */
  readonly seed: number
  readonly number: number
  readonly random: Random
  /** The core to use instead of the package's own. */
  readonly module: WebAssembly.Module | undefined
  /** No more packets, or runs, than these are wanted. */
  readonly most: number
}

export interface Fuzzer {
  /** As in `npm run fuzz:NAME`. */
  readonly name: string
  readonly unit: 'packets' | 'runs'
  /** How many it does unless told. */
  readonly usual: number
  /** Does some. @returns how many. @throws Finding */
  round(round: Round): number | Promise<number>
  /** Does again what an input of the corpus says. @throws whatever is wrong */
  replay(input: Uint8Array, module?: WebAssembly.Module): void | Promise<void>
}

/** An input that shows something wrong. */
export class Finding extends Error {
  constructor(readonly input: Uint8Array, readonly ending: 'json' | 'bin', cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

export interface RunOptions {
  readonly seed: number
  readonly count: number
  /** Ends after these even where there are not enough yet. */
  readonly seconds: number
  readonly core: 'debug' | 'release'
  /** Only this round. */
  readonly round?: number
}

const DEBUG_CORE = 'build/core.debug.wasm'
const CORPUS = 'test/fuzz/corpus'
/** Between two lines of progress. */
const MINUTE = 60_000
/** More memory than a run may ever have: several trackers with their tables, buffers, and what was not collected yet. */
const MOST_BYTES = 3 * 1024 ** 3

const USAGE = (name: string, unit: string, usual: number) => `npm run fuzz:${name} -- [options]
  --seed N             other random inputs (1)
  --${unit.padEnd(18)} how many (${usual}); --runs is the same
  --seconds N          no longer than this (no limit)
  --core debug|release the package's core, or the debug build, whose assertions are checked (release)
  --round N            only this round, as a failure names it
  --replay FILE        only this input of the corpus`

export function compiledCore(core: 'debug' | 'release'): WebAssembly.Module | undefined {
  return core === 'debug' ? new WebAssembly.Module(readFileSync(DEBUG_CORE)) : undefined
}

/** The seed of one round. */
export function seedOf(seed: number, round: number): number {
  return Math.imul(seed, 0x9e3779b1) + Math.imul(round, 0x85ebca6b) >>> 0
}

/** Runs one fuzzer. @returns how many it did, `null` where something was found */
export async function run(fuzzer: Fuzzer, options: RunOptions): Promise<number | null> {
  const { seed, count, seconds, core } = options
  const module = compiledCore(core)
  const started = Date.now()
  const end = started + seconds * 1000
  let done = 0
  let told = started
  const first = options.round ?? 0
  for (let number = first; done < count && Date.now() < end; number++) {
    try {
      const random = new Random(seedOf(seed, number))
      done += await fuzzer.round({ seed, number, random, module, most: count - done })
      checkMemory()
    } catch (error) {
      tell(fuzzer, options, number, error)
      return null
    }
    if (Date.now() - told >= MINUTE) {
      told = Date.now()
      console.log(line(fuzzer, options, done, started))
    }
    if (options.round !== undefined) break
  }
  console.log(line(fuzzer, options, done, started))
  return done
}

function line({ name, unit }: Fuzzer, { seed, core }: RunOptions, done: number, started: number): string {
  const seconds = (Date.now() - started) / 1000
  const rate = Math.round(done / Math.max(seconds, 0.001)).toLocaleString('en')
  const mib = Math.round(process.memoryUsage().rss / 2 ** 20)
  return `fuzz:${name}: seed ${seed}, core ${core}: ${done.toLocaleString('en')} ${unit} in ${seconds.toFixed(1)} s, ` +
    `${rate} a second, ${mib} MiB; nothing found`
}

function checkMemory(): void {
  const { rss } = process.memoryUsage()
  if (rss > MOST_BYTES) throw new Error(`the process has ${rss} bytes of memory`)
}

function tell({ name }: Fuzzer, { seed, core }: RunOptions, round: number, error: unknown): void {
  console.error(`fuzz:${name}: found with seed ${seed}, round ${round}, core ${core}:`, error)
  if (error instanceof Finding) {
    const hash = createHash('sha256').update(error.input).digest('hex').slice(0, 12)
    const file = join(CORPUS, name, `${hash}.${error.ending}`)
    mkdirSync(join(CORPUS, name), { recursive: true })
    writeFileSync(file, error.input)
    console.error(`the input is now ${file}: npm run fuzz:${name} -- --core ${core} --replay ${file}`)
  }
  console.error(`reproduce with: npm run fuzz:${name} -- --seed ${seed} --round ${round} --core ${core}`)
}

/** A fuzzer as a command. */
export async function command(fuzzer: Fuzzer): Promise<void> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      seed: text, packets: text, runs: text, seconds: text, core: text, round: text, replay: text,
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return console.log(USAGE(fuzzer.name, fuzzer.unit, fuzzer.usual))
  const core = values.core ?? 'release'
  if (core !== 'debug' && core !== 'release') throw new Error(`--core ${core}: debug or release`)
  if (values.replay) {
    await fuzzer.replay(readFileSync(values.replay), compiledCore(core))
    return console.log(`${values.replay}: nothing found`)
  }
  const done = await run(fuzzer, {
    core, seed: number('seed', values.seed, 1), seconds: number('seconds', values.seconds, Infinity),
    count: number(fuzzer.unit, values.packets ?? values.runs, fuzzer.usual),
    round: values.round === undefined ? undefined : number('round', values.round, 0),
  })
  if (done === null) process.exitCode = 1
}

function number(name: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise
  if (/^\d+$/.test(value)) return Number(value)
  throw new Error(`--${name} ${value}: expected a number`)
}

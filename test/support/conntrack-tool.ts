/** What the real tools print of packets, and what we print of the same packets at the same times. */
import { execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createTracker, type Statistics, type Tracker, type TrackerOptions } from 'conntrack-wasm'
import {
  connectionLine, countChildren, countersLine, eventLine, expectationEventLine, expectationLine, expectationProcLine,
  parseLabelNames, procLine, type OutputFlags,
} from 'conntrack-wasm/format'
import { SHARED } from './golden.js'
import { rawCapture } from './raw-capture.js'

/** A packet in the oracle's words or as bytes; what a rule of the kernel does with it, we are told. */
interface PacketStep {
  readonly packet: string | { readonly hex: string } | object
  readonly mark?: number
  readonly labels?: readonly number[]
}

export type Step = string | PacketStep | { readonly pause: number } | { readonly run: readonly string[] }

export interface Scene {
  readonly name: string
  readonly sysctl?: Readonly<Record<string, number>>
  /** nft's words for `zone`, `mark` and `labels`. */
  readonly rules?: string
  /** Helpers, in the words of recordings. */
  readonly helpers?: readonly string[]
  /** What the events are about; default: connections. */
  readonly of?: 'conntrack' | 'expect'
  /** Values of `--zone`. */
  readonly zone?: readonly string[]
  /** The tracker keeps labels. */
  readonly labels?: boolean
  /** connlabel.conf */
  readonly names?: string
  /** Words of `-o` for events. */
  readonly events?: string
  readonly steps: readonly Step[]
}

/** What was printed: the answers to questions, and the events. */
export interface Printed {
  readonly answers: readonly Answer[]
  readonly events: string
}

interface Answer {
  /** Nanoseconds since 1970. */
  readonly time: string
  readonly text: string
}

/** A packet's time, nanoseconds since 1970, and its bytes. */
type Sent = readonly [string, string]

/** What was sent or asked at a step; `null` for a pause. */
type Done = { readonly packets: readonly Sent[] } | Answer | null

export interface Recorded {
  readonly steps: readonly Done[]
  readonly events: string
  /** The kernel's clock ticked while it had a packet: an event may tell a second less than the packet set. */
  readonly late: boolean
}

export const PROC_EXPECTATIONS = '/proc/net/nf_conntrack_expect'
const EVENT_WORDS = 'extended,timestamp,id,labels'
const helper = new URL('../kernel/conntrack-tool.py', import.meta.url).pathname
const cli = new URL('../../dist/cli.js', import.meta.url).pathname
const run = promisify(execFile)

/** The scene in this machine's kernel. */
export async function record(scene: Scene): Promise<Recorded> {
  const steps = scene.steps.map(step => typeof step === 'object' && 'packet' in step ? step.packet : step)
  const script = {
    sysctl: scene.sysctl ?? {}, rules: scene.rules ?? '', names: scene.names ?? null,
    events: scene.events ?? EVENT_WORDS, of: scene.of ?? 'conntrack', helpers: scene.helpers ?? [], steps,
  }
  const child = spawn('python3', [helper, new URL('oracle', SHARED).pathname], { stdio: ['pipe', 'pipe', 'pipe'] })
  const texts = { out: '', err: '' }
  child.stdout.on('data', chunk => { texts.out += String(chunk) })
  child.stderr.on('data', chunk => { texts.err += String(chunk) })
  child.stdin.end(JSON.stringify(script))
  const status = await new Promise(resolve => { child.on('close', resolve) })
  if (status !== 0) throw new Error(texts.err)
  return JSON.parse(texts.out) as Recorded
}

/** What the real tools printed. */
export function printedByTools({ steps, events }: Recorded): Printed {
  return { answers: steps.flatMap(step => step !== null && 'text' in step ? [step] : []), events }
}

/** The same through a tracker and the format functions. */
export function printedByFormats(scene: Scene, recorded: Recorded, options: TrackerOptions): Printed {
  const tracker = createTracker(options)
  const events: string[] = []
  const flags = flagsOf((scene.events ?? EVENT_WORDS).split(','), scene)
  if (scene.of === 'expect') {
    for (const kind of ['expectation-new', 'expectation-destroy'] as const) {
      tracker.on(kind, event => { events.push(expectationEventLine(event, flags)) })
    }
  } else {
    for (const kind of ['new', 'update', 'destroy'] as const) {
      tracker.on(kind, event => { events.push(eventLine(event, flags)) })
    }
  }
  const answers: Answer[] = []
  recorded.steps.forEach((step, i) => {
    if (step === null) return
    if ('packets' in step) trackStep(tracker, step.packets, scene.steps[i])
    else answers.push({ time: step.time, text: answerOf(tracker, commandOf(scene.steps[i]), BigInt(step.time), scene) })
  })
  return { answers, events: asText(events) }
}

function trackStep(tracker: Tracker, packets: readonly Sent[], step: Step): void {
  for (const [time, hex] of packets) {
    const { connection } = tracker.track(Buffer.from(hex, 'hex'), { time: BigInt(time) })
    if (connection === null || typeof step !== 'object' || !('packet' in step)) continue
    if (step.mark !== undefined) tracker.setMark(connection, step.mark)
    if (step.labels !== undefined) tracker.setLabels(connection, step.labels)
  }
}

function commandOf(step: Step): readonly string[] {
  return typeof step === 'object' && 'run' in step ? step.run : []
}

function answerOf(tracker: Tracker, command: readonly string[], now: bigint, scene: Scene): string {
  tracker.advance(now)
  const asked = command.join(' ')
  if (asked === `cat ${PROC_EXPECTATIONS}`) return lines(tracker.expectations(), expectationProcLine)
  if (asked.startsWith('conntrack -L expect')) return lines(tracker.expectations(), each => expectationLine(each, {}, now))
  const children = countChildren(tracker.connections())
  if (command[0] === 'cat') {
    return lines(tracker.connections(), each => procLine(each, { now, children: children.get(each.id) }))
  }
  if (command[1] === '-S') return countersLine(tracker.statistics().counters) + '\n'
  if (command[1] === '-C') return `${tracker.statistics().entries}\n`
  const words = command[command.indexOf('-o') + 1].split(',')
  return lines(tracker.connections(), each => connectionLine(each, flagsOf(words, scene), now, children.get(each.id)))
}

function flagsOf(words: readonly string[], { names }: Scene): OutputFlags {
  const switches = ['extended', 'id', 'timestamp', 'ktimestamp'].map(word => [word, words.includes(word)] as const)
  return { ...Object.fromEntries(switches), labels: words.includes('labels') && names !== undefined ? parseLabelNames(names) : null }
}

function lines<T>(items: Iterable<T>, line: (item: T) => string): string {
  return asText([...items].map(line))
}

function asText(lines: readonly string[]): string {
  return lines.map(line => `${line}\n`).join('')
}

/** The same through the command line, one capture a question: the packets before it, and a last one at its time. */
export async function printedByCommandLine(scene: Scene, recorded: Recorded, folder: string): Promise<Printed> {
  const settings = [
    '--checksum', 'verify',
    ...Object.entries(scene.sysctl ?? {}).flatMap(([name, value]) => ['--sysctl', `${name}=${value}`]),
    ...(scene.zone ?? []).flatMap(rule => ['--zone', rule]),
    ...(scene.helpers ?? []).flatMap(helper => ['--helper', helper.replace('-ras', '').replace(':', '=')]),
  ]
  const packets: Sent[] = []
  const answers: Answer[] = []
  const path = join(folder, `${scene.name.replace(/\W+/g, '-')}.pcap`)
  let last = '0'
  for (const [i, step] of recorded.steps.entries()) {
    if (step === null) continue
    last = 'packets' in step ? step.packets.at(-1)?.[0] ?? last : step.time
    if ('packets' in step) packets.push(...step.packets)
    else {
      writeCapture(path, [...packets, [step.time, NOT_IP]])
      answers.push({ time: step.time, text: await commandLine(commandOf(scene.steps[i]), settings, path) })
    }
  }
  writeCapture(path, [...packets, [last, NOT_IP]])
  const about = scene.of === 'expect' ? ['--expectations'] : []
  const { stdout } = await run('node', [cli, 'events', ...about, '-o', scene.events ?? EVENT_WORDS, ...settings, path])
  return { answers, events: stdout }
}

/** A packet that is none: all it does is have a time. */
const NOT_IP = '00'

function writeCapture(path: string, packets: readonly Sent[]): void {
  const bytes = packets.map(([, hex]) => Buffer.from(hex, 'hex'))
  writeFileSync(path, rawCapture(bytes, i => BigInt(packets[i][0])))
}

/** Our options for a question to the tools; of the tools' messages, the number of entries shown. */
async function commandLine(command: readonly string[], settings: readonly string[], path: string): Promise<string> {
  const ours = (...args: string[]) => run('node', [cli, ...args, ...settings, path])
  if (command[1] === PROC_EXPECTATIONS) return (await ours('connections', '--expectations', '--format', 'proc')).stdout
  if (command[0] === 'cat') return (await ours('connections', '--format', 'proc')).stdout
  if (command[2] === 'expect') return (await ours('connections', '--expectations')).stdout
  if (command[1] === '-L') return (await ours('connections', ...command.slice(2))).stdout
  if (command[1] === '-S') return (await ours('statistics')).stdout.replace(/^[^]*\n(?=cpu=)/, '')
  const { counters: _, ...statistics } = JSON.parse((await ours('statistics', '--json')).stdout) as Statistics
  return `${statistics.entries}\n`
}

/** A number that stands for an id from some time on: ids themselves cannot be equal. */
interface Numbered {
  readonly seconds: number
  readonly id: string
  readonly number: number
}

/**
 * What is left when what cannot be equal is taken out: ids are numbered as their connections appear, absolute times of
 * events are a word, processors are summed. Entries, and connections that end together, come in the order of buckets,
 * so those lines are sorted.
 */
export function comparable(printed: Printed): { answers: string[][], events: string[] } {
  const numbers: Numbered[] = []
  const events = sortEnds(linesOf(printed.events).map(line => comparableEvent(line, numbers)))
  const answers = printed.answers.map(({ time, text }) => {
    const lines = linesOf(text)
    if (text.startsWith('cpu=')) return [sumOfProcessors(lines)]
    return lines.map(line => withNumber(line, Number(time) / 1e9, numbers)).sort()
  })
  return { answers, events }
}

function linesOf(text: string): string[] {
  return text.split('\n').slice(0, -1)
}

/** An id of ICMP is never so far to the right. */
const ID = / id=(\d+)(?=( labels.*)?$)/

/** The tool fills up the microseconds of expectations with blanks instead of zeros. */
const TIME = /^\[\d+\.(?=[\d ]{6}\])\d+ *\]\t/

function comparableEvent(line: string, numbers: Numbered[]): string {
  const seconds = Number(/^\[(\d+\.\d+) *\]\t/.exec(line)?.[1])
  const id = ID.exec(line)?.[1]
  if (id !== undefined && line.includes('[NEW]')) numbers.push({ seconds, id, number: numbers.length + 1 })
  return withNumber(line, seconds, numbers).replace(TIME, '[time]\t')
}

/** The kernel's ids are made of an entry's place in memory: of two entries with the same, the later one counts. */
function withNumber(line: string, seconds: number, numbers: readonly Numbered[]): string {
  return line.replace(ID, (_, id: string) => {
    const known = numbers.filter(entry => entry.id === id && entry.seconds <= seconds).at(-1)
    return ` id=#${known?.number ?? id}`
  })
}

function sortEnds(lines: readonly string[]): string[] {
  const sorted: string[] = []
  let ends: string[] = []
  for (const line of lines) {
    if (line.includes('[DESTROY]')) ends.push(line)
    else {
      sorted.push(...ends.sort(), line)
      ends = []
    }
  }
  return [...sorted, ...ends.sort()]
}

/** One line's form with the sums of all; a line of another form is left to differ. */
function sumOfProcessors(lines: readonly string[]): string {
  const form = /^cpu=\d+ {3}\t((?:[a-z_]+=\d+ )+)$/
  const strange = lines.find(line => !form.test(line))
  if (strange !== undefined) return strange
  const sums = new Map<string, number>()
  for (const pair of lines.flatMap(line => form.exec(line)![1].trimEnd().split(' '))) {
    const [name, value] = pair.split('=')
    sums.set(name, (sums.get(name) ?? 0) + Number(value))
  }
  return [...sums].map(([name, value]) => `${name}=${value} `).join('')
}

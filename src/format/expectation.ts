/**
 * Expectations as text: as `conntrack -L expect` lists them, as `-E expect` prints their events, and as Linux lists them
 * in /proc/net/nf_conntrack_expect. In: expectations and events of the SDK. Out: single lines without a line feed.
 */
import { PROTOCOL_NUMBERS } from '../names.js'
import type { Expectation, ExpectationEvent, ExpectationEventKind, Tuple } from '../types.js'
import { eventTag, TOOL_STYLE, type OutputFlags } from './conntrack.js'
import { PROC_STYLE } from './proc.js'
import { NANOSECONDS, secondsLeft, tupleText, type TupleStyle } from './tuple.js'

const GRE = PROTOCOL_NUMBERS.gre

const KINDS: Readonly<Record<ExpectationEventKind, 'new' | 'destroy'>> = {
  'expectation-new': 'new', 'expectation-destroy': 'destroy',
}

/**
 * An expectation as `conntrack -L expect` prints it.
 *
 * @param flags of these, the tool knows `timestamp` for expectations: the time at which it lists
 * @param now the time at which expectations are listed, nanoseconds since 1970
 */
export function expectationLine(expectation: Expectation, flags: OutputFlags, now: bigint): string {
  return `${timeText(now, flags)}${messageText(expectation)}`
}

/** An event as `conntrack -E expect` prints it. */
export function expectationEventLine({ kind, time, expectation }: ExpectationEvent, flags: OutputFlags): string {
  return `${timeText(time, flags)}${eventTag(KINDS[kind])} ${messageText(expectation)}`
}

/** An expectation as a line of /proc/net/nf_conntrack_expect; its class is named where it has a name. */
export function expectationProcLine(expectation: Expectation): string {
  const { tuple, helper, className } = expectation
  return [
    secondsLeft(expectation), `l3proto = ${tuple.family === 4 ? 2 : 10}`, `proto=${tuple.protocol}`,
    tupleText(tuple, PROC_STYLE), ...flagParts(expectation), className === '' ? helper : `${helper}/${className}`,
  ].join(' ')
}

/** The tool fills the microseconds of expectations up with blanks, and behind them: 62890 of them are `.62890 `. */
function timeText(time: bigint, { timestamp }: OutputFlags): string {
  if (timestamp !== true) return ''
  return `[${time / NANOSECONDS}.${String(time % NANOSECONDS / 1000n).padEnd(6)}]\t`
}

function messageText(expectation: Expectation): string {
  const { tuple, masterTuple, zone } = expectation
  return [
    secondsLeft(expectation), `proto=${tuple.protocol}`, tupleText(tuple, TOOL_STYLE), maskText(expectation, TOOL_STYLE),
    `master-${tupleText(masterTuple, TOOL_STYLE).replace(' dst=', ' master-dst=')}`,
    ...(zone === 0 ? [] : [`zone=${zone}`]), ...flagParts(expectation), `class=${expectation.class}`,
    `helper=${expectation.helper}`,
  ].join(' ')
}

/** What of the tuple is compared, in the form of a tuple. */
function maskText({ tuple, mask }: Expectation, style: TupleStyle): string {
  const { src, dst, sport, dport } = mask
  const ports = tuple.protocol === GRE ? { srcKey: sport, dstKey: dport } : { sport, dport }
  const text = tupleText({ family: tuple.family, protocol: tuple.protocol, src, dst, ...ports } satisfies Tuple, style)
  return `mask-${text.replace(' dst=', ' mask-dst=')}`
}

function flagParts({ permanent, inactive }: Expectation): string[] {
  const flags = [...(permanent ? ['PERMANENT'] : []), ...(inactive ? ['INACTIVE'] : [])]
  return flags.length === 0 ? [] : [flags.join(',')]
}

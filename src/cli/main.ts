/**
 * The command line as a function: arguments and streams in, exit status out. `src/cli.ts` gives it those of the
 * process.
 */
import type { Writable } from 'node:stream'
import { classify } from './classify.js'
import { connections } from './connections.js'
import { CheckFailed, EXIT, InputError, OutputClosed, UsageError } from './errors.js'
import { events } from './events.js'
import { explain } from './explain.js'
import { helpText, parseRequest, type Command, type Invocation } from './options.js'
import { Output } from './output.js'
import { captureFile, Progress } from './progress.js'
import type { Run, Sdk } from './run.js'
import { statistics } from './statistics.js'

const PROGRAM = 'conntrack-wasm'

const RUNNERS: Readonly<Record<Command, (run: Run) => Promise<void>>> = {
  classify, connections, events, statistics, explain,
  // What knows rules is loaded only where rules are.
  rules: async run => (await import('./rules.js')).rules(run),
  diff: async run => (await import('./diff.js')).diff(run),
}

/** Commands that write while they read: a progress bar would stand in the middle of their lines. */
const WRITES_ALONG: ReadonlySet<Command> = new Set<Command>(['classify', 'events'])

/** A stream that may be a terminal. */
export type TerminalStream = Writable & { readonly isTTY?: boolean }

/** The process as far as the command line needs it. */
export interface Surroundings {
  readonly sdk: Sdk
  readonly version: string
  readonly stdout: TerminalStream
  readonly stderr: TerminalStream
  readonly env: Readonly<Record<string, string | undefined>>
  /** Milliseconds, for the progress bar only. */
  readonly now: () => number
}

/** Runs the command line; answers its exit status. */
export async function main(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const output = new Output(surroundings.stdout)
  // Messages that nobody can read any more are no reason to fail.
  surroundings.stderr.on('error', () => {})
  try {
    await perform(args, surroundings, output)
    await output.end()
    return EXIT.done
  } catch (error) {
    return await failed(error, output, text => { surroundings.stderr.write(text) })
  }
}

async function perform(args: readonly string[], surroundings: Surroundings, output: Output): Promise<void> {
  const request = parseRequest(args)
  if (request.kind === 'help') output.write(helpText())
  else if (request.kind === 'version') output.write(`${surroundings.version}\n`)
  else await RUNNERS[request.invocation.command](newRun(request.invocation, surroundings, output))
}

function newRun(invocation: Invocation, surroundings: Surroundings, output: Output): Run {
  const { sdk, stdout, stderr, env, now } = surroundings
  const file = captureFile(invocation.capture)
  const onTerminal = stdout.isTTY === true
  const inTheWay = onTerminal && WRITES_ALONG.has(invocation.command)
  const progressStream = stderr.isTTY === true && env.TERM !== 'dumb' && !inTheWay ? stderr : null
  return {
    sdk, invocation, output,
    progress: new Progress(progressStream, file.size, now),
    regular: file.regular,
    live: !file.regular || onTerminal,
    colour: onTerminal && env.TERM !== 'dumb' && (env.NO_COLOR ?? '') === '',
    notice: text => { stderr.write(`${PROGRAM}: ${text}\n`) },
  }
}

/** Says what went wrong and answers the exit status for it. */
async function failed(error: unknown, output: Output, say: (text: string) => void): Promise<number> {
  if (error instanceof OutputClosed) return EXIT.done
  if (error instanceof UsageError) {
    say(`${PROGRAM}: ${error.message}\nTry '${PROGRAM} --help'.\n`)
    return EXIT.usage
  }
  if (error instanceof CheckFailed) {
    await ended(output)
    say(`${PROGRAM}: ${error.message}\n`)
    return EXIT.failed
  }
  if (!(error instanceof InputError)) {
    say(`${PROGRAM}: ${failureText(error)}\n`)
    return EXIT.failed
  }
  say(`${PROGRAM}: ${error.message}\n`)
  return await ended(output) ? EXIT.badInput : EXIT.done
}

/** What the system refuses (a full disk) needs no stack, a defect of this program does. */
function failureText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'syscall' in error ? error.message : error.stack ?? error.message
}

/** Whether what was readable got out; not when the reader of standard output has gone. */
async function ended(output: Output): Promise<boolean> {
  try {
    await output.end()
    return true
  } catch (error) {
    if (error instanceof OutputClosed) return false
    throw error
  }
}

/**
 * `npm run conformance:document`: runs what compares the tracker with Linux, and writes docs/conformance.md from what the
 * runs report. Needs ../shared, and root for the live kernel. Exits with 1 where something differs.
 */
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { DIFFERENCES } from './differences.js'

// Seen from build/conformance/, where it runs.
const project = new URL('../../', import.meta.url)

interface Compared {
  readonly what: string
  readonly command: string
  readonly count: string
  readonly packets: number
  readonly agreement: string
}

async function main(): Promise<number> {
  const rows = [
    ...tallies(await output('npm', ['run', '--silent', 'conformance']), 'npm run conformance'),
    ...tallies(await output('npx', ['vitest', 'run', '--project', 'kernel']), 'npm run kernel'),
    random(await output('npm', ['run', '--silent', 'fuzz:kernel'])),
  ]
  writeFileSync(new URL('docs/conformance.md', project), document(rows))
  for (const { what, packets, agreement } of rows) console.log(`${what}: ${agreement} of ${packets}`)
  return rows.every(({ agreement }) => agreement.startsWith('100.00')) ? 0 : 1
}

/** What a command prints; where it fails it still counts, its own figures tell why. */
function output(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', () => resolve(Buffer.concat(chunks).toString().replace(/\x1b\[[\d;]*m/g, '')))
  })
}

/** The last lines of tallies (see ../support/tally.ts): "captures: 226 in total  100.00 % of 219648 packets". */
function tallies(text: string, command: string): Compared[] {
  const found = [...text.matchAll(/^(.+): (\d+) in total +([\d.]+) % of (\d+) (\w+)(.*)$/gm)]
  if (found.length === 0) throw new Error(`${command} reports nothing`)
  return found.map(([, what, count, agreement, packets, of, note]) =>
    ({ what: `${what}${of === 'packets' ? '' : ` (${of})`}${note}`, command, count, packets: Number(packets), agreement: `${agreement} %` }))
}

/** "fuzz:kernel, seed 1: 60000 packets compared in 18 s, no differences" */
function random(text: string): Compared {
  const [, seed, packets, differ] = /seed (\d+): (\d+) packets compared in [\d.]+ s, (.*)/.exec(text) ?? []
  if (packets === undefined) throw new Error('fuzz:kernel reports nothing')
  const differing = differ === 'no differences' ? 0 : Number(/\d+/.exec(differ)?.[0] ?? packets)
  const agreement = `${(100 * (1 - differing / Number(packets))).toFixed(2)} %`
  return { what: `random packets, live kernel, seed ${seed}`, command: 'npm run fuzz:kernel', count: '', packets: Number(packets), agreement }
}

function document(rows: readonly Compared[]): string {
  const { version } = JSON.parse(readFileSync(new URL('package.json', project), 'utf8')) as { version: string }
  const number = (value: number) => value.toLocaleString('en')
  return [
    '# Conformance', '',
    'Written by `npm run conformance:document`; do not edit. Version ' + version + ', the live kernel was Linux ' + release() + ', the '
      + 'recordings are of Linux 6.18.44.', '',
    'For each packet are compared: verdict, direction, state of TCP and SCTP, ASSURED, timeout, packet and byte counts where they',
    'were recorded, and the variables of the TCP window; for expectations every field.', '',
    '## What was compared', '',
    '| what | how many | packets | the same | command |', '|---|--:|--:|--:|---|',
    ...rows.map(({ what, count, packets, agreement, command }) => `| ${what} | ${count} | ${number(packets)} | ${agreement} | \`${command}\` |`),
    '', '## What differs on purpose', '', '| what | why | test |', '|---|---|---|',
    ...DIFFERENCES.map(({ what, why, test: [file, name] }) => `| ${what} | ${why} | ${name.replaceAll('|', '\\|')} (\`test/${file}\`) |`),
    '', 'Options of helpers that are stricter than Linux are off unless asked for: [helpers.md](helpers.md).', '',
  ].join('\n')
}

process.exitCode = await main()

/**
 * `npm run kernel:record`: asks this machine's kernel anew about the project's own captures, as fast as they were captured, and
 * writes `NAME.states.tsv` and `KERNEL`. Events and expectations were told by the router that the captures were made at:
 * they stay.
 *
 *     npm run kernel:record [-- --out FOLDER]
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isFragment } from '../support/build.js'
import { readFrames } from '../support/frames.js'
import type { GoldenPacket } from '../support/golden.js'
import { askKernel, whatIsMissing } from '../support/oracle.js'

// Seen from build/kernel/, where it runs.
const captures = new URL('../../test/captures/', import.meta.url).pathname
/** Those that the router had on their usual ports. */
const HELPERS = ['ftp', 'irc', 'tftp', 'sip', 'sip-tcp', 'amanda', 'pptp', 'sane', 'netbios-ns', 'snmp', 'h323']
const STATES = ['new', 'established', 'related', 'invalid', 'untracked']
/** Their answers to a broadcast are RELATED by the networks of the router's interfaces, which a replay does not have. */
const BY_THE_ROUTER = ['netbios', 'snmp']
/** What the router was set to. */
const SYSCTL: Readonly<Record<string, readonly string[]>> = { udplite_nocheck: ['checksum=0'] }

const { values } = parseArgs({ options: { out: { type: 'string', default: captures } } })
const missing = whatIsMissing()
if (missing !== null) {
  console.error(`kernel:record needs ${missing}`)
  process.exit(2)
}
const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
const names = readdirSync(captures).filter(name => name.endsWith('.states.tsv'))
  .map(name => name.replace('.states.tsv', '')).filter(name => !BY_THE_ROUTER.includes(name))
try {
  await Promise.all(names.map(record))
  writeFileSync(join(values.out, 'KERNEL'), `Linux ${release().split('-')[0]}\n`)
} finally {
  rmSync(folder, { recursive: true })
}

async function record(name: string): Promise<void> {
  const path = join(captures, `${name}.pcap`)
  const { packets } = await askKernel(path, join(folder, name), { helpers: HELPERS, sysctl: SYSCTL[name] }, true)
  const frames = await readFrames(path)
  const before = rows(name)
  // A packet that was not captured whole cannot be sent again.
  const lines = packets.map((packet, i) =>
    packet.reason === 'truncated' ? `${before[i].join('\t')}\n` : line(i, before[i][1], packet, frames[i].packet))
  const file = `${name}.states.tsv`
  writeFileSync(join(values.out, file), `frame\ttime\tstate\tdirection\n${lines.join('')}`)
  const changed = lines.filter((text, i) => text.trimEnd() !== before[i].join('\t')).length
  console.log(`${name}: ${packets.length} packets, ${changed} answers are others than before`)
}

/** Frame, time, state and direction of each packet as they are recorded. */
function rows(name: string): string[][] {
  const text = readFileSync(join(captures, `${name}.states.tsv`), 'utf8')
  return text.trimEnd().split('\n').slice(1).filter(row => !row.startsWith('#')).map(row => row.split('\t'))
}

/** Of a fragment the captures tell nothing: what the kernel says of the datagram belongs to none of them. */
function line(i: number, time: string, { verdict, direction }: GoldenPacket, packet: Uint8Array | null): string {
  const isTold = STATES.includes(verdict) && packet !== null && !isFragment(packet)
  return `${i + 1}\t${time}\t${isTold ? verdict.toUpperCase() : '-'}\t${isTold ? direction ?? '-' : '-'}\n`
}

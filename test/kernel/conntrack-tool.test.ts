/**
 * The text of the real tools: `conntrack -E`, `-L`, `-S` and /proc/net/nf_conntrack for packets that went through this
 * machine's kernel, against what we print for the same packets at the same times. Needs root on Linux, nftables, the
 * `conntrack` tool, and the oracle beside the project; says so where they are missing.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TrackerOptions, ZoneRule } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import {
  comparable, printedByCommandLine, printedByFormats, printedByTools, PROC_EXPECTATIONS, record, type Recorded, type Scene,
  type Step,
} from '../support/conntrack-tool.js'
import { CALLS, packetsOf } from '../support/calls.js'
import { readFrames } from '../support/frames.js'
import { SHARED, sharedIsThere } from '../support/golden.js'
import { helpersOf } from '../support/helpers.js'

const missing = whatIsMissing()
let lines = 0

function whatIsMissing(): string | null {
  if (process.platform !== 'linux') return 'Linux'
  if (process.getuid?.() !== 0) return 'root'
  if (!sharedIsThere) return '../shared with the oracle'
  try {
    const tools = ['nft', 'ip', 'python3', 'conntrack'].map(tool => `command -v ${tool}`).join(' && ')
    execFileSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin; ${tools}`])
    return null
  } catch {
    return 'nftables, iproute2, Python and conntrack'
  }
}

const ask = (...command: string[]): Step => ({ run: command })
const LIST = ask('conntrack', '-L', '-o', 'extended,id,labels')
const PROC = ask('cat', '/proc/net/nf_conntrack')
const COUNTERS = ask('conntrack', '-S')
const QUESTIONS = [LIST, PROC, COUNTERS]
const EXPECTED = [ask('conntrack', '-L', 'expect'), ask('cat', PROC_EXPECTATIONS)]
/** Of expectations the tool lists one IP version. */
const EXPECTED_IPV6 = [ask('conntrack', '-L', 'expect', '-f', 'ipv6'), ask('cat', PROC_EXPECTATIONS)]

const TCP_CLOSE = [
  'A:1000 > B:80 tcp S seq=1000 win=64240', 'B:80 > A:1000 tcp SA seq=5000 ack=1001',
  'A:1000 > B:80 tcp A seq=1001 ack=5001',
  'A:1000 > B:80 tcp PA seq=1001 ack=5001 len=100', 'B:80 > A:1000 tcp A seq=5001 ack=1101',
  'A:1000 > B:80 tcp FA seq=1101 ack=5001', 'B:80 > A:1000 tcp FA seq=5001 ack=1102',
  'A:1000 > B:80 tcp A seq=1102 ack=5002',
]
const TCP_RESET = [
  'A:1001 > B:80 tcp S seq=1', 'B:80 > A:1001 tcp SA seq=1 ack=2', 'A:1001 > B:80 tcp A seq=2 ack=2',
  'B:80 > A:1001 tcp R seq=2',
  'A:1002 > B:81 tcp S seq=1', 'B:81 > A:1002 tcp RA ack=2',
]
const OTHERS = [
  'A:5 > B:6 sctp INIT itag=5', 'B:6 > A:5 sctp INIT_ACK vtag=5 itag=6', 'A:5 > B:6 sctp COOKIE_ECHO vtag=6',
  'B:6 > A:5 sctp COOKIE_ACK vtag=5', 'A > B gre', 'B > A gre', 'A > B gre callid=7 len=4', 'A6 > B6 gre', 'A > B 89',
  'A6 > B6 89',
  'A > B 50 len=10', 'A > B 51 len=12', 'A:1 > B:2 dccp', 'A:7 > B:8 udplite cov=8 sumproto=17',
]
const PINGS = [
  'A > B icmp echo id=7', 'B > A icmp reply id=7', 'A6 > B6 icmp6 echo id=9', 'B6 > A6 icmp6 reply id=9',
  'A > B icmp timestamp id=3',
  'A:1001 > B:53 udp len=10', 'R > A icmp unreach code=3 quote=6', 'A6:1001 > B6:53 udp len=10',
  'R6 > A6 icmp6 unreach code=4 quote=8',
]
const UDP = [
  'A:2001 > B:53 udp len=10', 'A:2002 > B:53 udp len=10', 'B:53 > A:2002 udp len=20', 'A6:2001 > B6:53 udp len=10',
]
const BAD = [
  'A:1000 > B:80 tcp FSR', 'A > B icmp echo id=8 badsum', 'A:1003 > B:9 udp badsum', 'A > B icmp type=200',
  'B > A icmp reply id=99',
]
const ADDRESSES = [
  '::192.0.2.1 > ::ffff:10.0.0.1 89', '2001:db8:0:1:1:1:1:1 > 2001:0:0:1::1 89', '::2 > 2001:db8:: 89',
  '[1::]:1 > [2001:db8::1:0:0:1]:2 udp',
]

/** Zone, mark and label rules of the kernel, by destination port. */
const ZONE_RULES = `table inet zones { chain c { type filter hook prerouting priority -250
    udp dport 101 ct zone set 7
    udp dport 102 ct original zone set 8
    udp dport 103 ct reply zone set 9
    udp sport 103 ct reply zone set 9
    tcp dport 105 ct zone set 65535
  }
}`
const MARK_RULES = `table inet marks { chain c { type filter hook prerouting priority -150
    udp dport 111 meta length 38 ct mark set 7
    udp dport 111 meta length 48 ct mark set 0
    tcp dport 112 meta length 50 ct mark set 0xffffffff
  }
}`
const LABEL_RULES = `table inet labels { chain c { type filter hook prerouting priority -150
    udp dport 121 meta length 38 ct label set 3
    udp dport 121 meta length 48 ct label set 127
    udp dport 122 meta length 38 ct label set 40
  }
}`
const LABELLED: readonly Step[] = [
  'A:1 > B:121 udp', 'A:1 > B:122 udp', 'A:1 > B:123 udp', { packet: 'A:1 > B:121 udp len=10', labels: [3] },
  { packet: 'A:1 > B:121 udp len=20', labels: [3, 127] }, { packet: 'A:1 > B:122 udp len=10', labels: [40] },
  ...QUESTIONS,
]

const scenes: readonly Scene[] = [
  {
    name: 'TCP, UDP, ICMP and IPv6, entries alone',
    steps: [...TCP_CLOSE, ...TCP_RESET, ...UDP, ...QUESTIONS, ask('conntrack', '-C')],
  },
  { name: 'errors of ICMP, packets that are INVALID', steps: [...PINGS, ...BAD, ...QUESTIONS] },
  { name: 'SCTP, GRE, DCCP, UDP-Lite and unknown protocols', steps: [...OTHERS, ...QUESTIONS] },
  { name: 'ways to write an address', steps: [...ADDRESSES, ...QUESTIONS] },
  {
    name: 'accounting', sysctl: { acct: 1 },
    steps: [...TCP_CLOSE, ...PINGS, ...QUESTIONS, ...TCP_RESET, ...OTHERS, ...UDP, ...QUESTIONS],
  },
  {
    name: 'streams, expiry and TIME_WAIT opened again',
    sysctl: { acct: 1, udp_timeout: 4, icmp_timeout: 1, tcp_timeout_close: 1 },
    steps: [
      ...TCP_CLOSE, ...UDP, ...TCP_RESET.slice(0, 4), 'A > B icmp echo id=7', ...QUESTIONS, { pause: 2 }, LIST,
      'A:2002 > B:53 udp len=10', 'A:1000 > B:80 tcp S seq=990000', ...QUESTIONS, { pause: 3 }, ...QUESTIONS,
      'B:80 > A:1000 tcp RA ack=990001',
      'A:2001 > B:53 udp len=1', ...QUESTIONS,
    ],
  },
  {
    name: 'filters of the list',
    steps: [
      ...TCP_CLOSE, ...UDP, ...PINGS, ...OTHERS, ...TCP_RESET,
      ...[
        '-p tcp', '-p 6', '-p UDP', '-p icmpv6', '-p gre', '-p 89', '-p ospf', '-s 10.0.0.1', '-s 10.0.0.0/8',
        '-s 11.0.0.0/8', '-s 2001:db8::/32',
        '-d 2001:db8:b::2', '--src 0.0.0.0/0', '-s ::/0', '-p tcp --sport 1000', '-p udp --dport 53',
        '-p tcp --state TIME_WAIT',
        '-p tcp --state CLOSE --dport 80', '-p sctp --state ESTABLISHED', '-p sctp --sport 5',
        '-p udp -s 10.0.0.1 --sport 2002',
      ].map(words => ask('conntrack', '-L', ...words.split(' '))),
    ],
  },
  {
    name: 'timestamps', sysctl: { timestamp: 1, acct: 1, udp_timeout: 3 },
    events: 'extended,timestamp,id,labels,ktimestamp',
    steps: [
      ...TCP_CLOSE, ...UDP, ...QUESTIONS, { pause: 1 }, 'A:1000 > B:80 tcp S seq=990000', ...TCP_RESET.slice(4),
      ask('conntrack', '-L', '-o', 'extended,id,ktimestamp'), PROC, { pause: 2 }, ...QUESTIONS,
    ],
  },
  {
    name: 'zones', rules: ZONE_RULES,
    zone: [
      'proto=udp,dport=101=7', 'proto=udp,dport=102=original:8', 'proto=udp,dport=103=reply:9',
      'proto=udp,sport=103=reply:9',
      'proto=tcp,dport=105=65535',
    ],
    steps: [
      ...[101, 102, 103].flatMap(port => [`A:1 > B:${port} udp`, `B:${port} > A:1 udp`]), 'A:1 > B:105 tcp S seq=1',
      ...QUESTIONS,
    ],
  },
  {
    name: 'marks', rules: MARK_RULES,
    steps: [
      'A:1 > B:111 udp', { packet: 'A:1 > B:111 udp len=10', mark: 7 }, 'B:111 > A:1 udp', LIST,
      { packet: 'A:1 > B:111 udp len=20', mark: 0 },
      'A:1 > B:112 tcp S seq=1', { packet: 'A:1 > B:112 tcp S seq=1 len=10', mark: 0xffffffff }, ...QUESTIONS,
    ],
  },
  {
    name: 'labels with names', rules: LABEL_RULES, labels: true,
    names: '# labels\n3 three\n127 last-one\n', steps: LABELLED,
  },
  { name: 'labels without names', rules: LABEL_RULES, labels: true, steps: LABELLED },
]

/** Captures with few packets, all of them whole. */
const CAPTURES = [
  'dns', 'forged_checksum', 'forged_exthdr', 'forged_fragments', 'forged_icmp', 'forged_protocols', 'tcp_reuse',
  'tcp_cases', 'tcp6_cases', 'udp_cases', 'udp6_cases', 'udplite_echo', 'unreachable', 'ping',
]

describe.skipIf(missing)(`the text of the real tools${missing ? ` (skipped: needs ${missing})` : ''}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
  afterAll(() => {
    rmSync(folder, { recursive: true })
    process.stdout.write(`text of the real tools: ${lines} lines\n`)
  })

  test.each(scenes.map(scene => [scene.name, scene] as const))('%s', (_name, scene) => compare(scene, folder))

  // A scene sleeps most of its time.
  const scenarios = missing ? [] : plainScenarios().map(scene => [scene.name, scene] as const)
  test.concurrent.each(scenarios)('scenario %s', (_name, scene) => compare(scene, folder))

  const helped = missing ? [] : helpedScenarios().map(scene => [scene.name, scene] as const)
  test.concurrent.each(helped)('%s', (_name, scene) => compare(scene, folder), 120_000)

  const calls = CALLS.map(call => [`${call.helper}: ${call.name}`, call] as const)
  test.concurrent.each(calls)('expectations of %s', (name, call) => {
    const questions = call.family === 6 ? EXPECTED_IPV6 : EXPECTED
    const packets = packetsOf(call).map(bytes => ({ packet: { hex: hexText(bytes) } }))
    return compare({ name, helpers: [call.helper], of: 'expect', steps: [...packets, ...questions, PROC] }, folder)
  }, 120_000)

  test.concurrent.each(CAPTURES)('capture %s', async name => {
    const frames = await readFrames(new URL(`../captures/${name}.pcap`, import.meta.url).pathname)
    const packets = frames.flatMap(({ packet }) => packet ? [{ packet: { hex: hexText(packet) } }] : [])
    await compare({ name, sysctl: { acct: 1 }, steps: [...packets, ...QUESTIONS] }, folder)
  })
})

function hexText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** The oracle's scenarios that ask for nothing but packets one after the other. */
function plainScenarios(): Scene[] {
  const root = new URL('oracle/scenarios/', SHARED)
  return readdirSync(root).sort().flatMap(file => {
    const { packets, sysctl, ...rest } = JSON.parse(readFileSync(new URL(file, root), 'utf8')) as {
      packets: (string | object)[], sysctl?: Record<string, number>,
    }
    const plain = packets.every(isAtOnce)
    const asks = ['helpers', 'notrack', 'drop', 'zone', 'max_entries', 'hosts'].some(key => key in rest)
    if (!plain || asks) return []
    return [{ name: file.replace('.json', ''), sysctl, steps: [...packets.map(packet => ({ packet })), ...QUESTIONS] }]
  })
}

/** Questions about expectations that a scenario is interrupted by, spread over its packets. */
const INTERRUPTIONS = 5

/** The oracle's scenarios with helpers: what is expected again and again, and the connections at the end. */
function helpedScenarios(): Scene[] {
  const root = new URL('oracle/scenarios/', SHARED)
  return readdirSync(root).sort().flatMap(file => {
    const { packets, helpers } = JSON.parse(readFileSync(new URL(file, root), 'utf8')) as {
      packets: (string | object)[], helpers?: string[],
    }
    if (!helpers || !packets.every(isAtOnce)) return []
    const questions = JSON.stringify(packets).includes('A6:') ? EXPECTED_IPV6 : EXPECTED
    const every = Math.ceil(packets.length / INTERRUPTIONS)
    const steps = packets.flatMap((packet, i): Step[] => [{ packet }, ...(i % every === every - 1 ? questions : [])])
    const name = file.replace('.json', '')
    return [
      { name: `expectations of ${name}`, helpers, of: 'expect' as const, steps: [...steps, PROC] },
      { name: `connections of ${name}`, helpers, steps: [...packets.map(packet => ({ packet })), ...QUESTIONS] },
    ]
  })
}

/** A packet, and no wait before it. */
function isAtOnce(packet: string | object): boolean {
  return typeof packet === 'string' ? !packet.startsWith('+') : 'from' in packet && !('after' in packet)
}

/** How often a scene is played whose difference may be the tick in the wrong place. */
const TRIES = 8

async function compare(scene: Scene, folder: string): Promise<void> {
  for (let i = 1; ; i++) {
    const recorded = await record(scene)
    try {
      return await compareRecorded(scene, recorded, folder)
    } catch (error) {
      if (!recorded.late || i === TRIES) throw error
    }
  }
}

async function compareRecorded(scene: Scene, recorded: Recorded, folder: string): Promise<void> {
  const real = comparable(printedByTools(recorded))
  const printed = [...real.answers, real.events].flat()
  expect(printed).not.toHaveLength(0)
  // Filters are the command line's alone; it has no rules that mark or label packets.
  if (!scene.steps.some(isFiltered)) {
    expect(comparable(printedByFormats(scene, recorded, optionsOf(scene)))).toEqual(real)
  }
  if (!scene.steps.some(isMarked)) expect(comparable(await printedByCommandLine(scene, recorded, folder))).toEqual(real)
  lines += printed.length
}

function isMarked(step: Step): boolean {
  return typeof step === 'object' && ('mark' in step || 'labels' in step)
}

function isFiltered(step: Step): boolean {
  return typeof step === 'object' && 'run' in step && step.run[1] === '-L' && !['-o', 'expect'].includes(step.run[2])
}

function optionsOf({ sysctl = {}, zone = [], labels = false, helpers = [] }: Scene): TrackerOptions {
  return { sysctl, zone: zone.map(zoneRule), labels, helpers: helpersOf(helpers) }
}

/** `proto=udp,dport=101=original:7` in the SDK's words. */
function zoneRule(text: string): ZoneRule {
  const form = /^proto=(\w+),(sport|dport)=(\d+)=(?:(\w+):)?(\d+)$/
  const [, protocol, side, port, direction = 'both', id] = form.exec(text) ?? []
  return { protocol, [side]: Number(port), direction: direction as ZoneRule['direction'], id: Number(id) }
}

/** `rules` and `diff` on the command line, over the cases of `test/rules`. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { caseFile } from '../support/rules-cases.js'

const cli = new URL('../../dist/cli.js', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-rules-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(...args: string[]): Ran {
  return runWith('', ...args)
}

function runWith(input: string, ...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync('node', [cli, ...args], { encoding: 'utf8', input })
  return { status, stdout, stderr }
}

const WEB = [caseFile('web', 'rules'), caseFile('web', 'pcap'), '--local', '198.51.100.20', '--interface', 'eth0=0.0.0.0/0'] as const

describe('rules', () => {
  test('prints the rules with their counters as iptables does', () => {
    const { status, stdout, stderr } = run('rules', ...WEB)
    const list = readFileSync(caseFile('web', 'list.txt'), 'utf8')
    expect(stdout).toBe(list.slice(list.indexOf('# table filter')))
    expect([status, stderr]).toEqual([0, ''])
  })

  test('--json is a decision a packet, which --expect takes', () => {
    const { stdout } = run('rules', ...WEB, '--json')
    const decisions = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
    expect(decisions).toHaveLength(49)
    expect(decisions[0]).toMatchObject({ packet: 1, action: 'ACCEPT', by: 'rule', table: 'filter', chain: 'WEB', rule: 2, line: 15, path: 'input', state: 'NEW' })
    const expected = join(folder, 'expected')
    writeFileSync(expected, stdout)
    expect(run('rules', ...WEB, '--expect', expected).status).toBe(0)
    writeFileSync(expected, stdout.replace('"action":"ACCEPT"', '"action":"DROP"'))
    const { status, stderr } = run('rules', ...WEB, '--expect', expected)
    expect(status).toBe(1)
    expect(stderr).toContain('1 decisions differ')
    expect(stderr).toContain('packet 1: ACCEPT by rule 2 of chain WEB')
  })

  test('--trace tells the walk of one packet', () => {
    const { stdout } = run('rules', ...WEB, '--trace', '1')
    expect(stdout).toContain('packet 1, input, NEW, original')
    expect(stdout).toContain('fails: -i lo')
    expect(stdout).toContain('holds: multiport dports 80,443')
    expect(stdout.trimEnd()).toMatch(/ACCEPT by rule 2 of chain WEB in table filter \(line 15\): .*$/)
  })

  test('--trace with --json is the decision with its walk, and --expect still looks at all packets', () => {
    const { stdout } = run('rules', ...WEB, '--trace', '1', '--json')
    const { walk, ...decision } = JSON.parse(stdout) as { walk: Record<string, unknown>[] }
    expect(decision).toMatchObject({ packet: 1, action: 'ACCEPT', chain: 'WEB', rule: 2, line: 15 })
    expect(walk[0]).toEqual({ table: 'filter', chain: 'INPUT' })
    expect(walk[1]).toEqual({ rule: 1, line: 6, text: '-A INPUT -i lo -j ACCEPT', fits: false, tests: [{ text: '-i lo', held: false }] })
    expect(walk.filter(({ chain }) => chain === 'WEB')).toHaveLength(1)
    expect(walk.at(-1)).toMatchObject({ line: 15, fits: true })
    const expected = join(folder, 'all')
    writeFileSync(expected, run('rules', ...WEB, '--json').stdout)
    expect(run('rules', ...WEB, '--trace', '1', '--expect', expected)).toMatchObject({ status: 0, stderr: '' })
  })

  test('--hook says which way packets go, and it is said where rules had none to judge', () => {
    const forward = run('rules', WEB[0], WEB[1], '--interface', 'eth0=0.0.0.0/0')
    expect(forward.stderr).toContain('no packet came to a chain that has rules')
    expect(forward.stdout).toContain('Chain FORWARD (policy DROP 49 packets')
    const input = run('rules', WEB[0], WEB[1], '--interface', 'eth0=0.0.0.0/0', '--hook', 'input')
    expect(input.stderr).toBe('')
    expect(input.stdout).toContain('Chain INPUT (policy DROP 0 packets')
    expect(input.stdout).toMatch(/^ +27 +3206 ACCEPT .* state RELATED,ESTABLISHED$/m)
    const output = run('rules', WEB[0], WEB[1], '--interface', 'eth0=0.0.0.0/0', '--hook', 'output')
    expect(output.stdout).toContain('Chain OUTPUT (policy ACCEPT 49 packets')
    expect(run('rules', WEB[0], WEB[1], '--hook', 'sideways')).toMatchObject({ status: 2, stderr: expect.stringContaining('forward, input or output') as string })
  })

  test('a ruleset may come by standard input, but not together with the capture', () => {
    const rules = readFileSync(WEB[0], 'utf8')
    expect(runWith(rules, 'rules', '-', ...WEB.slice(1))).toEqual(run('rules', ...WEB))
    expect(runWith(rules, 'rules', '-', '-')).toMatchObject({ status: 2, stderr: expect.stringContaining('only one of rulesets and capture') as string })
  })

  test('--json with --also says which file a line is of, and so does the walk', () => {
    const six = join(folder, 'six.rules')
    writeFileSync(six, '# Generated by ip6tables-save\n*filter\n-A INPUT -j DROP\nCOMMIT\n')
    const { stdout } = run('rules', ...WEB, '--also', six, '--json')
    const decisions = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
    expect(decisions[0]).toMatchObject({ line: 15, ruleset: WEB[0] })
    expect(run('rules', ...WEB, '--also', six, '--trace', '1').stdout).toContain(`(line 15 of ${WEB[0]})`)
    expect(run('rules', ...WEB, '--json').stdout).not.toContain('ruleset')
  })

  test('checksums that were left to a network card are told of as classify does, of diff too', () => {
    const frame = Buffer.from(readFileSync(WEB[1]))
    frame.writeUInt16BE(0, 24 + 16 + 10)
    const offloaded = join(folder, 'offloaded.pcap')
    writeFileSync(offloaded, frame)
    const notice = /checksums of 1 packet had been left/
    expect(run('classify', offloaded).stderr).toMatch(notice)
    expect(run('rules', WEB[0], offloaded, ...WEB.slice(2)).stderr).toMatch(notice)
    expect(run('diff', offloaded, '--rules', WEB[0], '--rules', WEB[0], ...WEB.slice(2)).stderr).toMatch(notice)
    expect(run('diff', offloaded, '--with', 'tcp_loose=0').stderr).toMatch(notice)
  })

  test('what is no ruleset is not echoed to the terminal as it is', () => {
    const { status, stderr } = run('rules', WEB[1], WEB[0])
    expect(status).toBe(3)
    expect(stderr).toContain('web.pcap: line 1, column 1:')
    expect(stderr.trimEnd()).not.toMatch(/[\0-\x09\x0b-\x1f]/)
  })

  test('a ruleset that is not understood is refused with line and column', () => {
    const bad = join(folder, 'bad.rules')
    writeFileSync(bad, '*filter\n-A INPUT -m nonsense -j DROP\nCOMMIT\n')
    const { status, stderr } = run('rules', bad, WEB[1])
    expect(status).not.toBe(0)
    expect(stderr).toContain("bad.rules: line 2, column 13: match 'nonsense' is not understood")
    expect(run('rules', bad, WEB[1], '--unknown', 'never-match')).toMatchObject({ status: 0, stderr: expect.stringContaining('no packet fits this rule') as string })
  })
})

describe('diff', () => {
  test('of rulesets: how decisions differ, and the first packet with both rules', () => {
    const other = join(folder, 'other.rules')
    writeFileSync(other, readFileSync(WEB[0], 'utf8').replace('--dports 80,443', '--dports 443'))
    const { stdout, status } = run('diff', WEB[1], '--rules', WEB[0], '--rules', other, '--local', '198.51.100.20')
    expect(stdout).toContain('6 of 49 packets differ')
    expect(stdout).toContain('4  ACCEPT -> REJECT')
    expect(stdout).toContain('the first is packet 1:')
    expect(stdout).toContain('other.rules: REJECT by rule 7 of chain INPUT')
    expect(status).toBe(0)
  })

  test('of rulesets that had no packet to judge, it is said', () => {
    const { stdout, stderr } = run('diff', WEB[1], '--rules', WEB[0], '--rules', WEB[0])
    expect(stdout).toContain('0 of 49 packets differ')
    expect(stderr).toContain('web.rules: 1 rule asks for interfaces, and none is known')
    expect(stderr).toContain('web.rules: no packet came to a chain that has rules')
  })

  test('of sysctls: how verdicts differ from those without, of each configuration', () => {
    const capture = new URL('../captures/tcp_midstream.pcap', import.meta.url).pathname
    const { stdout } = run('diff', capture, '--with', 'tcp_loose=0', '--with', 'tcp_be_liberal=1', '--json')
    const [loose, liberal] = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as { differing: number; first: { packet: number; stories: string[] } | null })
    expect(loose).toMatchObject({ packets: 99, differing: 60, first: { packet: 1 } })
    expect(loose.first!.stories[1]).toContain('nf_conntrack_tcp_loose=1 would change this')
    expect(liberal).toMatchObject({ differing: 0, first: null })
  })

  test('without two things to compare it is refused', () => {
    expect(run('diff', WEB[1]).stderr).toContain('diff needs either --with or --rules')
    expect(run('diff', WEB[1], '--rules', WEB[0]).stderr).toContain('diff needs two rulesets')
  })
})

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

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('node', [cli, ...args], { encoding: 'utf8' })
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

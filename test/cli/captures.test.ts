/**
 * Every capture of public projects, the malformed ones too, through `classify --json`: exit 0 or 3, one object a packet
 * record, nothing on standard error but notices.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { SHARED, sharedIsThere } from '../support/golden.js'

const cli = new URL('../../dist/cli.js', import.meta.url).pathname
const KEYS = ['packet', 'time', 'state', 'direction', 'connection', 'protocol', 'src', 'dst', 'tcpState', 'assured', 'timeout', 'reason']

describe.runIf(sharedIsThere)('classify --json', () => {
  const table = sharedIsThere ? readFileSync(new URL('captures/captures.tsv', SHARED), 'utf8').trimEnd().split('\n') : []
  const columns = table[0]?.split('\t') ?? []
  const captures = table.slice(1).map(line => {
    const fields = line.split('\t')
    return { file: fields[columns.indexOf('file')], packets: Number(fields[columns.indexOf('packets')]) }
  })

  test.each(captures)('$file', ({ file, packets }) => {
    const path = new URL(`captures/${file}`, SHARED).pathname
    const { status, stdout, stderr } = spawnSync('node', [cli, 'classify', '--json', path], { encoding: 'utf8', maxBuffer: 1 << 30 })
    const lines = stdout === '' ? [] : stdout.trimEnd().split('\n')
    expect([0, 3]).toContain(status)
    expect(lines).toHaveLength(packets)
    lines.forEach((line, i) => {
      const object = JSON.parse(line) as Record<string, unknown>
      expect(object.packet).toBe(i + 1)
      expect(Object.keys(object)).toEqual(expect.arrayContaining(KEYS))
      if (object.state === 'INVALID' || object.state === null) expect(object.reason).toBeTypeOf('string')
      else expect(object.reason).toBeNull()
    })
    const notices = stderr.split('\n').filter(line => line !== '' && !line.startsWith('conntrack-wasm: '))
    expect(notices).toEqual([])
    if (status === 3) expect(stderr).toMatch(/byte \d+|not a capture|offset \d+/i)
  })
})

if (!sharedIsThere) test.skip('../shared is not there: its captures are not classified (skipped)', () => {})

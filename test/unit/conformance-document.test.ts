/** docs/conformance.md: what differs from Linux is told there as it stands in the list, and each test it names exists. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { DIFFERENCES } from '../conformance/differences.js'

const document = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8')

test.each(DIFFERENCES.map(({ what, test: [file, name] }) => [what, file, name]))('%s', (what, file, name) => {
  const source = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
  expect(source).toContain(`'${name}'`)
  expect(document).toContain(`| ${what} |`)
})

test('all that it tells to have been compared was the same', () => {
  const rows = document.split('\n').filter(line => line.includes('| `npm run'))
  expect(rows.length).toBeGreaterThanOrEqual(5)
  for (const row of rows) expect(row).toContain('| 100.00 % |')
})

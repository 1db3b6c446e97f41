// Adds up the reports of vitest: `sum.mjs FOLDER SUITE...`. A suite without a report, and a test that was skipped for
// another reason than a part that is not built yet, count as failures.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder, ...suites] = process.argv.slice(2)
let passed = 0
let failed = 0

for (const suite of suites) {
  const report = read(join(folder, `${suite}.json`))
  if (!report) {
    console.log(`${suite}: no report`)
    failed++
    continue
  }
  const tests = report.testResults.flatMap(file => file.assertionResults)
  const missed = tests.filter(test => test.status !== 'passed' && test.status !== 'failed' && !test.fullName.includes('not built yet'))
  for (const test of missed) console.log(`skipped: ${test.fullName}`)
  // A file that could not be loaded has no tests, but it is no success.
  const broken = report.testResults.filter(file => file.status === 'failed' && file.assertionResults.length === 0)
  for (const file of broken) console.log(`not run: ${file.name}: ${file.message}`)
  passed += report.numPassedTests
  failed += report.numFailedTests + missed.length + broken.length
}

console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

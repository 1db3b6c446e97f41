// Adds up the reports of vitest: `sum.mjs STEPS FOLDER SUITE...`. A suite without a report, and a test that was skipped count as
// failures; so does each step that is no suite and failed, of which there are STEPS.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const [steps, folder, ...suites] = process.argv.slice(2)
let passed = 0
let failed = Number(steps)

for (const suite of suites) {
  const report = read(join(folder, `${suite}.json`))
  if (!report) {
    console.log(`${suite}: no report`)
    failed++
    continue
  }
  const tests = report.testResults.flatMap(file => file.assertionResults)
  const missed = tests.filter(test => test.status !== 'passed' && test.status !== 'failed')
  for (const test of missed) console.log(`skipped: ${test.fullName}`)
  // A file that could not be loaded has no tests, but it is no success.
  const broken = report.testResults.filter(file => file.status === 'failed' && file.assertionResults.length === 0)
  for (const file of broken) console.log(`not run: ${file.name}: ${file.message}`)
  passed += report.numPassedTests
  const found = report.numFailedTests + missed.length + broken.length
  // vitest fails, too, for errors that belong to no test.
  const exit = Number(readFileSync(join(folder, `${suite}.exit`), 'utf8'))
  if (exit !== 0 && found === 0) console.log(`${suite}: exit ${exit}, though no test failed`)
  failed += found || Number(exit !== 0)
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

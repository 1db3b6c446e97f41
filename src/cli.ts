#!/usr/bin/env node
/** The command `conntrack-wasm`: hands the process to `main` and takes its exit status from it. */
import { createRequire } from 'node:module'
import { main } from './cli/main.js'
import { createTracker } from './index.js'
import { readCapture } from './node.js'

// Both this file and the one built from it are one folder below the package's own.
const { version } = createRequire(import.meta.url)('../package.json') as { version: string }

const status = await main(process.argv.slice(2), {
  sdk: { createTracker, readCapture },
  version,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  now: () => performance.now(),
})
// Not process.exit: what is still on its way to standard error would be lost.
process.exitCode = status

#!/usr/bin/env node
/** The command `conntrack-wasm`: hands the process to `main` and takes its exit status from it. */
import { main } from './cli/main.js'
import { createTracker } from './index.js'
import { readCapture } from './cli/file.js'

/** The package's version, put in by the build. */
declare const __VERSION__: string

const status = await main(process.argv.slice(2), {
  sdk: { createTracker, readCapture },
  version: __VERSION__,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  // Asking for `performance` loads more than the rest of the run needs.
  now: () => Number(process.hrtime.bigint() / 1000n) / 1000,
})
// Not process.exit: what is still on its way to standard error would be lost.
process.exitCode = status

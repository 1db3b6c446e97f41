/** Loaded into a process that is measured (`--import`): tells its peak of memory, KiB, at its end. */
import { writeSync } from 'node:fs'

process.on('exit', () => writeSync(3, String(process.resourceUsage().maxRSS)))

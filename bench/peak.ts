/**
 * Loaded into a process that is measured (`--import`): tells its peak of memory, KiB, at its end. Linux's figure for a
 * process, `maxRSS`, begins with that of the process which started it; what /proc has does not.
 */
import { existsSync, readFileSync, writeSync } from 'node:fs'

const STATUS = '/proc/self/status'

function peak(): string {
  const found = existsSync(STATUS) ? /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(STATUS, 'utf8')) : null
  return found ? found[1] : String(process.resourceUsage().maxRSS)
}

process.on('exit', () => writeSync(3, peak()))

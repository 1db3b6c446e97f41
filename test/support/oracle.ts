/** Asks the kernel of this machine, by test/kernel/replay. */
import { execFile, execFileSync } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { readRecording, type Recording } from './golden.js'

/** Beside the sources, wherever this runs: bundles lie two folders deep in build/. */
const REPLAY = fileURLToPath(new URL('../../test/kernel/replay/replay.py', import.meta.url))

/** What the namespace is set to. */
export interface Setting {
  /** `name=value`, names without `nf_conntrack_`. */
  readonly sysctl?: readonly string[]
  /** Matches as nft has them. */
  readonly notrack?: readonly string[]
  readonly drop?: readonly string[]
  /** `MATCH=NUMBER` */
  readonly zone?: readonly string[]
  /** Helpers as replay.py names them, and the events that tell what they announce. */
  readonly helpers?: readonly string[]
}

/** What it needs and does not find; `null` for nothing. */
export function whatIsMissing(): string | null {
  if (process.platform !== 'linux') return 'Linux'
  if (process.getuid?.() !== 0) return 'root'
  try {
    const look = 'PATH=$PATH:/usr/sbin:/sbin; command -v nft && command -v ip && command -v python3'
    execFileSync('sh', ['-c', look], { stdio: 'ignore' })
    return null
  } catch {
    return 'nftables, iproute2 and Python'
  }
}

/**
 * Sends a capture's packets through the kernel, in a network namespace of their own, so that several may be asked at a
 * time.
 *
 * @param output the file for the recording
 * @param paced waits between packets as the capture's times have it; else none waits
 */
export async function askKernel(
  path: string, output: string, setting: Setting = {}, paced = false,
): Promise<Recording> {
  const { sysctl, notrack, drop, zone, helpers = [] } = setting
  const options = Object.entries({ sysctl, notrack, drop, zone })
    .flatMap(([name, values = []]) => values.flatMap(value => [`--${name}`, value]))
  if (helpers.length > 0) options.push('--events', '--helpers', helpers.join(','))
  const how = ['--window', '--full', '--pace', paced ? 'real' : 'none']
  await promisify(execFile)('python3', [REPLAY, path, '-o', output, ...how, ...options])
  return readRecording(pathToFileURL(output))
}

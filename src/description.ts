/**
 * What a snapshot says of its tracker besides the core's memory, as JSON: what it was made with, its sysctls, its helpers. Whoever
 * restores a snapshot has it from elsewhere, so all of it is checked.
 */
import { TIMEOUTS } from './border.js'
import { ConntrackError } from './errors.js'
import type { Helper } from './helpers/helper.js'
import type { HelperMemory } from './helpers/host.js'
import { bad } from './snapshot.js'
import { SYSCTLS } from './sysctl.js'
import { flatten, invalid, list, type TrackerOptions } from './tracker-options.js'

/** What a snapshot cannot bring along. */
export type RestoreOptions = Pick<TrackerOptions, 'module' | 'helpers' | 'onHelperError'>
export const RESTORE_OPTIONS: readonly string[] = ['module', 'helpers', 'onHelperError']

/** What a snapshot says that a tracker was made with, and its sysctls. */
export interface Description {
  readonly options: TrackerOptions
  readonly sysctl: Readonly<Record<string, number>>
  readonly policyTimeouts: readonly (readonly number[])[]
  /** What helpers it had, and what they remember. */
  readonly helpers: readonly unknown[]
  readonly memory: HelperMemory
}

/** What goes wrong with what a snapshot says is the snapshot's fault. */
export function restored<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw error instanceof ConntrackError && error.code !== 'wrong-core' ? bad(error.message) : error
  }
}

/** What is in a description is JSON, but for what helpers of others may remember. */
export function jsonText(description: Description): string {
  try {
    return JSON.stringify(description)
  } catch (error) {
    throw invalid(`a helper remembers what JSON cannot say: ${String(error)}`)
  }
}

export function checkDescription(description: unknown): Description {
  const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
  const { options, sysctl, policyTimeouts, helpers, memory } = (isObject(description) ? description : {}) as Partial<Description>
  const isComplete = isObject(options) && isObject(sysctl) && isObject(memory) && Array.isArray(policyTimeouts) && Array.isArray(helpers)
  if (!isComplete) throw bad('its description is incomplete')
  const foreign = ['hashSeed', ...RESTORE_OPTIONS].find(name => name in options!)
  if (foreign !== undefined) throw bad('its description has options that no snapshot has')
  return { options: options!, sysctl: sysctl!, policyTimeouts: policyTimeouts!, helpers: helpers!, memory: memory! }
}

/** What of helpers must be the same where a snapshot is restored: all but their code, as JSON values. */
export function describeHelpers(helpers: TrackerOptions['helpers']): readonly unknown[] {
  return list('helpers', helpers).flat().map(item => {
    const { match, helper } = 'helper' in item ? item : { match: {}, helper: item }
    return { match: { ...match }, helpers: flatten([helper]).map(describeHelper) }
  })
}

function describeHelper({ name, protocol, families, ports, classes }: Helper): unknown {
  return { name, protocol, families, ports, classes: classes.map(each => [each.name, each.limit, each.timeout]) }
}

export function checkHelpers(snapshots: readonly unknown[], given: readonly unknown[]): void {
  if (JSON.stringify(snapshots) === JSON.stringify(given)) return
  const which = snapshots.length ? `with other helpers: ${JSON.stringify(snapshots)}` : 'without helpers'
  throw invalid(`the snapshot is of a tracker ${which}; restoreTracker must be given the same, on the same ports`)
}

/** As many as there are policies, each complete, of values that timeouts can have. */
export function checkPolicyTimeouts(policies: Description['policyTimeouts'], count: number): Description['policyTimeouts'] {
  const { min, max } = SYSCTLS.udp_timeout
  const sound = policies.length === count && policies.every(timeouts => Array.isArray(timeouts) && timeouts.length === TIMEOUTS
    && timeouts.every(value => Number.isInteger(value) && value >= min && value <= max))
  if (!sound) throw bad('its timeout policies are not sound')
  return policies
}

/** What the options of helpers have in common: each check gives the value or throws and names the option. */
import { ConntrackError } from '../errors.js'

/** Timeouts are 32-bit ticks in Linux; a day short of what 250 ticks a second allow. */
const MAX_SECONDS = 8_589_934
/** What Linux allows one connection to expect at a time. */
const MAX_EXPECTATIONS = 255

/** An object without fields that are not among `known`. */
export function checkFields(what: string, value: object, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) throw invalid(`${what} must be an object`)
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw invalid(`unknown field '${key}' in ${what}; known are: ${known.join(', ')}`)
  }
}

export function checkPorts(name: string, value: unknown): readonly number[] {
  if (Array.isArray(value) && value.every(port => isWhole(port, 1, 65535))) return [...value]
  throw invalid(`${name}: expected a list of ports from 1 to 65535`)
}

export function checkPort(name: string, value: unknown): number {
  return checkWhole(name, value, 0, 65535)
}

export function checkSeconds(name: string, value: unknown): number {
  return checkWhole(name, value, 1, MAX_SECONDS)
}

export function checkLimit(name: string, value: unknown): number {
  return checkWhole(name, value, 1, MAX_EXPECTATIONS)
}

export function checkFlag(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw invalid(`${name}: expected true or false`)
}

export function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}

function checkWhole(name: string, value: unknown, min: number, max: number): number {
  if (isWhole(value, min, max)) return value
  throw invalid(`${name}: expected a whole number from ${min} to ${max}`)
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

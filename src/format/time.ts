/** Times of packets as decimal text. Nothing here reads a clock. */

const NANOSECONDS = 1_000_000_000

/** 0 to 999 with their leading zeros: nine places are three look-ups. */
const THREE_DIGITS = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))

/** Nine decimal places of 0 to 999,999,999 nanoseconds. */
function ninePlaces(nanoseconds: number): string {
  const micros = Math.trunc(nanoseconds / 1000)
  return THREE_DIGITS[Math.trunc(micros / 1000)] + THREE_DIGITS[micros % 1000] + THREE_DIGITS[nanoseconds % 1000]
}

/**
 * Seconds since 1970 as a decimal string with nine places.
 * @param seconds whole seconds, negative before 1970
 * @param nanoseconds what is added to them, 0 to 999,999,999
 */
export function timeText(seconds: number, nanoseconds: number): string {
  // -1 s + 0.25 s is written -0.750000000.
  if (seconds < 0 && nanoseconds > 0) return `-${-(seconds + 1)}.${ninePlaces(NANOSECONDS - nanoseconds)}`
  return `${seconds}.${ninePlaces(nanoseconds)}`
}

/** The same for one number of nanoseconds. */
export function nanosecondsText(time: bigint): string {
  const sign = time < 0n ? '-' : ''
  const digits = String(time < 0n ? -time : time).padStart(10, '0')
  return `${sign}${digits.slice(0, -9)}.${digits.slice(-9)}`
}

/** Seconds and nanoseconds as one number of nanoseconds. */
export function toNanoseconds(seconds: number, nanoseconds: number): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
}

/** The whole seconds of a time, rounded down. */
export function wholeSeconds(time: bigint): bigint {
  return time >= 0n ? time / 1_000_000_000n : -((-time + 999_999_999n) / 1_000_000_000n)
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Local time as C's `ctime` writes it: `Mon Nov  2 23:26:54 2026`. */
export function calendarText(time: bigint): string {
  const date = new Date(Number(wholeSeconds(time)) * 1000)
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(part => String(part).padStart(2, '0'))
  const day = String(date.getDate()).padStart(2)
  return `${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${day} ${clock.join(':')} ${date.getFullYear()}`
}

/** Time as columns have it, a second and a nanosecond, and as the core counts it: nanoseconds since 1970. */

/** The last packet's second, and the same in nanoseconds: most packets share it, and converting costs 2 ns. */
let lastSecond: f64 = 0
let lastSecondStart: i64 = 0

/** Nanoseconds since 1970; what lies more than three hundred years away counts as that far away. */
// @ts-ignore: decorator
@inline export function timeOf(seconds: f64, nanoseconds: u32): i64 {
  if (seconds != lastSecond) startSecond(seconds)
  return lastSecondStart + nanoseconds
}

function startSecond(seconds: f64): void {
  lastSecond = seconds
  if (!(seconds > -9e9)) seconds = -9e9
  if (!(seconds < 9e9)) seconds = 9e9
  lastSecondStart = i64(seconds) * 1_000_000_000
}

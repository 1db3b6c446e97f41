/** Median and quartiles: what is robust against a machine that others use too. */

export interface Quartiles {
  readonly samples: number
  readonly p25: number
  readonly p50: number
  readonly p75: number
  /** Median of the absolute deviations from the median. */
  readonly mad: number
}

export function quartiles(values: readonly number[]): Quartiles {
  const sorted = Float64Array.from(values).sort()
  const p50 = quantile(sorted, 0.5)
  const deviations = sorted.map((value) => Math.abs(value - p50)).sort()
  return {
    samples: values.length,
    p25: quantile(sorted, 0.25),
    p50,
    p75: quantile(sorted, 0.75),
    mad: quantile(deviations, 0.5),
  }
}

/** Between two neighbours in proportion; NaN without values. */
function quantile(sorted: Float64Array, q: number): number {
  const place = (sorted.length - 1) * q
  const low = Math.floor(place)
  const high = Math.ceil(place)
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low)
}

/** From a long sequence that shows something to a shortest one that still does (delta debugging, Zeller 2002). */

/** Whether a sequence still shows what the whole one showed. */
export type Shows<T> = (items: readonly T[]) => Promise<boolean>

/** Whether an item may have to do with the one at which it shows. */
export type Related<T> = (item: T, last: T) => boolean

/**
 * Shortens a sequence that shows something at item `at`. First by what is likely: nothing after it, nothing of other
 * connections; then by halves, quarters and so on until no single item can be left out.
 *
 * @param related from narrow to wide; the first that still shows it is kept
 * @returns `null` where the sequence up to `at` does not show it (again)
 */
export async function reduce<T>(
  items: readonly T[], at: number, related: readonly Related<T>[], shows: Shows<T>,
): Promise<readonly T[] | null> {
  const left = items.slice(0, at + 1)
  if (!await shows(left)) return null
  for (const isRelated of related) {
    const near = left.filter(item => isRelated(item, left[at]))
    if (near.length < left.length && await shows(near)) return minimise(near, shows)
  }
  return minimise(left, shows)
}

/** Leaves out runs of items, long ones first; ends when a pass over single items leaves none out. */
export async function minimise<T>(items: readonly T[], shows: Shows<T>): Promise<readonly T[]> {
  let left = items
  for (let size = Math.ceil(items.length / 2); ; size = Math.ceil(size / 2)) {
    const shorter = await withoutRuns(left, size, shows)
    if (size <= 1 && shorter.length === left.length) return left
    left = shorter
  }
}

/** One pass: every run of `size` items is left out if it can be. */
async function withoutRuns<T>(items: readonly T[], size: number, shows: Shows<T>): Promise<readonly T[]> {
  let left = items
  for (let from = 0; from < left.length;) {
    const shorter = [...left.slice(0, from), ...left.slice(from + size)]
    if (shorter.length > 0 && await shows(shorter)) left = shorter
    else from += size
  }
  return left
}

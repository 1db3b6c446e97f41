import type { BatchBuilder } from './batch-builder.js'
import type { Window } from './window.js'

/** A file format: it walks the window record by record. */
export interface Format {
  /**
   * Takes whole records from the window and puts their packets in the batch, until the batch takes no more or the
   * window holds no whole record.
   *
   * @returns true if there may be more records in the window; false if more bytes are needed: `window.need`
   * @throws ConntrackError `capture-damaged`; what is in the batch by then is good
   */
  walk(window: Window, batch: BatchBuilder): boolean

  /**
   * The stream has ended.
   *
   * @throws ConntrackError `capture-damaged` if that cuts a record
   */
  end(window: Window): void

  /** Where in the stream the record starts that is being read, or the next. */
  recordOffset(window: Window): number
}

/** Stops a walk at `position`, from which `need` bytes must be at hand. */
export function wait(window: Window, position: number, need: number): false {
  window.position = position
  window.need = need
  return false
}

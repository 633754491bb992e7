import { ref } from 'vue'

const TICK_MS = 1000

let offset_ms = 0

/** How far the gateway's clock is ahead of this device's, s; negative when it is behind. */
export const ahead_s = ref(0)

/** The gateway's time, ms since 1970: a phone in the field may be wrong by minutes. */
export const now = ref(Date.now())

export const gatewayNow = (): number => Date.now() + offset_ms

/** Learn the gateway's time from the Date header of an answer that was asked for at `asked_ms`. */
export function learn(header: string | null, asked_ms: number): void {
  const said = header ? Date.parse(header) : Number.NaN
  if (Number.isNaN(said)) return
  const arrived = Date.now()
  // The header is cut to whole seconds; half of one is its mean error.
  const apart = said + 500 - (asked_ms + arrived) / 2
  if (Math.abs(apart - offset_ms) <= 1500) return
  offset_ms = Math.abs(apart) > 1500 ? apart : 0
  ahead_s.value = offset_ms / 1000
}

setInterval(() => {
  now.value = gatewayNow()
}, TICK_MS)

/** Seconds since a moment, never negative; null when there was none. */
export function age_s(moment: string | number | null | undefined): number | null {
  if (moment == null) return null
  const then = typeof moment === 'number' ? moment : Date.parse(moment)
  return Number.isNaN(then) ? null : Math.max(0, (now.value - then) / 1000)
}

// Days, weeks, months and years of the site's clock, and what is shown of each.

import { zone } from './format'

export const SPANS = ['day', 'week', 'month', 'year'] as const
export type Span = (typeof SPANS)[number]

export interface Period {
  from: number
  to: number
}

/** Energy is shown by these periods. */
export const BARS: Record<Span, 'hour' | 'day' | 'month'> = { day: 'hour', week: 'day', month: 'day', year: 'month' }

const locale = navigator.languages.length ? [...navigator.languages] : undefined
const formats = new Map<string, Intl.DateTimeFormat>()

function format(name: string, options: Intl.DateTimeFormatOptions, language = locale): Intl.DateTimeFormat {
  const key = `${name} ${zone()}`
  let found = formats.get(key)
  if (!found) {
    found = new Intl.DateTimeFormat(language, { timeZone: zone(), ...options })
    formats.set(key, found)
  }
  return found
}

/** Year, month (from 0), day and the rest of the local clock at a moment. */
function clockAt(moment_ms: number): number[] {
  const parts = format(
    'clock',
    {
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
      hourCycle: 'h23',
    },
    ['en-GB'],
  ).formatToParts(moment_ms)
  const of = (type: string): number => Number(parts.find((part) => part.type === type)?.value ?? 0)
  return [of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second')]
}

function offsetAt(moment_ms: number): number {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = clockAt(moment_ms)
  return Date.UTC(year, month, day, hour, minute, second) - Math.floor(moment_ms / 1000) * 1000
}

/** The moment at which a local date begins; month and day may be beyond their ends. */
function dateStart(year: number, month: number, day: number): number {
  const naive = Date.UTC(year, month, day)
  return naive - offsetAt(naive - offsetAt(naive))
}

/** The period that holds a moment, moved by so many periods. */
export function periodOf(span: Span, moment_ms: number, moved: number): Period {
  const [year = 0, month = 0, day = 0] = clockAt(moment_ms)
  if (span === 'year') return { from: dateStart(year + moved, 0, 1), to: dateStart(year + moved + 1, 0, 1) }
  if (span === 'month') return { from: dateStart(year, month + moved, 1), to: dateStart(year, month + moved + 1, 1) }
  if (span === 'day') return { from: dateStart(year, month, day + moved), to: dateStart(year, month, day + moved + 1) }
  const monday = day - ((new Date(Date.UTC(year, month, day)).getUTCDay() + 6) % 7) + 7 * moved
  return { from: dateStart(year, month, monday), to: dateStart(year, month, monday + 7) }
}

/** The name of a period: "Saturday, 1 May 2026", "27 Apr – 3 May 2026", "May 2026", "2026". */
export function titleOf(span: Span, period: Period): string {
  if (span === 'year') return format('year', { year: 'numeric' }).format(period.from)
  if (span === 'month') return format('month', { month: 'long', year: 'numeric' }).format(period.from)
  const day: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short', year: 'numeric' }
  if (span === 'day') return format('day', { ...day, weekday: 'short' }).format(period.from)
  return format('week', day).formatRange(period.from, period.to - 1)
}

const MARKS: Record<Span, Intl.DateTimeFormatOptions> = {
  day: { hour: '2-digit', minute: '2-digit' },
  week: { weekday: 'short' },
  month: { day: 'numeric' },
  year: { month: 'narrow' },
}

/** The label of a moment on the axis. */
export const axisText = (span: Span, moment_ms: number): string =>
  format(`axis ${span}`, MARKS[span]).format(moment_ms)

const LONG: Record<Span, Intl.DateTimeFormatOptions> = {
  day: { hour: '2-digit', minute: '2-digit' },
  week: { weekday: 'short', hour: '2-digit', minute: '2-digit' },
  month: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  year: { day: 'numeric', month: 'short' },
}

/** A moment of a curve in words. */
export const spotText = (span: Span, moment_ms: number): string => format(`spot ${span}`, LONG[span]).format(moment_ms)

const NAMED: Record<Span, Intl.DateTimeFormatOptions> = {
  day: { hour: '2-digit', minute: '2-digit' },
  week: { weekday: 'long' },
  month: { weekday: 'short', day: 'numeric', month: 'short' },
  year: { month: 'long', year: 'numeric' },
}

/** The period of one bar in words. */
export const barText = (span: Span, moment_ms: number): string => format(`bar ${span}`, NAMED[span]).format(moment_ms)

/** The moments of a period that the axis is parted by: hours, days or months. */
export function marksOf(span: Span, period: Period): number[] {
  const [year = 0, month = 0, day = 0] = clockAt(period.from)
  const found: number[] = []
  for (let n = 0; n < 400; n += 1) {
    const at =
      span === 'day'
        ? period.from + n * 3_600_000
        : span === 'year'
          ? dateStart(year, month + n, 1)
          : dateStart(year, month, day + n)
    if (at >= period.to) break
    found.push(at)
  }
  return found
}

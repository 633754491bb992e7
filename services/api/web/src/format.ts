import { now } from './clock'
import { info } from './site'
import { texts } from './texts'
import type { Value } from './types'

/** Shown for a value that is not known: never 0. */
export const UNKNOWN = '–'
const HALF_DAY_MS = 43_200_000
const THIN_SPACE = '\u202f'

const locale = navigator.languages.length ? [...navigator.languages] : undefined
const numbers = new Map<string, Intl.NumberFormat>()

function fixed(value: number, least: number, most: number): string {
  const key = `${least}-${most}`
  let format = numbers.get(key)
  if (!format) {
    format = new Intl.NumberFormat(locale, { minimumFractionDigits: least, maximumFractionDigits: most })
    numbers.set(key, format)
  }
  return format.format(value === 0 ? 0 : value).replace('-', '−')
}

export interface Quantity {
  value: string
  unit: string
}

const text = (quantity: Quantity): string =>
  quantity.unit ? `${quantity.value}${THIN_SPACE}${quantity.unit}` : quantity.value

/** From 1000 on in thousands, with as many decimals as make four figures at most. */
function scaled(value: number, unit: string, thousands: string): Quantity {
  const size = Math.abs(value)
  if (Math.round(size) < 1000) return { value: fixed(value, 0, 0), unit }
  const decimals = size < 9_995 ? 2 : size < 99_950 ? 1 : 0
  return { value: fixed(value / 1000, decimals, decimals), unit: thousands }
}

export function power(value_w: number | null | undefined): Quantity {
  return value_w == null ? { value: UNKNOWN, unit: '' } : scaled(value_w, 'W', 'kW')
}

export const powerText = (value_w: number | null | undefined): string => text(power(value_w))

/** Whole watts, for a sum that must be exact. */
export const wattsText = (value_w: number | null): string =>
  value_w === null ? UNKNOWN : text({ value: fixed(value_w, 0, 0), unit: 'W' })

/** A label of an axis whose largest figure is `most_w`. */
export const tickText = (value_w: number, most_w: number): string =>
  most_w < 1000 ? wattsText(value_w) : text({ value: fixed(value_w / 1000, 0, 2), unit: 'kW' })

/** An energy in kWh, from 10 MWh on in MWh. */
export function energyText(value_kwh: number | null): string {
  if (value_kwh === null) return UNKNOWN
  if (value_kwh >= 10_000) return text({ value: fixed(value_kwh / 1000, 1, 1), unit: 'MWh' })
  const decimals = value_kwh < 10 ? 2 : value_kwh < 100 ? 1 : 0
  return text({ value: fixed(value_kwh, decimals, decimals), unit: 'kWh' })
}

/** A label of an axis of energy; the unit stands beside the heading. */
export const energyTick = (value_kwh: number): string => fixed(value_kwh, 0, 3)

export const percentText = (share: number | null | undefined): string =>
  share == null ? UNKNOWN : text({ value: fixed(share * 100, 0, 0), unit: '%' })

/** From here on a tenth is not worth its place. */
const LARGE = 10_000
const DECIMALS: Record<string, number> = { V: 1, A: 2, Hz: 2, kWh: 1, kvarh: 1, '°C': 1, '%': 1, var: 0 }
const THOUSANDS: Record<string, string> = { W: 'kW', var: 'kvar', VA: 'kVA' }

/** A measured value as an overview shows it. */
export function measured(value: Value | undefined, unit: string): Quantity {
  if (value == null) return { value: UNKNOWN, unit: '' }
  if (typeof value === 'string') return { value, unit: '' }
  const thousands = THOUSANDS[unit]
  if (thousands) return scaled(value, unit, thousands)
  const decimals = Math.abs(value) >= LARGE ? 0 : (DECIMALS[unit] ?? 2)
  return { value: fixed(value, decimals, decimals), unit }
}

const MOST_DECIMALS = 3

/** Decimals that a value really has, at most three. */
export const decimalsOf = (value: number): number =>
  Number(value.toFixed(MOST_DECIMALS)).toString().split('.')[1]?.length ?? 0

/** A measured value with all its decimals, at least `least` so that figures do not jump. */
export function exact(value: Value | undefined, least: number): string {
  if (value == null) return UNKNOWN
  return typeof value === 'string' ? value : fixed(value, least, MOST_DECIMALS)
}

export const voltsText = (value_v: number | null): string =>
  value_v === null ? UNKNOWN : text({ value: fixed(value_v, 1, 2), unit: 'V' })

/** The gateway's zone; the browser's while it is not known. */
export function zone(): string {
  return info.value?.timezone || Intl.DateTimeFormat().resolvedOptions().timeZone
}

const formats = new Map<string, Intl.DateTimeFormat>()

function dated(style: 'time' | 'minute' | 'full' | 'fine', moment_ms: number): string {
  const key = `${style} ${zone()}`
  let format = formats.get(key)
  if (!format) {
    const base: Intl.DateTimeFormatOptions = { timeZone: zone(), hour: '2-digit', minute: '2-digit' }
    if (style !== 'minute') base.second = '2-digit'
    if (style === 'fine') Object.assign(base, { hourCycle: 'h23', fractionalSecondDigits: 3 })
    if (style === 'full') Object.assign(base, { year: 'numeric', month: 'short', day: 'numeric' })
    format = new Intl.DateTimeFormat(locale, base)
    formats.set(key, format)
  }
  return format.format(moment_ms)
}

export const timeText = (moment_ms: number): string => dated('time', moment_ms)
export const minuteText = (moment_ms: number): string => dated('minute', moment_ms)
/** To the millisecond, for frames on a line. */
export const fineTimeText = (moment_ms: number): string => dated('fine', moment_ms)
export const dateText = (moment_ms: number): string => dated('full', moment_ms)

/** The moment in a zone that is only looked at yet. */
export const timeIn = (timeZone: string, moment_ms: number): string =>
  new Intl.DateTimeFormat(locale, { timeZone, dateStyle: 'medium', timeStyle: 'medium' }).format(moment_ms)

/** Only the time when the moment is less than half a day ago, else with its date. */
export function momentText(ts: string): string {
  const moment_ms = Date.parse(ts)
  return now.value - moment_ms < HALF_DAY_MS ? timeText(moment_ms) : dateText(moment_ms)
}

/** A length of time in its two largest units: "4 s", "3 min", "2 h 5 min". */
export function durationText(length_s: number): string {
  const seconds = Math.max(0, Math.round(length_s))
  if (seconds < 100) return texts.units.seconds(seconds)
  const minutes = Math.round(seconds / 60)
  if (minutes < 100) return texts.units.minutes(minutes)
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return texts.units.hours(hours, minutes % 60)
  return texts.units.days(Math.round(hours / 24))
}

export const countText = (count: number): string => fixed(count, 0, 0)

const BYTES = ['B', 'kB', 'MB', 'GB']

/** "732 B", "12.3 MB": thousands, as data plans count. */
export function bytesText(bytes: number): string {
  const step = Math.min(BYTES.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)))
  return text({ value: fixed(bytes / 1000 ** step, 0, step ? 1 : 0), unit: BYTES[step] ?? 'B' })
}

/** "14:32" or "1:05:09" until a hold time ends. */
export function countdownText(length_s: number): string {
  const left = Math.max(0, Math.ceil(length_s))
  const pad = (part: number): string => String(part).padStart(2, '0')
  const hours = Math.floor(left / 3600)
  const rest = `${hours ? pad(Math.floor(left / 60) % 60) : Math.floor(left / 60)}:${pad(left % 60)}`
  return hours ? `${hours}:${rest}` : rest
}

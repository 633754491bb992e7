import { isFlowing } from './flows'
import { percentText, powerText } from './format'
import { texts } from './texts'
import type { Balance } from './types'

/** The balance in two short sentences: who covers the consumption, and what the grid does. */
export function headlineOf(balance: Balance | undefined): [cover: string, grid: string] {
  const words = texts.solar.headline
  const grid_w = balance?.p_grid ?? null
  const grid = grid_w === null ? '' : gridSentence(grid_w)
  if (!balance || balance.p_prod === null || grid_w === null) return [words.unknown, grid]
  const hasSun = isFlowing(balance.p_prod)
  const hasBattery = isFlowing(balance.p_bat ?? 0)
  const share = percentText(balance.self_sufficiency)
  if (!hasSun && !hasBattery) return [words.none, grid]
  if (!isFlowing(grid_w)) return [hasSun ? words.all : words.battery, grid]
  return [hasBattery ? words.storage(share) : words.share(share), grid]
}

function gridSentence(grid_w: number): string {
  const words = texts.solar.headline
  if (!isFlowing(Math.abs(grid_w))) return words.noGrid
  return grid_w > 0 ? words.fromGrid(powerText(grid_w)) : words.toGrid(powerText(-grid_w))
}

/** A summand: its size in whole watts, null when it is not known. */
export interface Term {
  sign: string
  power_w: number | null
  word: string
}

function termOf(power_w: number | null, plus: string, minus: string): Term {
  if (power_w === null) return { sign: '', power_w, word: plus }
  return power_w < 0 ? { sign: '−', power_w: -power_w, word: minus } : { sign: '+', power_w, word: plus }
}

const whole = (power_w: number | null | undefined): number | null =>
  power_w == null ? null : Math.round(power_w)

/** The sum behind the consumption, in whole watts that add up exactly. */
export function sumOf(balance: Balance | undefined, hasBattery: boolean): { terms: Term[]; load_w: number | null } {
  const words = texts.solar.sum
  const prod_w = whole(balance?.p_prod)
  const grid_w = whole(balance?.p_grid)
  const bat_w = hasBattery ? whole(balance?.p_bat) : 0
  const terms: Term[] = [
    { sign: '', power_w: prod_w, word: words.produced },
    termOf(grid_w, words.imported, words.exported),
  ]
  if (hasBattery) terms.push(termOf(bat_w, words.discharged, words.charged))
  const isKnown = balance?.p_load != null && prod_w !== null && grid_w !== null && bat_w !== null
  return { terms, load_w: isKnown ? prod_w + grid_w + bat_w : null }
}

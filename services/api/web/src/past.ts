// What the history page asks for: curves, energy and gaps of one plant or device over one period.

import { ref, shallowRef } from 'vue'
import { address, api, type Problem, problemOf } from './api'
import { BARS, type Period, type Span } from './periods'
import { texts } from './texts'
import type { HistorySeries } from './types'

export type Kind = 'prod' | 'load' | 'import' | 'export'

/** One curve or one colour of bars. `points` are `[moment, mean or energy, lowest, highest]`. */
export interface Curve {
  metric: string
  kind: Kind
  label: string
  points: [number, number, number, number][]
}

export interface Gap {
  from: string
  to: string
  reason: string
  detail: string
}

export interface Thing {
  id: string
  label: string
  isPlant: boolean
}

const POINTS = 300
const POWERS: Record<string, Kind> = { p_prod: 'prod', p_load: 'load', p_grid: 'import', p: 'load' }
const ENERGIES: Record<string, Kind> = {
  p_prod: 'prod',
  p_load: 'load',
  p_imp: 'import',
  p_exp: 'export',
  e_total: 'prod',
  e_imp: 'import',
  e_exp: 'export',
}
const OF_PLANT = { powers: ['p_prod', 'p_load', 'p_grid'], energies: ['p_prod', 'p_load', 'p_imp', 'p_exp'] }
const OF_DEVICE = { powers: ['p'], energies: ['e_total', 'e_imp', 'e_exp'] }

function query(thing: Thing, period: Period, metrics: string[], more: Record<string, string>): string {
  const found = new URLSearchParams({
    device: thing.id,
    from: new Date(period.from).toISOString(),
    to: new Date(period.to).toISOString(),
    ...more,
  })
  for (const metric of metrics) found.append('metric', metric)
  return found.toString()
}

function curvesOf(series: HistorySeries[], kinds: Record<string, Kind>, names: Record<string, string>): Curve[] {
  return series
    .map((each) => ({
      metric: each.metric,
      kind: kinds[each.metric] ?? 'load',
      label: names[each.metric] ?? each.metric,
      points: each.points.flatMap<[number, number, number, number]>(([ts, mean, low, high]) =>
        mean === null ? [] : [[Date.parse(ts), mean, low ?? mean, high ?? mean]],
      ),
    }))
    .filter((curve) => curve.points.length)
}

/** Where a file of the period is fetched from. */
export function exportAddress(thing: Thing, period: Period, format: string): string {
  return address(`history/export?${query(thing, period, [], { format })}`)
}

export function usePast(): {
  powers: Readonly<typeof powers>
  energies: Readonly<typeof energies>
  gaps: Readonly<typeof gaps>
  problem: typeof problem
  loaded: typeof loaded
  load: (thing: Thing, span: Span, period: Period) => Promise<void>
} {
  const powers = shallowRef<Curve[]>([])
  const energies = shallowRef<Curve[]>([])
  const gaps = shallowRef<Gap[]>([])
  const problem = ref<Problem>()
  const loaded = ref('')
  let asked = 0

  async function load(thing: Thing, span: Span, period: Period): Promise<void> {
    asked += 1
    const own = asked
    const metrics = thing.isPlant ? OF_PLANT : OF_DEVICE
    const words = texts.history
    type Series = { series: HistorySeries[] }
    try {
      const [power, energy, missing] = await Promise.all([
        api.get<Series>(`history?${query(thing, period, metrics.powers, { points: String(POINTS) })}`),
        // A device without counters has no energy to show: that is no error of the page.
        api
          .get<Series>(`history/energy?${query(thing, period, metrics.energies, { by: BARS[span] })}`)
          .catch(() => ({ series: [] })),
        api.get<{ gaps: Gap[] }>(`history/gaps?${query(thing, period, [], {})}`),
      ])
      if (own !== asked) return
      powers.value = curvesOf(power.series, POWERS, words.powers)
      energies.value = curvesOf(energy.series, ENERGIES, words.energies)
      gaps.value = missing.gaps
      problem.value = undefined
    } catch (error) {
      if (own !== asked) return
      problem.value = problemOf(error)
    }
    loaded.value = `${thing.id} ${span} ${period.from}`
  }

  return { powers, energies, gaps, problem, loaded, load }
}

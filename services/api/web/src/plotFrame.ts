import { computed, type ComputedRef, ref, type Ref } from 'vue'
import type { Scale } from './plot'
import type { Span } from './periods'

/** What stands around the drawing, px. */
export const LEFT = 58
export const RIGHT = 10
const BOTTOM = 24
const NARROW = 560
/** The least room for a label of a period's axis, px. */
const LABEL_PX = { day: 64, week: 40, month: 26, year: 18 }

/** The measures of a chart in its frame; `PlotFrame` keeps `width` at that of its box. */
export interface Plot {
  width: Ref<number>
  height: ComputedRef<number>
  top: number
  base: ComputedRef<number>
  inner: ComputedRef<number>
  isNarrow: ComputedRef<boolean>
  scale: ComputedRef<Scale>
  y: (value: number) => number
  /** The share of the drawing's width at `px` from the frame's left edge, from 0 to 1. */
  shareAt: (px: number) => number
}

/** `heights`: of a narrow and of a wide chart, px. */
export function usePlot(heights: readonly [number, number], top: number, scaled: (isNarrow: boolean) => Scale): Plot {
  const width = ref(240)
  const isNarrow = computed(() => width.value < NARROW)
  const height = computed(() => heights[isNarrow.value ? 0 : 1])
  const base = computed(() => height.value - BOTTOM)
  const inner = computed(() => width.value - LEFT - RIGHT)
  const scale = computed(() => scaled(isNarrow.value))
  const y = (value: number): number => {
    const { low, high } = scale.value
    return top + ((high - value) / (high - low)) * (base.value - top)
  }
  const shareAt = (px: number): number => Math.min(Math.max((px - LEFT) / inner.value, 0), 1)
  return { width, height, top, base, inner, isNarrow, scale, y, shareAt }
}

/** Each how many marks of a period's axis have a label, when a mark has `room` px. */
export const labelEvery = (span: Span, room: number): number =>
  [1, 2, 3, 4, 6, 8, 12].find((each) => each * room >= LABEL_PX[span]) ?? 24
